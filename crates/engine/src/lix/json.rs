//! JSON that users write: as deep as SQLite takes it and no deeper, so that it can be walked
//! without fear for the stack.

use std::fmt;

use serde_json::Value;

/// Why a text was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotJson,
    TooDeep,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotJson => formatter.write_str("malformed JSON"),
            Refused::TooDeep => write!(formatter, "JSON is nested more than {MAX_DEPTH} deep"),
        }
    }
}

/// A JSON text as a value.
pub(crate) fn parse(text: &str) -> Result<Value, Refused> {
    if depth(text.as_bytes()) > MAX_DEPTH {
        return Err(Refused::TooDeep);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    let mut values = deserializer.into_iter();
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => Ok(value),
        _ => Err(Refused::NotJson),
    }
}

/// How deep a text nests, if it is JSON.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// SQLite's own limit.
pub(crate) const MAX_DEPTH: usize = 1_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_taken_up_to_the_depth_of_sqlite() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), Err(Refused::TooDeep));
        assert_eq!(parse(&format!("{{\"a\":\"{}\\\"\"}}", "[".repeat(2_000))).unwrap()["a"], {
            json!("[".repeat(2_000) + "\"")
        });
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "hello", "{", "1 2", "'a'", "{a:1}", "nul"] {
            assert_eq!(parse(text), Err(Refused::NotJson), "{text}");
        }
        assert_eq!(parse(" 1 "), Ok(json!(1)));
    }
}
