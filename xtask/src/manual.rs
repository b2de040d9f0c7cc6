//! `docs/protocol/messages`: the reference manual as pages, from the comments of engine.proto, and every
//! message byte by byte, from the instances in `docs/protocol/examples`.
//!
//! A message without an example, an example of nothing, and a rule that is in the contract but not in the
//! index of rules, or the other way round, are failures.

mod comments;
mod dump;
mod pages;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value as Json;

use crate::codegen::Mode;
use crate::run::{root, step};

pub(crate) fn manual(mode: Mode) -> Result<()> {
    let (headline, repeat) = match mode {
        Mode::Write => ("manual", "cargo xtask manual"),
        Mode::Check => ("manual --check", "cargo xtask manual --check"),
    };
    step(headline, repeat, || write(mode))
}

/// Writes the pages, or compares them with those that are there.
pub(crate) fn write(mode: Mode) -> Result<()> {
    let fresh = pages::all(&contract()?, &examples()?, &rules()?)?;
    let committed = pages_there()?;
    if mode == Mode::Write {
        let folder = root().join(PAGES);
        std::fs::create_dir_all(&folder)?;
        for name in committed.keys().filter(|name| !fresh.contains_key(*name)) {
            std::fs::remove_file(folder.join(name))?;
        }
        for (name, text) in &fresh {
            std::fs::write(folder.join(name), text)?;
        }
        return Ok(());
    }
    let differing: Vec<_> = fresh
        .keys()
        .chain(committed.keys())
        .filter(|name| fresh.get(*name) != committed.get(*name))
        .map(String::as_str)
        .collect();
    ensure!(
        differing.is_empty(),
        "{PAGES} is not what engine.proto and {EXAMPLES} give: {}\nrun `cargo xtask manual` and commit the result",
        differing.join(", ")
    );
    Ok(())
}

/// The contract with its comments.
fn contract() -> Result<DescriptorPool> {
    let mut compiler = protox::Compiler::new([root().join("proto")])?;
    compiler.include_source_info(true).open_file("engine.proto")?;
    Ok(compiler.descriptor_pool())
}

/// Examples by the name of their message.
type Examples = BTreeMap<String, Vec<Example>>;

struct Example {
    /// What it is.
    about: String,
    /// As ProtoJSON.
    json: Json,
    /// Shown as on a byte stream: with its length before it and these behind it.
    attachments: Option<Vec<Vec<u8>>>,
}

impl Example {
    fn message(&self, descriptor: MessageDescriptor) -> Result<DynamicMessage> {
        let name = descriptor.name().to_owned();
        DynamicMessage::deserialize(descriptor, &self.json)
            .with_context(|| format!("an example in {EXAMPLES} is no {name}"))
    }
}

/// `{ "Message": [{ "about": "…", "json": {…}, "stream": ["attachment in hex"] }] }`, any number of files.
fn examples() -> Result<Examples> {
    let mut examples = Examples::new();
    for entry in std::fs::read_dir(root().join(EXAMPLES))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let file: BTreeMap<String, Vec<Json>> = serde_json::from_str(&text)
            .with_context(|| format!("{} is no file of examples", path.display()))?;
        for (name, entries) in file {
            let read: Result<Vec<_>> = entries.iter().map(example).collect();
            let read = read.with_context(|| format!("{name} in {}", path.display()))?;
            ensure!(examples.insert(name.clone(), read).is_none(), "{name} has examples twice");
        }
    }
    Ok(examples)
}

fn example(entry: &Json) -> Result<Example> {
    let members = entry.as_object().context("an example is an object")?;
    if let Some(unknown) =
        members.keys().find(|key| !["about", "json", "stream"].contains(&key.as_str()))
    {
        bail!("an example has no member {unknown}");
    }
    let about = members.get("about").and_then(Json::as_str).context("no \"about\"")?.to_owned();
    let json = members.get("json").context("no \"json\"")?.clone();
    let attachments = match members.get("stream") {
        None => None,
        Some(list) => {
            let list = list.as_array().context("\"stream\" is a list")?;
            let bytes = |item: &Json| item.as_str().and_then(from_hex);
            Some(list.iter().map(|item| bytes(item).context("not hex")).collect::<Result<_>>()?)
        }
    };
    Ok(Example { about, json, attachments })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The anchors of the index of rules.
fn rules() -> Result<Vec<String>> {
    let index = std::fs::read_to_string(root().join(ANCHORS))?;
    let anchor = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let rules: Vec<String> = index.lines().filter_map(anchor).collect();
    ensure!(!rules.is_empty(), "{ANCHORS} lists no rules");
    Ok(rules)
}

fn pages_there() -> Result<BTreeMap<String, String>> {
    let folder: PathBuf = root().join(PAGES);
    let mut pages = BTreeMap::new();
    if folder.exists() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            pages.insert(name, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(pages)
}

const PAGES: &str = "docs/protocol/messages";
const EXAMPLES: &str = "docs/protocol/examples";
const ANCHORS: &str = "docs/protocol/anchors.md";

#[cfg(test)]
mod tests {

    use super::*;

    fn message(contract: &DescriptorPool, name: &str) -> MessageDescriptor {
        contract.get_message_by_name(&format!("lix.engine.v1.{name}")).expect("a message's name")
    }

    /// The bytes that stand in the committed pages are the messages that stand beside them.
    #[test]
    fn every_dump_decodes_to_its_json() {
        let contract = contract().unwrap();
        let examples = examples().unwrap();
        let mut seen = 0;
        for (page, text) in pages_there().unwrap() {
            for (name, index, bytes) in dump::read_back(&text) {
                let descriptor = message(&contract, &name);
                let example = &examples[&name][index];
                let (frame, rest) = match &example.attachments {
                    None => (&bytes[..], &[][..]),
                    Some(_) => {
                        let (length, rest) = bytes.split_at(4);
                        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
                        rest.split_at(length)
                    }
                };
                let found = DynamicMessage::decode(descriptor.clone(), frame)
                    .unwrap_or_else(|error| panic!("{page}: {name} {index}: {error}"));
                let wanted = example.message(descriptor).unwrap();
                // Of both without what is not sent, a 0 that stands in the example for its reader.
                let json = |message| serde_json::to_value(message).unwrap();
                assert_eq!(json(&found), json(&wanted), "{page}: {name} {index}");
                assert_eq!(rest, example.attachments.clone().unwrap_or_default().concat());
                seen += 1;
            }
        }
        assert_eq!(seen, examples.values().map(Vec::len).sum::<usize>());
    }

    /// What no example shows, a reader never sees in bytes.
    #[test]
    fn every_field_is_in_some_example() {
        let contract = contract().unwrap();
        let mut shown = std::collections::BTreeSet::new();
        for (name, examples) in examples().unwrap() {
            for example in examples {
                let found = example.message(message(&contract, &name)).unwrap();
                dump::fields_of(&found, &mut shown);
            }
        }
        let missing: Vec<_> = contract
            .all_messages()
            .flat_map(|message| message.fields().collect::<Vec<_>>())
            .map(|field| field.full_name().to_owned())
            .filter(|name| !shown.contains(name))
            .collect();
        assert!(missing.is_empty(), "no example shows {}", missing.join(", "));
    }

    /// Every link of the manual to a file of this repository has a file, and a place in it, at its end.
    #[test]
    fn links_lead_somewhere() {
        let manual = root().join("docs/protocol");
        for folder in [manual.clone(), manual.join("messages")] {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "md") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
                    let target = rest.split(')').next().unwrap();
                    let (file, place) = target.split_once('#').unwrap_or((target, ""));
                    if file.contains("://") {
                        continue;
                    }
                    let file = if file.is_empty() { path.clone() } else { folder.join(file) };
                    let shown = format!("{}: {target}", path.display());
                    assert!(file.exists(), "{shown}");
                    if !place.is_empty() {
                        let text = std::fs::read_to_string(file).unwrap();
                        let target = format!("<a id=\"{place}\">");
                        let is_heading = |line: &str| line.starts_with('#') && slug(line) == place;
                        assert!(text.contains(&target) || text.lines().any(is_heading), "{shown}");
                    }
                }
            }
        }
    }

    /// The name that a heading has as the target of links.
    fn slug(heading: &str) -> String {
        let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        text.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    #[test]
    fn hex_is_read_with_and_without_spaces() {
        assert_eq!(from_hex("00 ffA0"), Some(vec![0, 255, 160]));
        assert_eq!(from_hex("0g"), None);
    }
}
