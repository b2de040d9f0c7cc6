//! What must hold for any bytes at all. `fuzz/` runs the same functions under libFuzzer.

use bytes::Bytes;
use lix_engine_protocol::proto::{Frame, RowBatch};
use lix_engine_protocol::stream::{read_message, read_preamble, write_frame};
use lix_engine_protocol::{BatchBuilder, Cell, Limits, NATIVE_LIMITS, cells, frame};
use prost::Message as _;

/// A stream of anything: what is read is what was sent, and memory follows the bytes that came.
pub(crate) fn stream(data: &[u8]) {
    let _ = read_preamble(&mut &data[..]);
    let limits =
        Limits { max_frame_bytes: 1 << 20, max_attachment_bytes: 1 << 40, ..NATIVE_LIMITS };
    let mut input = data;
    let mut echo = Vec::new();
    // An error ends the stream.
    while let Ok(Some((frame, attachments))) = read_message(&mut input, &limits) {
        write_frame(&mut echo, &frame).unwrap();
        for attachment in attachments {
            echo.extend_from_slice(&attachment.expect("nothing is that long"));
        }
        assert_eq!(echo, data[..data.len() - input.len()], "read as it was sent");
    }
}

/// A frame of anything: who asked is known whenever it can be, and both readers agree.
pub(crate) fn envelope(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let sizes = frame::attachment_sizes(&bytes);
    match frame::decode(bytes) {
        Ok(frame) => {
            assert_eq!(frame.attachment_sizes, sizes, "the stream reader sees the same sizes");
            assert_eq!(Frame::decode(frame.encode_to_vec().as_slice()).unwrap(), frame);
        }
        Err((id, error)) => {
            assert_ne!(id, Some(0));
            assert_eq!(error.reason.as_str(), "FRAME_MALFORMED");
        }
    }
}

/// A batch of anything: either refused, or its cells can be read to the end and built again.
pub(crate) fn batch(data: &[u8]) {
    let Ok(batch) = RowBatch::decode(data) else { return };
    let columns: Result<Vec<_>, _> = cells(&batch).collect();
    // A column of NULLs takes no bytes, so a row count may promise more than anybody wants to read.
    let Ok(columns) = columns else { return };
    if batch.row_count > 10_000 {
        return;
    }
    let mut builder = BatchBuilder::new(columns.len());
    let rows: Vec<Vec<Cell<'_>>> = columns.into_iter().map(Iterator::collect).collect();
    for column in &rows {
        assert_eq!(column.len(), batch.row_count as usize);
    }
    for row in 0..batch.row_count as usize {
        for (column, cells) in rows.iter().enumerate() {
            match cells[row] {
                Cell::Null => builder.null(column),
                Cell::Integer(value) => builder.integer(column, value),
                Cell::Real(value) => builder.real(column, value),
                Cell::Text(text) => builder.text(column, text.as_bytes()),
                Cell::Blob(bytes) => builder.blob(column, bytes),
                Cell::TextRaw(bytes) => builder.text(column, bytes),
            }
        }
        builder.end_row();
    }
    let mut encoded = Vec::new();
    builder.write(&mut encoded);
    assert_eq!(encoded.len(), builder.encoded_len());
    assert!(encoded.len() <= builder.size());
    let again = RowBatch::decode(encoded.as_slice()).unwrap();
    for (column, cells) in cells(&again).zip(&rows) {
        for (found, wanted) in column.unwrap().zip(cells) {
            assert!(same(&found, wanted), "{found:?} {wanted:?}");
        }
    }
}

/// Bit for bit, so that NaN is itself; raw bytes that are text after all come back as text.
fn same(found: &Cell<'_>, wanted: &Cell<'_>) -> bool {
    match (found, wanted) {
        (Cell::Real(found), Cell::Real(wanted)) => found.to_bits() == wanted.to_bits(),
        (Cell::Text(found), Cell::TextRaw(wanted)) => found.as_bytes() == *wanted,
        (found, wanted) => found == wanted,
    }
}
