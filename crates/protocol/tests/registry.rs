//! The manual's registry of errors is the specification: what it lists is what can be sent.

use std::collections::BTreeMap;

use lix_engine_protocol::proto::{EngineError, ErrorCode};
use lix_engine_protocol::{Error, Reason};

#[test]
fn the_code_knows_what_the_manual_lists_and_nothing_else() {
    let listed = listed();
    assert!(listed.len() > 40, "the tables moved: {listed:?}");
    let known: BTreeMap<String, (ErrorCode, bool)> = Reason::ALL
        .iter()
        .map(|reason| {
            let error = EngineError::from(Error::new(*reason, "why"));
            (error.reason.clone(), (error.code(), error.retryable))
        })
        .collect();
    assert_eq!(known.len(), Reason::ALL.len(), "each name once");
    assert_eq!(known, listed);
}

/// Reason, code and whether a retry can help, from the tables under `### CODE — …`.
fn listed() -> BTreeMap<String, (ErrorCode, bool)> {
    let manual = include_str!("../../../docs/protocol/errors.md");
    let mut code = None;
    let mut listed = BTreeMap::new();
    for line in manual.lines() {
        if let Some(heading) = line.strip_prefix("### ").or_else(|| line.strip_prefix("## ")) {
            let word = heading.split(' ').next().unwrap_or_default();
            code = ErrorCode::from_str_name(&format!("ERROR_CODE_{word}"));
        } else if let (Some(code), Some(row)) = (code, line.strip_prefix("| `")) {
            let (reason, cells) = row.split_once("` |").expect(line);
            let retryable = cells.trim_end_matches('|').rsplit('|').next().unwrap().trim();
            assert!(retryable.starts_with("no") || retryable.starts_with("yes"), "{line}");
            let is_new = listed.insert(reason.to_owned(), (code, retryable.starts_with("yes")));
            assert!(is_new.is_none(), "{reason} is listed twice");
        }
    }
    listed
}
