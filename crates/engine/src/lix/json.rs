//! JSON that users write: as deep as SQLite takes it and no deeper, and without a deep stack.
//!
//! Guarantee: integers of 64 bits are exact, other numbers the nearest double; of two members with
//! one name the last counts; what cannot be kept as it is, is refused.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

/// Why a text was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotJson,
    TooDeep,
    /// A string with half of a character, which UTF-8 cannot hold.
    LoneSurrogate,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NotJson => formatter.write_str("malformed JSON"),
            Refused::TooDeep => write!(formatter, "JSON is nested more than {MAX_DEPTH} deep"),
            Refused::LoneSurrogate => formatter.write_str("JSON has a lone surrogate in a string"),
        }
    }
}

/// A stored snapshot's members; one that is missing or strange reads like an empty one.
pub(crate) fn object(snapshot: Option<&str>) -> Map<String, Value> {
    match snapshot.map(parse) {
        Some(Ok(Value::Object(members))) => members,
        _ => Map::new(),
    }
}

/// The strings of a member that is a list.
pub(crate) fn strings(snapshot: &Map<String, Value>, name: &str) -> Vec<Rc<str>> {
    let list = snapshot.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(Rc::from).collect()
}

/// A JSON text as a value.
pub(crate) fn parse(text: &str) -> Result<Value, Refused> {
    let mut reader = Reader { text, position: 0 };
    let mut open: Vec<Open> = Vec::new();
    'value: loop {
        let mut value = match reader.next_token()? {
            b'{' => {
                deeper(&open)?;
                if reader.eat(b'}') {
                    Value::Object(Map::new())
                } else {
                    open.push(Open::Object(Map::new(), reader.name()?));
                    continue 'value;
                }
            }
            b'[' => {
                deeper(&open)?;
                if reader.eat(b']') {
                    Value::Array(Vec::new())
                } else {
                    open.push(Open::Array(Vec::new()));
                    continue 'value;
                }
            }
            b'"' => Value::String(reader.string()?.into_owned()),
            b't' => reader.word("true", Value::Bool(true))?,
            b'f' => reader.word("false", Value::Bool(false))?,
            b'n' => reader.word("null", Value::Null)?,
            b'-' | b'0'..=b'9' => reader.number()?,
            _ => return Err(Refused::NotJson),
        };
        // What is complete goes into what is around it, which may complete that.
        loop {
            match open.last_mut() {
                None => {
                    reader.skip_space();
                    let is_end = reader.position == text.len();
                    return if is_end { Ok(value) } else { Err(Refused::NotJson) };
                }
                Some(Open::Array(items)) => {
                    items.push(value);
                    if reader.eat(b',') {
                        continue 'value;
                    }
                    reader.expect(b']')?;
                }
                Some(Open::Object(members, name)) => {
                    members.insert(std::mem::take(name), value);
                    if reader.eat(b',') {
                        *name = reader.name()?;
                        continue 'value;
                    }
                    reader.expect(b'}')?;
                }
            }
            value = match open.pop() {
                Some(Open::Array(items)) => Value::Array(items),
                Some(Open::Object(members, _)) => Value::Object(members),
                None => unreachable!("there was one a moment ago"),
            };
        }
    }
}

/// The text of a member of a stored object, found without reading the rest; of two with one name,
/// the first. None: there is no such member, or the text is not that of an object.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Option<Raw<'a>> {
    members(object).find(|(found, _)| found == name).map(|(_, value)| value)
}

/// The members of a stored object, in order, up to the first that is malformed.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, Raw<'_>)> {
    let mut reader = Reader { text: object, position: 0 };
    let mut has_more = reader.eat(b'{') && !reader.eat(b'}');
    std::iter::from_fn(move || {
        if !has_more {
            return None;
        }
        let name = reader.borrowed_name().ok()?;
        let value = reader.raw()?;
        has_more = reader.eat(b',');
        Some((name, value))
    })
}

/// A JSON value that is still text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a>(pub(crate) &'a str);

/// A JSON value as SQLite's JSON functions extract it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Extracted<'a> {
    Null,
    Integer(i64),
    Real(f64),
    /// A string, or the JSON of an object or array.
    Text(Cow<'a, str>),
}

impl<'a> Raw<'a> {
    /// What SQL sees of it. Malformed values are NULL.
    pub(crate) fn extract(self) -> Extracted<'a> {
        let mut reader = Reader { text: self.0, position: 1 };
        match self.0.as_bytes().first() {
            Some(b'{' | b'[') => Extracted::Text(self.0.into()),
            Some(b'"') => reader.string().map_or(Extracted::Null, Extracted::Text),
            Some(b't') => Extracted::Integer(1),
            Some(b'f') => Extracted::Integer(0),
            Some(b'-' | b'0'..=b'9') => match (self.0.parse(), self.0.parse()) {
                (Ok(integer), _) => Extracted::Integer(integer),
                (_, Ok(real)) => Extracted::Real(real),
                _ => Extracted::Null,
            },
            _ => Extracted::Null,
        }
    }
}

/// An array or object whose end has not come yet, and the name of the member that comes.
enum Open {
    Array(Vec<Value>),
    Object(Map<String, Value>, String),
}

fn deeper(open: &[Open]) -> Result<(), Refused> {
    if open.len() < MAX_DEPTH { Ok(()) } else { Err(Refused::TooDeep) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always between characters.
    position: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    /// Goes past the first byte of what comes next.
    fn next_token(&mut self) -> Result<u8, Refused> {
        self.skip_space();
        let next = self.peek().filter(u8::is_ascii).ok_or(Refused::NotJson)?;
        self.position += 1;
        Ok(next)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Refused> {
        if self.eat(wanted) { Ok(()) } else { Err(Refused::NotJson) }
    }

    /// The name of a member and its colon.
    fn name(&mut self) -> Result<String, Refused> {
        self.borrowed_name().map(Cow::into_owned)
    }

    fn borrowed_name(&mut self) -> Result<Cow<'a, str>, Refused> {
        self.expect(b'"')?;
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// The rest of a word whose first letter is read.
    fn word(&mut self, word: &str, value: Value) -> Result<Value, Refused> {
        match self.text[self.position..].starts_with(&word[1..]) {
            true => {
                self.position += word.len() - 1;
                Ok(value)
            }
            false => Err(Refused::NotJson),
        }
    }

    /// The rest of a number whose first byte is read.
    fn number(&mut self) -> Result<Value, Refused> {
        self.position -= 1;
        let start = self.position;
        let is_negative = self.peek() == Some(b'-');
        self.position += usize::from(is_negative);
        match self.digits() {
            0 => return Err(Refused::NotJson),
            1 => {}
            _ if self.text.as_bytes()[start + usize::from(is_negative)] == b'0' => {
                return Err(Refused::NotJson);
            }
            _ => {}
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            self.position += 1;
            is_integer = false;
            if self.digits() == 0 {
                return Err(Refused::NotJson);
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.position += 1;
            is_integer = false;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            if self.digits() == 0 {
                return Err(Refused::NotJson);
            }
        }
        let text = &self.text[start..self.position];
        // -0 is no integer: its sign would be lost.
        if is_integer && text != "-0" {
            if let Ok(integer) = text.parse::<i64>() {
                return Ok(integer.into());
            }
            if let Ok(integer) = text.parse::<u64>() {
                return Ok(integer.into());
            }
        }
        let number = text.parse().ok().and_then(Number::from_f64).ok_or(Refused::NotJson)?;
        Ok(Value::Number(number))
    }

    fn digits(&mut self) -> usize {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        self.position - start
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<Cow<'a, str>, Refused> {
        let plain = self.plain();
        match self.string_byte()? {
            b'"' => Ok(plain.into()),
            _ => self.escaped(plain.to_owned()).map(Cow::from),
        }
    }

    /// The rest of a string whose first backslash is read.
    #[cold]
    fn escaped(&mut self, mut text: String) -> Result<String, Refused> {
        loop {
            let escape = self.peek().filter(u8::is_ascii).ok_or(Refused::NotJson)?;
            self.position += 1;
            text.push(match escape {
                b'"' | b'\\' | b'/' => escape.into(),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return Err(Refused::NotJson),
            });
            text.push_str(self.plain());
            if self.string_byte()? == b'"' {
                return Ok(text);
            }
        }
    }

    /// A quote or a backslash.
    fn string_byte(&mut self) -> Result<u8, Refused> {
        let byte =
            self.peek().filter(|byte| matches!(byte, b'"' | b'\\')).ok_or(Refused::NotJson)?;
        self.position += 1;
        Ok(byte)
    }

    /// What of a string stands for itself.
    fn plain(&mut self) -> &'a str {
        let rest = &self.text[self.position..];
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let length = rest.as_bytes().iter().position(is_special).unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }

    fn unicode(&mut self) -> Result<char, Refused> {
        let code = match self.hexadecimal()? {
            high @ 0xd800..0xdc00 => {
                if !self.text[self.position..].starts_with("\\u") {
                    return Err(Refused::LoneSurrogate);
                }
                self.position += 2;
                match self.hexadecimal()? {
                    low @ 0xdc00..0xe000 => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(Refused::LoneSurrogate),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or(Refused::LoneSurrogate)
    }

    fn hexadecimal(&mut self) -> Result<u32, Refused> {
        let digits = self.text.as_bytes().get(self.position..self.position + 4);
        let mut code = 0;
        for digit in digits.ok_or(Refused::NotJson)? {
            code = code * 16 + (*digit as char).to_digit(16).ok_or(Refused::NotJson)?;
        }
        self.position += 4;
        Ok(code)
    }

    /// Goes past a value of which only the end is of interest.
    fn raw(&mut self) -> Option<Raw<'a>> {
        self.skip_space();
        let start = self.position;
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        loop {
            match bytes.get(self.position)? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                b'"' => self.position = past_string(bytes, self.position + 1)?,
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {}
                _ => {
                    let is_scalar = |byte: &u8| matches!(byte, b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
                    let rest = &bytes[self.position..];
                    let length =
                        rest.iter().position(|byte| !is_scalar(byte)).unwrap_or(rest.len());
                    // At least one, or this would go on forever; its last byte is passed below.
                    self.position += length.checked_sub(1)?;
                }
            }
            self.position += 1;
            if depth == 0 {
                return Some(Raw(&self.text[start..self.position]));
            }
        }
    }
}

/// The position of the quote that ends a string.
fn past_string(bytes: &[u8], mut position: usize) -> Option<usize> {
    loop {
        match bytes.get(position)? {
            b'"' => return Some(position),
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
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
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        let deepest = parse(&objects(MAX_DEPTH)).unwrap();
        assert_eq!(deepest.to_string(), objects(MAX_DEPTH));
        assert_eq!(parse(&objects(MAX_DEPTH + 1)), Err(Refused::TooDeep));
        assert_eq!(parse(&objects(1_000_000)), Err(Refused::TooDeep));
        assert_eq!(parse(&format!("{{\"a\":\"{}\\\"\"}}", "[".repeat(2_000))).unwrap()["a"], {
            json!("[".repeat(2_000) + "\"")
        });
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "hello",
            "{",
            "1 2",
            "'a'",
            "{a:1}",
            "nul",
            "nulll",
            "[1,]",
            "{\"a\":1,}",
            "[,]",
            "{\"a\"}",
            "{1:2}",
            "01",
            "-",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "NaN",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u00g0\"",
            "\"",
            "\"\\",
            "]",
            "[1}",
            "{\"a\":1]",
            "1e999",
            "\u{feff}1",
            "ä",
            "\"a\"b",
            "[1]]",
        ] {
            assert_eq!(parse(text), Err(Refused::NotJson), "{text}");
        }
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#"{"\ud800x":1}"#] {
            assert_eq!(parse(text), Err(Refused::LoneSurrogate), "{text}");
        }
        assert_eq!(parse(" 1 "), Ok(json!(1)));
    }

    #[test]
    fn values_come_back_as_they_were() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "0.1",
            "-0.0",
            "1e+300",
            "5e-324",
            "0.30000000000000004",
            "\"\"",
            r#""\"\\\u0000\u001f\n\t""#,
            "\"äß€😀~'\u{7f}\"",
            "[]",
            "{}",
            r#"{"b":1,"a":[{},[null,""]]}"#,
        ] {
            let value = parse(text).unwrap_or_else(|refused| panic!("{text}: {refused}"));
            assert_eq!(value.to_string(), text);
        }
        assert_eq!(parse(r#""😀\/""#).unwrap(), json!("😀/"));
        assert_eq!(parse("-0").unwrap().to_string(), "-0.0");
        assert_eq!(parse("1E+2").unwrap(), json!(100.0));
        assert_eq!(parse("123456789012345678901").unwrap(), json!(123456789012345678901.0));
        assert_eq!(parse("{\"a\":1,\"b\":2,\"a\":3}").unwrap().to_string(), "{\"a\":3,\"b\":2}");
    }

    #[test]
    fn members_are_found_without_reading_the_rest() {
        let object =
            r#" { "a" : 1 , "b":{"a":[2,"}]"]},"c\"":"x\ny","d":true,"e":-1.5e3,"f":null,"a":9} "#;
        let extract = |name: &str| member(object, name).map(Raw::extract);
        assert_eq!(extract("a"), Some(Extracted::Integer(1)));
        assert_eq!(extract("b"), Some(Extracted::Text(r#"{"a":[2,"}]"]}"#.into())));
        assert_eq!(extract("c\""), Some(Extracted::Text("x\ny".into())));
        assert_eq!(extract("d"), Some(Extracted::Integer(1)));
        assert_eq!(extract("e"), Some(Extracted::Real(-1500.0)));
        assert_eq!(extract("f"), Some(Extracted::Null));
        assert_eq!(extract("g"), None);
        let text = member(object, "c\"").unwrap().extract();
        assert_eq!(text, Extracted::Text("x\ny".into()));
        assert_eq!(members("{}").count(), 0);
        for text in [
            "",
            "[]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":[1",
            "{\"a\":}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":ä}",
        ] {
            assert_eq!(member(text, "a"), None, "{text}");
        }
        let numbers = r#"{"i":9223372036854775807,"j":9223372036854775808}"#;
        assert_eq!(member(numbers, "i").unwrap().extract(), Extracted::Integer(i64::MAX));
        assert_eq!(member(numbers, "j").unwrap().extract(), Extracted::Real(9223372036854775808.0));
    }

    /// splitmix64.
    fn chance(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below as u64) as usize
    }

    const ATOMS: [&str; 30] = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e5",
        "-0",
        "\"\"",
        "\"a\"",
        "\"ä\\n\"",
        "\"\\\"}\"",
        "\"\\u0041\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"a\":",
        "\"b\":",
        "\\",
        "\"",
        "\"\\\\\"",
        "é",
        "\"\\ud83d\\ude00\"",
        "0.1",
        "\"a\\u0000\":",
        "12345678901234567890",
    ];

    fn random(state: &mut u64, depth: usize, out: &mut String) {
        let members = chance(state, 4);
        let space = |state: &mut u64| ["", "", " ", "\n\t"][chance(state, 4)];
        match chance(state, if depth == 0 { 1 } else { 3 }) {
            0 => out.push_str(
                ATOMS[[0, 1, 2, 3, 4, 5, 29, 6, 7, 8, 9, 10, 11, 24, 26, 27][chance(state, 16)]],
            ),
            1 => {
                out.push('[');
                for index in 0..members {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(space(state));
                    random(state, depth - 1, out);
                }
                out.push(']');
            }
            _ => {
                out.push('{');
                for index in 0..members {
                    out.push_str(if index > 0 { "," } else { space(state) });
                    out.push_str(
                        ["\"a\"", "\"b\"", "\"\\u0061b\"", "\"\\\\\"", "\"\""][chance(state, 5)],
                    );
                    out.push_str(space(state));
                    out.push(':');
                    out.push_str(space(state));
                    random(state, depth - 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(space(state));
    }

    /// The other parser does not always find the nearest double.
    fn rounded(value: &Value) -> Value {
        match value {
            Value::Number(number) if number.is_f64() => {
                json!(format!("{:.13e}", number.as_f64().unwrap()))
            }
            Value::Array(items) => items.iter().map(rounded).collect(),
            Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), rounded(value))).collect()
            }
            other => other.clone(),
        }
    }

    /// What another implementation takes, and the members it finds.
    #[test]
    fn another_parser_agrees() {
        let mut state = 11;
        let (mut taken, mut found) = (0, 0);
        for round in 0..40_000 {
            let mut text = String::new();
            if round % 2 == 0 {
                random(&mut state, 3, &mut text);
            } else {
                (0..chance(&mut state, 8))
                    .for_each(|_| text += ATOMS[chance(&mut state, ATOMS.len() - 1)]);
            }
            let theirs = serde_json::from_str::<Value>(&text).ok();
            let ours = parse(&text).ok();
            assert_eq!(ours.as_ref().map(rounded), theirs.as_ref().map(rounded), "{text}");
            // Also what is no JSON must not panic.
            members(&text).for_each(|(_, value)| drop(value.extract()));
            let Some(Value::Object(object)) = theirs else { continue };
            taken += 1;
            let stored = Value::Object(object.clone()).to_string();
            for (name, value) in &object {
                found += 1;
                let raw = member(&stored, name).unwrap();
                assert_eq!(raw.0, value.to_string(), "{name} of {stored}");
                let extracted = match value {
                    Value::Null => Extracted::Null,
                    Value::Bool(flag) => Extracted::Integer((*flag).into()),
                    Value::Number(number) => match number.as_i64() {
                        Some(integer) => Extracted::Integer(integer),
                        None => Extracted::Real(number.as_f64().unwrap()),
                    },
                    Value::String(text) => Extracted::Text(text.into()),
                    other => Extracted::Text(other.to_string().into()),
                };
                assert_eq!(raw.extract(), extracted, "{name} of {stored}");
            }
            assert_eq!(members(&stored).count(), object.len());
        }
        assert!(taken > 4_000 && found > 5_000, "{taken} objects, {found} members");
    }
}
