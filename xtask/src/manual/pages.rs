//! One page per section of engine.proto, one with what holds for all of them, and an index.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use prost_reflect::prost_types::source_code_info::Location;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
};

use serde_json::Value as Json;

use super::comments::{definitions, markdown};
use super::{Example, Examples, dump};

/// The pages by file name.
pub(super) fn all(
    contract: &DescriptorPool,
    examples: &Examples,
    rules: &[String],
) -> Result<BTreeMap<String, String>> {
    let file = contract.files().next().context("the contract is one file")?;
    let manual = Manual::new(&file)?;
    manual.check_rules(rules)?;
    let known = |name: &&String| manual.places.contains_key(name.as_str());
    if let Some(unknown) = examples.keys().find(|name| !known(name)) {
        anyhow::bail!("an example of {unknown}, which is no message");
    }

    let mut pages = BTreeMap::new();
    pages.insert("README.md".to_owned(), manual.index());
    pages.insert(CONVENTIONS.to_owned(), manual.conventions());
    for section in &manual.sections {
        pages.insert(section.file.clone(), manual.page(section, examples)?);
    }
    Ok(pages)
}

struct Manual {
    comments: BTreeMap<Vec<i32>, Location>,
    /// What stands before the first section.
    preface: String,
    sections: Vec<Section>,
    /// Page of every message and enum.
    places: BTreeMap<String, String>,
    /// Page of every rule.
    rules: BTreeMap<String, String>,
    /// Fields that have a type, by the type's name.
    uses: BTreeMap<String, Vec<String>>,
}

struct Section {
    title: String,
    file: String,
    types: Vec<Type>,
}

#[derive(Clone)]
enum Type {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl Type {
    fn name(&self) -> &str {
        match self {
            Type::Message(message) => message.name(),
            Type::Enum(values) => values.name(),
        }
    }

    fn path(&self) -> &[i32] {
        match self {
            Type::Message(message) => message.path(),
            Type::Enum(values) => values.path(),
        }
    }
}

impl Manual {
    fn new(file: &FileDescriptor) -> Result<Self> {
        let info = file.file_descriptor_proto().source_code_info.as_ref();
        let comments: BTreeMap<Vec<i32>, Location> = info
            .context("engine.proto was compiled without its comments")?
            .location
            .iter()
            .map(|location| (location.path.clone(), location.clone()))
            .collect();
        let line = |path: &[i32]| comments[path].span[0];
        let mut types: Vec<Type> =
            file.messages().map(Type::Message).chain(file.enums().map(Type::Enum)).collect();
        types.sort_by_key(|each| line(each.path()));

        let mut manual = Self {
            preface: String::new(),
            sections: Vec::new(),
            places: BTreeMap::new(),
            rules: BTreeMap::new(),
            uses: BTreeMap::new(),
            comments: BTreeMap::new(),
        };
        for each in types {
            for comment in &comments[each.path()].leading_detached_comments {
                match section_title(comment) {
                    Some(title) => {
                        let file = format!("{}.md", title.replace(' ', "-"));
                        manual.sections.push(Section { title, file, types: Vec::new() });
                    }
                    None => manual.preface.push_str(comment),
                }
            }
            let section =
                manual.sections.last_mut().context("a type stands before all sections")?;
            manual.places.insert(each.name().to_owned(), section.file.clone());
            section.types.push(each);
        }
        manual.comments = comments;
        manual.find_rules()?;
        manual.find_uses();
        Ok(manual)
    }

    fn find_rules(&mut self) -> Result<()> {
        let preface =
            definitions(&self.preface).into_iter().map(|rule| (rule, CONVENTIONS.to_owned()));
        let mut found: Vec<(String, String)> = preface.collect();
        for section in &self.sections {
            for each in &section.types {
                for (path, location) in &self.comments {
                    if path.starts_with(each.path()) {
                        let rules = definitions(location.leading_comments());
                        found.extend(rules.into_iter().map(|rule| (rule, section.file.clone())));
                    }
                }
            }
        }
        for (rule, page) in found {
            let before = self.rules.insert(rule.clone(), page);
            ensure!(before.is_none(), "[{rule}] is laid down twice in engine.proto");
        }
        Ok(())
    }

    /// The index of rules and the contract have the same rules.
    fn check_rules(&self, index: &[String]) -> Result<()> {
        for rule in index {
            ensure!(
                self.rules.contains_key(rule),
                "[{rule}] is listed in {} and not laid down in engine.proto",
                super::ANCHORS
            );
        }
        for rule in self.rules.keys() {
            ensure!(
                index.contains(rule),
                "[{rule}] is laid down in engine.proto and not listed in {}",
                super::ANCHORS
            );
        }
        Ok(())
    }

    fn find_uses(&mut self) {
        for section in &self.sections {
            for each in &section.types {
                let Type::Message(message) = each else { continue };
                for field in message.fields() {
                    if let Some(name) = type_name(&field.kind()) {
                        let place =
                            format!("[{}.{}](#{})", message.name(), field.name(), id(&field));
                        let place = place.replace("](#", &format!("]({}#", section.file));
                        self.uses.entry(name).or_default().push(place);
                    }
                }
            }
        }
    }

    fn index(&self) -> String {
        let mut out = format!(
            "{GENERATED}\n# Messages\n\nEvery message and enum of [`engine.proto`](../../../proto/engine.proto): what its fields mean, which rules they carry,\n\
             and its bytes. What holds for all of them is in [conventions]({CONVENTIONS}).\n\n| Page | Messages and enums |\n|---|---|\n"
        );
        for section in &self.sections {
            let names: Vec<String> =
                section.types.iter().map(|each| self.link(each.name())).collect();
            let _ = writeln!(
                out,
                "| [{}]({}) | {} |",
                capitalised(&section.title),
                section.file,
                names.join(", ")
            );
        }
        out.push_str(READING);
        out.push_str("\n## Where each rule is laid down\n\n[`anchors.md`](../anchors.md) has them in a line each, with level and side.\n\n");
        let mut areas: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (rule, page) in &self.rules {
            let (area, name) = rule.split_once('.').expect("a rule has an area");
            areas.entry(area).or_default().push(format!("[{name}]({page}#{rule})"));
        }
        for (area, names) in areas {
            let _ = writeln!(out, "- **{area}.** {}", names.join(", "));
        }
        out
    }

    fn conventions(&self) -> String {
        format!("{GENERATED}\n# What holds for all messages\n\n{}\n", self.prose(&self.preface))
    }

    fn page(&self, section: &Section, examples: &Examples) -> Result<String> {
        let mut out = format!("{GENERATED}\n# {}\n", capitalised(&section.title));
        for each in &section.types {
            let _ = writeln!(out, "\n## {}\n\n{}", each.name(), self.comment(each.path()));
            if let Some(uses) = self.uses.get(each.name()) {
                let _ = writeln!(out, "\nUsed by {}.", uses.join(", "));
            }
            match each {
                Type::Message(message) => {
                    self.fields(message, &mut out);
                    let shown = examples.get(message.name());
                    let shown = shown.with_context(|| {
                        format!("{} has no message {}", super::EXAMPLES, message.name())
                    })?;
                    for (index, example) in shown.iter().enumerate() {
                        self.example(message, index, example, &mut out)?;
                    }
                }
                Type::Enum(values) => self.values(values, &mut out),
            }
        }
        Ok(out)
    }

    fn fields(&self, message: &MessageDescriptor, out: &mut String) {
        let mut told = None;
        for field in message.fields() {
            let choice = field.containing_oneof().filter(|choice| !choice.is_synthetic());
            if let Some(choice) = &choice
                && told != Some(choice.full_name().to_owned())
            {
                told = Some(choice.full_name().to_owned());
                let _ = writeln!(
                    out,
                    "\nAt most one of the following, `{}`. {}",
                    choice.name(),
                    self.comment(choice.path())
                );
            }
            let _ = writeln!(
                out,
                "\n<a id=\"{}\"></a>**`{}`** = {}, {}\n\n{}",
                id(&field),
                field.name(),
                field.number(),
                self.shape(&field),
                self.comment(field.path())
            );
        }
        let reserved: Vec<String> = message
            .reserved_ranges()
            .map(|range| format!("{} to {}", range.start, range.end - 1))
            .collect();
        if !reserved.is_empty() {
            let _ = writeln!(out, "\nReserved numbers: {}.", reserved.join(", "));
        }
    }

    fn shape(&self, field: &FieldDescriptor) -> String {
        let kind = match type_name(&field.kind()) {
            Some(name) => self.link(&name),
            None => format!("{:?}", field.kind()).to_lowercase(),
        };
        if field.is_list() {
            return format!("list of {kind}");
        }
        let is_choice = field.containing_oneof().is_some_and(|choice| !choice.is_synthetic());
        match field.supports_presence() && !is_choice {
            true => format!("{kind}, may be absent"),
            false => kind,
        }
    }

    fn values(&self, values: &EnumDescriptor, out: &mut String) {
        out.push_str("\n| Number | Name | Meaning |\n|---|---|---|\n");
        for value in values.values() {
            let meaning =
                self.comment(value.path()).replace("\n\n", "<br>").replace("\n- ", "<br>");
            let _ = writeln!(out, "| {} | `{}` | {meaning} |", value.number(), value.name());
        }
    }

    fn example(
        &self,
        message: &MessageDescriptor,
        index: usize,
        example: &Example,
        out: &mut String,
    ) -> Result<()> {
        let instance = example.message(message.clone())?;
        let _ = write!(
            out,
            "\n**Example.** {}\n\n```json\n{}\n```\n\n{}{} {index} -->\n```text\n{}```\n",
            example.about,
            short(&example.json, 0),
            dump::MARK,
            message.name(),
            dump::dump(&instance, example)
        );
        Ok(())
    }

    fn comment(&self, path: &[i32]) -> String {
        self.comments
            .get(path)
            .map(|location| self.prose(location.leading_comments()))
            .unwrap_or_default()
    }

    fn prose(&self, comment: &str) -> String {
        markdown(comment, &|rule| Some(format!("{}#{rule}", self.rules.get(rule)?)))
    }

    fn link(&self, name: &str) -> String {
        format!("[{name}]({}#{})", self.places[name], name.to_lowercase())
    }
}

/// `---- values and results ----…`.
fn section_title(comment: &str) -> Option<String> {
    Some(comment.trim().strip_prefix("---- ")?.trim_end_matches('-').trim().to_owned())
}

fn type_name(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Message(message) => Some(message.name().to_owned()),
        Kind::Enum(values) => Some(values.name().to_owned()),
        _ => None,
    }
}

fn id(field: &FieldDescriptor) -> String {
    format!("{}_{}", field.parent_message().name(), field.name())
}

/// JSON with as few lines as fit.
fn short(json: &Json, depth: usize) -> String {
    let line = one_line(json);
    if line.chars().count() + 2 * depth <= WIDTH {
        return line;
    }
    let parts: Vec<String> = match json {
        Json::Array(items) => items.iter().map(|item| short(item, depth + 1)).collect(),
        Json::Object(members) => {
            let member = |(name, value)| format!("\"{name}\": {}", short(value, depth + 1));
            members.iter().map(member).collect()
        }
        _ => return line,
    };
    let (first, last) = (&line[..1], &line[line.len() - 1..]);
    let (indent, end) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    format!("{first}\n{indent}{}\n{end}{last}", parts.join(&format!(",\n{indent}")))
}

fn one_line(json: &Json) -> String {
    match json {
        Json::Array(items) => {
            let parts: Vec<String> = items.iter().map(one_line).collect();
            format!("[{}]", parts.join(", "))
        }
        Json::Object(members) if !members.is_empty() => {
            let member = |(name, value)| format!("\"{name}\": {}", one_line(value));
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        _ => json.to_string(),
    }
}

fn capitalised(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

const WIDTH: usize = 110;
const CONVENTIONS: &str = "conventions.md";
const GENERATED: &str = "<!-- Generated by `cargo xtask manual` from proto/engine.proto and docs/protocol/examples. Do not edit. -->\n";
const READING: &str = "
## How to read the bytes

Each line is an offset, bytes, and what they mean; what is indented lies inside the line above. A field is a tag (its number
times eight plus its wire type), then a varint (wire type 0), eight bytes (1), or a length and as many bytes (2). Fields that
are 0, empty or false are not sent, unless they may be absent: then 0 and absence differ. Lists of numbers are packed into one
run. The JSON above is ProtoJSON: 64-bit integers are text, bytes are base64.
";
