//! Which constraints of a statement narrow the rows that are read, and to which.
//!
//! Guarantee: SQLite checks every row again, so what is read may be too much and never too little.
//! That is why a value that is not text is not looked up: what it equals depends on the affinity of
//! where it comes from.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::layout::{Column, Layout};
use super::values::{Kind, texts};
use crate::lix::state::{Filter, Viewers};
use crate::sqlite::vtab::{Argument, Constraint, Op, Plan};

/// Something that rows can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Version,
    Schema,
    Entity,
    File,
    Property(usize),
}

/// What a table says about all of its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Every version looks, unless a constraint says which.
    pub(super) all_versions: bool,
    /// All rows have one schema key.
    pub(super) one_schema: bool,
}

/// The constraints that were chosen: words for them, as many as there will be arguments, and how many
/// of these are lists.
pub(super) struct Chosen {
    pub(super) words: Vec<String>,
    pub(super) lists: u32,
}

/// Uses each constraint that there is a word for, and each word once.
pub(super) fn choose(plan: &mut Plan<'_>, word: impl Fn(&Constraint) -> Option<String>) -> Chosen {
    let mut chosen = Chosen { words: Vec::new(), lists: 0 };
    // Single values before lists: they find less.
    for wants_list in [false, true] {
        for constraint in plan.constraints() {
            let index = constraint.index;
            if !constraint.usable
                || plan.is_in(index) != wants_list
                || !plan.collation(index).eq_ignore_ascii_case("BINARY")
            {
                continue;
            }
            let Some(word) = word(&constraint).filter(|word| !chosen.words.contains(word)) else {
                continue;
            };
            plan.use_constraint(index, chosen.words.len(), false);
            if wants_list && plan.use_in(index) {
                chosen.lists += 1;
            }
            chosen.words.push(word);
        }
    }
    plan.set_text(chosen.words.join(" "));
    chosen
}

impl Chosen {
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }

    /// By how much lists make for more rows, as far as anybody can know.
    pub(super) fn fan_out(&self) -> f64 {
        f64::from(4_u32.pow(self.lists.min(4)))
    }
}

/// Chooses constraints on rows of state and tells SQLite what it costs.
pub(super) fn plan(plan: &mut Plan<'_>, layout: &Layout, facts: Facts, key: &[usize]) {
    let chosen = choose(plan, |constraint| {
        let term = match layout.column(constraint.column)? {
            Column::VersionId => Term::Version,
            Column::SchemaKey if !facts.one_schema => Term::Schema,
            Column::EntityId => Term::Entity,
            Column::FileId => Term::File,
            Column::Property(number) if layout.properties[number].kind == Kind::String => {
                Term::Property(number)
            }
            _ => return None,
        };
        let is_equal = constraint.op == Op::Eq
            // A property can be NULL, and NULL is looked up by nobody.
            || (constraint.op == Op::Is && !matches!(term, Term::Property(_)));
        is_equal.then(|| term.name())
    });
    let has = |term: Term| chosen.has(&term.name());
    let by_key = !key.is_empty() && key.iter().all(|number| has(Term::Property(*number)));
    let by_entity = has(Term::Entity) || by_key;
    let by_property = chosen.words.iter().any(|word| word.parse::<usize>().is_ok());
    let mut rows = match (by_entity, facts.one_schema || has(Term::Schema)) {
        (true, true) => 1.0,
        (true, false) => 4.0,
        (false, true) => 10_000.0,
        (false, false) => 100_000.0,
    };
    if !by_entity {
        rows /= if by_property { 50.0 } else { 1.0 };
        rows /= if has(Term::File) { 10.0 } else { 1.0 };
    }
    rows *= chosen.fan_out();
    rows *= if facts.all_versions && !has(Term::Version) { 4.0 } else { 1.0 };
    plan.set_cost(10.0 + rows * 3.0);
    plan.set_rows(rows as i64);
    let is_one_schema = facts.one_schema || has(Term::Schema);
    let is_one_viewer = !facts.all_versions || has(Term::Version);
    let is_one_key = has(Term::Entity) && has(Term::File) && is_one_schema;
    if is_one_key && is_one_viewer && chosen.lists == 0 {
        plan.set_unique();
    }
}

impl Term {
    fn name(self) -> String {
        match self {
            Term::Version => "version".to_owned(),
            Term::Schema => "schema".to_owned(),
            Term::Entity => "entity".to_owned(),
            Term::File => "file".to_owned(),
            Term::Property(number) => number.to_string(),
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "version" => Term::Version,
            "schema" => Term::Schema,
            "entity" => Term::Entity,
            "file" => Term::File,
            number => Term::Property(number.parse().ok()?),
        })
    }
}

/// The texts that rows may have, for each term that has any.
pub(super) struct Wanted {
    terms: Vec<(Term, Vec<Rc<str>>)>,
}

impl Wanted {
    pub(super) fn read(text: &str, arguments: &[Argument<'_>]) -> Result<Self> {
        let mut terms = Vec::new();
        for (name, argument) in text.split_ascii_whitespace().zip(arguments) {
            if let (Some(term), Some(texts)) = (Term::by_name(name), texts(argument.values()?)) {
                terms.push((term, texts));
            }
        }
        Ok(Self { terms })
    }

    pub(super) fn get(&self, term: Term) -> Option<&[Rc<str>]> {
        self.terms.iter().find(|(other, _)| *other == term).map(|(_, texts)| texts.as_slice())
    }

    /// The texts of each part of a primary key, if it is wanted whole.
    pub(super) fn key(&self, parts: &[usize]) -> Option<Vec<Vec<Rc<str>>>> {
        let texts = parts.iter().map(|part| self.get(Term::Property(*part)).map(<[_]>::to_vec));
        texts.collect::<Option<Vec<_>>>().filter(|key| !key.is_empty())
    }

    /// Narrows what a table reads anyway.
    pub(super) fn narrow(&self, filter: &mut Filter, layout: &Layout) {
        let take = |term, list: &mut Option<Vec<Rc<str>>>| {
            if let Some(texts) = self.get(term) {
                match list {
                    Some(list) => list.retain(|text| texts.contains(text)),
                    None => *list = Some(texts.to_vec()),
                }
            }
        };
        take(Term::Schema, &mut filter.schema_keys);
        take(Term::Entity, &mut filter.entity_ids);
        take(Term::File, &mut filter.file_ids);
        if let Some(texts) = self.get(Term::Version) {
            filter.viewers = Viewers::These(texts.to_vec());
        }
        for (term, texts) in &self.terms {
            if let (Term::Property(number), [text]) = (term, texts.as_slice()) {
                let name = layout.properties[*number].name.clone();
                filter.properties.push((name, text.clone()));
            }
        }
    }
}

/// The entity ids that follow from the texts of each part of a primary key; none if there is no key,
/// or if they would be too many to look up one by one.
pub(super) fn join_keys(parts: &[Vec<Rc<str>>]) -> Option<Vec<Rc<str>>> {
    let (first, others) = parts.split_first()?;
    let count = parts.iter().try_fold(1_usize, |count, part| count.checked_mul(part.len()));
    if count.is_none_or(|count| count > MAX_KEYS) {
        return None;
    }
    let mut ids = first.clone();
    for part in others {
        ids = ids
            .iter()
            .flat_map(|id| part.iter().map(move |text| Rc::from(format!("{id}~{text}"))))
            .collect();
    }
    ids.sort();
    ids.dedup();
    Some(ids)
}

const MAX_KEYS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(terms: &[(Term, &[&str])]) -> Wanted {
        let texts = |texts: &[&str]| texts.iter().map(|text| Rc::from(*text)).collect();
        Wanted { terms: terms.iter().map(|(term, list)| (*term, texts(list))).collect() }
    }

    #[test]
    fn a_term_survives_the_way_through_sqlite() {
        for term in [Term::Version, Term::Schema, Term::Entity, Term::File, Term::Property(17)] {
            assert_eq!(Term::by_name(&term.name()), Some(term));
        }
    }

    #[test]
    fn a_key_is_wanted_whole_or_not_at_all() {
        let (first, second) = (Term::Property(0), Term::Property(2));
        assert!(wanted(&[(first, &["a"])]).key(&[0, 2]).is_none());
        assert!(wanted(&[(first, &["a"])]).key(&[]).is_none());
        let key = wanted(&[(first, &["a", "b"]), (second, &["x"])]).key(&[2, 0]).unwrap();
        assert_eq!(join_keys(&key).unwrap(), ["x~a".into(), "x~b".into()]);
        assert_eq!(join_keys(&[vec![], vec!["x".into()]]).unwrap().len(), 0);
        assert!(join_keys(&[]).is_none());
        let many = vec![Rc::<str>::from("x"); 1_000];
        assert!(join_keys(&[many.clone(), many]).is_none());
    }

    #[test]
    fn what_a_table_reads_is_only_narrowed() {
        let layout = Layout::default();
        let mut filter = Filter { file_ids: Some(vec!["lix".into()]), ..Filter::default() };
        wanted(&[(Term::File, &["other"]), (Term::Entity, &["a", "b"]), (Term::Version, &["v"])])
            .narrow(&mut filter, &layout);
        assert_eq!(filter.file_ids.unwrap().len(), 0);
        assert_eq!(filter.entity_ids.unwrap(), ["a".into(), "b".into()]);
        assert!(matches!(filter.viewers, Viewers::These(these) if these == ["v".into()]));
    }
}
