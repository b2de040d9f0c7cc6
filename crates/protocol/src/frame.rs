//! Reading a frame that may be broken: whatever happens, say whose request it was.

use bytes::Bytes;
use lix_engine_proto::Frame;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::{Error, Reason};

/// Decodes a frame.
///
/// On failure the id comes along when it could still be read: its request is then answered and the
/// session lives. Without it nobody can be answered, and the session has to end.
pub fn decode(frame: Bytes) -> Result<Frame, (Option<u32>, Error)> {
    match Frame::decode(frame.clone()) {
        Ok(frame) => Ok(frame),
        Err(cause) => {
            let error =
                Error::new(Reason::FrameMalformed, format!("the frame does not parse: {cause}"));
            Err((scan(&frame).id, error))
        }
    }
}

/// The attachment lengths that a frame announces, read without decoding its body.
///
/// A stream reader needs them before anybody looks at the frame. A malformed frame announces what
/// could be read up to the damage.
pub fn attachment_sizes(frame: &Bytes) -> Vec<u64> {
    scan(frame).attachment_sizes
}

#[derive(Default)]
struct Envelope {
    id: Option<u32>,
    attachment_sizes: Vec<u64>,
}

/// Reads the two envelope fields and skips everything else, up to the first damage.
fn scan(frame: &Bytes) -> Envelope {
    let mut envelope = Envelope::default();
    let mut rest = frame.clone();
    let mut read_field = || -> Result<bool, prost::DecodeError> {
        if rest.is_empty() {
            return Ok(false);
        }
        let (field, wire_type) = decode_key(&mut rest)?;
        match (field, wire_type) {
            (1, WireType::Varint) => {
                let id = decode_varint(&mut rest)? as u32;
                envelope.id = (id != 0).then_some(id);
            }
            (2, WireType::Varint) => envelope.attachment_sizes.push(decode_varint(&mut rest)?),
            (2, WireType::LengthDelimited) => prost::encoding::uint64::merge_repeated(
                wire_type,
                &mut envelope.attachment_sizes,
                &mut rest,
                DecodeContext::default(),
            )?,
            _ => skip_field(wire_type, field, &mut rest, DecodeContext::default())?,
        }
        Ok(true)
    };
    while let Ok(true) = read_field() {}
    envelope
}

#[cfg(test)]
mod tests {
    use super::*;
    use lix_engine_proto::{ExecRequest, Request, frame, request};

    fn sample() -> Frame {
        Frame {
            id: 300,
            attachment_sizes: vec![1, 70_000],
            body: Some(frame::Body::Request(Request {
                scope: 0,
                call: Some(request::Call::Exec(ExecRequest {
                    sql: "select 1".into(),
                    ..Default::default()
                })),
            })),
        }
    }

    #[test]
    fn every_prefix_either_parses_or_names_its_request_once_the_id_is_in() {
        let whole = Bytes::from(sample().encode_to_vec());
        for end in 0..whole.len() {
            let prefix = whole.slice(..end);
            if let Err((id, error)) = decode(prefix) {
                assert_eq!(error.reason, Reason::FrameMalformed);
                assert_eq!(id, (end >= 3).then_some(300), "prefix of {end} bytes");
            }
        }
        assert_eq!(decode(whole).unwrap(), sample());
    }

    #[test]
    fn attachment_sizes_are_read_packed_and_one_by_one() {
        let packed = Bytes::from(sample().encode_to_vec());
        assert_eq!(attachment_sizes(&packed), [1, 70_000]);
        assert_eq!(attachment_sizes(&Bytes::from_static(&[0x10, 5, 0x10, 6])), [5, 6]);
    }
}
