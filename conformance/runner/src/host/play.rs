//! Plays one case for hosts: gives the adapter commands, is the engine meanwhile, and compares what the host reports.
//!
//! Three parties can be at fault, and each is named: the host library (an expectation that does not hold, an illegal
//! frame), its adapter (reports twice, prints, dies), and the case.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prost_reflect::DynamicMessage;
use serde_json::{Map, Value as Json, json};

use crate::host::adapter::Adapter;
use crate::host::case::{EngineStep, HostCase, HostStep};
use crate::host::legal::Legality;
use crate::host::script;
use crate::play::{Ending, Played};
use crate::proto::Fields as _;
use crate::proxy::Proxy;
use crate::trace::{Direction, Recorder, TraceFile, shorten};
use crate::transport::{How, Incoming, Link, Listener, SendOptions, Spoken, Target};
use crate::value::unhex;
use crate::wire::Message;

/// What a case came to, and whether the adapter can be used again.
pub struct HostPlayed {
    /// As for engines; `breaches` are the host's.
    pub played: Played,
    /// What the adapter did wrong.
    pub adapter: Vec<String>,
    /// What the engine of a pair did wrong.
    pub engine: Vec<String>,
    /// Why the case cannot be played with this host, if it cannot.
    pub not_here: Option<String>,
    /// The adapter has to be started anew.
    pub spoiled: bool,
}

/// The engine of a pair.
pub type Engine<'a> = Option<&'a mut (dyn Target + 'static)>;

/// Plays a case, with a scripted engine or a real one. `relay` is a program that hands its stdin and stdout to an address, for hosts that start engines.
pub fn play(
    case: &HostCase,
    id: &str,
    adapter: &mut Adapter,
    engine: Engine<'_>,
    relay: &str,
    trace: Option<TraceFile>,
    timeout: Duration,
) -> HostPlayed {
    let started = Instant::now();
    let budget = match case.timeout_ms {
        0 => timeout,
        ms => Duration::from_millis(u64::from(ms)),
    };
    adapter.events.clear();
    let said = adapter.stderr().len();
    let listener = Listener::bind("127.0.0.1:0");
    let mut recorder = Some(Recorder::new(id, trace));
    let mut played = Played::nothing();
    let (mut breaches, mut engine_breaches) = (Vec::new(), Vec::new());
    let mut said_by_engine = String::new();
    let (mut not_here, mut spoiled) = (None, false);
    match listener {
        Err(why) => {
            played.own_breaches.push(format!("the runner cannot listen: {why}"));
            played.ending = Ending::Fail;
        }
        Ok(listener) => {
            let mut player = Player {
                case,
                adapter,
                engine,
                proxy: None,
                relay,
                listener,
                link: None,
                recorder: recorder.take().expect("not used yet"),
                legal: Legality::default(),
                deadline: started + budget,
                asked: BTreeMap::new(),
                last: String::new(),
                labels: BTreeMap::new(),
                seq: 0,
                is_open: false,
                has_left: false,
                at: String::new(),
                ended: None,
                waiting: None,
                ahead: None,
            };
            let result = player.run();
            played.step = player.at.clone();
            match result {
                Ok(()) => played.step.clear(),
                Err(trouble) => {
                    if let Trouble::NotHere(why) = &trouble {
                        // Its session is left in the middle.
                        (not_here, spoiled) = (Some(why.clone()), true);
                    }
                    let (ending, lines) = trouble.told();
                    (played.ending, played.lines) = (ending, lines);
                }
            }
            played.excerpt = player.recorder.excerpt();
            breaches = std::mem::take(&mut player.legal.breaches);
            if let Some(mut proxy) = player.proxy.take() {
                proxy.finish(Duration::from_millis(500));
                played.excerpt = proxy.session.recorder.excerpt();
                breaches.append(&mut proxy.legal.breaches);
                engine_breaches.append(&mut proxy.session.breaches);
                said_by_engine = proxy.session.link.stderr();
            }
            if played.ending != Ending::Pass
                && let Some(engine) = player.engine
            {
                engine.restart();
            }
        }
    }
    let stderr = adapter.stderr();
    played.stderr = stderr.get(said..).unwrap_or(&stderr).to_owned() + &said_by_engine;
    played.breaches = breaches;
    played.duration = started.elapsed();
    spoiled |= played.ending != Ending::Pass || adapter.end().is_some();
    HostPlayed {
        adapter: std::mem::take(&mut adapter.breaches),
        engine: engine_breaches,
        played,
        not_here,
        spoiled,
    }
}

enum Trouble {
    /// An expectation about the host does not hold.
    Host(String),
    /// The adapter broke its protocol.
    Adapter(String),
    /// The adapter is gone.
    Gone(String),
    /// Nothing came in time.
    Time(String),
    /// The case is wrong.
    Case(String),
    /// The case does not apply to how this host connects.
    NotHere(String),
}

impl Trouble {
    fn told(self) -> (Ending, Vec<String>) {
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        match self {
            Trouble::Host(what) => (Ending::Fail, lines(what)),
            Trouble::Adapter(what) => (Ending::Fail, lines(what)),
            Trouble::NotHere(why) => (Ending::Pass, lines(why)),
            Trouble::Gone(what) => (Ending::Crash, lines(what)),
            Trouble::Time(what) => (Ending::Timeout, lines(what)),
            Trouble::Case(what) => (Ending::Fail, lines(format!("the case is wrong: {what}"))),
        }
    }
}

impl From<String> for Trouble {
    fn from(what: String) -> Trouble {
        Trouble::Case(what)
    }
}

struct Player<'a> {
    case: &'a HostCase,
    adapter: &'a mut Adapter,
    /// A pair: the engine, and the session between the two.
    engine: Engine<'a>,
    proxy: Option<Proxy>,
    relay: &'a str,
    listener: Listener,
    link: Option<Box<dyn Link>>,
    recorder: Recorder,
    legal: Legality,
    deadline: Instant,
    /// Requests that came, by the name that the case gave them: id and call.
    asked: BTreeMap<String, (u32, String)>,
    last: String,
    /// Commands that a later step waits for.
    labels: BTreeMap<String, u64>,
    seq: u64,
    is_open: bool,
    at: String,
    /// The engine has ended the transport: what the host had on its way reaches nobody.
    has_left: bool,
    /// How the host ended the transport.
    ended: Option<String>,
    /// The command whose report would say that the host gave up.
    waiting: Option<u64>,
    /// A request that came in place of an optional one.
    ahead: Option<(Message, u32, DynamicMessage)>,
}

impl Player<'_> {
    fn run(&mut self) -> Result<(), Trouble> {
        let case = self.case;
        if !case.no_open {
            self.at = "open".to_owned();
            let step = HostStep { open: Some(case.open.clone()), ..HostStep::default() };
            self.step(&step)?;
        }
        for (index, step) in case.steps.iter().enumerate() {
            self.at = match step.about.as_str() {
                "" => format!("steps[{index}]"),
                about => format!("steps[{index}] ({about})"),
            };
            self.step(step)?;
        }
        self.at = "after the last step".to_owned();
        if let Some((label, _)) = self.labels.first_key_value() {
            return Err(Trouble::Case(format!("nothing waits for {label:?}")));
        }
        // How a session ends that the case has left behind is not its subject: a host may have hung up by itself.
        if self.is_open && self.ended.is_none() {
            let id = self.adapter.command("close", json!({}))?;
            self.waiting = Some(id);
            if self.engine.is_none() {
                let asks = EngineStep { optional: true, ..expects("close") };
                self.engine(&[asks, replies()])?;
            }
            self.report(id)?;
        }
        self.settle()
    }

    fn step(&mut self, step: &HostStep) -> Result<(), Trouble> {
        let verb = step.verbs().first().copied();
        let command = match verb {
            Some(verb) => {
                let options = self.options(verb, step)?;
                Some(self.adapter.command(verb, options)?)
            }
            None => None,
        };
        let awaited = match (command, step.wait.as_str()) {
            (Some(id), _) if step.label.is_empty() => Some(id),
            (None, "") => None,
            (None, label) => self.labels.remove(label),
            (Some(id), _) => {
                self.labels.insert(step.label.clone(), id);
                None
            }
        };
        self.waiting = awaited.or(command);
        if verb == Some("open") {
            self.accept()?;
        }
        let standard = match verb {
            _ if self.engine.is_some() => Vec::new(),
            Some("open") => vec![expects("init"), replies()],
            Some("close") if self.is_open && self.ended.is_none() => {
                vec![expects("close"), replies()]
            }
            _ => Vec::new(),
        };
        let script =
            if step.engine.is_empty() && !standard.is_empty() { &standard } else { &step.engine };
        self.engine(script)?;
        if let Some(id) = awaited {
            let report = self.report(id)?;
            self.judge(step, &report)?;
            match verb {
                Some("open") if report.get("error").is_none() => self.is_open = true,
                Some("close" | "drop") => self.is_open = false,
                _ => {}
            }
        }
        if let Some(wanted) = &step.events {
            self.events(wanted)?;
        }
        Ok(())
    }

    /// What the adapter is told.
    fn options(&self, verb: &str, step: &HostStep) -> Result<Json, String> {
        let mut options = step.options.clone();
        let mut set = |name: &str, value: Json| options.insert(name.to_owned(), value);
        match verb {
            "open" => {
                let address = self.listener.address();
                set("tcp", json!(address));
                set("ws", json!(format!("ws://{address}/")));
                set("command", json!([self.relay, "relay", address]));
                for (name, value) in step.open.iter().flatten() {
                    set(name, value.clone());
                }
            }
            "exec" => {
                set("sql", json!(step.exec));
            }
            "stream" => {
                set("sql", json!(step.stream));
            }
            "batch" => {
                set("statements", json!(step.batch));
            }
            "cancel" => {
                let label = step.cancel.as_deref().unwrap_or_default();
                let id =
                    self.labels.get(label).ok_or(format!("{label:?} does not wait any more"))?;
                set("target", json!(id));
            }
            _ => {}
        }
        if let Some(params) = &step.params {
            set("params", params.iter().map(plain).collect::<Result<_, _>>()?);
        }
        if let Some(named) = &step.named {
            let members = named
                .iter()
                .map(|(name, value)| Ok((name.clone(), plain(value)?)))
                .collect::<Result<Map<_, _>, String>>()?;
            set("named", Json::Object(members));
        }
        Ok(Json::Object(options))
    }

    /// Waits for the host to connect.
    fn accept(&mut self) -> Result<(), Trouble> {
        loop {
            let slice = self.slice();
            if let Some((link, spoken)) = self.listener.accept(slice).map_err(Trouble::Host)? {
                if spoken == Spoken::WebSocket && self.case.needs_stream() {
                    return Err(Trouble::NotHere(
                        "the host speaks WebSocket, which has nothing outside of messages"
                            .to_owned(),
                    ));
                }
                if let Some(engine) = &mut self.engine {
                    let proxy =
                        Proxy::open(link, &mut **engine, self.recorder.clone(), self.deadline);
                    self.proxy =
                        Some(proxy.map_err(|why| Trouble::Gone(format!("the engine: {why}")))?);
                    return Ok(());
                }
                self.link = Some(link);
                let breaches = std::mem::take(&mut self.legal.breaches);
                self.legal = Legality::after(breaches);
                (self.seq, self.ended, self.ahead, self.has_left) = (0, None, None, false);
                return Ok(());
            }
            self.while_waiting("a connection of the host")?;
            if let Some(id) = self.waiting
                && self.adapter.has(id)
            {
                let report = self.adapter.take(id).unwrap_or_default();
                return Err(Trouble::Host(format!(
                    "the host did not connect; it reports {}",
                    shown(&report)
                )));
            }
        }
    }

    fn engine(&mut self, steps: &[EngineStep]) -> Result<(), Trouble> {
        let mut skipping = false;
        for step in steps {
            if let Some(wanted) = &step.expect {
                skipping = !self.expect(step, wanted)?;
            } else if skipping {
                continue;
            } else if let Some(reply) = &step.reply {
                self.reply(step, reply)?;
            } else if let Some(event) = &step.event {
                self.seq += 1;
                let mut event = event.clone();
                event.entry("seq").or_insert_with(|| json!(self.seq.to_string()));
                let message =
                    script::message(json!({ "event": event }), Vec::new(), &step.append_hex)?;
                self.send(&message)?;
            } else if let Some(frame) = &step.frame {
                let message = script::message(Json::Object(frame.clone()), Vec::new(), "")?;
                self.send(&message)?;
            } else if let Some(bytes) = &step.frame_hex {
                self.send(&Message::of(unhex(bytes)?))?;
            } else if let Some(bytes) = &step.bytes_hex {
                let bytes = unhex(bytes)?;
                self.link()?.write_bytes(&bytes)?;
            } else if step.ended {
                self.wait_end()?;
            } else {
                let how = if step.end == "DROP" { How::Drop } else { How::End };
                self.link()?.end(how);
                (self.is_open, self.has_left) = (false, true);
            }
        }
        Ok(())
    }

    /// True if the request came; false if it was optional and did not.
    fn expect(&mut self, step: &EngineStep, wanted: &Map<String, Json>) -> Result<bool, Trouble> {
        let what = wanted.keys().next().cloned().unwrap_or_else(|| "a request".to_owned());
        let next = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.request(&what, step.optional)?,
        };
        let Some((message, id, request)) = next else { return Ok(false) };
        let call = request.which("call").unwrap_or_default();
        let actual = script::request_json(&request, &message.attachments);
        if let Some(difference) = script::unlike(&Json::Object(wanted.clone()), &actual, "request")
        {
            if step.optional {
                self.ahead = Some((message, id, request));
                return Ok(false);
            }
            return Err(Trouble::Host(format!(
                "the host sent {}\n{difference}",
                shorten(&actual.to_string(), 500)
            )));
        }
        self.last = if step.name.is_empty() { "last".to_owned() } else { step.name.clone() };
        self.asked.insert("last".to_owned(), (id, call.clone()));
        self.asked.insert(self.last.clone(), (id, call));
        Ok(true)
    }

    /// The next request of the host; `None` if it is optional and the host goes on without it.
    fn request(
        &mut self,
        what: &str,
        optional: bool,
    ) -> Result<Option<(Message, u32, DynamicMessage)>, Trouble> {
        // Reports and frames come on different ways: what was sent before a report may be seen after it.
        let mut is_last_look = false;
        loop {
            let slice = match is_last_look {
                true => (Instant::now() + LAST_LOOK).min(self.deadline),
                false => self.slice(),
            };
            match self.link()?.receive(slice) {
                Some(Incoming::Message(message)) => {
                    self.recorder.note(Direction::Send, &message);
                    return match self.legal.look(&message) {
                        Some((id, request)) => Ok(Some((message, id, request))),
                        None => Err(Trouble::Host(format!(
                            "instead of {what} the host sent what is no request"
                        ))),
                    };
                }
                Some(Incoming::Garbage(what)) => {
                    self.is_adapter_gone()?;
                    return Err(Trouble::Host(what));
                }
                Some(Incoming::End(how)) => {
                    self.host_has_ended(&how);
                    self.is_adapter_gone()?;
                    if optional {
                        return Ok(None);
                    }
                    return Err(Trouble::Host(format!(
                        "the host ended the transport in place of {what}: {how}"
                    )));
                }
                Some(Incoming::Fact(_)) => {}
                None => {
                    if let Some(id) = self.waiting
                        && self.adapter.has(id)
                    {
                        if !is_last_look {
                            is_last_look = true;
                            continue;
                        }
                        if optional {
                            return Ok(None);
                        }
                        let report = self.adapter.take(id).unwrap_or_default();
                        return Err(Trouble::Host(format!(
                            "the host did not send {what}; it reports {}",
                            shown(&report)
                        )));
                    }
                    self.while_waiting(&format!("the request {what} of the host"))?;
                }
            }
        }
    }

    fn reply(&mut self, step: &EngineStep, reply: &Map<String, Json>) -> Result<(), Trouble> {
        let to = if step.to.is_empty() { "last" } else { &step.to };
        let (id, call) =
            self.asked.get(to).cloned().ok_or_else(|| format!("no request is named {to:?}"))?;
        let state = json!({ "commit_seq": "0" });
        let (response, attachments) = script::response(&call, reply, &self.case.engine, &state)?;
        let id = step.id.unwrap_or(id);
        let frame = json!({ "id": id, "response": response });
        let message = script::message(frame, attachments, &step.append_hex)?;
        if let Some(cut) = step.cut {
            let bytes = message.to_stream(None);
            self.link()?.write_bytes(&bytes[..cut.min(bytes.len())])?;
            self.link()?.end(How::End);
            (self.is_open, self.has_left) = (false, true);
            return Ok(());
        }
        for _ in 0..step.copies.unwrap_or(1) {
            self.send(&message)?;
        }
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Result<(), Trouble> {
        self.recorder.note(Direction::Receive, message);
        self.legal.answered(message);
        self.link()?.send(message, SendOptions::default())?;
        Ok(())
    }

    fn wait_end(&mut self) -> Result<(), Trouble> {
        while self.ended.is_none() {
            let slice = self.slice();
            match self.link()?.receive(slice) {
                Some(Incoming::End(how)) => self.host_has_ended(&how),
                Some(Incoming::Message(message)) => self.surprise(&message)?,
                Some(Incoming::Garbage(what)) => return Err(Trouble::Host(what)),
                Some(Incoming::Fact(_)) => {}
                None => self.while_waiting("the host to end the transport")?,
            }
        }
        self.is_open = false;
        Ok(())
    }

    /// Waits for what came of a command. A request that no step expects is a failure.
    fn report(&mut self, id: u64) -> Result<Json, Trouble> {
        loop {
            if let Some(report) = self.adapter.take(id) {
                return Ok(report);
            }
            if let Some((message, ..)) = self.ahead.take() {
                self.surprise(&message)?;
            }
            let slice = self.slice();
            let incoming = match (&mut self.link, &self.ended) {
                _ if self.proxy.is_some() => {
                    self.pump();
                    None
                }
                (Some(link), None) => link.receive(slice),
                _ => {
                    self.adapter.poll(slice);
                    None
                }
            };
            match incoming {
                Some(Incoming::Message(message)) => {
                    self.recorder.note(Direction::Send, &message);
                    self.legal.look(&message);
                    self.surprise(&message)?;
                }
                Some(Incoming::End(how)) => self.host_has_ended(&how),
                Some(Incoming::Garbage(what)) => return Err(Trouble::Host(what)),
                Some(Incoming::Fact(_)) => {}
                None => self.while_waiting("the report of the host")?,
            }
        }
    }

    fn surprise(&self, message: &Message) -> Result<(), Trouble> {
        if self.has_left {
            return Ok(());
        }
        let frame = crate::trace::row_form(&message.frame).to_string();
        Err(Trouble::Host(format!("the host sent what nobody asked for: {}", shorten(&frame, 500))))
    }

    /// Nothing came for a moment: is it worth waiting on?
    fn while_waiting(&mut self, what: &str) -> Result<(), Trouble> {
        if let Some(end) = self.adapter.end() {
            return Err(Trouble::Gone(end));
        }
        if let Some(breach) = self.adapter.breaches.first() {
            return Err(Trouble::Adapter(breach.clone()));
        }
        if Instant::now() >= self.deadline {
            if let Some(proxy) = &self.proxy {
                let what = format!("the runner waits for {what}; {}", proxy.who_owes());
                return Err(Trouble::Time(what));
            }
            let whose = match &self.link {
                Some(link) => link.unfinished().map(|rest| format!("; {rest}")).unwrap_or_default(),
                None => String::new(),
            };
            return Err(Trouble::Time(format!("the runner waits for {what}{whose}")));
        }
        Ok(())
    }

    /// An engine whose host has gone goes as well, and a host may wait for that.
    fn host_has_ended(&mut self, how: &str) {
        self.ended = Some(how.to_owned());
        if let Some(link) = &mut self.link {
            link.end(How::End);
        }
    }

    /// A transport that ends may only be the first that is seen of a program that has died.
    fn is_adapter_gone(&mut self) -> Result<(), Trouble> {
        let moment = (Instant::now() + Duration::from_millis(300)).min(self.deadline);
        while self.adapter.end().is_none() && self.adapter.poll(moment) {}
        self.adapter.end().map_or(Ok(()), |end| Err(Trouble::Gone(end)))
    }

    fn judge(&mut self, step: &HostStep, report: &Json) -> Result<(), Trouble> {
        let whose = self.whose_fault(step);
        let fail = |what: String| {
            Err(Trouble::Host(format!("{what}\nthe host reports {}{whose}", shown(report))))
        };
        if report.get("defect").is_some() {
            return fail("the host threw what is no error of its own".to_owned());
        }
        match (&step.error, report.get("error")) {
            (Some(wanted), Some(actual)) => {
                let mut wanted = wanted.clone();
                let contains = wanted.remove("message_contains");
                if let Some(difference) = script::unlike(&Json::Object(wanted), actual, "error") {
                    return fail(difference);
                }
                let message = actual["message"].as_str().unwrap_or_default();
                if let Some(part) = contains.as_ref().and_then(Json::as_str)
                    && !message.contains(part)
                {
                    return fail(format!("the message does not contain {part:?}: {message:?}"));
                }
            }
            (Some(wanted), None) => return fail(format!("expected the error {}", json!(wanted))),
            (None, Some(_)) => return fail("an error that nobody expected".to_owned()),
            (None, None) => {}
        }
        let result = report.get("result").unwrap_or(report);
        let mut wanted = Map::new();
        let mut want = |name: &str, value: Option<Json>| {
            value.map(|value| wanted.insert(name.to_owned(), value))
        };
        want("rows", step.rows.clone().map(Json::Array));
        want("columns", step.columns.as_ref().map(|columns| json!(columns)));
        want("results", step.results.clone().map(Json::Array));
        want("opened", step.opened.clone().map(Json::Object));
        if let Some(difference) = script::unlike(&Json::Object(wanted), result, "report") {
            return fail(difference);
        }
        for (name, wanted) in
            [("changes", &step.changes), ("last_insert_rowid", &step.last_insert_rowid)]
        {
            let Some(wanted) = wanted else { continue };
            let actual = result.get(name).unwrap_or(&Json::Null);
            let wanted = match wanted {
                Json::String(text) => json!({ "int": text }),
                Json::Number(number) => json!({ "int": number.to_string() }),
                other => other.clone(),
            };
            if !script::same_cell(&wanted, actual) {
                return fail(format!("{name}:\n  expected {wanted}\n  actual   {actual}"));
            }
        }
        if let Some(wanted) = &step.image
            && script::image_hex(report).as_deref() != Some(wanted)
        {
            return fail(format!("image: expected {wanted}"));
        }
        Ok(())
    }

    fn events(&mut self, wanted: &[Map<String, Json>]) -> Result<(), Trouble> {
        while self.adapter.events.len() < wanted.len() {
            self.pump();
            let slice = self.slice();
            if !self.adapter.poll(slice) {
                let came = self.adapter.events.len();
                self.while_waiting(&format!(
                    "an event that the host tells ({came} of {} came)",
                    wanted.len()
                ))?;
            }
        }
        let actual = Json::Array(std::mem::take(&mut self.adapter.events));
        match script::unlike(&json!(wanted), &actual, "events") {
            Some(difference) => Err(Trouble::Host(difference)),
            None => Ok(()),
        }
    }

    /// The case is over: nothing may be left.
    fn settle(&mut self) -> Result<(), Trouble> {
        if let Some((message, ..)) = self.ahead.take() {
            self.surprise(&message)?;
        }
        // The adapter answers in the order of commands that are done: once it has answered this, nothing old is on its way.
        if self.adapter.end().is_none() {
            let id = self.adapter.command("drop", json!({}))?;
            self.report(id)?;
        }
        match self.adapter.breaches.first() {
            Some(breach) => Err(Trouble::Adapter(breach.clone())),
            None => Ok(()),
        }
    }

    fn pump(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.pump();
        }
    }

    /// Which of the two is wrong when a pair does not report what it should. Only said of a single statement, where what
    /// passed by proves it.
    fn whose_fault(&self, step: &HostStep) -> String {
        let exchange = self.proxy.as_ref().and_then(|proxy| proxy.last_exchange.as_ref());
        let (Some(sql), Some((request, answer)), None) = (&step.exec, exchange, &step.named) else {
            return String::new();
        };
        let mut asked = json!({ "sql": sql });
        if let Some(params) = &step.params {
            asked["params"] = params.iter().map(|value| plain(value).unwrap_or_default()).collect();
        }
        if script::unlike(&json!({ "exec": asked }), request, "request").is_some() {
            let sent = shorten(&request.to_string(), 300);
            return format!(
                "\nthe host sent {sent}, which is not what it was asked for: the host is wrong"
            );
        }
        let Some(answer) = answer else { return String::new() };
        let wanted = match (&step.rows, &step.error) {
            (Some(rows), _) => json!({ "rows": rows }),
            (_, Some(error)) => {
                let named = |name: &&String| ["code", "reason"].contains(&name.as_str());
                let error: Map<String, Json> = error
                    .iter()
                    .filter(|(name, _)| named(name))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                json!({ "error": error })
            }
            _ => return String::new(),
        };
        let who = match script::unlike(&wanted, answer, "answer") {
            None => "that is right, so the host is wrong",
            Some(_) => "so the engine is wrong",
        };
        format!("\nthe engine answered {}: {who}", shorten(&answer.to_string(), 300))
    }

    fn link(&mut self) -> Result<&mut Box<dyn Link>, Trouble> {
        self.link.as_mut().ok_or_else(|| Trouble::Case("there is no connection yet".to_owned()))
    }

    fn slice(&self) -> Instant {
        (Instant::now() + Duration::from_millis(5)).min(self.deadline)
    }
}

/// How long a frame may be on its way when the report on its command is there.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// A value as adapters get it: one of the plain tags.
fn plain(value: &Json) -> Result<Json, String> {
    const OWN: [&str; 4] = ["bigint", "bool", "undefined", "unsupported"];
    if OWN.iter().any(|tag| value.get(tag).is_some()) {
        return Ok(value.clone());
    }
    let param = crate::value::Param::from_json(value, &Default::default())?;
    Ok(param.cell.ok_or("adapters get values")?.to_json())
}

fn expects(call: &str) -> EngineStep {
    let mut wanted = Map::new();
    wanted.insert(call.to_owned(), json!({}));
    EngineStep { expect: Some(wanted), ..EngineStep::default() }
}

fn replies() -> EngineStep {
    EngineStep { reply: Some(Map::new()), ..EngineStep::default() }
}

fn shown(report: &Json) -> String {
    shorten(&report.to_string(), 600)
}
