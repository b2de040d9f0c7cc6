//! Messages on a byte stream: a preamble, then length, frame, attachments, over and over.
//!
//! A length is checked before anything is allocated, and memory grows with the bytes that arrived,
//! never with the bytes that were promised.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::{Error, Limits, Reason, frame};

/// What each side sends first: the product, a line end that text translation would damage, the
/// major version.
pub const PREAMBLE: [u8; 8] = *b"LIXE\r\n\x01\x00";

/// One frame and what travels beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The encoded `Frame`.
    pub frame: Bytes,
    /// Byte runs that the frame refers to by index.
    pub attachments: Vec<Bytes>,
}

/// Why a stream cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The peer stopped in the middle of a message, or the transport failed.
    #[error("the stream broke off: {0}")]
    Io(#[from] io::Error),
    /// What arrived is not this protocol, or a frame is longer than the limit. The next message
    /// cannot be found: the session ends.
    #[error(transparent)]
    Protocol(#[from] Error),
}

/// Reads and checks the peer's preamble; `false` if the peer ended the stream before its first byte.
/// The error quotes what came instead.
pub fn read_preamble(input: &mut impl Read) -> Result<bool, StreamError> {
    let mut found = Vec::with_capacity(PREAMBLE.len());
    input.take(PREAMBLE.len() as u64).read_to_end(&mut found)?;
    if found == PREAMBLE || found.is_empty() {
        return Ok(!found.is_empty());
    }
    let quoted = found.escape_ascii();
    let message = if found.len() == PREAMBLE.len() && found[..6] == PREAMBLE[..6] {
        format!("the peer speaks major version {}, this side speaks {}", found[6], PREAMBLE[6])
    } else {
        format!("not the Lix Engine protocol: the stream starts with \"{quoted}\"")
    };
    Err(Error::new(Reason::FrameMalformed, message).into())
}

/// A frame and its attachments. One above the limit is read and dropped, so that the request can be
/// refused and the stream goes on; in its place stands `Err` with the announced length.
pub type StreamMessage = (Bytes, Vec<Result<Bytes, u64>>);

/// Reads one message; `None` when the peer ended the stream between two messages.
pub fn read_message(
    input: &mut impl Read,
    limits: &Limits,
) -> Result<Option<StreamMessage>, StreamError> {
    let mut prefix = [0; 4];
    match read_up_to(input, &mut prefix)? {
        0 => return Ok(None),
        4 => {}
        _ => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
    let length = u32::from_le_bytes(prefix);
    if length > limits.max_frame_bytes {
        let allowed = u64::from(limits.max_frame_bytes);
        return Err(Error::limit("max_frame_bytes", allowed, length).into());
    }

    let frame = read_run(input, u64::from(length))?;
    let mut attachments = Vec::new();
    for size in frame::attachment_sizes(&frame) {
        attachments.push(if size <= limits.max_attachment_bytes {
            Ok(read_run(input, size)?)
        } else {
            let dropped = io::copy(&mut input.by_ref().take(size), &mut io::sink())?;
            if dropped < size {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Err(size)
        });
    }
    Ok(Some((frame, attachments)))
}

/// Writes a frame's length and bytes; its attachments follow, written by the caller in order.
pub fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame is at most 4 GiB"))?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(frame)
}

fn read_run(input: &mut impl Read, length: u64) -> io::Result<Bytes> {
    // The reader grows the buffer as data comes; a hint above 64 KiB would trust the peer.
    let mut run = Vec::with_capacity(length.min(64 * 1024) as usize);
    input.take(length).read_to_end(&mut run)?;
    if (run.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(run.into())
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NATIVE_LIMITS;
    use prost::Message as _;

    fn framed(attachments: &[&[u8]]) -> Vec<u8> {
        let frame = lix_engine_proto::Frame {
            id: 7,
            attachment_sizes: attachments.iter().map(|a| a.len() as u64).collect(),
            body: None,
        };
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &frame.encode_to_vec()).unwrap();
        attachments.iter().for_each(|a| bytes.extend_from_slice(a));
        bytes
    }

    #[test]
    fn messages_come_back_with_their_attachments() {
        let mut bytes = framed(&[b"one", b""]);
        bytes.extend(framed(&[]));
        let mut input = bytes.as_slice();
        let (_, attachments) = read_message(&mut input, &NATIVE_LIMITS).unwrap().unwrap();
        assert_eq!(attachments, [Ok(Bytes::from_static(b"one")), Ok(Bytes::new())]);
        assert!(read_message(&mut input, &NATIVE_LIMITS).unwrap().is_some());
        assert!(read_message(&mut input, &NATIVE_LIMITS).unwrap().is_none());
    }

    #[test]
    fn a_stream_that_breaks_off_anywhere_is_an_error_and_never_a_message() {
        let bytes = framed(&[b"attachment"]);
        for end in 1..bytes.len() {
            let result = read_message(&mut &bytes[..end], &NATIVE_LIMITS);
            assert!(matches!(result, Err(StreamError::Io(_))), "after {end} bytes: {result:?}");
        }
    }

    #[test]
    fn a_long_frame_is_refused_before_it_is_read() {
        let limits = Limits { max_frame_bytes: 10, ..NATIVE_LIMITS };
        let promised = 11u32.to_le_bytes();
        match read_message(&mut promised.as_slice(), &limits) {
            Err(StreamError::Protocol(error)) => assert_eq!(error.subject, "max_frame_bytes"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_attachment_over_the_limit_is_dropped_and_the_stream_stays_in_step() {
        let limits = Limits { max_attachment_bytes: 3, ..NATIVE_LIMITS };
        let mut bytes = framed(&[b"four", b"two"]);
        bytes.extend(framed(&[]));
        let mut input = bytes.as_slice();
        let (_, attachments) = read_message(&mut input, &limits).unwrap().unwrap();
        assert_eq!(attachments, [Err(4), Ok(Bytes::from_static(b"two"))]);
        assert!(read_message(&mut input, &limits).unwrap().is_some());
    }

    #[test]
    fn a_stray_line_of_text_is_quoted() {
        let error = read_preamble(&mut b"Starting up...".as_slice()).unwrap_err();
        assert!(error.to_string().contains("Starting"), "{error}");
        let error = read_preamble(&mut b"LIXE\r\n\x02\x00".as_slice()).unwrap_err();
        assert!(error.to_string().contains("major version 2"), "{error}");
        assert!(read_preamble(&mut PREAMBLE.as_slice()).unwrap());
    }

    #[test]
    fn a_stream_without_a_byte_is_no_fault_and_a_part_of_the_preamble_is_one() {
        assert!(!read_preamble(&mut [].as_slice()).unwrap());
        for end in 1..PREAMBLE.len() {
            assert!(read_preamble(&mut &PREAMBLE[..end]).is_err(), "after {end} bytes");
        }
    }
}
