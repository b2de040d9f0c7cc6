//! Row batches: decoded and checked against every rule of their layout, from the manual alone.

use prost_reflect::{DynamicMessage, Value};

use crate::proto::Fields as _;
use crate::value::Cell;

/// Decodes a `RowBatch` into rows. The error lists every rule that is broken.
pub fn decode(batch: &DynamicMessage) -> Result<Vec<Vec<Cell>>, Vec<String>> {
    let row_count = batch.int("row_count") as usize;
    let mut faults = Vec::new();
    let mut columns = Vec::new();
    for (index, column) in batch.items("columns").iter().enumerate() {
        let Value::Message(column) = column else { unreachable!("columns are messages") };
        match decode_column(column, row_count) {
            Ok(cells) => columns.push(cells.into_iter()),
            Err(found) => {
                faults.extend(found.into_iter().map(|fault| format!("column {index}: {fault}")))
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if columns.is_empty() && row_count > 0 {
        return Err(vec![format!("{row_count} rows without columns")]);
    }
    Ok((0..row_count)
        .map(|_| {
            columns
                .iter_mut()
                .map(|column| column.next().expect("every column has row_count cells"))
                .collect()
        })
        .collect())
}

fn decode_column(column: &DynamicMessage, row_count: usize) -> Result<Vec<Cell>, Vec<String>> {
    let mut faults = Vec::new();
    let uniform = column.int("uniform") as i32;
    let explicit = column.bytes("classes");

    if row_count == 0 {
        if column.fields().next().is_some() {
            faults.push("a column without rows is an empty message".to_owned());
        }
        return if faults.is_empty() { Ok(Vec::new()) } else { Err(faults) };
    }

    let classes: Vec<u8> = if uniform != 0 {
        if !explicit.is_empty() {
            faults.push("both uniform and classes are set".to_owned());
        }
        vec![u8::try_from(uniform).unwrap_or(u8::MAX); row_count]
    } else {
        if explicit.len() != row_count {
            faults.push(format!("{} class bytes for {row_count} rows", explicit.len()));
            return Err(faults);
        }
        if explicit.iter().all(|class| *class == explicit[0]) {
            faults.push(format!("every row has class {}, so it belongs into uniform", explicit[0]));
        }
        explicit.to_vec()
    };
    if let Some(class) = classes.iter().find(|class| !(NULL..=TEXT_RAW).contains(*class)) {
        faults.push(format!("there is no storage class {class}"));
        return Err(faults);
    }

    let count = |wanted: &[u8]| classes.iter().filter(|class| wanted.contains(class)).count();
    let ints = integers(column, count(&[INTEGER]), &mut faults);
    let reals = reals(column, count(&[REAL]), &mut faults);
    let lens = lengths(column, count(&[TEXT, BLOB, TEXT_RAW]), &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }

    let (mut ints, mut reals, mut lens) = (ints.into_iter(), reals.into_iter(), lens.into_iter());
    let (mut text, mut blobs) = (column.bytes("text"), column.bytes("blobs"));
    let mut cells = Vec::with_capacity(row_count);
    for (row, class) in classes.iter().enumerate() {
        cells.push(match *class {
            NULL => Cell::Null,
            INTEGER => Cell::Integer(ints.next().expect("counted")),
            REAL => Cell::Real(reals.next().expect("counted")),
            class => {
                let len = lens.next().expect("counted");
                let (stream, name) =
                    if class == TEXT { (&mut text, "text") } else { (&mut blobs, "blobs") };
                let Some((bytes, rest)) = stream.split_at_checked(len) else {
                    faults.push(format!("the {name} stream ends inside row {row}"));
                    return Err(faults);
                };
                *stream = rest;
                let utf8 = std::str::from_utf8(bytes).is_ok();
                match class {
                    TEXT if !utf8 => {
                        faults.push(format!("row {row} is TEXT but not UTF-8, so it is TEXT_RAW"))
                    }
                    TEXT_RAW if utf8 => {
                        faults.push(format!("row {row} is TEXT_RAW but valid UTF-8, so it is TEXT"))
                    }
                    _ => {}
                }
                match class {
                    TEXT => Cell::Text(bytes.to_vec()),
                    TEXT_RAW => Cell::TextRaw(bytes.to_vec()),
                    _ => Cell::Blob(bytes.to_vec()),
                }
            }
        });
    }
    for (name, rest) in [("text", text), ("blobs", blobs)] {
        if !rest.is_empty() {
            faults.push(format!("{} bytes of {name} belong to no row", rest.len()));
        }
    }
    if faults.is_empty() { Ok(cells) } else { Err(faults) }
}

fn integers(column: &DynamicMessage, count: usize, faults: &mut Vec<String>) -> Vec<i64> {
    let (width, stream) = (column.int("int_width") as usize, column.bytes("ints"));
    if count == 0 {
        if width != 0 || !stream.is_empty() {
            faults.push("int_width or ints without an INTEGER cell".to_owned());
        }
        return Vec::new();
    }
    if ![1, 2, 4, 8].contains(&width) {
        faults.push(format!("int_width is {width}"));
        return Vec::new();
    }
    if stream.len() != width * count {
        faults.push(format!("{} bytes of ints for {count} cells of {width}", stream.len()));
        return Vec::new();
    }
    let values: Vec<i64> = stream
        .chunks_exact(width)
        .map(|chunk| {
            let negative = chunk[width - 1] & 0x80 != 0;
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            wide[..width].copy_from_slice(chunk);
            i64::from_le_bytes(wide)
        })
        .collect();
    let needed = values
        .iter()
        .map(|value| match value {
            -0x80..=0x7f => 1,
            -0x8000..=0x7fff => 2,
            -0x8000_0000..=0x7fff_ffff => 4,
            _ => 8,
        })
        .max()
        .expect("there are cells");
    if needed < width {
        faults.push(format!("int_width is {width}, {needed} is enough"));
    }
    values
}

fn reals(column: &DynamicMessage, count: usize, faults: &mut Vec<String>) -> Vec<f64> {
    let stream = column.bytes("reals");
    if stream.len() != 8 * count {
        faults.push(format!("{} bytes of reals for {count} cells", stream.len()));
        return Vec::new();
    }
    let values: Vec<f64> = stream
        .chunks_exact(8)
        .map(|chunk| f64::from_le_bytes(chunk.try_into().expect("eight bytes")))
        .collect();
    if values.iter().any(|value| value.is_nan()) {
        faults.push("a REAL is not a number; SQLite has no such value".to_owned());
    }
    values
}

fn lengths(column: &DynamicMessage, count: usize, faults: &mut Vec<String>) -> Vec<usize> {
    let (width, stream) = (column.int("len_width") as usize, column.bytes("lens"));
    if count == 0 {
        if width != 0 || !stream.is_empty() {
            faults.push("len_width or lens without a TEXT or BLOB cell".to_owned());
        }
        return Vec::new();
    }
    if ![1, 2, 4].contains(&width) {
        faults.push(format!("len_width is {width}"));
        return Vec::new();
    }
    if stream.len() != width * count {
        faults.push(format!("{} bytes of lens for {count} cells of {width}", stream.len()));
        return Vec::new();
    }
    let values: Vec<usize> = stream
        .chunks_exact(width)
        .map(|chunk| chunk.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        .collect();
    let needed = match values.iter().max().expect("there are cells") {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    };
    if needed < width {
        faults.push(format!("len_width is {width}, {needed} is enough"));
    }
    values
}

const NULL: u8 = 1;
const INTEGER: u8 = 2;
const REAL: u8 = 3;
const TEXT: u8 = 4;
const BLOB: u8 = 5;
const TEXT_RAW: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;
    use crate::value::unhex;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::{Value as Json, json};

    fn batch(rows: u32, columns: &[Json]) -> DynamicMessage {
        let b64 = |column: &Json| {
            let mut column = column.clone();
            for name in ["classes", "ints", "reals", "text", "blobs", "lens"] {
                if let Some(text) = column.get(name) {
                    column[name] = json!(STANDARD.encode(unhex(text.as_str().unwrap()).unwrap()));
                }
            }
            column
        };
        let columns: Vec<Json> = columns.iter().map(b64).collect();
        proto::from_json("RowBatch", &json!({"row_count": rows, "columns": columns})).unwrap()
    }

    fn fault(rows: u32, column: Json) -> String {
        let faults = decode(&batch(rows, &[column])).expect_err("a broken batch");
        faults.join("; ")
    }

    #[test]
    fn the_example_of_the_manual() {
        let decoded = decode(&batch(
            3,
            &[
                json!({"uniform": 2, "int_width": 2, "ints": "010002002c01"}),
                json!({"classes": "040104", "text": "61c3a9", "len_width": 1, "lens": "0102"}),
            ],
        ));
        let text = |text: &str| Cell::Text(text.as_bytes().to_vec());
        assert_eq!(
            decoded,
            Ok(vec![
                vec![Cell::Integer(1), text("a")],
                vec![Cell::Integer(2), Cell::Null],
                vec![Cell::Integer(300), text("é")],
            ])
        );
    }

    #[test]
    fn every_class_in_one_column() {
        let column = json!({
            "classes": "010203040506", "int_width": 1, "ints": "ff", "reals": "0000000000000080",
            "text": "0061", "blobs": "00ff", "len_width": 1, "lens": "020101",
        });
        assert_eq!(
            decode(&batch(6, &[column])),
            Ok(vec![
                vec![Cell::Null],
                vec![Cell::Integer(-1)],
                vec![Cell::Real(-0.0)],
                vec![Cell::Text(b"\0a".to_vec())],
                vec![Cell::Blob(vec![0])],
                vec![Cell::TextRaw(vec![0xff])],
            ])
        );
    }

    #[test]
    fn integers_of_every_width() {
        for (width, hex, value) in [
            (1, "80", -0x80_i64),
            (2, "7fff", -0x81),
            (2, "8000", 0x80),
            (4, "ffff0000", 0xffff),
            (8, "0000008000000000", 0x8000_0000),
            (8, "0000000000000080", i64::MIN),
        ] {
            let column = json!({"uniform": 2, "int_width": width, "ints": hex});
            assert_eq!(decode(&batch(1, &[column])), Ok(vec![vec![Cell::Integer(value)]]), "{hex}");
        }
    }

    #[test]
    fn no_rows() {
        assert_eq!(decode(&batch(0, &[json!({}), json!({})])), Ok(vec![]));
        assert!(fault(0, json!({"uniform": 1})).contains("empty message"));
    }

    #[test]
    fn each_rule_is_checked() {
        for (rows, column, expected) in [
            (1, json!({}), "0 class bytes for 1 rows"),
            (1, json!({"uniform": 1, "classes": "01"}), "both uniform and classes"),
            (2, json!({"classes": "0101"}), "belongs into uniform"),
            (1, json!({"uniform": 7}), "no storage class 7"),
            (2, json!({"classes": "0100"}), "no storage class 0"),
            (1, json!({"uniform": 2, "int_width": 3, "ints": "010101"}), "int_width is 3"),
            (1, json!({"uniform": 2, "int_width": 2, "ints": "0100"}), "1 is enough"),
            (1, json!({"uniform": 2, "int_width": 8, "ints": "ffffffffffffffff"}), "1 is enough"),
            (2, json!({"uniform": 2, "int_width": 1, "ints": "01"}), "1 bytes of ints for 2 cells"),
            (1, json!({"uniform": 1, "int_width": 1}), "without an INTEGER"),
            (1, json!({"uniform": 3, "reals": "00"}), "1 bytes of reals for 1 cells"),
            (1, json!({"uniform": 1, "reals": "0000000000000000"}), "8 bytes of reals for 0 cells"),
            (1, json!({"uniform": 3, "reals": "000000000000f87f"}), "not a number"),
            (
                1,
                json!({"uniform": 4, "text": "61", "len_width": 8, "lens": "0100000000000000"}),
                "len_width is 8",
            ),
            (1, json!({"uniform": 4, "text": "61", "len_width": 2, "lens": "0100"}), "1 is enough"),
            (
                1,
                json!({"uniform": 4, "text": "61", "len_width": 1, "lens": "02"}),
                "ends inside row 0",
            ),
            (
                1,
                json!({"uniform": 4, "text": "6162", "len_width": 1, "lens": "01"}),
                "1 bytes of text belong to no row",
            ),
            (
                1,
                json!({"uniform": 5, "blobs": "6162", "len_width": 1, "lens": "01"}),
                "1 bytes of blobs belong to no row",
            ),
            (
                1,
                json!({"uniform": 4, "text": "ff", "len_width": 1, "lens": "01"}),
                "is TEXT but not UTF-8",
            ),
            (
                2,
                json!({"uniform": 4, "text": "c3a9", "len_width": 1, "lens": "0101"}),
                "is TEXT but not UTF-8",
            ),
            (1, json!({"uniform": 6, "blobs": "61", "len_width": 1, "lens": "01"}), "valid UTF-8"),
            (1, json!({"uniform": 1, "len_width": 1}), "without a TEXT or BLOB"),
        ] {
            let found = fault(rows, column.clone());
            assert!(found.contains(expected), "{column}: {found}");
        }
    }
}
