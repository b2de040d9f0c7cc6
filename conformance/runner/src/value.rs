//! Cell values: their tagged JSON form in case files and reports, and the generator of pseudo-random bytes.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value as Json, json};

use crate::expr::Vars;

/// One cell of a result, or one parameter.
#[derive(Clone, Debug)]
pub enum Cell {
    /// NULL
    Null,
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT, valid UTF-8 wherever the runner makes it.
    Text(Vec<u8>),
    /// BLOB
    Blob(Vec<u8>),
    /// TEXT that is not UTF-8
    TextRaw(Vec<u8>),
}

/// Reals are compared bit by bit, so that −0 is not 0.
impl PartialEq for Cell {
    fn eq(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Null, Cell::Null) => true,
            (Cell::Integer(a), Cell::Integer(b)) => a == b,
            (Cell::Real(a), Cell::Real(b)) => a.to_bits() == b.to_bits(),
            (Cell::Text(a), Cell::Text(b))
            | (Cell::Blob(a), Cell::Blob(b))
            | (Cell::TextRaw(a), Cell::TextRaw(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Cell {}

impl Cell {
    /// The storage class's name without prefix.
    pub fn class(&self) -> &'static str {
        match self {
            Cell::Null => "NULL",
            Cell::Integer(_) => "INTEGER",
            Cell::Real(_) => "REAL",
            Cell::Text(_) => "TEXT",
            Cell::Blob(_) => "BLOB",
            Cell::TextRaw(_) => "TEXT_RAW",
        }
    }

    /// The tagged form.
    pub fn to_json(&self) -> Json {
        match self {
            Cell::Null => Json::Null,
            Cell::Integer(value) => json!({ "int": value.to_string() }),
            Cell::Real(value) => json!({ "real": real_text(*value) }),
            Cell::Text(bytes) => json!({ "text": String::from_utf8_lossy(bytes) }),
            Cell::Blob(bytes) => json!({ "blob": STANDARD.encode(bytes) }),
            Cell::TextRaw(bytes) => json!({ "text_raw": STANDARD.encode(bytes) }),
        }
    }

    /// What `${name}` is replaced by.
    pub fn to_plain_text(&self) -> String {
        match self {
            Cell::Null => "null".to_owned(),
            Cell::Integer(value) => value.to_string(),
            Cell::Real(value) => real_text(*value),
            Cell::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Cell::Blob(bytes) | Cell::TextRaw(bytes) => hex(bytes),
        }
    }
}

/// For people: the tagged form, shortened.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = match self {
            Cell::Text(bytes) | Cell::Blob(bytes) | Cell::TextRaw(bytes) => bytes.len(),
            _ => 0,
        };
        if len <= 96 {
            return write!(f, "{}", self.to_json());
        }
        match self {
            Cell::Text(bytes) => {
                let head: String = String::from_utf8_lossy(bytes).chars().take(48).collect();
                write!(f, "{}… ({len} bytes of text)", json!({ "text": head }))
            }
            Cell::Blob(bytes) | Cell::TextRaw(bytes) => {
                write!(f, "{} {}… ({len} bytes)", self.class(), hex(&bytes[..24]))
            }
            _ => unreachable!("only byte strings are long"),
        }
    }
}

/// A cell as a case wants it: a value, or any value of a class.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly this value.
    Exact(Cell),
    /// Any value of this class.
    Class(String),
}

impl Pattern {
    /// True if the cell is as wanted.
    pub fn matches(&self, cell: &Cell) -> bool {
        match self {
            Pattern::Exact(wanted) => wanted == cell,
            Pattern::Class(class) => cell.class() == class,
        }
    }

    /// Reads an expected cell.
    pub fn from_json(json: &Json, vars: &Vars) -> Result<Pattern, String> {
        if let Json::Object(members) = json
            && let Some(class) = members.get("class")
        {
            let class = class.as_str().unwrap_or_default();
            if !["NULL", "INTEGER", "REAL", "TEXT", "BLOB", "TEXT_RAW"].contains(&class) {
                return Err(format!("unknown class in {json}"));
            }
            if members.get("reason").and_then(Json::as_str).is_none_or(str::is_empty) {
                return Err(format!("{json} needs a reason"));
            }
            return Ok(Pattern::Class(class.to_owned()));
        }
        match Param::from_json(json, vars)? {
            Param { cell: Some(cell), attach: false } => Ok(Pattern::Exact(cell)),
            _ => Err(format!("{json} is for parameters only")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(cell) => cell.fmt(f),
            Pattern::Class(class) => write!(f, "any {class}"),
        }
    }
}

/// A parameter as a case gives it.
#[derive(Clone, Debug)]
pub struct Param {
    /// The value; `None` is a `Value` without kind.
    pub cell: Option<Cell>,
    /// Send it as an attachment.
    pub attach: bool,
}

impl Param {
    /// Reads a tagged value.
    pub fn from_json(json: &Json, vars: &Vars) -> Result<Param, String> {
        let members = match json {
            Json::Null => {
                return Ok(Param { cell: Some(Cell::Null), attach: false });
            }
            Json::Object(members) => members,
            _ => return Err(format!("{json} is no tagged value")),
        };
        let attach = match members.get("attach") {
            None => false,
            Some(Json::Bool(attach)) => *attach,
            Some(_) => return Err(format!("\"attach\" is true or false, not in {json}")),
        };
        let mut tags = members.iter().filter(|(name, _)| *name != "attach");
        let (Some((tag, value)), None) = (tags.next(), tags.next()) else {
            return Err(format!("{json} is no tagged value"));
        };
        let cell = tagged(tag, value, vars).map_err(|why| format!("{why} in {json}"))?;
        if attach && !matches!(cell, Some(Cell::Blob(_))) {
            return Err(format!("only a blob can be attached: {json}"));
        }
        Ok(Param { cell, attach })
    }
}

/// The bytes of the generator: xorshift32, each new state least significant byte first.
pub fn xorshift32(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.max(1);
    let mut out = Vec::with_capacity(len + 3);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hex; white space is ignored.
pub fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{text:?} is no hex"))?;
    if !digits.len().is_multiple_of(2) {
        return Err(format!("{text:?} has an odd number of hex digits"));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Bytes from base64.
pub fn unbase64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| format!("{text:?} is no base64"))
}

/// A JSON number that is an integer, or text with an expression.
pub fn int_from_json(json: &Json, vars: &Vars) -> Result<i128, String> {
    match json {
        Json::String(text) => vars.int(text),
        Json::Number(number) => whole(number.as_f64().unwrap_or(f64::NAN))
            .ok_or_else(|| format!("{json} is not an integer; write it as text")),
        _ => Err(format!("{json} is neither number nor expression")),
    }
}

/// ProtoJSON without the `.0` that `google.protobuf.Value` puts behind whole numbers.
pub fn tidy_numbers(json: Json) -> Json {
    match json {
        Json::Number(number) => match number.as_f64().and_then(whole) {
            Some(int) => json!(int as i64),
            None => Json::Number(number),
        },
        Json::Array(items) => Json::Array(items.into_iter().map(tidy_numbers).collect()),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, tidy_numbers(value)))
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

/// Every member that a tagged value may have.
pub const TAGS: [&str; 14] = [
    "int",
    "real",
    "text",
    "blob",
    "hex",
    "text_raw",
    "text_raw_hex",
    "bytes",
    "text_repeat",
    "bound",
    "unset",
    "attach",
    "class",
    "reason",
];

fn tagged(tag: &str, value: &Json, vars: &Vars) -> Result<Option<Cell>, String> {
    let text = || match value {
        Json::String(text) => vars.fill(text),
        _ => Err(format!("{tag:?} takes a string")),
    };
    let member = |name: &str| value.get(name).ok_or_else(|| format!("{name:?} is missing"));
    let len_of = |name: &str| -> Result<usize, String> {
        usize::try_from(int_from_json(member(name)?, vars)?)
            .map_err(|_| format!("{name:?} is no length"))
    };
    Ok(Some(match tag {
        "int" => {
            let text = text()?;
            match text.parse() {
                Ok(value) => Cell::Integer(value),
                Err(_) => Cell::Integer(
                    i64::try_from(vars.int(&text)?)
                        .map_err(|_| format!("{text} is beyond 64 bits"))?,
                ),
            }
        }
        "real" => {
            let text = text()?;
            Cell::Real(text.parse().map_err(|_| format!("{text:?} is no real"))?)
        }
        "text" => Cell::Text(text()?.into_bytes()),
        "blob" => Cell::Blob(unbase64(&text()?)?),
        "hex" => Cell::Blob(unhex(&text()?)?),
        "text_raw" => Cell::TextRaw(unbase64(&text()?)?),
        "text_raw_hex" => Cell::TextRaw(unhex(&text()?)?),
        "bytes" => Cell::Blob(xorshift32(
            len_of("len")?,
            u32::try_from(len_of("seed")?).map_err(|_| "the seed is beyond 32 bits".to_owned())?,
        )),
        "text_repeat" => {
            let Json::String(unit) = member("text")? else {
                return Err("\"text\" takes a string".to_owned());
            };
            Cell::Text(vars.fill(unit)?.repeat(len_of("count")?).into_bytes())
        }
        "bound" => vars.get(&text()?)?.clone(),
        "unset" => return Ok(None),
        _ => return Err(format!("unknown tag {tag:?}")),
    }))
}

fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_991.0).then_some(number as i128)
}

fn real_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_values_round_trip() {
        for text in [
            r#"null"#,
            r#"{"int":"-9223372036854775808"}"#,
            r#"{"real":"-0.0"}"#,
            r#"{"real":"inf"}"#,
            r#"{"real":"5e-324"}"#,
            r#"{"text":"a\u0000é"}"#,
            r#"{"blob":"AP8="}"#,
            r#"{"text_raw":"/w=="}"#,
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            let param = Param::from_json(&json, &Vars::default()).unwrap();
            assert_eq!(param.cell.unwrap().to_json(), json, "{text}");
        }
    }

    #[test]
    fn other_spellings() {
        let mut vars = Vars::default();
        vars.set_int("i", 4);
        vars.set("b", Cell::Blob(vec![9]));
        for (text, expected) in [
            (r#"{"int":"${i*2}"}"#, Cell::Integer(8)),
            (r#"{"hex":"00 fF"}"#, Cell::Blob(vec![0, 255])),
            (r#"{"bound":"b"}"#, Cell::Blob(vec![9])),
            (r#"{"text_repeat":{"text":"a${i}","count":"${i-2}"}}"#, Cell::Text(b"a4a4".to_vec())),
            (r#"{"real":"-0"}"#, Cell::Real(-0.0)),
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            assert_eq!(Param::from_json(&json, &vars).unwrap().cell, Some(expected), "{text}");
        }
        assert_ne!(Cell::Real(0.0), Cell::Real(-0.0));
    }

    #[test]
    fn mistakes_are_refused() {
        for text in [
            "1",
            "\"a\"",
            "{}",
            r#"{"int":1}"#,
            r#"{"int":"9223372036854775808"}"#,
            r#"{"int":"1","text":"a"}"#,
            r#"{"integer":"1"}"#,
            r#"{"hex":"0"}"#,
            r#"{"text":"a","attach":true}"#,
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            assert!(Param::from_json(&json, &Vars::default()).is_err(), "{text}");
        }
        let loose: Json = serde_json::from_str(r#"{"class":"TEXT"}"#).unwrap();
        assert!(Pattern::from_json(&loose, &Vars::default()).is_err(), "a class without reason");
    }

    #[test]
    fn the_generator_is_the_specified_one() {
        // x = 1: 1 ^ 1<<13 = 0x2001; ^ >>17 = 0x2001; ^ <<5 = 0x42021
        assert_eq!(xorshift32(4, 1), [0x21, 0x20, 0x04, 0x00]);
        assert_eq!(xorshift32(6, 1)[..4], xorshift32(4, 1));
        assert_eq!(xorshift32(6, 1).len(), 6);
        assert_eq!(xorshift32(8, 0), xorshift32(8, 1));
        assert_ne!(xorshift32(8, 2), xorshift32(8, 1));
    }
}
