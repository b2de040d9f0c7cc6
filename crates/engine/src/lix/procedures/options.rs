//! The argument of a procedure: one JSON object, read strictly.
//!
//! Guarantee: an option that is missing, of the wrong type or not known is INVALID/OPTION_INVALID
//! with the option as subject, and nothing has run yet. Null counts as missing where it does not
//! say something of its own.

use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::{Map, Value};

use crate::lix::json;

/// Options that are taken out one by one; what is left at the end is unknown.
pub(crate) struct Options {
    given: Map<String, Value>,
    /// Where the object lies in the argument, such as `comments[0].`; empty for the argument itself.
    path: String,
    /// What was asked for, to say it to whoever gave something else.
    known: Vec<&'static str>,
}

impl Options {
    /// Reads a whole argument; none is an empty object.
    pub(crate) fn read<T>(
        argument: Option<&str>,
        take: impl FnOnce(&mut Options) -> Result<T>,
    ) -> Result<T> {
        let given = match argument.map(json::parse) {
            None => Map::new(),
            Some(Ok(Value::Object(given))) => given,
            Some(Ok(_)) => return Err(not_options("it is JSON, but no object")),
            Some(Err(error)) => return Err(not_options(&error.to_string())),
        };
        Self::object(given, String::new(), take)
    }

    fn object<T>(
        given: Map<String, Value>,
        path: String,
        take: impl FnOnce(&mut Options) -> Result<T>,
    ) -> Result<T> {
        let mut options = Self { given, path, known: Vec::new() };
        let taken = take(&mut options)?;
        match options.given.keys().next() {
            None => Ok(taken),
            Some(name) => {
                let allowed = match options.known.as_slice() {
                    [] => "there are no options".to_owned(),
                    known => format!("the options are {}", known.join(", ")),
                };
                Err(options.invalid(name, &format!("is unknown; {allowed}")))
            }
        }
    }

    /// A string that names something: not empty.
    pub(crate) fn id(&mut self, name: &'static str) -> Result<Rc<str>> {
        self.optional_id(name)?.ok_or_else(|| self.missing(name, ID))
    }

    /// As [`id`](Self::id), if given.
    pub(crate) fn optional_id(&mut self, name: &'static str) -> Result<Option<Rc<str>>> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::String(id)) if !id.is_empty() => Ok(Some(id.into())),
            Some(other) => Err(self.wrong(name, ID, &other)),
        }
    }

    /// As [`id`](Self::id), if given, where null says something of its own.
    pub(crate) fn nullable_id(&mut self, name: &'static str) -> Result<Option<Option<Rc<str>>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(id)) if !id.is_empty() => Ok(Some(Some(id.into()))),
            Some(other) => Err(self.wrong(name, &format!("{ID} or null"), &other)),
        }
    }

    /// Any string.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Rc<str>> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name, TEXT))
    }

    /// Any string, if given.
    pub(crate) fn optional_text(&mut self, name: &'static str) -> Result<Option<Rc<str>>> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.into())),
            Some(other) => Err(self.wrong(name, TEXT, &other)),
        }
    }

    /// A boolean, if given.
    pub(crate) fn optional_flag(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    /// A whole number that is not negative, if given.
    pub(crate) fn optional_count(&mut self, name: &'static str) -> Result<Option<u32>> {
        const COUNT: &str = "a whole number from 0 to 4294967295";
        match self.given(name) {
            None => Ok(None),
            Some(given) => match given.as_u64().and_then(|count| count.try_into().ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(self.wrong(name, COUNT, &given)),
            },
        }
    }

    /// Any JSON.
    pub(crate) fn value(&mut self, name: &'static str) -> Result<Value> {
        self.take(name).ok_or_else(|| self.missing(name, "any JSON value"))
    }

    /// An object.
    pub(crate) fn object_value(&mut self, name: &'static str) -> Result<Value> {
        self.optional_object(name)?.ok_or_else(|| self.missing(name, OBJECT))
    }

    /// An object, if given.
    pub(crate) fn optional_object(&mut self, name: &'static str) -> Result<Option<Value>> {
        match self.given(name) {
            Some(other) if !other.is_object() => Err(self.wrong(name, OBJECT, &other)),
            given => Ok(given),
        }
    }

    /// A list of ids.
    pub(crate) fn ids(&mut self, name: &'static str) -> Result<Vec<Rc<str>>> {
        self.optional_ids(name)?.ok_or_else(|| self.missing(name, "a list of non-empty strings"))
    }

    /// A list of ids, if given.
    pub(crate) fn optional_ids(&mut self, name: &'static str) -> Result<Option<Vec<Rc<str>>>> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let ids = list.into_iter().enumerate().map(|(index, given)| match given {
            Value::String(id) if !id.is_empty() => Ok(id.into()),
            other => Err(self.wrong(&format!("{name}[{index}]"), ID, &other)),
        });
        ids.collect::<Result<_>>().map(Some)
    }

    /// A list of objects, each read in turn, if given.
    pub(crate) fn optional_objects<T>(
        &mut self,
        name: &'static str,
        mut take: impl FnMut(&mut Options) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let objects = list.into_iter().enumerate().map(|(index, given)| match given {
            Value::Object(given) => {
                Self::object(given, format!("{}{name}[{index}].", self.path), &mut take)
            }
            other => Err(self.wrong(&format!("{name}[{index}]"), "an object", &other)),
        });
        objects.collect::<Result<_>>().map(Some)
    }

    /// As [`optional_objects`](Self::optional_objects), but it must be there.
    pub(crate) fn objects<T>(
        &mut self,
        name: &'static str,
        take: impl FnMut(&mut Options) -> Result<T>,
    ) -> Result<Vec<T>> {
        let objects = self.optional_objects(name, take)?;
        objects.ok_or_else(|| self.missing(name, "a list of objects"))
    }

    /// An object, if given.
    pub(crate) fn optional_part<T>(
        &mut self,
        name: &'static str,
        take: impl FnOnce(&mut Options) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::Object(given)) => {
                Self::object(given, format!("{}{name}.", self.path), take).map(Some)
            }
            Some(other) => Err(self.wrong(name, OBJECT, &other)),
        }
    }

    /// The error about an option that reads well and is wrong all the same.
    pub(crate) fn invalid(&self, name: &str, problem: &str) -> Error {
        let path = &self.path;
        let option = format!("{path}{name}");
        let subject = option.split(['.', '[']).next().unwrap_or_default();
        invalid(subject, format!("option {option} {problem}"))
    }

    fn list(&mut self, name: &'static str) -> Result<Option<Vec<Value>>> {
        match self.given(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.wrong(name, "a list", &other)),
        }
    }

    fn given(&mut self, name: &'static str) -> Option<Value> {
        self.take(name).filter(|given| !given.is_null())
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        // Not the quicker removal that swaps: the first unknown option is to be the one reported.
        self.given.shift_remove(name)
    }

    fn missing(&self, name: &str, expected: &str) -> Error {
        self.invalid(name, &format!("is missing; it is {expected}"))
    }

    fn wrong(&self, name: &str, expected: &str, given: &Value) -> Error {
        let given = match given {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(text) if text.is_empty() => "an empty string",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.invalid(name, &format!("must be {expected}, not {given}"))
    }
}

/// The error about an option, by its name or path.
pub(crate) fn invalid(option: &str, message: impl Into<String>) -> Error {
    Error::new(Reason::OptionInvalid, message).subject(option)
}

fn not_options(problem: &str) -> Error {
    invalid("options", format!("the argument must be a JSON object of options: {problem}"))
}

const ID: &str = "a non-empty string";
const TEXT: &str = "a string";
const OBJECT: &str = "an object";

#[cfg(test)]
mod tests {
    use super::*;

    /// A procedure with an option of every kind.
    fn read(argument: &str) -> Result<String> {
        Options::read(Some(argument), |options| {
            Ok(format!(
                "{:?}",
                (
                    options.id("id")?,
                    options.optional_text("name")?,
                    options.nullable_id("parent")?,
                    options.optional_flag("untracked")?,
                    options.optional_count("depth")?,
                    options.optional_object("metadata")?,
                    options.optional_ids("labels")?,
                    options.optional_objects("comments", |comment| comment.value("body"))?,
                    options.optional_part("entity", |entity| entity.text("file_id"))?,
                )
            ))
        })
    }

    #[track_caller]
    fn refused(argument: &str, subject: &str, message: &str) {
        let error = read(argument).expect_err(argument);
        assert_eq!(error.reason, Reason::OptionInvalid);
        assert_eq!((error.subject.as_str(), error.message.as_str()), (subject, message));
    }

    #[test]
    fn what_is_given_is_read() {
        assert_eq!(
            read(r#"{"id": "a"}"#).unwrap(),
            r#"("a", None, None, None, None, None, None, None, None)"#
        );
        assert_eq!(
            read(
                r#"{"id": "~\u0000", "name": "", "parent": null, "untracked": false, "depth": 4294967295,
                    "metadata": {}, "labels": [], "comments": [{"body": null}], "entity": {"file_id": ""}}"#
            )
            .unwrap(),
            r#"("~\0", Some(""), Some(None), Some(false), Some(4294967295), Some(Object {}), Some([]), Some([Null]), Some(""))"#
        );
    }

    #[test]
    fn null_is_as_good_as_missing() {
        let all_null = r#"{"id": "a", "name": null, "untracked": null, "depth": null,
            "metadata": null, "labels": null, "comments": null, "entity": null}"#;
        assert_eq!(read(all_null).unwrap(), read(r#"{"id": "a"}"#).unwrap());
        refused(r#"{"id": null}"#, "id", "option id is missing; it is a non-empty string");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (argument, problem) in [
            ("[]", "it is JSON, but no object"),
            ("null", "it is JSON, but no object"),
            ("", "malformed JSON"),
            ("{", "malformed JSON"),
        ] {
            let message = format!("the argument must be a JSON object of options: {problem}");
            refused(argument, "options", &message);
        }
    }

    #[test]
    fn the_subject_is_the_option_that_is_wrong() {
        refused("{}", "id", "option id is missing; it is a non-empty string");
        refused(r#"{"id": ""}"#, "id", "option id must be a non-empty string, not an empty string");
        refused(
            r#"{"id": "a", "parent": 1}"#,
            "parent",
            "option parent must be a non-empty string or null, not a number",
        );
        refused(
            r#"{"id": "a", "depth": -1}"#,
            "depth",
            "option depth must be a whole number from 0 to 4294967295, not a number",
        );
        refused(
            r#"{"id": "a", "untracked": 1}"#,
            "untracked",
            "option untracked must be true or false, not a number",
        );
        refused(
            r#"{"id": "a", "metadata": []}"#,
            "metadata",
            "option metadata must be an object, not a list",
        );
        refused(
            r#"{"id": "a", "labels": ["x", null]}"#,
            "labels",
            "option labels[1] must be a non-empty string, not null",
        );
        refused(
            r#"{"id": "a", "comments": [{"body": 1}, {}]}"#,
            "comments",
            "option comments[1].body is missing; it is any JSON value",
        );
        refused(
            r#"{"id": "a", "entity": {"file_id": true}}"#,
            "entity",
            "option entity.file_id must be a string, not a boolean",
        );
    }

    #[test]
    fn unknown_options_are_refused() {
        refused(
            r#"{"id": "a", "nmae": "x", "mane": "y"}"#,
            "nmae",
            "option nmae is unknown; the options are id, name, parent, untracked, depth, metadata, labels, comments, entity",
        );
        refused(
            r#"{"id": "a", "comments": [{"body": 1, "text": 2}]}"#,
            "comments",
            "option comments[0].text is unknown; the options are body",
        );
        let error = Options::read(Some(r#"{"a": 1}"#), |_| Ok(())).unwrap_err();
        assert_eq!(error.message, "option a is unknown; there are no options");
    }
}
