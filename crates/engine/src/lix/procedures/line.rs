//! What a version showed at a commit, key by key, from the line of first parents.
//!
//! Guarantee: the cost follows the changes between two commits and the age of what they replaced,
//! not the number of entities.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use lix_engine_protocol::Result;

use crate::lix::Lix;
use crate::lix::state::Key;
use crate::sqlite::Bound;

/// The change under a key, as of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) seq: i64,
    pub(crate) is_deleted: bool,
}

impl Lix {
    /// A commit, its first parent, and so on.
    pub(crate) fn line(&self, no: i64) -> Result<Vec<i64>> {
        let mut line = Line::from(no);
        let mut commits = Vec::new();
        while let Some(no) = line.next(self)? {
            commits.push(no);
        }
        Ok(commits)
    }

    /// The keys that changed on the way from one commit to another, each with what it was there;
    /// none: it never was. Ordered by key.
    pub(crate) fn keys_between(
        self: &Rc<Self>,
        from: i64,
        to: i64,
    ) -> Result<Vec<(Key, Option<At>)>> {
        let Split { before_from, before_to, common } = self.split(from, to)?;
        let mut there: HashMap<Key, Option<At>> = HashMap::new();
        for no in before_to {
            self.each_member(no, |key, at| {
                there.entry(key).or_insert(Some(at));
            })?;
        }
        let mut older: Vec<Key> = Vec::new();
        for no in before_from {
            self.each_member(no, |key, _| {
                if !there.contains_key(&key) {
                    there.insert(key.clone(), None);
                    older.push(key);
                }
            })?;
        }
        if let Some(common) = common {
            for (key, at) in self.at_commit(common, older)? {
                there.insert(key, Some(at));
            }
        }
        let mut keys: Vec<_> = there.into_iter().collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(keys)
    }

    /// What was under these keys at a commit. Keys under which nothing ever was are left out.
    fn at_commit(self: &Rc<Self>, commit: i64, keys: Vec<Key>) -> Result<Vec<(Key, At)>> {
        const COMMITS_OF_KEY: &str = "select m.commit_no, c.seq, c.snapshot is null
          from _lix_change c cross join _lix_commit_change m on m.change_seq = c.seq
          where c.schema_key = ?1 and c.entity_id = ?2 and c.file_id = ?3 order by c.seq";
        // By commit: the keys that may have their value from it.
        let mut candidates: HashMap<i64, Vec<(usize, At)>> = HashMap::new();
        for (index, key) in keys.iter().enumerate() {
            let params = [
                Bound::Text(&key.schema_key),
                Bound::Text(&key.entity_id),
                Bound::Text(&key.file_id),
            ];
            self.sql.each(COMMITS_OF_KEY, &params, |row| {
                let at = At { seq: row.integer(1), is_deleted: row.integer(2) != 0 };
                candidates.entry(row.integer(0)).or_default().push((index, at));
                Ok(())
            })?;
        }
        let mut found: Vec<Option<At>> = vec![None; keys.len()];
        let mut line = Line::from(commit);
        while !candidates.is_empty() {
            let Some(no) = line.next(self)? else { break };
            for (index, at) in candidates.remove(&no).unwrap_or_default() {
                found[index].get_or_insert(at);
            }
            // Commits that matter to keys that are found only are not worth the way.
            candidates.retain(|_, keys| keys.iter().any(|(index, _)| found[*index].is_none()));
        }
        Ok(keys.into_iter().zip(found).filter_map(|(key, at)| Some((key, at?))).collect())
    }

    /// What two lines do not share, nearest first, and where they meet.
    fn split(self: &Rc<Self>, from: i64, to: i64) -> Result<Split> {
        let (mut a, mut b) = (Line::from(from), Line::from(to));
        let (mut next_a, mut next_b) = (a.next(self)?, b.next(self)?);
        let mut split = Split::default();
        // Parents have smaller numbers, except where somebody wrote commits by hand; then the
        // lines may miss each other, and everything on both counts as different.
        loop {
            match (next_a, next_b) {
                (Some(no), Some(other)) if no == other => {
                    split.common = Some(no);
                    return Ok(split);
                }
                (Some(no), other) if other.is_none_or(|other| no > other) => {
                    split.before_from.push(no);
                    next_a = a.next(self)?;
                }
                (_, Some(no)) => {
                    split.before_to.push(no);
                    next_b = b.next(self)?;
                }
                (_, None) => return Ok(split),
            }
        }
    }

    fn each_member(self: &Rc<Self>, commit: i64, mut member: impl FnMut(Key, At)) -> Result<()> {
        const MEMBERS: &str =
            "select c.seq, c.schema_key, c.entity_id, c.file_id, c.snapshot is null
          from _lix_commit_change m cross join _lix_change c on c.seq = m.change_seq
          where m.commit_no = ?1 order by c.seq desc";
        self.sql.each(MEMBERS, &[Bound::Integer(commit)], |row| {
            let key = Key { schema_key: row.text(1), entity_id: row.text(2), file_id: row.text(3) };
            member(key, At { seq: row.integer(0), is_deleted: row.integer(4) != 0 });
            Ok(())
        })
    }
}

#[derive(Default)]
struct Split {
    before_from: Vec<i64>,
    before_to: Vec<i64>,
    common: Option<i64>,
}

/// A commit, its first parent, and so on.
struct Line {
    next: Option<i64>,
    seen: HashSet<i64>,
}

impl Line {
    fn from(no: i64) -> Self {
        Self { next: Some(no), seen: HashSet::new() }
    }

    fn next(&mut self, lix: &Lix) -> Result<Option<i64>> {
        const FIRST_PARENT: &str = "select parent_no from _lix_commit_parent
          where commit_no = ?1 order by position limit 1";
        let Some(no) = self.next else { return Ok(None) };
        self.seen.insert(no);
        let parent = lix.sql.first(FIRST_PARENT, &[Bound::Integer(no)], |row| row.integer(0))?;
        // A foreign image may go in circles.
        self.next = parent.filter(|parent| !self.seen.contains(parent));
        Ok(Some(no))
    }
}
