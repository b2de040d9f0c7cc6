//! Messages byte by byte: what each tag, length and value of an encoding means.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::prost::Message as _;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
};

use super::Example;

/// An example's bytes, one line per tag, length and value: offset, bytes, meaning.
pub(super) fn dump(message: &DynamicMessage, example: &Example) -> String {
    let bytes = message.encode_to_vec();
    let mut lines = Lines { out: String::new(), start: 0 };
    if let Some(attachments) = &example.attachments {
        let length = (bytes.len() as u32).to_le_bytes();
        lines.put(&length, 0, &format!("length of the frame: {} bytes", bytes.len()));
        walk(&mut Reader { bytes: &bytes, at: 0 }, &message.descriptor(), 0, &mut lines);
        for (index, attachment) in attachments.iter().enumerate() {
            lines.put_long(
                attachment,
                0,
                &format!("attachment {index}: {} bytes", attachment.len()),
            );
        }
    } else {
        walk(&mut Reader { bytes: &bytes, at: 0 }, &message.descriptor(), 0, &mut lines);
    }
    if lines.out.is_empty() {
        return "(no bytes: every field is absent)\n".to_owned();
    }
    lines.out
}

/// Name, index and bytes of every dump of a page, for the test that reads them.
#[cfg(test)]
pub(super) fn read_back(page: &str) -> Vec<(String, usize, Vec<u8>)> {
    let mut found = Vec::new();
    for part in page.split(MARK).skip(1) {
        let (head, rest) = part.split_once(" -->").expect("a mark ends");
        let (name, index) = head.split_once(' ').expect("a mark has a name and an index");
        let (_, rest) = rest.split_once("```text\n").expect("a dump");
        let (text, _) = rest.split_once("```").expect("a dump ends");
        let hex = |line: &str| {
            let digits: String = line.chars().skip(HEX_AT).take(HEX_WIDTH).collect();
            super::from_hex(&digits).unwrap_or_else(|| panic!("no bytes: {line}"))
        };
        let lines = text.lines().filter(|line| !line.starts_with('('));
        found.push((
            name.to_owned(),
            index.parse().expect("an index"),
            lines.flat_map(hex).collect(),
        ));
    }
    found
}

/// Full names of the fields that are set, at any depth.
#[cfg(test)]
pub(super) fn fields_of(message: &DynamicMessage, names: &mut std::collections::BTreeSet<String>) {
    use prost_reflect::Value;

    for (field, value) in message.fields() {
        names.insert(field.full_name().to_owned());
        match value {
            Value::Message(inner) => fields_of(inner, names),
            Value::List(items) => {
                for inner in items.iter().filter_map(Value::as_message) {
                    fields_of(inner, names);
                }
            }
            _ => {}
        }
    }
}

fn walk(reader: &mut Reader<'_>, descriptor: &MessageDescriptor, depth: usize, out: &mut Lines) {
    let mut counts = BTreeMap::<u32, usize>::new();
    let mut cells = Cells::default();
    while !reader.is_done() {
        let start = reader.at;
        let tag = reader.varint();
        let field = descriptor.get_field((tag >> 3) as u32).expect("a field of the contract");
        let count = counts.entry(field.number()).or_default();
        let name = match field.cardinality() {
            Cardinality::Repeated => format!("{}[{count}]", field.name()),
            _ => field.name().to_owned(),
        };
        *count += 1;
        match tag & 7 {
            0 => {
                let value = reader.varint();
                cells.note(&field, value);
                out.put(
                    reader.since(start),
                    depth,
                    &format!("{name} = {}", scalar(&field.kind(), value)),
                );
            }
            1 => {
                let bytes = reader.take(8).try_into().expect("eight bytes");
                let value = f64::from_le_bytes(bytes);
                out.put(reader.since(start), depth, &format!("{name} = {value:?}"));
            }
            _ => {
                let length = reader.varint() as usize;
                let head = reader.since(start).to_vec();
                let value = reader.take(length);
                match field.kind() {
                    Kind::Message(inner) => {
                        out.put(&head, depth, &format!("{name}: {}, {length} bytes", inner.name()));
                        walk(&mut Reader { bytes: value, at: 0 }, &inner, depth + 1, out);
                    }
                    Kind::String => out.put_text(&head, value, depth, &name),
                    Kind::Bytes => {
                        let meaning = match descriptor.name() {
                            "ColumnData" => cells.meaning(field.name(), value),
                            _ => format!("{length} bytes"),
                        };
                        out.put_long(
                            &[&head, value].concat(),
                            depth,
                            &format!("{name} = {meaning}"),
                        );
                    }
                    kind => {
                        let mut items = Reader { bytes: value, at: 0 };
                        let mut values = Vec::new();
                        while !items.is_done() {
                            values.push(scalar(&kind, items.varint()));
                        }
                        let meaning = format!("{} = {}", field.name(), values.join(", "));
                        out.put_long(&[&head, value].concat(), depth, &meaning);
                    }
                }
            }
        }
    }
}

fn scalar(kind: &Kind, value: u64) -> String {
    match kind {
        Kind::Bool => (value != 0).to_string(),
        Kind::Sint64 => {
            let signed = (value >> 1) as i64 ^ -((value & 1) as i64);
            format!("{signed} (zigzag: {value})")
        }
        Kind::Int32 => (value as i32).to_string(),
        Kind::Enum(names) => match names.get_value(value as i32) {
            Some(name) => format!("{value}, {}", name.name()),
            None => value.to_string(),
        },
        _ => value.to_string(),
    }
}

/// What the runs of a ColumnData mean depends on its widths.
#[derive(Default)]
struct Cells {
    int_width: usize,
    len_width: usize,
}

impl Cells {
    fn note(&mut self, field: &FieldDescriptor, value: u64) {
        match field.name() {
            "int_width" => self.int_width = value as usize,
            "len_width" => self.len_width = value as usize,
            _ => {}
        }
    }

    fn meaning(&self, run: &str, bytes: &[u8]) -> String {
        let list = |width: usize, show: &dyn Fn(&[u8]) -> String| {
            bytes.chunks(width.max(1)).map(show).collect::<Vec<_>>().join(", ")
        };
        let unsigned = |cell: &[u8]| {
            cell.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        match run {
            "classes" => list(1, &|cell| CLASSES[cell[0] as usize].to_owned()),
            "ints" => list(self.int_width, &|cell| {
                let unused = 64 - 8 * cell.len() as u32;
                ((unsigned(cell) << unused) as i64 >> unused).to_string()
            }),
            "reals" => list(8, &|cell| format!("{:?}", f64::from_bits(unsigned(cell)))),
            "lens" => list(self.len_width, &|cell| unsigned(cell).to_string()),
            "text" => format!("{:?}", String::from_utf8_lossy(bytes)),
            _ => format!("{} bytes", bytes.len()),
        }
    }
}

struct Lines {
    out: String,
    start: usize,
}

impl Lines {
    fn put(&mut self, bytes: &[u8], depth: usize, meaning: &str) {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let indent = "  ".repeat(depth);
        let line = format!("{:04x}  {:<HEX_WIDTH$}  {indent}{meaning}", self.start, hex.join(" "));
        let _ = writeln!(self.out, "{}", line.trim_end());
        self.start += bytes.len();
    }

    /// The meaning stands on the first line.
    fn put_long(&mut self, bytes: &[u8], depth: usize, meaning: &str) {
        for (index, chunk) in bytes.chunks(PER_LINE).enumerate() {
            self.put(chunk, depth, if index == 0 { meaning } else { "" });
        }
        if bytes.is_empty() {
            self.put(bytes, depth, meaning);
        }
    }

    /// Short text on the line of its tag; longer text below it, in pieces of whole characters.
    fn put_text(&mut self, head: &[u8], text: &[u8], depth: usize, name: &str) {
        let text = std::str::from_utf8(text).expect("a string is UTF-8");
        if head.len() + text.len() <= PER_LINE {
            return self.put(
                &[head, text.as_bytes()].concat(),
                depth,
                &format!("{name} = {text:?}"),
            );
        }
        self.put(head, depth, &format!("{name}, {} bytes", text.len()));
        let mut rest = text;
        while !rest.is_empty() {
            let mut end = rest.len().min(PER_LINE);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (piece, after) = rest.split_at(end);
            self.put(piece.as_bytes(), depth + 1, &format!("{piece:?}"));
            rest = after;
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        self.at += length;
        self.since(self.at - length)
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
}

const CLASSES: [&str; 7] = ["?", "NULL", "INTEGER", "REAL", "TEXT", "BLOB", "TEXT_RAW"];
const PER_LINE: usize = 12;
#[cfg(test)]
const HEX_AT: usize = 6;
const HEX_WIDTH: usize = 3 * PER_LINE - 1;
/// Stands before each dump, so that a test finds it again.
pub(super) const MARK: &str = "<!-- example: ";
