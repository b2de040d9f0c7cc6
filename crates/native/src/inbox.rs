//! Messages that arrived and were not taken in yet, and whom they want stopped.
//!
//! Guarantee: what they say counts for as long as they are here. An id that is used again later is
//! not hit by an old `cancel`, because its request is taken in after it.

use std::collections::VecDeque;

use bytes::Bytes;
use lix_engine_proto::{Frame, frame, request};
use lix_engine_protocol::Error;

use crate::serve::Received;

/// What a transport brings.
pub(crate) enum Input {
    Message(Bytes, Vec<Received>),
    Broken(Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Note {
    Nothing,
    /// It is one of `cancels`.
    Cancel,
    Close,
}

/// In order of arrival.
#[derive(Default)]
pub(crate) struct Inbox {
    /// With each, what was noted of it.
    waiting: VecDeque<(Input, Note)>,
    /// The targets of the cancels among them, and the ids of these cancels.
    cancels: VecDeque<(u32, u32)>,
    /// A `close` was among them, or the end: no later `cancel` counts.
    ends: bool,
}

impl Inbox {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn push(&mut self, input: Input) {
        let note = match &input {
            _ if self.ends => Note::Nothing,
            Input::Message(frame, attachments) => self.note(frame, attachments.is_empty()),
            Input::Broken(_) => {
                self.ends = true;
                Note::Nothing
            }
        };
        self.waiting.push_back((input, note));
    }

    /// The oldest; what it wants stopped is from now on for the session to say.
    pub(crate) fn pop(&mut self) -> Option<Input> {
        let (input, note) = self.waiting.pop_front()?;
        match note {
            Note::Nothing => {}
            Note::Cancel => drop(self.cancels.pop_front()),
            // The session may refuse it.
            Note::Close => self.ends = false,
        }
        Some(input)
    }

    /// Whether a cancel of the request waits here.
    pub(crate) fn cancels(&self, request: u32) -> bool {
        // A cancel under the id of what it cancels is a mistake, and refused. 0 is nobody's id.
        let is_meant = |(target, id): &(u32, u32)| *target == request && *id != request;
        request != 0 && self.cancels.iter().any(is_meant)
    }

    /// Only what the session will not refuse may have an effect.
    fn note(&mut self, frame: &Bytes, is_alone: bool) -> Note {
        if frame.len() > LONGEST {
            return Note::Nothing;
        }
        let Ok(Frame { id, attachment_sizes, body: Some(frame::Body::Request(request)) }) =
            lix_engine_protocol::frame::decode(frame.clone())
        else {
            return Note::Nothing;
        };
        if id == 0 || request.scope != 0 {
            return Note::Nothing;
        }
        match request.call {
            Some(request::Call::Cancel(cancel)) if is_alone && attachment_sizes.is_empty() => {
                self.cancels.push_back((cancel.target, id));
                Note::Cancel
            }
            Some(request::Call::Close(_)) => {
                self.ends = true;
                Note::Close
            }
            _ => Note::Nothing,
        }
    }
}

/// A `cancel` or `close` is a few bytes; longer frames are not read twice.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use lix_engine_proto::{CancelRequest, CloseRequest, Request};
    use prost::Message as _;

    use super::*;

    fn frame(id: u32, scope: u32, call: request::Call) -> Input {
        let body = Some(frame::Body::Request(Request { scope, call: Some(call) }));
        let frame = Frame { id, body, ..Default::default() };
        Input::Message(frame.encode_to_vec().into(), vec![])
    }

    fn cancel(id: u32, target: u32) -> Input {
        frame(id, 0, request::Call::Cancel(CancelRequest { target }))
    }

    #[test]
    fn a_cancel_counts_until_it_is_taken_in() {
        let mut inbox = Inbox::default();
        inbox.push(cancel(5, 3));
        inbox.push(cancel(6, 4));
        assert!(inbox.cancels(3) && inbox.cancels(4) && !inbox.cancels(5));
        assert!(inbox.pop().is_some());
        assert!(!inbox.cancels(3) && inbox.cancels(4));
        assert!(inbox.pop().is_some());
        assert!(!inbox.cancels(4) && inbox.pop().is_none());
    }

    #[test]
    fn what_will_be_refused_stops_nothing() {
        let mut inbox = Inbox::default();
        inbox.push(cancel(3, 3));
        inbox.push(frame(5, 1, request::Call::Cancel(CancelRequest { target: 3 })));
        inbox.push(cancel(0, 3));
        inbox.push(Input::Message(Bytes::from_static(&[0xff; 4]), vec![]));
        inbox.push(frame(6, 0, request::Call::Close(CloseRequest::default())));
        inbox.push(cancel(7, 3));
        assert!(!inbox.cancels(3));
        assert_eq!(inbox.len(), 6);
        // Whether the close was one is for the session to say, once it has it.
        while inbox.len() > 1 {
            assert!(inbox.pop().is_some());
        }
        inbox.push(cancel(8, 4));
        assert!(!inbox.cancels(3) && inbox.cancels(4));
        inbox.push(cancel(9, 0));
        assert!(!inbox.cancels(0));
        // What is ignored is popped without taking the note of another.
        let mut inbox = Inbox::default();
        inbox.push(cancel(3, 0));
        inbox.push(frame(5, 1, request::Call::Cancel(CancelRequest { target: 3 })));
        inbox.push(cancel(6, 3));
        assert!(inbox.pop().is_some() && inbox.pop().is_some() && inbox.cancels(3));
    }
}
