//! Which rule of the manual has which case. A REQUIRED rule without one, and a case that names none, are red.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A rule, by its line in one of the indexes ([`crate::suite::INDEXES`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its anchor, never renamed.
    pub anchor: String,
    /// What it says.
    pub text: String,
    /// "REQUIRED", "RECOMMENDED" or "OPTIONAL".
    pub level: String,
    /// "engine", "host" or "both".
    pub side: String,
    /// The capability without which it does not count, or empty.
    pub capability: String,
}

/// The rules and the cases that name them.
#[derive(Debug)]
pub struct Coverage {
    /// Every rule, in the order of the manual, with the ids of its cases.
    pub rules: Vec<(Rule, Vec<String>)>,
    /// Cases that name something that is no rule: id and name.
    pub unknown: Vec<(String, String)>,
    /// Cases that name nothing.
    pub silent: Vec<String>,
}

impl Coverage {
    /// Puts the index and the cases (id, rules it names) together.
    pub fn of<'a>(
        index: &str,
        cases: impl Iterator<Item = (&'a str, &'a [String])>,
    ) -> Result<Coverage, String> {
        let rules = rules(index)?;
        let mut by_anchor: BTreeMap<&str, Vec<String>> =
            rules.iter().map(|rule| (rule.anchor.as_str(), Vec::new())).collect();
        let (mut unknown, mut silent) = (Vec::new(), Vec::new());
        for (id, spec) in cases {
            if spec.is_empty() {
                silent.push(id.to_owned());
            }
            for anchor in spec {
                match by_anchor.get_mut(anchor.as_str()) {
                    Some(ids) => ids.push(id.to_owned()),
                    None => unknown.push((id.to_owned(), anchor.clone())),
                }
            }
        }
        let mut ids: Vec<Vec<String>> = Vec::new();
        for rule in &rules {
            ids.push(by_anchor.remove(rule.anchor.as_str()).unwrap_or_default());
        }
        Ok(Coverage { rules: rules.into_iter().zip(ids).collect(), unknown, silent })
    }

    /// Rules without a case.
    pub fn without(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|(_, cases)| cases.is_empty()).map(|(rule, _)| rule)
    }

    /// True if nothing has to be done.
    pub fn is_complete(&self) -> bool {
        self.unknown.is_empty()
            && self.silent.is_empty()
            && self.without().all(|rule| rule.level != "REQUIRED")
    }

    /// For people: what is missing, and with `all` also what there is.
    pub fn human(&self, all: bool) -> String {
        let mut out = String::new();
        if all {
            for (rule, cases) in &self.rules {
                let _ = writeln!(out, "{} ({}, {})", rule.anchor, rule.level, rule.side);
                for id in cases {
                    let _ = writeln!(out, "  {id}");
                }
            }
            out.push('\n');
        }
        for (id, name) in &self.unknown {
            let _ = writeln!(out, "{id} names {name}, which is no rule of the manual");
        }
        for id in &self.silent {
            let _ = writeln!(out, "{id} names no rule: say in `spec` what it tests");
        }
        for rule in self.without() {
            let _ = writeln!(
                out,
                "{} ({}, {}) has no case: {}",
                rule.anchor, rule.level, rule.side, rule.text
            );
        }
        let covered = self.rules.iter().filter(|(_, cases)| !cases.is_empty()).count();
        let _ = writeln!(
            out,
            "{covered} of {} rules have a case; {} cases name none",
            self.rules.len(),
            self.silent.len()
        );
        out
    }

    /// For programs.
    pub fn json(&self) -> String {
        let rules: Vec<serde_json::Value> = self
            .rules
            .iter()
            .map(|(rule, cases)| {
                serde_json::json!({
                    "anchor": rule.anchor, "level": rule.level, "for": rule.side, "capability": rule.capability,
                    "cases": cases,
                })
            })
            .collect();
        format!("{:#}\n", serde_json::json!({ "rules": rules, "cases_without_rules": self.silent }))
    }
}

/// Reads indexes: the rows of every table with the heading [`HEADING`]; other tables are left alone.
pub fn rules(index: &str) -> Result<Vec<Rule>, String> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut inside = false;
    for line in index.lines() {
        if line == HEADING {
            inside = true;
        } else if !line.starts_with('|') {
            inside = false;
        }
        if !inside || !line.starts_with("| `") {
            continue;
        }
        let cells: Vec<String> = cells(line);
        let [anchor, text, level, side, capability] = &cells[..] else {
            return Err(format!("the index of rules has a row of {} cells: {line}", cells.len()));
        };
        let anchor = anchor.trim_matches('`').to_owned();
        if rules.iter().any(|rule| rule.anchor == anchor) {
            return Err(format!("the index of rules has {anchor} twice"));
        }
        if !["REQUIRED", "RECOMMENDED", "OPTIONAL"].contains(&level.as_str()) {
            return Err(format!("{anchor} has the level {level:?}, which there is not"));
        }
        rules.push(Rule {
            anchor,
            text: text.clone(),
            level: level.clone(),
            side: side.clone(),
            capability: capability.trim_matches('`').to_owned(),
        });
    }
    if rules.is_empty() { Err("the index of rules has no rules".to_owned()) } else { Ok(rules) }
}

/// What a table of rules begins with.
const HEADING: &str = "| Anchor | Rule | Level | For | Capability |";

/// The cells of a table's row; `\|` is no border.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
| Anchor | Rule | Level | For | Capability |
|---|---|---|---|---|
| `a.one` | One \\| two. | REQUIRED | engine |  |
| `a.two` | Two. | OPTIONAL | host | `CURSORS` |
";

    fn coverage(cases: &[(&str, &[&str])]) -> Coverage {
        let owned: Vec<(&str, Vec<String>)> = cases
            .iter()
            .map(|(id, spec)| (*id, spec.iter().map(|name| name.to_string()).collect()))
            .collect();
        Coverage::of(INDEX, owned.iter().map(|(id, spec)| (*id, spec.as_slice()))).unwrap()
    }

    #[test]
    fn only_required_rules_need_a_case() {
        assert!(!coverage(&[]).is_complete());
        assert!(!coverage(&[("s/c", &["a.two"])]).is_complete());
        let found = coverage(&[("s/c", &["a.one"])]);
        assert!(found.is_complete());
        assert_eq!(found.rules[0].0.text, "One | two.");
        assert_eq!(found.rules[0].1, ["s/c"]);
        assert!(found.human(false).contains("a.two (OPTIONAL, host) has no case"));
        assert!(found.human(false).contains("1 of 2 rules have a case; 0 cases name none"));
    }

    #[test]
    fn a_case_that_names_nothing_is_red() {
        let found = coverage(&[("s/c", &["a.one"]), ("s/d", &[])]);
        assert!(!found.is_complete());
        assert_eq!(found.silent, ["s/d"]);
        assert!(found.human(false).contains("s/d names no rule"));
    }

    #[test]
    fn only_tables_of_rules_are_read() {
        let page = format!("| Column | Type |\n|---|---|\n| `id` | text |\n\nText.\n\n{INDEX}");
        assert_eq!(rules(&page), rules(INDEX));
    }

    #[test]
    fn a_name_that_is_no_rule_is_red() {
        let found = coverage(&[("s/c", &["a.one", "a.three"])]);
        assert!(!found.is_complete());
        assert!(found.human(false).contains("s/c names a.three"));
    }

    #[test]
    fn a_broken_index_is_refused() {
        assert!(rules("no table").is_err());
        assert!(rules("| `a` | b | REQUIRED | engine |  |").is_err());
        assert!(rules(&format!("{INDEX}| `b` | b |\n")).unwrap_err().contains("2 cells"));
        assert!(
            rules(&format!("{INDEX}| `a.one` | b | REQUIRED | host |  |\n"))
                .unwrap_err()
                .contains("twice")
        );
        assert!(
            rules(&format!("{INDEX}| `b` | b | MAYBE | host |  |\n"))
                .unwrap_err()
                .contains("MAYBE")
        );
    }
}
