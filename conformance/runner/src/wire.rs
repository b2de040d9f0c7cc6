//! Messages and their framing on stream transports, written from the manual alone.
//!
//! Nothing here is shared with the engine: a mistake in its framing shows up as a difference. No length is trusted
//! before it is checked, and what is not the protocol is quoted in the complaint.

use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex};

/// Sent first in each direction of a stream transport: product, line ending, major version, zero.
pub const PREAMBLE: [u8; 8] = *b"LIXE\r\n\x01\x00";

/// One frame with its attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The encoded `Frame`.
    pub frame: Vec<u8>,
    /// Byte runs the frame refers to by index.
    pub attachments: Vec<Vec<u8>>,
}

impl Message {
    /// A frame without attachments.
    pub fn of(frame: Vec<u8>) -> Message {
        Message { frame, attachments: Vec::new() }
    }

    /// The message as a stream transport carries it, with the true length prefix unless another is given.
    pub fn to_stream(&self, prefix: Option<u32>) -> Vec<u8> {
        let attached: usize = self.attachments.iter().map(Vec::len).sum();
        let mut out = Vec::with_capacity(4 + self.frame.len() + attached);
        let len = u32::try_from(self.frame.len()).expect("frames above 4 GiB are not made here");
        out.extend_from_slice(&prefix.unwrap_or(len).to_le_bytes());
        out.extend_from_slice(&self.frame);
        for attachment in &self.attachments {
            out.extend_from_slice(attachment);
        }
        out
    }
}

/// What a stream reader found.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// A whole message.
    Message(Message),
    /// The stream ended between two messages.
    End,
    /// The stream cannot be the protocol, or ended inside a message.
    Garbage(String),
}

/// Reads messages from a byte stream.
pub struct StreamReader<R> {
    inner: BufReader<R>,
    max_message_bytes: u64,
    unfinished: Unfinished,
}

/// What a reader is in the middle of, for whoever waits for it in vain.
pub type Unfinished = Arc<Mutex<Option<String>>>;

impl<R: Read> StreamReader<R> {
    /// A reader that refuses messages above the limit, attachments included.
    pub fn new(inner: R, max_message_bytes: u64) -> StreamReader<R> {
        StreamReader {
            inner: BufReader::new(inner),
            max_message_bytes,
            unfinished: Unfinished::default(),
        }
    }

    /// Shared with the reader: what it is in the middle of.
    pub fn unfinished(&self) -> Unfinished {
        Arc::clone(&self.unfinished)
    }

    /// Reads the preamble. `Some` is the complaint; an empty stream is its own complaint.
    pub fn preamble(&mut self) -> io::Result<Option<StreamItem>> {
        let mut seen = Vec::new();
        for expected in PREAMBLE {
            let mut byte = [0_u8];
            if read_up_to(&mut self.inner, &mut byte)? == 0 {
                if seen.is_empty() {
                    return Ok(Some(StreamItem::End));
                }
            } else {
                seen.push(byte[0]);
                if byte[0] == expected {
                    continue;
                }
            }
            seen.extend(self.rest_for_quoting());
            return Ok(Some(StreamItem::Garbage(format!(
                "not this protocol: the stream starts with {} instead of the preamble {}",
                quote(&seen),
                quote(&PREAMBLE)
            ))));
        }
        Ok(None)
    }

    /// Reads one message.
    pub fn read(&mut self) -> io::Result<StreamItem> {
        let mut prefix = [0_u8; 4];
        match read_up_to(&mut self.inner, &mut prefix)? {
            0 => return Ok(StreamItem::End),
            4 => {}
            got => {
                return Ok(StreamItem::Garbage(format!(
                    "the stream ends inside a length prefix: {}",
                    quote(&prefix[..got])
                )));
            }
        }
        let len = u64::from(u32::from_le_bytes(prefix));
        if len > self.max_message_bytes {
            let mut quoted = prefix.to_vec();
            quoted.extend(self.rest_for_quoting());
            let hint = if quoted.iter().all(|b| (32..127).contains(b) || b"\r\n\t\x1b".contains(b))
            {
                "; this is text: something prints to stdout"
            } else {
                ""
            };
            return Ok(StreamItem::Garbage(format!(
                "a frame of {len} bytes is announced, above {}: {}{hint}",
                self.max_message_bytes,
                quote(&quoted)
            )));
        }
        if len > self.inner.buffer().len() as u64 {
            let mut quoted = prefix.to_vec();
            quoted.extend(self.rest_for_quoting());
            self.note(Some(format!(
                "a frame of {len} bytes was announced and is not complete: {}",
                quote(&quoted)
            )));
        }
        let frame = match self.exactly(len)? {
            Ok(frame) => frame,
            Err(got) => {
                let mut quoted = prefix.to_vec();
                quoted.extend_from_slice(&got);
                return Ok(StreamItem::Garbage(format!(
                    "the stream ends after {} of the {len} bytes of a frame: {}",
                    got.len(),
                    quote(&quoted)
                )));
            }
        };
        let Some(sizes) = attachment_sizes(&frame) else {
            let mut quoted = prefix.to_vec();
            quoted.extend_from_slice(&frame);
            return Ok(StreamItem::Garbage(format!("not a Frame: {}", quote(&quoted))));
        };
        let total = sizes.iter().try_fold(len, |sum, size| sum.checked_add(*size));
        if total.is_none_or(|total| total > self.max_message_bytes) {
            return Ok(StreamItem::Garbage(format!(
                "attachments of {sizes:?} bytes are announced, above {}",
                self.max_message_bytes
            )));
        }
        let mut attachments = Vec::new();
        for size in sizes {
            if size > self.inner.buffer().len() as u64 {
                self.note(Some(format!(
                    "an attachment of {size} bytes was announced and is not complete"
                )));
            }
            match self.exactly(size)? {
                Ok(bytes) => attachments.push(bytes),
                Err(got) => {
                    return Ok(StreamItem::Garbage(format!(
                        "the stream ends after {} of the {size} bytes of an attachment",
                        got.len()
                    )));
                }
            }
        }
        self.note(None);
        Ok(StreamItem::Message(Message { frame, attachments }))
    }

    fn note(&self, what: Option<String>) {
        *self.unfinished.lock().expect("no holder panics") = what;
    }

    /// What follows, for a complaint: only what has arrived, so that an engine that waits cannot hold us up.
    fn rest_for_quoting(&mut self) -> Vec<u8> {
        let buffered = self.inner.buffer();
        buffered[..buffered.len().min(120)].to_vec()
    }

    fn exactly(&mut self, len: u64) -> io::Result<Result<Vec<u8>, Vec<u8>>> {
        let mut bytes = Vec::new();
        self.inner.by_ref().take(len).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 == len { Ok(bytes) } else { Err(bytes) })
    }
}

/// `Frame.attachment_sizes` read straight from the wire; `None` if the bytes are not a protobuf message.
pub fn attachment_sizes(frame: &[u8]) -> Option<Vec<u64>> {
    let mut sizes = Vec::new();
    let mut at = Fields { rest: frame };
    while !at.rest.is_empty() {
        match at.next()? {
            (2, Field::Varint(size)) => sizes.push(size),
            (2, Field::Bytes(packed)) => {
                let mut inner = Fields { rest: packed };
                while !inner.rest.is_empty() {
                    sizes.push(inner.varint()?);
                }
            }
            _ => {}
        }
    }
    Some(sizes)
}

/// `Frame.id` read straight from the wire.
pub fn frame_id(frame: &[u8]) -> Option<u32> {
    let mut id = 0;
    let mut at = Fields { rest: frame };
    while !at.rest.is_empty() {
        if let (1, Field::Varint(value)) = at.next()? {
            id = value as u32;
        }
    }
    Some(id)
}

/// Bytes for people: text where it is text, hex where it is not, shortened.
pub fn quote(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(120)];
    let mut out = String::from("\"");
    for &byte in shown {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte as char);
            }
            32..127 => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    if shown.len() < bytes.len() {
        out.push('…');
    }
    out
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return None;
        }
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Fixed
            }
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(usize::try_from(len).ok()?)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed
            }
            _ => return None,
        };
        Some((number, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }
}

fn read_up_to(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(bytes: &[u8]) -> Vec<StreamItem> {
        let mut reader = StreamReader::new(bytes, 1000);
        let mut items = Vec::new();
        if let Some(complaint) = reader.preamble().unwrap() {
            return vec![complaint];
        }
        loop {
            let item = reader.read().unwrap();
            let last = !matches!(item, StreamItem::Message(_));
            items.push(item);
            if last {
                return items;
            }
        }
    }

    fn complaint(bytes: &[u8]) -> String {
        match items(bytes).pop() {
            Some(StreamItem::Garbage(text)) => text,
            other => panic!("expected garbage, got {other:?}"),
        }
    }

    fn stream(messages: &[Message]) -> Vec<u8> {
        let mut out = PREAMBLE.to_vec();
        for message in messages {
            out.extend(message.to_stream(None));
        }
        out
    }

    // id 7, attachment_sizes packed [3, 0]
    const WITH_ATTACHMENTS: [u8; 6] = [0x08, 7, 0x12, 2, 3, 0];

    #[test]
    fn what_is_written_is_read() {
        let messages = [
            Message::of(vec![0x08, 1]),
            Message::of(vec![]),
            Message {
                frame: WITH_ATTACHMENTS.to_vec(),
                attachments: vec![b"abc".to_vec(), vec![]],
            },
            Message::of(vec![0x08, 0x80, 1]),
        ];
        let expected: Vec<_> =
            messages.iter().cloned().map(StreamItem::Message).chain([StreamItem::End]).collect();
        assert_eq!(items(&stream(&messages)), expected);
        assert_eq!(frame_id(&messages[3].frame), Some(128));
    }

    #[test]
    fn every_cut_is_noticed() {
        let whole = stream(&[Message {
            frame: WITH_ATTACHMENTS.to_vec(),
            attachments: vec![b"abc".to_vec(), vec![]],
        }]);
        for cut in 0..whole.len() {
            let found = items(&whole[..cut]);
            match cut {
                0 | 8 => assert_eq!(found, [StreamItem::End], "cut at {cut}"),
                _ => assert!(
                    matches!(found[..], [StreamItem::Garbage(_)]),
                    "cut at {cut}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn text_is_named_as_text() {
        assert!(complaint(b"Listening on port 8080\n").contains("\"Listening on port 8080\\n\""));
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(b"debug: here\n");
        let text = complaint(&bytes);
        assert!(text.contains("debug: here") && text.contains("prints to stdout"), "{text}");
    }

    #[test]
    fn lengths_are_checked_before_memory_is_taken() {
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend(u32::MAX.to_le_bytes());
        assert!(complaint(&bytes).contains("4294967295"));

        let huge = [0x08, 7, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert!(complaint(&stream(&[Message::of(huge.to_vec())])).contains("attachments of"));
    }

    #[test]
    fn sizes_are_read_packed_and_unpacked() {
        assert_eq!(attachment_sizes(&[0x10, 5, 0x08, 1, 0x12, 2, 6, 7]), Some(vec![5, 6, 7]));
        assert_eq!(attachment_sizes(&[0x12, 9, 1]), None, "truncated");
        assert_eq!(attachment_sizes(&[0x0f]), None, "wire type 7");
        assert_eq!(attachment_sizes(&[0x00, 0x00]), None, "field 0");
    }
}
