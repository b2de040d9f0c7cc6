//! Rows as columns: a few byte streams per column, written straight into the outgoing frame.
//!
//! The layout is the proto's `RowBatch`. The builder keeps one growing run per stream and narrows
//! integers and lengths to their final width only when the batch is written.

use bytes::Bytes;
use lix_engine_proto::{ColumnData, RowBatch, StorageClass};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// Collects rows, cell by cell, and writes them as an encoded `RowBatch`.
#[derive(Debug)]
pub struct BatchBuilder {
    rows: u32,
    columns: Vec<ColumnBuilder>,
    size: usize,
}

impl BatchBuilder {
    /// An empty batch of so many columns.
    pub fn new(columns: usize) -> Self {
        Self { rows: 0, columns: (0..columns).map(|_| ColumnBuilder::default()).collect(), size: 0 }
    }

    /// The same builder, empty again, with the memory it has if that is not much.
    pub fn reuse(mut self, columns: usize) -> Self {
        if self.size > REUSED_BYTES {
            return Self::new(columns);
        }
        self.rows = 0;
        self.size = 0;
        self.columns.iter_mut().for_each(ColumnBuilder::clear);
        self.columns.resize_with(columns, ColumnBuilder::default);
        self
    }

    /// Complete rows so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How large the encoded batch can get with what it holds, in bytes. Never too small.
    pub fn size(&self) -> usize {
        // Per column: at most five stream headers of ten bytes and two widths.
        self.size + self.columns.len() * 64 + 16
    }

    /// Adds a NULL to a column of the row in progress.
    pub fn null(&mut self, column: usize) {
        self.push(column, StorageClass::Null, 1);
    }

    /// Adds an INTEGER.
    pub fn integer(&mut self, column: usize, value: i64) {
        let column = self.push(column, StorageClass::Integer, 9);
        column.ints.push(value);
        column.int_bits |= (value ^ (value >> 63)) as u64;
    }

    /// Adds a REAL.
    pub fn real(&mut self, column: usize, value: f64) {
        self.push(column, StorageClass::Real, 9).reals.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a TEXT, as TEXT_RAW if its bytes are not UTF-8.
    pub fn text(&mut self, column: usize, value: &[u8]) {
        if std::str::from_utf8(value).is_ok() {
            let column = self.push(column, StorageClass::Text, 5 + value.len());
            column.text.extend_from_slice(value);
            column.push_len(value.len());
        } else {
            self.bytes(column, StorageClass::TextRaw, value);
        }
    }

    /// Adds a BLOB.
    pub fn blob(&mut self, column: usize, value: &[u8]) {
        self.bytes(column, StorageClass::Blob, value);
    }

    /// Ends the row in progress. Every column must have got exactly one cell.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// The exact size of what [`BatchBuilder::write`] writes.
    pub fn encoded_len(&self) -> usize {
        let rows = if self.rows == 0 { 0 } else { 1 + encoded_len_varint(self.rows.into()) };
        rows + self.columns.iter().map(|column| field_len(column.encoded_len())).sum::<usize>()
    }

    /// Appends the encoded `RowBatch`.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.rows != 0 {
            put_uint(out, 1, u64::from(self.rows));
        }
        for column in &self.columns {
            put_header(out, 2, column.encoded_len());
            column.write(out);
        }
    }

    /// The batch as a message.
    pub fn finish(&self) -> RowBatch {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.write(&mut bytes);
        RowBatch::decode(Bytes::from(bytes)).expect("what was just written")
    }

    fn push(&mut self, column: usize, class: StorageClass, size: usize) -> &mut ColumnBuilder {
        self.size += size;
        let column = &mut self.columns[column];
        let class = class as u8;
        match column.class {
            ColumnClass::Uniform(uniform) if uniform == class => {}
            ColumnClass::Mixed => column.classes.push(class),
            ColumnClass::Empty => column.class = ColumnClass::Uniform(class),
            ColumnClass::Uniform(uniform) => {
                column.class = ColumnClass::Mixed;
                column.classes.resize(self.rows as usize, uniform);
                column.classes.push(class);
            }
        }
        column
    }

    fn bytes(&mut self, column: usize, class: StorageClass, value: &[u8]) {
        let column = self.push(column, class, 5 + value.len());
        column.blobs.extend_from_slice(value);
        column.push_len(value.len());
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum ColumnClass {
    #[default]
    Empty,
    Uniform(u8),
    Mixed,
}

#[derive(Debug, Default)]
struct ColumnBuilder {
    class: ColumnClass,
    classes: Vec<u8>,
    ints: Vec<i64>,
    /// All magnitudes or-ed together: the highest bit decides the width.
    int_bits: u64,
    reals: Vec<u8>,
    text: Vec<u8>,
    blobs: Vec<u8>,
    lens: Vec<u32>,
    max_len: u32,
}

impl ColumnBuilder {
    fn clear(&mut self) {
        let Self { class, classes, ints, int_bits, reals, text, blobs, lens, max_len } = self;
        *class = ColumnClass::Empty;
        (*int_bits, *max_len) = (0, 0);
        classes.clear();
        ints.clear();
        lens.clear();
        for stream in [reals, text, blobs] {
            stream.clear();
        }
    }

    fn push_len(&mut self, len: usize) {
        let len = u32::try_from(len).expect("SQLite values are below 2 GiB");
        self.lens.push(len);
        self.max_len = self.max_len.max(len);
    }

    fn int_width(&self) -> usize {
        match self.int_bits {
            0..0x80 => 1,
            0x80..0x8000 => 2,
            0x8000..0x8000_0000 => 4,
            _ => 8,
        }
    }

    fn len_width(&self) -> usize {
        match self.max_len {
            0..0x100 => 1,
            0x100..0x1_0000 => 2,
            _ => 4,
        }
    }

    fn encoded_len(&self) -> usize {
        let uniform = matches!(self.class, ColumnClass::Uniform(_));
        2 * usize::from(uniform)
            + run_len(self.classes.len())
            + 2 * usize::from(!self.ints.is_empty())
            + run_len(self.ints.len() * self.int_width())
            + run_len(self.reals.len())
            + run_len(self.text.len())
            + run_len(self.blobs.len())
            + 2 * usize::from(!self.lens.is_empty())
            + run_len(self.lens.len() * self.len_width())
    }

    fn write(&self, out: &mut Vec<u8>) {
        if let ColumnClass::Uniform(class) = self.class {
            put_uint(out, 1, class.into());
        }
        put_run(out, 2, &self.classes);
        if !self.ints.is_empty() {
            let width = self.int_width();
            put_uint(out, 3, width as u64);
            put_header(out, 4, self.ints.len() * width);
            match width {
                1 => put_narrowed(out, &self.ints, |value| [*value as u8]),
                2 => put_narrowed(out, &self.ints, |value| (*value as i16).to_le_bytes()),
                4 => put_narrowed(out, &self.ints, |value| (*value as i32).to_le_bytes()),
                _ => put_narrowed(out, &self.ints, |value| value.to_le_bytes()),
            }
        }
        put_run(out, 5, &self.reals);
        put_run(out, 6, &self.text);
        put_run(out, 7, &self.blobs);
        if !self.lens.is_empty() {
            let width = self.len_width();
            put_uint(out, 8, width as u64);
            put_header(out, 9, self.lens.len() * width);
            match width {
                1 => put_narrowed(out, &self.lens, |len| [*len as u8]),
                2 => put_narrowed(out, &self.lens, |len| (*len as u16).to_le_bytes()),
                _ => put_narrowed(out, &self.lens, |len| len.to_le_bytes()),
            }
        }
    }
}

/// One decoded cell, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(&'a str),
    /// BLOB.
    Blob(&'a [u8]),
    /// TEXT that is not UTF-8.
    TextRaw(&'a [u8]),
}

/// A batch whose streams do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct BatchError {
    /// Which column, from 0.
    pub column: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Reads a batch, column by column. Every stream must have exactly the implied length.
pub fn cells(batch: &RowBatch) -> impl Iterator<Item = Result<Cells<'_>, BatchError>> {
    let rows = batch.row_count as usize;
    batch.columns.iter().enumerate().map(move |(column, data)| {
        Cells::check(data, rows).map_err(|problem| BatchError { column, problem })
    })
}

/// The cells of one column whose streams have been checked.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    uniform: StorageClass,
    rows: usize,
    classes: &'a [u8],
    ints: std::slice::ChunksExact<'a, u8>,
    reals: std::slice::ChunksExact<'a, u8>,
    text: &'a str,
    blobs: &'a [u8],
    lens: std::slice::ChunksExact<'a, u8>,
}

impl<'a> Cells<'a> {
    fn check(data: &'a ColumnData, rows: usize) -> Result<Self, &'static str> {
        let class =
            |number: i32| StorageClass::try_from(number).map_err(|_| "a storage class is unknown");
        let uniform = class(data.uniform)?;
        let mixed = uniform == StorageClass::Unspecified;
        if data.classes.len() != if mixed { rows } else { 0 } {
            return Err("classes must hold one byte per row, or none with a uniform class");
        }
        let mut counts = [0usize; 7];
        if !mixed {
            counts[uniform as usize] = rows;
        }
        for &byte in &data.classes {
            match class(byte.into())? {
                StorageClass::Unspecified => return Err("a cell has no storage class"),
                class => counts[class as usize] += 1,
            }
        }
        let [_, _, ints, reals, texts, blobs, raws] = counts;
        let int_width = width(data.int_width, ints, &[1, 2, 4, 8])?;
        let len_width = width(data.len_width, texts + blobs + raws, &[1, 2, 4])?;
        let exact = |stream: &[u8], count: usize, width: usize, problem: &'static str| {
            (count.checked_mul(width) == Some(stream.len())).then_some(()).ok_or(problem)
        };
        exact(&data.ints, ints, int_width, "ints has the wrong length")?;
        exact(&data.reals, reals, 8, "reals has the wrong length")?;
        exact(&data.lens, texts + blobs + raws, len_width, "lens has the wrong length")?;

        let text = std::str::from_utf8(&data.text).map_err(|_| "text is not UTF-8")?;
        let cells = Cells {
            uniform,
            rows,
            classes: &data.classes,
            ints: data.ints.chunks_exact(int_width),
            reals: data.reals.chunks_exact(8),
            text,
            blobs: &data.blobs,
            lens: data.lens.chunks_exact(len_width),
        };
        cells.check_lengths()?;
        Ok(cells)
    }

    /// The announced lengths must use up both byte streams and cut text between characters.
    fn check_lengths(&self) -> Result<(), &'static str> {
        let (mut text_end, mut blob_end) = (0usize, 0usize);
        let mut lens = self.lens.clone().map(read_len);
        for class in self.class_sequence() {
            match class {
                StorageClass::Text => {
                    text_end = text_end.saturating_add(lens.next().unwrap_or(0));
                    if !self.text.is_char_boundary(text_end) {
                        return Err("lens cuts text outside it or inside a character");
                    }
                }
                StorageClass::Blob | StorageClass::TextRaw => {
                    blob_end = blob_end.saturating_add(lens.next().unwrap_or(0));
                }
                _ => {}
            }
        }
        if text_end != self.text.len() || blob_end != self.blobs.len() {
            return Err("lens does not add up to text and blobs");
        }
        Ok(())
    }

    fn class_sequence(&self) -> impl Iterator<Item = StorageClass> + use<'a> {
        let (uniform, classes) = (self.uniform, self.classes);
        // With a uniform class and no data streams (NULL), rows may be any number: stay lazy.
        let rows = if uniform == StorageClass::Null { 0 } else { self.rows };
        (0..rows).map(move |row| match classes.get(row) {
            Some(byte) => StorageClass::try_from(i32::from(*byte)).unwrap_or_default(),
            None => uniform,
        })
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        self.rows = self.rows.checked_sub(1)?;
        let class = match self.classes.split_first() {
            Some((first, rest)) => {
                self.classes = rest;
                StorageClass::try_from(i32::from(*first)).unwrap_or_default()
            }
            None => self.uniform,
        };
        Some(match class {
            StorageClass::Integer => Cell::Integer(read_int(self.ints.next()?)),
            StorageClass::Real => {
                Cell::Real(f64::from_le_bytes(self.reals.next()?.try_into().ok()?))
            }
            StorageClass::Text => {
                let (text, rest) = self.text.split_at(read_len(self.lens.next()?));
                self.text = rest;
                Cell::Text(text)
            }
            StorageClass::Blob | StorageClass::TextRaw => {
                let (bytes, rest) = self.blobs.split_at(read_len(self.lens.next()?));
                self.blobs = rest;
                if class == StorageClass::Blob { Cell::Blob(bytes) } else { Cell::TextRaw(bytes) }
            }
            StorageClass::Null | StorageClass::Unspecified => Cell::Null,
        })
    }
}

/// A width is only meaningful where its stream has entries.
fn width(announced: u32, entries: usize, legal: &[u32]) -> Result<usize, &'static str> {
    if entries == 0 {
        Ok(1)
    } else if legal.contains(&announced) {
        Ok(announced as usize)
    } else {
        Err("a width is not one of the legal ones")
    }
}

fn read_int(bytes: &[u8]) -> i64 {
    let mut wide = [if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

fn read_len(bytes: &[u8]) -> usize {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide) as usize
}

pub(crate) fn field_len(body: usize) -> usize {
    1 + encoded_len_varint(body as u64) + body
}

pub(crate) fn put_header(out: &mut Vec<u8>, field: u32, len: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn run_len(len: usize) -> usize {
    if len == 0 { 0 } else { field_len(len) }
}

fn put_run(out: &mut Vec<u8>, field: u32, run: &[u8]) {
    if !run.is_empty() {
        put_header(out, field, run.len());
        out.extend_from_slice(run);
    }
}

fn put_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}

fn put_narrowed<T, const N: usize>(out: &mut Vec<u8>, values: &[T], narrow: fn(&T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    for (slot, value) in out[start..].as_chunks_mut::<N>().0.iter_mut().zip(values) {
        *slot = narrow(value);
    }
}

/// A builder that held more than this gives its memory back.
const REUSED_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(builder: &BatchBuilder) -> RowBatch {
        let batch = builder.finish();
        assert_eq!(batch.encoded_len(), builder.encoded_len());
        assert!(builder.encoded_len() <= builder.size());
        batch
    }

    fn column(batch: &RowBatch, index: usize) -> Vec<Cell<'_>> {
        cells(batch).nth(index).unwrap().unwrap().collect()
    }

    #[test]
    fn the_example_of_the_manual_comes_out_byte_by_byte() {
        let mut builder = BatchBuilder::new(2);
        for (number, text) in [(1, Some("a")), (2, None), (300, Some("é"))] {
            builder.integer(0, number);
            match text {
                Some(text) => builder.text(1, text.as_bytes()),
                None => builder.null(1),
            }
            builder.end_row();
        }
        let batch = round_trip(&builder);
        let [first, second] = batch.columns.as_slice() else { panic!("two columns") };
        assert_eq!((first.uniform(), first.int_width), (StorageClass::Integer, 2));
        assert_eq!(first.ints.as_ref(), [1, 0, 2, 0, 0x2c, 1]);
        assert_eq!(second.uniform(), StorageClass::Unspecified);
        assert_eq!(second.classes.as_ref(), [4, 1, 4]);
        assert_eq!(second.text.as_ref(), [0x61, 0xc3, 0xa9]);
        assert_eq!((second.len_width, second.lens.as_ref()), (1, [1, 2].as_slice()));
    }

    #[test]
    fn integers_take_the_smallest_width_that_holds_them() {
        for (value, width) in [
            (0, 1),
            (127, 1),
            (-128, 1),
            (128, 2),
            (-129, 2),
            (32_767, 2),
            (-32_768, 2),
            (32_768, 4),
            (-2_147_483_648, 4),
            (2_147_483_648, 8),
            (-2_147_483_649, 8),
            (i64::MAX, 8),
            (i64::MIN, 8),
        ] {
            let mut builder = BatchBuilder::new(1);
            builder.integer(0, value);
            builder.end_row();
            let batch = round_trip(&builder);
            assert_eq!(batch.columns[0].int_width, width, "{value}");
            assert_eq!(column(&batch, 0), [Cell::Integer(value)]);
        }
    }

    #[test]
    fn every_class_survives_in_one_column() {
        let long = vec![7; 300];
        let mut builder = BatchBuilder::new(1);
        builder.null(0);
        builder.end_row();
        builder.real(0, -0.0);
        builder.end_row();
        builder.text(0, "a\0b".as_bytes());
        builder.end_row();
        builder.text(0, b"\xff");
        builder.end_row();
        builder.blob(0, &long);
        builder.end_row();
        builder.integer(0, -1);
        builder.end_row();
        let batch = round_trip(&builder);
        assert_eq!(
            column(&batch, 0),
            [
                Cell::Null,
                Cell::Real(-0.0),
                Cell::Text("a\0b"),
                Cell::TextRaw(b"\xff"),
                Cell::Blob(&long),
                Cell::Integer(-1),
            ]
        );
    }

    #[test]
    fn a_builder_that_is_used_again_remembers_nothing() {
        let mut builder = BatchBuilder::new(3);
        builder.integer(0, i64::MIN);
        builder.text(1, &[b'x'; 300]);
        builder.null(2);
        builder.end_row();
        builder.null(0);
        builder.blob(1, b"y");
        builder.real(2, 1.5);
        builder.end_row();
        let mut reused = builder.reuse(2);
        let mut fresh = BatchBuilder::new(2);
        for builder in [&mut reused, &mut fresh] {
            builder.integer(0, 1);
            builder.text(1, b"z");
            builder.end_row();
        }
        assert_eq!(round_trip(&reused), round_trip(&fresh));
        assert_eq!(reused.size(), fresh.size());
    }

    #[test]
    fn streams_that_do_not_fit_are_refused() {
        let text = |lens: &'static [u8], text: &'static [u8]| ColumnData {
            uniform: StorageClass::Text.into(),
            text: text.into(),
            len_width: 1,
            lens: lens.into(),
            ..Default::default()
        };
        let ints = |width, ints: &'static [u8]| ColumnData {
            uniform: StorageClass::Integer.into(),
            int_width: width,
            ints: ints.into(),
            ..Default::default()
        };
        let classes =
            |classes: &'static [u8]| ColumnData { classes: classes.into(), ..Default::default() };
        for broken in [
            text(&[1, 1], "é".as_bytes()),
            text(&[1, 2], b"ab"),
            text(&[1, 0], b"ab"),
            text(&[1], b"a"),
            text(&[1, 1], b"\xff\xff"),
            ints(3, &[0; 6]),
            ints(2, &[0; 3]),
            ints(0, &[0; 2]),
            classes(&[1]),
            classes(&[1, 0]),
            classes(&[1, 9]),
            ColumnData { uniform: 9, ..Default::default() },
        ] {
            let batch = RowBatch { row_count: 2, columns: vec![broken.clone()] };
            assert!(cells(&batch).next().unwrap().is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_lying_row_count_costs_no_time_and_no_memory() {
        let nulls = ColumnData { uniform: StorageClass::Null.into(), ..Default::default() };
        let batch = RowBatch { row_count: u32::MAX, columns: vec![nulls] };
        let mut column = cells(&batch).next().unwrap().unwrap();
        assert_eq!(column.next(), Some(Cell::Null));
    }
}
