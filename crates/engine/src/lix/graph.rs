//! The commit graph, in memory: which commit follows which, by number.
//!
//! Guarantee: an answer is that of the stored edges. Every commit is visited once, however many
//! paths lead to it, and a depth is the fewest edges there are; a graph with a cycle, which only a
//! foreign image can bring, is walked like any other. Nothing is loaded before somebody asks, so
//! that writing costs the same at any length of history.

use std::cell::{OnceCell, Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};

use super::Lix;
use super::sql::Sql;
use crate::sqlite::Bound;

/// The edges, once they are loaded.
#[derive(Default)]
pub(crate) struct Graph {
    edges: RefCell<Option<Edges>>,
}

impl Graph {
    /// The parents of a commit were written: they are these and no others.
    pub(crate) fn note_commit(&self, no: i64, parents: &[i64]) {
        if let Some(edges) = self.edges.borrow_mut().as_mut() {
            edges.set(node(no), parents.iter().map(|parent| node(*parent)).collect());
        }
    }

    /// What was written may be gone: to be called on every rollback.
    pub(crate) fn forget(&self) {
        self.edges.borrow_mut().take();
    }

    /// The edges as stored. Nobody may run SQL while holding them.
    pub(super) fn edges(&self, sql: &Sql) -> Result<Ref<'_, Edges>> {
        if self.edges.borrow().is_none() {
            let edges = Edges::load(sql)?;
            self.edges.replace(Some(edges));
        }
        Ok(Ref::map(self.edges.borrow(), |edges| edges.as_ref().expect("loaded above")))
    }
}

impl Lix {
    /// A commit and those before it, each with its distance, nearest first.
    pub(crate) fn ancestors(&self, no: i64, max_depth: Option<u32>) -> Result<Vec<(i64, u32)>> {
        Ok(self.graph.edges(&self.sql)?.walk(Direction::Parents, no, max_depth, None).pairs())
    }

    /// A commit and those after it, each with its distance, nearest first.
    pub(crate) fn descendants(&self, no: i64, max_depth: Option<u32>) -> Result<Vec<(i64, u32)>> {
        Ok(self.graph.edges(&self.sql)?.walk(Direction::Children, no, max_depth, None).pairs())
    }

    /// Refuses edges from these parents to a commit that would make it its own ancestor. To be
    /// called before they are written; what the commit's parents were until now does not matter.
    pub(crate) fn check_edges(&self, child: &str, parents: &[Rc<str>]) -> Result<()> {
        if parents.iter().any(|parent| &**parent == child) {
            let text = "Self-referencing edges are not allowed: parent_id cannot equal child_id";
            return Err(Error::new(Reason::Validation, text));
        }
        // A commit that nobody has heard of cannot be anybody's parent.
        let Some(child_no) = self.commit_no(child)? else { return Ok(()) };
        for parent in parents {
            let Some(parent_no) = self.commit_no(parent)? else { continue };
            let path = self.graph.edges(&self.sql)?.path(parent_no, child_no);
            if let Some(path) = path {
                return Err(self.cycle(child, parent, &path)?);
            }
        }
        Ok(())
    }

    /// The number of a commit, also of one that is only known by name.
    pub(crate) fn commit_no(&self, id: &str) -> Result<Option<i64>> {
        self.sql.first("select no from _lix_commit where id = ?", &[Bound::Text(id)], |row| {
            row.integer(0)
        })
    }

    /// The id of a commit; none: it is pending, or there is no such number.
    pub(crate) fn commit_id(&self, no: i64) -> Result<Option<Rc<str>>> {
        let sql = "select id from _lix_commit where no = ?";
        Ok(self.sql.first(sql, &[Bound::Integer(no)], |row| row.optional_text(0))?.flatten())
    }

    fn cycle(&self, child: &str, parent: &str, path: &[i64]) -> Result<Error> {
        let mut names = Vec::new();
        for no in path.iter().rev().take(NAMED_IN_A_CYCLE) {
            names.push(self.commit_id(*no)?.unwrap_or_else(|| "pending".into()));
        }
        if path.len() > NAMED_IN_A_CYCLE {
            names.extend(["…".into(), parent.into()]);
        }
        Ok(Error::new(
            Reason::Validation,
            format!(
                "Cycle detected in commit graph! The edge from parent '{parent}' to child '{child}' \
                 would close the path {} → {child}",
                names.join(" → ")
            ),
        ))
    }
}

/// Parents by commit number.
#[derive(Default)]
pub(super) struct Edges {
    /// By number; 0: no parent. Most commits have one.
    first: Vec<u32>,
    /// The further ones.
    more: HashMap<u32, Box<[u32]>>,
    children: OnceCell<Children>,
}

/// Which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Parents,
    Children,
}

impl Edges {
    fn load(sql: &Sql) -> Result<Self> {
        let bounds = "select coalesce(min(no), 1), coalesce(max(no), 0), count(*) from _lix_commit";
        let bounds = sql.first(bounds, &[], |row| [row.integer(0), row.integer(1), row.integer(2)]);
        let [least, greatest, count] = bounds?.expect("an aggregate has a row");
        // Numbers are given out one after the other. Memory follows the greatest, so an image
        // that somebody forged must not choose it.
        if least < 1 || greatest > count.saturating_mul(4).saturating_add(1 << 20) {
            return Err(Error::new(
                Reason::DatabaseCorrupt,
                format!("_lix_commit has {count} rows and numbers from {least} to {greatest}"),
            ));
        }
        let mut edges = Self { first: vec![0; greatest as usize + 1], ..Self::default() };
        let mut last: (i64, Vec<u32>) = (0, Vec::new());
        let all =
            "select commit_no, parent_no from _lix_commit_parent order by commit_no, position";
        sql.each(all, &[], |row| {
            let (no, parent) = (row.integer(0), row.integer(1));
            // Edges of commits that there are not: foreign, and without meaning.
            if !(1..=greatest).contains(&no) || !(1..=greatest).contains(&parent) {
                return Ok(());
            }
            if last.0 != no {
                let (no, parents) = std::mem::replace(&mut last, (no, Vec::new()));
                edges.set(node(no), parents);
            }
            last.1.push(node(parent));
            Ok(())
        })?;
        edges.set(node(last.0), last.1);
        Ok(edges)
    }

    fn set(&mut self, no: u32, parents: Vec<u32>) {
        self.children.take();
        let highest = parents.iter().copied().max().unwrap_or(0).max(no) as usize;
        if self.first.len() <= highest {
            self.first.resize(highest + 1, 0);
        }
        self.first[no as usize] = parents.first().copied().unwrap_or(0);
        if parents.len() > 1 {
            self.more.insert(no, parents[1..].into());
        } else {
            self.more.remove(&no);
        }
    }

    fn parents(&self, no: u32) -> impl Iterator<Item = u32> {
        let first = self.first.get(no as usize).copied().filter(|parent| *parent != 0);
        let more = first.and_then(|_| self.more.get(&no));
        first.into_iter().chain(more.into_iter().flat_map(|more| more.iter().copied()))
    }

    /// The parent on whose line a commit lies.
    pub(super) fn first_parent(&self, no: i64) -> Option<i64> {
        self.parents(node(no)).next().map(i64::from)
    }

    fn children(&self) -> &Children {
        self.children.get_or_init(|| {
            let mut starts = vec![0u32; self.first.len() + 1];
            let nodes = || 0..self.first.len() as u32;
            for parent in nodes().flat_map(|no| self.parents(no)) {
                starts[parent as usize + 1] += 1;
            }
            for index in 1..starts.len() {
                starts[index] += starts[index - 1];
            }
            let mut next = starts.clone();
            let mut all = vec![0u32; starts.last().copied().unwrap_or(0) as usize];
            for (child, parent) in nodes().flat_map(|no| self.parents(no).map(move |to| (no, to))) {
                let place = &mut next[parent as usize];
                all[*place as usize] = child;
                *place += 1;
            }
            Children { starts, all }
        })
    }

    /// Visits what can be reached, nearest first, until `until` is found.
    pub(super) fn walk(
        &self,
        direction: Direction,
        from: i64,
        max_depth: Option<u32>,
        until: Option<i64>,
    ) -> Walk {
        self.walk_until(direction, from, max_depth, |no, _| until == Some(no))
    }

    /// Visits what can be reached, nearest first, until `is_enough` says so of a
    /// commit and its depth.
    pub(super) fn walk_until(
        &self,
        direction: Direction,
        from: i64,
        max_depth: Option<u32>,
        mut is_enough: impl FnMut(i64, u32) -> bool,
    ) -> Walk {
        let mut walk = Walk { depths: vec![UNSEEN; self.first.len()], order: Vec::new() };
        // A commit that is newer than everything known has no edges yet.
        let start = node(from);
        if walk.depths.len() <= start as usize {
            walk.depths.resize(start as usize + 1, UNSEEN);
        }
        walk.depths[start as usize] = 0;
        walk.order.push(start);
        let children = (direction == Direction::Children).then(|| self.children());
        let mut next = 0;
        let mut is_over = is_enough(from, 0);
        while !is_over && let Some(&no) = walk.order.get(next) {
            next += 1;
            let depth = walk.depths[no as usize] + 1;
            if max_depth.is_some_and(|max| depth > max) {
                break;
            }
            let mut visit = |to: u32| {
                if walk.depths[to as usize] == UNSEEN {
                    walk.depths[to as usize] = depth;
                    walk.order.push(to);
                    is_over |= is_enough(to.into(), depth);
                }
            };
            match children {
                Some(children) => children.of(no).iter().for_each(|child| visit(*child)),
                None => self.parents(no).for_each(&mut visit),
            }
        }
        walk
    }

    /// A shortest path to an ancestor, both ends included.
    fn path(&self, from: i64, ancestor: i64) -> Option<Vec<i64>> {
        let walk = self.walk(Direction::Parents, from, None, Some(ancestor));
        let mut depth = walk.depth(ancestor)?;
        let mut path = vec![ancestor];
        // Back towards the start: a child that lies one edge nearer.
        while depth > 0 {
            depth -= 1;
            let end = node(*path.last().expect("not empty"));
            let nearer = walk.order.iter().find(|no| {
                walk.depths[**no as usize] == depth && self.parents(**no).any(|to| to == end)
            })?;
            path.push((*nearer).into());
        }
        path.reverse();
        Some(path)
    }
}

/// Children by commit number, one list behind the other.
struct Children {
    starts: Vec<u32>,
    all: Vec<u32>,
}

impl Children {
    fn of(&self, no: u32) -> &[u32] {
        let Some(end) = self.starts.get(no as usize + 1) else { return &[] };
        &self.all[self.starts[no as usize] as usize..*end as usize]
    }
}

/// Where a walk came.
pub(super) struct Walk {
    depths: Vec<u32>,
    order: Vec<u32>,
}

impl Walk {
    /// How far a commit is; none: it was not reached.
    pub(super) fn depth(&self, no: i64) -> Option<u32> {
        let depth = *usize::try_from(no).ok().and_then(|no| self.depths.get(no))?;
        (depth != UNSEEN).then_some(depth)
    }

    /// All that was reached, nearest first.
    pub(super) fn pairs(&self) -> Vec<(i64, u32)> {
        self.order.iter().map(|no| (i64::from(*no), self.depths[*no as usize])).collect()
    }
}

/// Numbers given out by us fit by far, and those of foreign images are checked when loaded.
fn node(no: i64) -> u32 {
    u32::try_from(no).unwrap_or(0)
}

const UNSEEN: u32 = u32::MAX;

/// A path through a long history is told by its beginning and its end.
const NAMED_IN_A_CYCLE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lix::testing::bare;

    /// `child: parent parent` by number; the id of commit 7 is `c7`.
    fn lix_with(edges: &[(i64, &[i64])]) -> Rc<Lix> {
        let lix = bare();
        for (no, parents) in edges {
            add(&lix, *no, parents);
        }
        lix
    }

    fn add(lix: &Lix, no: i64, parents: &[i64]) {
        let mut script = format!(
            "insert into _lix_commit (no, id, change_set_id) values ({no}, 'c{no}', 's{no}');"
        );
        for (position, parent) in parents.iter().enumerate() {
            script +=
                &format!("insert into _lix_commit_parent values ({no}, {position}, {parent});");
        }
        lix.sql.script(&script).unwrap();
        lix.graph.note_commit(no, parents);
    }

    fn diamonds(count: i64) -> Rc<Lix> {
        let lix = lix_with(&[(1, &[])]);
        for index in 0..count {
            let top = 1 + index * 3;
            add(&lix, top + 1, &[top]);
            add(&lix, top + 2, &[top]);
            add(&lix, top + 3, &[top + 1, top + 2]);
        }
        lix
    }

    #[test]
    fn depth_is_the_fewest_edges() {
        // 5 reaches 1 directly and over 4, 3, 2.
        let lix = lix_with(&[(1, &[]), (2, &[1]), (3, &[2]), (4, &[3]), (5, &[4, 1])]);
        assert_eq!(lix.ancestors(5, None).unwrap(), [(5, 0), (4, 1), (1, 1), (3, 2), (2, 3)]);
        assert_eq!(lix.ancestors(5, Some(1)).unwrap(), [(5, 0), (4, 1), (1, 1)]);
        assert_eq!(lix.descendants(1, None).unwrap(), [(1, 0), (2, 1), (5, 1), (3, 2), (4, 3)]);
        assert_eq!(lix.descendants(5, None).unwrap(), [(5, 0)]);
        assert_eq!(lix.ancestors(99, None).unwrap(), [(99, 0)]);
    }

    #[test]
    fn every_commit_of_many_merges_is_visited_once() {
        let lix = diamonds(1000);
        assert_eq!(lix.ancestors(3001, None).unwrap().len(), 3001);
        assert_eq!(lix.ancestors(3001, None).unwrap().last(), Some(&(1, 2000)));
        assert_eq!(lix.descendants(1, None).unwrap().last(), Some(&(3001, 2000)));
    }

    #[test]
    fn what_is_noted_is_what_would_be_loaded() {
        let lix = lix_with(&[(1, &[]), (2, &[1]), (3, &[1])]);
        assert_eq!(lix.descendants(1, None).unwrap().len(), 3);
        add(&lix, 4, &[3, 2]);
        lix.sql.script("delete from _lix_commit_parent where commit_no = 3").unwrap();
        lix.graph.note_commit(3, &[]);
        let noted = (lix.ancestors(4, None).unwrap(), lix.descendants(1, None).unwrap());
        lix.graph.forget();
        assert_eq!((lix.ancestors(4, None).unwrap(), lix.descendants(1, None).unwrap()), noted);
        assert_eq!(noted.0, [(4, 0), (3, 1), (2, 1), (1, 2)]);
    }

    #[test]
    fn a_rollback_is_forgotten() {
        let lix = lix_with(&[(1, &[]), (2, &[1])]);
        lix.sql.script("begin").unwrap();
        add(&lix, 3, &[2]);
        assert_eq!(lix.ancestors(3, None).unwrap().len(), 3);
        lix.sql.script("rollback").unwrap();
        lix.graph.forget();
        assert_eq!(lix.ancestors(3, None).unwrap(), [(3, 0)]);
    }

    #[test]
    fn cycles_are_refused() {
        let lix = lix_with(&[(1, &[]), (2, &[1]), (3, &[2]), (4, &[])]);
        let check = |child: &str, parents: &[&str]| {
            let parents: Vec<Rc<str>> = parents.iter().map(|id| (*id).into()).collect();
            lix.check_edges(child, &parents).map_err(|error| (error.reason, error.message))
        };
        let refused = |text: &str| Err((Reason::Validation, text.to_owned()));
        assert_eq!(check("c4", &["c3", "unheard"]), Ok(()));
        assert_eq!(check("unheard", &["c3"]), Ok(()));
        assert_eq!(check("c3", &["c1"]), Ok(()));
        assert_eq!(
            check("c1", &["c4", "c3"]),
            refused(
                "Cycle detected in commit graph! The edge from parent 'c3' to child 'c1' would \
                 close the path c1 → c2 → c3 → c1"
            )
        );
        assert_eq!(
            check("new", &["new"]),
            refused("Self-referencing edges are not allowed: parent_id cannot equal child_id")
        );
    }

    #[test]
    fn a_long_cycle_is_told_by_its_ends() {
        let lix = diamonds(100);
        let error = lix.check_edges("c1", &["c301".into()]).unwrap_err();
        assert!(error.message.ends_with("→ … → c301 → c1"), "{}", error.message);
    }

    #[test]
    fn a_cycle_in_an_image_ends_like_any_walk() {
        let lix = lix_with(&[(1, &[3]), (2, &[1]), (3, &[2])]);
        lix.graph.forget();
        assert_eq!(lix.ancestors(1, None).unwrap(), [(1, 0), (3, 1), (2, 2)]);
        assert_eq!(lix.descendants(1, None).unwrap(), [(1, 0), (2, 1), (3, 2)]);
    }

    #[test]
    fn numbers_of_a_forged_image_take_no_memory() {
        let lix = bare();
        lix.sql.script("insert into _lix_commit (no, id) values (1 << 60, 'c')").unwrap();
        assert_eq!(lix.ancestors(1, None).unwrap_err().reason, Reason::DatabaseCorrupt);
        lix.sql.script("update _lix_commit set no = -4").unwrap();
        assert_eq!(lix.ancestors(1, None).unwrap_err().reason, Reason::DatabaseCorrupt);
    }
}
