//! Between a host and an engine of different teams: passes every message on, and says who broke the contract.
//!
//! Nothing is changed on the way. The host is judged as in mode `host`, the engine as in mode `engine`; a request without
//! an answer is the engine's debt, an answer without a consequence the host's.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::batch;
use crate::host::legal::Legality;
use crate::host::script;
use crate::proto::{self, Fields as _};
use crate::session::Session;
use crate::trace::Recorder;
use crate::transport::{How, Incoming, Link, OpenOptions, SendOptions, Target};
use crate::value::Cell;
use crate::wire::{Message, frame_id};

/// A session that passes by.
pub struct Proxy {
    host: Box<dyn Link>,
    /// The engine's side.
    pub session: Session,
    /// The host's side.
    pub legal: Legality,
    /// How the host ended the transport, if it did.
    pub host_ended: Option<String>,
    engine_ended: bool,
    /// What the host asked last, and what the engine answered to that, in row form.
    pub last_exchange: Option<(Json, Option<Json>)>,
    last_id: u32,
}

impl Proxy {
    /// Connects a host that has come to an engine.
    pub fn open(
        host: Box<dyn Link>,
        target: &mut dyn Target,
        recorder: Recorder,
        deadline: Instant,
    ) -> Result<Proxy, String> {
        let link = target.connect(&OpenOptions::default(), deadline)?;
        let mut session = Session::new(link, recorder);
        session.tap = Some(Vec::new());
        Ok(Proxy {
            host,
            session,
            legal: Legality::default(),
            host_ended: None,
            engine_ended: false,
            last_exchange: None,
            last_id: 0,
        })
    }

    /// Passes on what there is. Waits a moment if there is nothing.
    pub fn pump(&mut self) {
        let moment = || Instant::now() + Duration::from_millis(1);
        if self.host_ended.is_none() {
            match self.host.receive(moment()) {
                Some(Incoming::Message(message)) => self.forward(&message),
                Some(Incoming::Garbage(what)) => {
                    self.legal.breaches.push(what.clone());
                    self.hang_up(what);
                }
                Some(Incoming::End(how)) => self.hang_up(how),
                Some(Incoming::Fact(_)) | None => {}
            }
        }
        if !self.engine_ended {
            self.session.poll(moment());
        }
        for message in self.session.tap.as_mut().map(std::mem::take).unwrap_or_default() {
            self.legal.answered(&message);
            if let Some((_, answer)) = &mut self.last_exchange
                && frame_id(&message.frame) == Some(self.last_id)
            {
                *answer = answer_of(&message);
            }
            // A host that has gone is noticed above.
            let _ = self.host.send(&message, SendOptions::default());
        }
        if self.session.has_ended() && !self.engine_ended {
            self.engine_ended = true;
            self.host.end(How::End);
        }
    }

    fn forward(&mut self, message: &Message) {
        let request = self.legal.look(message);
        let id = request.as_ref().map(|(id, _)| *id);
        if let Some((id, request)) = &request {
            self.last_id = *id;
            self.last_exchange = Some((script::request_json(request, &message.attachments), None));
        }
        if let Err(why) = self.session.pass_on(message, id) {
            self.legal.breaches.push(why);
        }
    }

    fn hang_up(&mut self, how: String) {
        self.host_ended = Some(how);
        self.session.link.end(How::End);
    }

    /// True once both sides are gone.
    pub fn is_over(&self) -> bool {
        self.host_ended.is_some() && self.engine_ended
    }

    /// Ends what is left, and looks at what still comes.
    pub fn finish(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.host.end(How::End);
        self.hang_up("the session is over".to_owned());
        while !self.is_over() && Instant::now() < deadline {
            self.pump();
        }
    }

    /// Who is being waited for, when nothing comes any more.
    pub fn who_owes(&self) -> String {
        match self.session.unanswered().first() {
            Some((id, call)) => format!(
                "the engine has not answered request {id} ({call}): it is the engine's turn"
            ),
            None if self.session.has_ended() => {
                "the engine's side of the transport has ended: the host has to say so".to_owned()
            }
            None => "every request has its answer: it is the host's turn".to_owned(),
        }
    }
}

/// An answer as hosts report it: rows, or an error.
fn answer_of(message: &Message) -> Option<Json> {
    let frame = proto::decode("Frame", &message.frame).ok()?;
    let response = frame.msg("response")?;
    if let Some(error) = response.msg("error") {
        let code = proto::enum_name("ErrorCode", error.int("code") as i32);
        return Some(json!({ "error": { "code": code, "reason": error.text("reason") } }));
    }
    let batch = response.msg("exec")?.msg("batch")?;
    let rows: Vec<Vec<Json>> = batch::decode(batch)
        .ok()?
        .iter()
        .map(|row| row.iter().map(Cell::to_json).collect())
        .collect();
    Some(json!({ "rows": rows }))
}
