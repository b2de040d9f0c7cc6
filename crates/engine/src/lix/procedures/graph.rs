//! Commits before and after a commit (26.2 of the data model).

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::{Call, Procedure, Row};
use crate::lix::Lix;

pub(super) const PROCEDURES: &[Procedure] = &[
    Procedure {
        name: "lix_commit_ancestors",
        columns: "id text, depth integer",
        writes: false,
        run: |lix, call| walk(lix, call, Lix::ancestors),
    },
    Procedure {
        name: "lix_commit_descendants",
        columns: "id text, depth integer",
        writes: false,
        run: |lix, call| walk(lix, call, Lix::descendants),
    },
];

/// From a commit, at most so far: commits with their distance.
type Direction = fn(&Lix, i64, Option<u32>) -> Result<Vec<(i64, u32)>>;

fn walk(lix: &Rc<Lix>, call: Call<'_>, direction: Direction) -> Result<Vec<Row>> {
    let (id, include_self, depth) = call.read(|options| {
        Ok((
            options.id("id")?,
            options.optional_flag("include_self")?.unwrap_or(false),
            options.optional_count("depth")?,
        ))
    })?;
    let no = lix.existing_commit("id", &id)?;
    let mut rows = Vec::new();
    for (no, depth) in direction(lix, no, depth)? {
        // A commit that is still open has no id, and nobody descends from it yet.
        let Some(id) = lix.commit_id(no)? else { continue };
        if depth > 0 || include_self {
            rows.push(vec![id.into(), i64::from(depth).into()]);
        }
    }
    Ok(rows)
}
