//! Parameters: every one gets a value, every value finds one, or nothing runs.

use lix_engine_protocol::proto::{NamedValue, Value, value};
use lix_engine_protocol::{Error, Reason, Result};

use crate::Attachment;
use crate::sqlite::{Bound, Statement};

/// The values of one statement, still in their request.
pub(crate) struct Params<'a> {
    pub(crate) positional: &'a [Value],
    pub(crate) named: &'a [NamedValue],
    pub(crate) attachments: &'a [Box<dyn Attachment>],
}

/// Blobs that came as attachments and had to be brought into memory; they are bound from here.
pub(crate) type Fetched = Vec<Vec<u8>>;

impl<'a> Params<'a> {
    /// Assigns a value to every parameter. A named value wins over a positional one.
    pub(crate) fn assign(&self, statement: &Statement) -> Result<Vec<&'a Value>> {
        let count = statement.parameter_count();
        if self.positional.len() > count {
            let (given, surplus) = (self.positional.len(), count + 1);
            let message = format!("the statement has {count} parameters, {given} values came");
            return Err(Error::new(Reason::ParamUnknown, message).subject(surplus.to_string()));
        }
        let mut slots: Vec<Option<&Value>> = vec![None; count];
        for (slot, value) in slots.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }

        let mut is_named = vec![false; if self.named.is_empty() { 0 } else { count }];
        for NamedValue { name, value } in self.named {
            let Some(index) = find(statement, name) else {
                let message = format!("the statement has no parameter {name}");
                return Err(Error::new(Reason::ParamUnknown, message).subject(name));
            };
            if std::mem::replace(&mut is_named[index - 1], true) {
                let message = format!("the parameter {name} was given twice");
                return Err(Error::new(Reason::ParamInvalid, message).subject(name));
            }
            slots[index - 1] = Some(value.as_ref().unwrap_or(&NO_VALUE));
        }

        let missing = |index: usize| {
            let name = statement.parameter_name(index + 1).unwrap_or((index + 1).to_string());
            let message = format!("no value for parameter {name}");
            Error::new(Reason::ParamMissing, message).subject(name)
        };
        slots.iter().enumerate().map(|(index, slot)| slot.ok_or_else(|| missing(index))).collect()
    }

    /// Brings the attachments among the values into memory, one entry per parameter.
    pub(crate) fn fetch(&self, values: &[&Value]) -> Result<Fetched> {
        let is_attachment =
            |value: &&Value| matches!(value.kind, Some(value::Kind::BlobAttachment(_)));
        if !values.iter().any(is_attachment) {
            return Ok(Vec::new());
        }
        values
            .iter()
            .map(|value| match value.kind {
                Some(value::Kind::BlobAttachment(index)) => {
                    let attachment = self.attachments.get(index as usize).ok_or_else(|| {
                        let message = format!("the frame has no attachment {index}");
                        Error::new(Reason::AttachmentMismatch, message).subject("blob_attachment")
                    })?;
                    let len = usize::try_from(attachment.len()).map_err(|_| {
                        Error::new(Reason::OutOfMemory, "the attachment does not fit memory")
                    })?;
                    Ok(attachment.read(0, len))
                }
                _ => Ok(Vec::new()),
            })
            .collect()
    }
}

/// Binds what [`Params::assign`] and [`Params::fetch`] found.
pub(crate) fn bind(
    statement: &mut Statement,
    values: &[&Value],
    fetched: &Fetched,
    copy: bool,
) -> Result<()> {
    for (index, value) in values.iter().enumerate() {
        let bound = match &value.kind {
            Some(value::Kind::Null(_)) => Bound::Null,
            Some(value::Kind::Integer(integer)) => Bound::Integer(*integer),
            Some(value::Kind::Real(real)) if real.is_nan() => {
                return Err(invalid(statement, index, "NaN would be stored as NULL"));
            }
            Some(value::Kind::Real(real)) => Bound::Real(*real),
            Some(value::Kind::Text(text)) => Bound::Text(text),
            Some(value::Kind::Blob(blob)) => Bound::Blob(blob),
            Some(value::Kind::BlobAttachment(_)) => Bound::Blob(&fetched[index]),
            None => return Err(invalid(statement, index, "the value has no kind")),
        };
        statement.bind(index + 1, bound, copy)?;
    }
    Ok(())
}

/// A name with its prefix must match exactly; without one, the three prefixes are tried in turn.
fn find(statement: &Statement, name: &str) -> Option<usize> {
    match name.as_bytes().first()? {
        b':' | b'@' | b'$' => statement.parameter_index(name),
        b'?' => None,
        _ => [":", "@", "$"]
            .into_iter()
            .find_map(|prefix| statement.parameter_index(&format!("{prefix}{name}"))),
    }
}

fn invalid(statement: &Statement, index: usize, problem: &str) -> Error {
    let name = statement.parameter_name(index + 1).unwrap_or((index + 1).to_string());
    Error::new(Reason::ParamInvalid, format!("parameter {name}: {problem}")).subject(name)
}

const NO_VALUE: Value = Value { kind: None };
