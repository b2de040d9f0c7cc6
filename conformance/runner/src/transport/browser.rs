//! A worker engine in real Chromium.
//!
//! The runner serves the built package and a bridge page on loopback and starts a browser with an empty profile. The page
//! connects back; each session is a WebSocket of its own, behind which the page owns one worker: it forwards frames and
//! attachments with the transfer list, frame by frame, without the TypeScript host, and reports what only a page can see.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::Role;
use tungstenite::{Bytes, Message as Ws};

use super::process::Process;
use super::ws::Duplex;
use super::{Advice, How, Incoming, Link, OpenOptions, SendOptions, Stored, Target, TempDir, next};
use crate::implementation::Config;
use crate::wire::Message;

/// A browser with one page for all links of a job.
pub(crate) struct BrowserTarget {
    config: Config,
    browser: Option<Browser>,
    next_session: u64,
}

impl BrowserTarget {
    pub(crate) fn new(config: Config) -> BrowserTarget {
        BrowserTarget { config, browser: None, next_session: 1 }
    }
}

impl Target for BrowserTarget {
    fn connect(
        &mut self,
        options: &OpenOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Link>, String> {
        let mut deadline = deadline;
        if self.browser.as_ref().is_none_or(|browser| !browser.alive()) {
            self.browser = None;
            self.browser = Some(Browser::start(&self.config)?);
            deadline = deadline.max(Instant::now() + self.config.start_timeout);
        }
        let browser = self.browser.as_mut().expect("just started");
        let session = self.next_session;
        self.next_session += 1;
        let script = options.worker_script.as_deref().unwrap_or(&self.config.worker);
        let order = json!({
            "t": "open", "session": session, "script": script, "type": self.config.worker_type.name(),
            "name": self.config.worker_name, "frame": options.tab, "keep": browser.server.modules(),
        });
        let said = browser.console().last().cloned();
        let duplex = browser.open(session, &order, deadline)?;

        let (found, incoming) = channel();
        let missing = Arc::clone(&browser.server.missing);
        std::thread::spawn(move || unpack(&duplex.incoming, &found, &missing));
        Ok(Box::new(BrowserLink {
            outgoing: Some(duplex.outgoing),
            incoming,
            process: Rc::clone(&browser.process),
            control: browser.control.clone(),
            reloading: Rc::clone(&browser.reloading),
            said,
            ended: false,
        }))
    }

    fn stored(
        &mut self,
        path: &str,
        action: Stored,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, String> {
        let browser = self.browser.as_mut().ok_or_else(|| "no browser runs".to_owned())?;
        let session = self.next_session;
        self.next_session += 1;
        let duplex = browser.open(session, &json!({"t": "store", "session": session}), deadline)?;
        let message = match &action {
            Stored::Read => pack(&json!({"t": "read", "path": path}), &[]),
            Stored::Write(bytes) => {
                pack(&json!({"t": "write", "path": path, "sizes": [bytes.len()]}), &[bytes])
            }
            Stored::Remove => pack(&json!({"t": "remove", "path": path}), &[]),
        };
        let _ = duplex.outgoing.send(Ws::Binary(Bytes::from(message)));
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = match duplex.incoming.recv_timeout(left) {
            Ok(Ok(Ws::Binary(bytes))) => bytes,
            Ok(Err(why)) => return Err(format!("the bridge has gone: {why}")),
            _ => return Err("the bridge does not answer about what is stored".to_owned()),
        };
        let (header, parts) =
            opened(&answer).ok_or_else(|| "the bridge sent something unreadable".to_owned())?;
        match (header["error"].as_str(), header["found"].as_bool()) {
            (Some(why), _) => Err(format!("{path}: {why}")),
            (None, Some(true)) if matches!(action, Stored::Read) => {
                Ok(Some(parts.into_iter().next().unwrap_or_default()))
            }
            _ => Ok(None),
        }
    }

    fn restart(&mut self) {
        self.browser = None;
    }
}

struct BrowserLink {
    outgoing: Option<Sender<Ws>>,
    incoming: Receiver<Incoming>,
    process: Rc<RefCell<Process>>,
    control: Sender<Ws>,
    reloading: Rc<Cell<bool>>,
    /// The last line of the console before this link.
    said: Option<String>,
    ended: bool,
}

impl BrowserLink {
    fn post(&self, header: &Json, parts: &[&[u8]]) {
        if let Some(outgoing) = &self.outgoing {
            // A page that is gone is reported by the reader.
            let _ = outgoing.send(Ws::Binary(Bytes::from(pack(header, parts))));
        }
    }
}

impl Link for BrowserLink {
    fn send(&mut self, message: &Message, options: SendOptions) -> Result<(), String> {
        if options.length_prefix.is_some() {
            return Err("there are no length prefixes between page and worker".to_owned());
        }
        if options.as_text {
            let text = String::from_utf8_lossy(&message.frame);
            self.post(&json!({"t": "post", "value": text}), &[]);
            return Ok(());
        }
        let mut parts: Vec<&[u8]> = vec![&message.frame];
        parts.extend(message.attachments.iter().map(Vec::as_slice));
        let sizes: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        self.post(&json!({"t": "send", "sizes": sizes}), &parts);
        Ok(())
    }

    fn write_bytes(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Err("there is nothing outside the framing between page and worker".to_owned())
    }

    fn receive(&mut self, deadline: Instant) -> Option<Incoming> {
        next(&self.incoming, deadline)
    }

    fn end(&mut self, how: How) {
        if !std::mem::replace(&mut self.ended, true) {
            let action = if how == How::End { "finish" } else { "terminate" };
            self.post(&json!({"t": action}), &[]);
        }
    }

    fn kill(&mut self) {
        self.process.borrow_mut().kill();
    }

    /// The console. Chromium's own chatter says nothing about the engine.
    fn stderr(&self) -> String {
        let mut lines = console(&self.process.borrow());
        let seen = lines.iter().rposition(|line| Some(line) == self.said.as_ref());
        lines.drain(..seen.map_or(0, |at| at + 1));
        lines.dedup_by(|next, line| without_time(next) == without_time(line));
        lines.iter().map(|line| format!("{}\n", without_time(line))).collect()
    }

    fn advice(&self) -> Advice {
        Advice {
            frames: "a worker posts { v: 1, frame: ArrayBuffer, attachments?: ArrayBuffer[] } and nothing else; messages for \
                     people belong on the console",
            silence: "it started and says nothing. Does it take messages before it waits for anything (one that comes before \
                      onmessage is set is lost), and has it closed itself?",
            errors: "console",
        }
    }

    fn bridge(&mut self, action: &Json) -> Result<(), String> {
        if action == &json!({"t": "reload"}) {
            let _ = self.control.send(Ws::Text(action.to_string().into()));
            self.reloading.set(true);
        } else {
            self.post(action, &[]);
        }
        Ok(())
    }
}

impl Drop for BrowserLink {
    fn drop(&mut self) {
        self.post(&json!({"t": "terminate"}), &[]);
    }
}

struct Browser {
    process: Rc<RefCell<Process>>,
    control: Sender<Ws>,
    reloading: Rc<Cell<bool>>,
    arrivals: Receiver<Arrival>,
    _profile: TempDir,
    server: Listening,
}

/// A WebSocket from the page, by its path.
type Arrival = (String, Result<Duplex, String>);

impl Browser {
    fn start(config: &Config) -> Result<Browser, String> {
        let worker = config.package.join(&config.worker);
        if !worker.is_file() {
            return Err(format!(
                "the worker's script {} does not exist; is it built, and is that its name?",
                worker.display()
            ));
        }
        let (sender, arrivals) = channel();
        let server = Listening::start(config.package.clone(), sender)?;
        let profile = TempDir::new("lix-conformance-profile")?;
        let mut command = config.clone();
        if command.command.is_empty() {
            command.command = vec![chromium()?];
            command.command.extend(FLAGS.iter().map(|flag| (*flag).to_owned()));
        }
        let process = Process::start(
            &command,
            &[
                format!("--user-data-dir={}", profile.path().display()),
                format!("http://127.0.0.1:{}/", server.port),
            ],
        )?;
        let deadline = Instant::now() + config.start_timeout.max(START);
        let mut browser = Browser {
            process: Rc::new(RefCell::new(process)),
            control: channel().0,
            reloading: Rc::default(),
            arrivals,
            _profile: profile,
            server,
        };
        browser.control = browser.arrival("/control", deadline)?.1?.outgoing;
        Ok(browser)
    }

    fn console(&self) -> Vec<String> {
        console(&self.process.borrow())
    }

    fn alive(&self) -> bool {
        self.process.borrow_mut().exited().is_none()
    }

    /// Has the page open a session. A page that was reloaded connects again first, and is then asked again.
    fn open(&mut self, session: u64, order: &Json, deadline: Instant) -> Result<Duplex, String> {
        if self.reloading.take() {
            self.control = self.arrival("/control", deadline)?.1?.outgoing;
        }
        let path = format!("/session/{session}");
        loop {
            // A page that is gone is noticed by its silence.
            let _ = self.control.send(Ws::Text(order.to_string().into()));
            let (arrived, duplex) = self.arrival(&path, deadline)?;
            if arrived == path {
                return duplex;
            }
            self.control = duplex?.outgoing;
        }
    }

    /// Waits for the page to open the wanted WebSocket, or its control connection.
    fn arrival(&mut self, wanted: &str, deadline: Instant) -> Result<Arrival, String> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.arrivals.recv_timeout(left) {
                Ok(arrival) if arrival.0 == wanted || arrival.0 == "/control" => {
                    return Ok(arrival);
                }
                Ok(_) => {}
                Err(_) => {
                    return Err(format!(
                        "the page did not open {wanted}; the browser said: {}",
                        self.process.borrow().stderr()
                    ));
                }
            }
        }
    }
}

/// The HTTP server and the WebSockets of the page, on one loopback port.
struct Listening {
    port: u16,
    /// What was asked for and is not there.
    missing: Arc<Mutex<Vec<String>>>,
    /// Paths of WebAssembly that workers have loaded.
    modules: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<Mutex<bool>>,
}

impl Listening {
    fn start(package: PathBuf, arrivals: Sender<Arrival>) -> Result<Listening, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let stop = Arc::new(Mutex::new(false));
        let stopped = Arc::clone(&stop);
        let missing = Arc::<Mutex<Vec<String>>>::default();
        let missed = Arc::clone(&missing);
        let modules = Arc::<Mutex<BTreeSet<String>>>::default();
        let loaded = Arc::clone(&modules);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if *stopped.lock().expect("no holder panics") {
                    return;
                }
                let (package, arrivals) = (package.clone(), arrivals.clone());
                let (missed, loaded) = (Arc::clone(&missed), Arc::clone(&loaded));
                std::thread::spawn(move || answer(socket, &package, &arrivals, &missed, &loaded));
            }
        });
        Ok(Listening { port, missing, modules, stop })
    }

    fn modules(&self) -> BTreeSet<String> {
        self.modules.lock().expect("no holder panics").clone()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        *self.stop.lock().expect("no holder panics") = true;
        // Wakes the accepting thread, which then sees that it should end.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Every session loads the same files; cached, they are also compiled only once. The profile is new for every run.
fn answer(
    socket: TcpStream,
    package: &Path,
    arrivals: &Sender<Arrival>,
    missing: &Mutex<Vec<String>>,
    modules: &Mutex<BTreeSet<String>>,
) {
    let _ = socket.set_nodelay(true);
    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
    let mut peeked = [0_u8; 2048];
    let is_socket = loop {
        let Ok(got) = socket.peek(&mut peeked) else { return };
        let head = String::from_utf8_lossy(&peeked[..got]).to_ascii_lowercase();
        if got == 0 {
            return;
        }
        if head.contains("upgrade: websocket") {
            break true;
        }
        if head.contains("\r\n\r\n") || got == peeked.len() {
            break false;
        }
        std::thread::yield_now();
    };
    if is_socket {
        let mut path = String::new();
        let Ok(clone) = socket.try_clone() else { return };
        #[allow(clippy::result_large_err, reason = "the signature is tungstenite's")]
        let remember = |request: &Request, response: Response| {
            path = request.uri().path().to_owned();
            Ok(response)
        };
        if tungstenite::accept_hdr(clone, remember).is_ok() {
            let _ = socket.set_read_timeout(None);
            let _ = arrivals.send((path, Duplex::open(&socket, Role::Server)));
        }
        return;
    }
    let mut line = String::new();
    let mut reader = BufReader::new(&socket);
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut header = String::new();
    while reader.read_line(&mut header).is_ok_and(|n| n > 2) {
        header.clear();
    }
    let path = line.split(' ').nth(1).unwrap_or("/");
    let path = path.split('?').next().unwrap_or("/");
    let path = decoded(path);
    let (status, kind, body) = resource(&path, package);
    if status.starts_with("404") {
        let why = match path.strip_prefix("/package/") {
            Some(inside) => format!("{inside} is not there"),
            None => format!("{path} is outside of the folder that is served; serve a wider one"),
        };
        missing.lock().expect("no holder panics").push(why);
    } else if kind == WASM {
        modules.lock().expect("no holder panics").insert(path);
    }
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: max-age=3600\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut writer = &socket;
    let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body));
}

fn resource(path: &str, package: &Path) -> (&'static str, &'static str, Vec<u8>) {
    match path {
        "/" => return ("200 OK", "text/html; charset=utf-8", PAGE.as_bytes().to_vec()),
        "/bridge.js" => return ("200 OK", "text/javascript", BRIDGE.as_bytes().to_vec()),
        _ => {}
    }
    let inside =
        path.strip_prefix("/package/").filter(|inside| !inside.split('/').any(|part| part == ".."));
    match inside.map(|inside| package.join(inside)) {
        Some(file) if file.is_file() => {
            let kind = match file.extension().and_then(|extension| extension.to_str()) {
                Some("js" | "mjs" | "cjs") => "text/javascript",
                Some("wasm") => WASM,
                Some("json" | "map") => "application/json",
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css",
                Some("txt" | "sql") => "text/plain; charset=utf-8",
                _ => "application/octet-stream",
            };
            match std::fs::read(&file) {
                Ok(bytes) => ("200 OK", kind, bytes),
                Err(_) => ("500 Internal Server Error", "text/plain", Vec::new()),
            }
        }
        _ => ("404 Not Found", "text/plain", b"not here".to_vec()),
    }
}

/// The path of a URL as names of files: `%20` is a space.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What page and workers wrote on the console, with its times.
fn console(browser: &Process) -> Vec<String> {
    let is_message = |line: &&str| line.contains(":CONSOLE") && line.contains("] \"");
    browser.stderr().lines().filter(is_message).map(str::to_owned).collect()
}

/// A line of the console, without what only Chromium needs.
fn without_time(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, said)| said)
}

/// Turns what the page says into what the session understands.
fn unpack(
    from: &Receiver<Result<Ws, String>>,
    to: &Sender<Incoming>,
    missing: &Mutex<Vec<String>>,
) {
    for item in from {
        let incoming = match item {
            Ok(Ws::Binary(bytes)) => match unpacked(&bytes) {
                Some(incoming) => incoming,
                None => Incoming::Garbage("the bridge sent something unreadable".to_owned()),
            },
            Ok(_) => continue,
            Err(why) => Incoming::End(why),
        };
        // Why a script does not load is kept from pages.
        let incoming = match (incoming, missing.lock().expect("no holder panics").as_slice()) {
            (Incoming::End(why), [.., last]) if why.contains(NOT_LOADED) => {
                Incoming::End(format!("{why}: {last}"))
            }
            (incoming, _) => incoming,
        };
        let last = matches!(incoming, Incoming::End(_));
        if to.send(incoming).is_err() || last {
            return;
        }
    }
}

fn unpacked(bytes: &[u8]) -> Option<Incoming> {
    let (header, mut parts) = opened(bytes)?;
    let text = |name: &str| header[name].as_str().unwrap_or_default().to_owned();
    Some(match header["t"].as_str()? {
        "message" if !parts.is_empty() => {
            let attachments = parts.split_off(1);
            Incoming::Message(Message { frame: parts.pop()?, attachments })
        }
        "odd" => Incoming::Garbage(format!("the worker posted {}", text("what"))),
        "ended" => Incoming::End(text("why")),
        "fact" => Incoming::Fact(header["facts"].clone()),
        _ => return None,
    })
}

/// The header of a message of the bridge, and its parts.
fn opened(bytes: &[u8]) -> Option<(Json, Vec<Vec<u8>>)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (header, mut rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let header: Json = serde_json::from_slice(header).ok()?;
    let mut parts = Vec::new();
    for size in header["sizes"].as_array().into_iter().flatten() {
        let (part, after) = rest.split_at_checked(usize::try_from(size.as_u64()?).ok()?)?;
        parts.push(part.to_vec());
        rest = after;
    }
    Some((header, parts))
}

fn pack(header: &Json, parts: &[&[u8]]) -> Vec<u8> {
    let header = header.to_string();
    let mut out = u32::try_from(header.len()).expect("headers are short").to_le_bytes().to_vec();
    out.extend_from_slice(header.as_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn chromium() -> Result<String, String> {
    for variable in ["CHROMIUM", "CHROME_PATH"] {
        if let Ok(path) = std::env::var(variable)
            && !path.is_empty()
        {
            return Ok(path);
        }
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in names {
        for dir in std::env::split_paths(&path) {
            if dir.join(name).is_file() {
                return Ok(dir.join(name).to_string_lossy().into_owned());
            }
        }
    }
    let mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
    if Path::new(mac).is_file() {
        return Ok(mac.to_owned());
    }
    Err("no Chromium found; install it, or name it in CHROMIUM".to_owned())
}

/// How long a browser may take to show the page; on a machine that does something else too it is no matter of seconds.
const START: Duration = Duration::from_secs(60);

/// What bridge.js says of a script that failed before it ran.
const NOT_LOADED: &str = "its script does not load";

const WASM: &str = "application/wasm";
const PAGE: &str = include_str!("../../../adapters/browser/bridge.html");
const BRIDGE: &str = include_str!("../../../adapters/browser/bridge.js");

const FLAGS: [&str; 16] = [
    "--headless",
    "--enable-logging=stderr",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--metrics-recording-only",
];
