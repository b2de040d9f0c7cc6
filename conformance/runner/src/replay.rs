//! Plays a trace again: the host's frames as they were, byte by byte, and the engine's compared with what came then.
//!
//! A trace of somebody else's session is thereby a test without a case: attach it to a report, play it against the mended
//! engine, or against another one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::glob;
use crate::trace::{Direction, row_form, shorten};
use crate::transport::{How, Incoming, Link, OpenOptions, SendOptions, Target};
use crate::wire::Message;

/// A recorded session.
#[derive(Debug)]
pub struct Recorded {
    /// The case it belongs to, or whatever name it was recorded under.
    pub case: String,
    /// What passed by, with the line of the trace.
    pub messages: Vec<(usize, Direction, Message)>,
}

/// What playing it again came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Messages of the engine that were the same.
    pub same: usize,
    /// Where they were not, one a line; empty if nothing is different.
    pub differences: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    case: String,
    #[serde(default)]
    session: u64,
    dir: String,
    raw: Option<String>,
    #[serde(default)]
    attached: Vec<String>,
}

/// Reads a trace file: its sessions in the order in which they began.
pub fn read(path: &Path) -> Result<Vec<Recorded>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Recorded>, String> {
    let mut sessions: BTreeMap<u64, Recorded> = BTreeMap::new();
    let mut order = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        let complain = |why: String| format!("line {number}: {why}");
        let line: Line = serde_json::from_str(text).map_err(|error| complain(error.to_string()))?;
        let bytes = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| complain(format!("{:?} is no base64", shorten(text, 40))))
        };
        let raw = line.raw.ok_or_else(|| {
            complain(
                "the frame's bytes are missing; this trace was not written by run --trace"
                    .to_owned(),
            )
        })?;
        let direction = match line.dir.as_str() {
            "send" => Direction::Send,
            "receive" => Direction::Receive,
            other => return Err(complain(format!("no direction {other:?}"))),
        };
        let message = Message {
            frame: bytes(&raw)?,
            attachments: line.attached.iter().map(|text| bytes(text)).collect::<Result<_, _>>()?,
        };
        if !sessions.contains_key(&line.session) {
            order.push(line.session);
        }
        sessions
            .entry(line.session)
            .or_insert_with(|| Recorded { case: line.case, messages: Vec::new() })
            .messages
            .push((number, direction, message));
    }
    Ok(order.into_iter().filter_map(|session| sessions.remove(&session)).collect())
}

/// The sessions whose case one of the patterns means; all without patterns.
pub fn selected(all: Vec<Recorded>, patterns: &[String]) -> Vec<Recorded> {
    let wanted = |recorded: &Recorded| {
        patterns.is_empty() || patterns.iter().any(|pattern| glob::selects(pattern, &recorded.case))
    };
    all.into_iter().filter(wanted).collect()
}

/// Plays a session. What has not come after `patience` does not come.
pub fn replay(
    recorded: &Recorded,
    target: &mut dyn Target,
    patience: Duration,
) -> Result<Replayed, String> {
    let mut link = target.connect(&OpenOptions::default(), Instant::now() + patience)?;
    let mut replayed = Replayed::default();
    for (line, direction, message) in &recorded.messages {
        match direction {
            Direction::Send => link.send(message, SendOptions::default())?,
            Direction::Receive => match next(&mut *link, patience) {
                Ok(actual) => match difference(message, &actual) {
                    None => replayed.same += 1,
                    Some(what) => replayed.differences.push(format!("line {line}: {what}")),
                },
                Err(why) => {
                    let expected = shorten(&row_form(&message.frame).to_string(), 400);
                    replayed.differences.push(format!("line {line}: {why}\n  then  {expected}"));
                    return Ok(replayed);
                }
            },
        }
    }
    link.end(How::End);
    while let Ok(message) = next(&mut *link, Duration::from_millis(200)) {
        let frame = shorten(&row_form(&message.frame).to_string(), 400);
        replayed
            .differences
            .push(format!("after the end: a message that did not come then\n  now   {frame}"));
    }
    Ok(replayed)
}

fn next(link: &mut dyn Link, patience: Duration) -> Result<Message, String> {
    let deadline = Instant::now() + patience;
    loop {
        match link.receive(deadline) {
            Some(Incoming::Message(message)) => return Ok(message),
            Some(Incoming::Garbage(what)) => return Err(what),
            Some(Incoming::End(how)) => return Err(how),
            Some(Incoming::Fact(_)) => {}
            None => return Err("nothing came".to_owned()),
        }
    }
}

fn difference(then: &Message, now: &Message) -> Option<String> {
    let (before, after) = (comparable(&then.frame), comparable(&now.frame));
    if before != after {
        let text = |json: &Json| shorten(&json.to_string(), 400);
        return Some(format!(
            "another message\n  then  {}\n  now   {}",
            text(&before),
            text(&after)
        ));
    }
    let sizes = |message: &Message| message.attachments.iter().map(Vec::len).collect::<Vec<_>>();
    (then.attachments != now.attachments).then(|| {
        format!(
            "other attachments\n  then  {:?} bytes\n  now   {:?} bytes",
            sizes(then),
            sizes(now)
        )
    })
}

/// A frame without what one engine says differently from another: who it is, and how errors are worded.
fn comparable(frame: &[u8]) -> Json {
    let mut json = row_form(frame);
    if let Some(init) = json.pointer_mut("/response/init").and_then(Json::as_object_mut) {
        for name in ["engine_name", "engine_version", "sqlite_version", "limits", "capabilities"] {
            init.remove(name);
        }
    }
    for error in ["/response/error", "/event/closed/reason"] {
        if let Some(error) = json.pointer_mut(error).and_then(Json::as_object_mut) {
            error.remove("message");
            error.remove("detail");
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_apart() {
        let line = |session: u64, dir: &str| {
            format!(
                "{{\"case\":\"a/{session}\",\"session\":{session},\"dir\":\"{dir}\",\"raw\":\"CAE=\"}}"
            )
        };
        let text = [line(2, "send"), line(1, "send"), line(2, "receive")].join("\n");
        let sessions = parse(&text).unwrap();
        let shape: Vec<(&str, usize)> = sessions
            .iter()
            .map(|recorded| (recorded.case.as_str(), recorded.messages.len()))
            .collect();
        assert_eq!(shape, [("a/2", 2), ("a/1", 1)]);
        assert_eq!(sessions[0].messages[1], (3, Direction::Receive, Message::of(vec![8, 1])));
        assert_eq!(selected(sessions, &["a/1".to_owned()]).len(), 1);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for (text, expected) in [
            ("hello", "line 1"),
            ("{\"case\":\"a\",\"dir\":\"send\"}", "bytes are missing"),
            ("{\"case\":\"a\",\"dir\":\"up\",\"raw\":\"\"}", "no direction"),
            ("{\"case\":\"a\",\"dir\":\"send\",\"raw\":\"!\"}", "no base64"),
        ] {
            assert!(parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
