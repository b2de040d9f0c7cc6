//! The hidden primary key of the tables: who looks at which row, in one text.
//!
//! Guarantee: two different rows never have the same text, whatever their ids are made of, and what
//! was packed comes out again.

use std::fmt::Write as _;
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};

use crate::lix::state::Key;

/// Packs a viewing version and a key: each part behind its length.
pub(super) fn pack(version_id: &str, key: &Key) -> String {
    let parts = [version_id, &key.schema_key, &key.file_id, &key.entity_id];
    let mut text = String::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        let _ = write!(text, "{}:{part}", part.len());
    }
    text
}

/// The viewing version and the key in a text of [`pack`].
pub(super) fn unpack(text: &str) -> Result<(Rc<str>, Key)> {
    let mut rest = text;
    let mut part = || -> Option<Rc<str>> {
        let (length, behind) = rest.split_once(':')?;
        let length: usize = length.parse().ok()?;
        let part = behind.get(..length)?;
        rest = &behind[length..];
        Some(part.into())
    };
    let parts = [part(), part(), part(), part()];
    match parts {
        [Some(version_id), Some(schema_key), Some(file_id), Some(entity_id)] if rest.is_empty() => {
            Ok((version_id, Key { schema_key, entity_id, file_id }))
        }
        _ => Err(Error::new(Reason::SqlError, "malformed primary key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_can_be_an_id() {
        let ids = ["", "a", "a~b", "~", "1:a", ":", "\0", "a\0b", "'\"`", "😀é", "12:", "0:0:0:0:"];
        let mut seen = std::collections::HashSet::new();
        for version_id in ids {
            for entity_id in ids {
                for file_id in ["lix", "1:", ""] {
                    let key = Key {
                        schema_key: "s~1:".into(),
                        entity_id: entity_id.into(),
                        file_id: file_id.into(),
                    };
                    let text = pack(version_id, &key);
                    assert_eq!(unpack(&text).unwrap(), (version_id.into(), key));
                    assert!(seen.insert(text));
                }
            }
        }
    }

    #[test]
    fn what_was_not_packed_is_refused() {
        for text in [
            "",
            "1:a",
            "1:a1:b1:c",
            "1:a1:b1:c1:dx",
            "1:a1:b1:c2:d",
            "x:a1:b1:c1:d",
            "2:é1:b1:c1:d1",
        ] {
            assert!(unpack(text).is_err(), "{text}");
        }
    }
}
