//! A version takes over what another one has (18.2 of the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::diff::Difference;
use super::{Procedure, is_bookkeeping};
use crate::lix::Lix;
use crate::lix::commit::CommitPlan;

pub(super) const PROCEDURES: &[Procedure] = &[Procedure {
    name: "lix_merge_version",
    columns: "commit_id text",
    writes: true,
    run: |lix, call| {
        let (source, target) =
            call.read(|options| Ok((options.id("source")?, options.optional_id("target")?)))?;
        let source = lix.version_or_active(Some(source))?;
        let target = lix.version_or_active(target)?;
        Ok(vec![vec![lix.merge_version(&source, &target)?.into()]])
    },
}];

impl Lix {
    /// Brings the target to what the source shows: the source's changes, and deletions of what the
    /// source deleted, in a commit whose parents are both tips. The source always wins. None: there
    /// is nothing to do.
    ///
    /// Untracked rows take no part, and neither do versions and commits.
    fn merge_version(
        self: &Rc<Self>,
        source: &Rc<str>,
        target: &Rc<str>,
    ) -> Result<Option<Rc<str>>> {
        if source == target {
            return Ok(None);
        }
        let source_tip = self.sealed_tip(source)?;
        let target_tip = self.sealed_tip(target)?;
        let (mut changes, mut deleted) = (Vec::new(), Vec::new());
        for (key, difference) in self.differences(source, target)? {
            if is_bookkeeping(&key.schema_key) {
                continue;
            }
            match difference {
                Difference::Added { source } | Difference::Modified { source, .. } => {
                    changes.push(source.seq);
                }
                Difference::Removed { target, .. } => deleted.push((key, target.seq)),
            }
        }
        if changes.is_empty() && deleted.is_empty() {
            return Ok(None);
        }
        changes.sort_unstable();
        for (key, seq) in deleted {
            changes.push(self.delete_after(&key, seq)?);
        }
        // Versions that stand at the same commit differ in what they inherit.
        let mut parents = vec![target_tip, source_tip];
        parents.dedup();
        let commit = self.commit_with(CommitPlan {
            version_id: target.clone(),
            parents,
            changes,
            authors: Vec::new(),
        });
        commit.map(Some)
    }
}
