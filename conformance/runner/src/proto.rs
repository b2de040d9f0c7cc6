//! The engine's messages by reflection, from the descriptor set alone: no generated code is shared with the engine.

use std::borrow::Cow;
use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions, Value,
};
use serde_json::Value as Json;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(lix_engine_proto::FILE_DESCRIPTOR_SET)
        .expect("the embedded descriptor set is whole")
});

/// The descriptor of a message of `lix.engine.v1`.
pub fn message(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("lix.engine.v1.{name}"))
        .unwrap_or_else(|| panic!("engine.proto has no message {name}"))
}

/// Builds a message of `lix.engine.v1` from ProtoJSON.
pub fn from_json(name: &str, json: &Json) -> Result<DynamicMessage, String> {
    DynamicMessage::deserialize(message(name), json).map_err(|error| format!("no {name}: {error}"))
}

/// Decodes a message of `lix.engine.v1`.
pub fn decode(name: &str, bytes: &[u8]) -> Result<DynamicMessage, String> {
    DynamicMessage::decode(message(name), bytes).map_err(|error| format!("no {name}: {error}"))
}

/// ProtoJSON with the names of the proto file.
pub fn to_json(message: &DynamicMessage) -> Json {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("any message has a ProtoJSON form")
}

/// The number of an enum value given by name without prefix, or as a number.
pub fn enum_number(enum_name: &str, text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let descriptor = POOL
        .get_enum_by_name(&format!("lix.engine.v1.{enum_name}"))
        .unwrap_or_else(|| panic!("engine.proto has no enum {enum_name}"));
    let full = format!("{}{text}", prefix(enum_name));
    descriptor
        .get_value_by_name(&full)
        .map(|value| value.number())
        .ok_or_else(|| format!("{enum_name} has no value {text:?}"))
}

/// The name of an enum value without prefix; its number if it is unknown.
pub fn enum_name(enum_name: &str, number: i32) -> String {
    let descriptor = POOL
        .get_enum_by_name(&format!("lix.engine.v1.{enum_name}"))
        .unwrap_or_else(|| panic!("engine.proto has no enum {enum_name}"));
    match descriptor.get_value(number) {
        Some(value) => value.name()[prefix(enum_name).len()..].to_owned(),
        None => number.to_string(),
    }
}

/// Short ways to read a field by name. The names are literals of this crate, so a wrong one is a defect here.
pub trait Fields {
    /// A set message field.
    fn msg(&self, name: &str) -> Option<&DynamicMessage>;
    /// A list; empty if unset.
    fn items(&self, name: &str) -> &[Value];
    /// Bytes; empty if unset.
    fn bytes(&self, name: &str) -> &[u8];
    /// Text; empty if unset.
    fn text(&self, name: &str) -> &str;
    /// Any integer or enum; 0 if unset.
    fn int(&self, name: &str) -> i128;
    /// An integer with presence.
    fn opt_int(&self, name: &str) -> Option<i128>;
    /// A boolean; false if unset.
    fn flag(&self, name: &str) -> bool;
    /// The name of the member of a oneof that is set.
    fn which(&self, oneof: &str) -> Option<String>;
}

impl Fields for DynamicMessage {
    fn msg(&self, name: &str) -> Option<&DynamicMessage> {
        match set(self, name) {
            Some(Value::Message(message)) => Some(message),
            Some(_) => panic!("{name} is no message"),
            None => None,
        }
    }

    fn items(&self, name: &str) -> &[Value] {
        match set(self, name) {
            Some(Value::List(items)) => items,
            Some(_) => panic!("{name} is no list"),
            None => &[],
        }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        match set(self, name) {
            Some(Value::Bytes(bytes)) => bytes,
            Some(_) => panic!("{name} are no bytes"),
            None => &[],
        }
    }

    fn text(&self, name: &str) -> &str {
        match set(self, name) {
            Some(Value::String(text)) => text,
            Some(_) => panic!("{name} is no text"),
            None => "",
        }
    }

    fn int(&self, name: &str) -> i128 {
        self.opt_int(name).unwrap_or(0)
    }

    fn opt_int(&self, name: &str) -> Option<i128> {
        Some(match set(self, name)? {
            Value::I32(value) | Value::EnumNumber(value) => i128::from(*value),
            Value::I64(value) => i128::from(*value),
            Value::U32(value) => i128::from(*value),
            Value::U64(value) => i128::from(*value),
            _ => panic!("{name} is no integer"),
        })
    }

    fn flag(&self, name: &str) -> bool {
        match set(self, name) {
            Some(Value::Bool(flag)) => *flag,
            Some(_) => panic!("{name} is no flag"),
            None => false,
        }
    }

    fn which(&self, oneof: &str) -> Option<String> {
        let descriptor = self.descriptor();
        let oneof = descriptor
            .oneofs()
            .find(|candidate| candidate.name() == oneof)
            .unwrap_or_else(|| panic!("{} has no oneof {oneof}", descriptor.name()));
        oneof.fields().find(|field| self.has_field(field)).map(|field| field.name().to_owned())
    }
}

fn set<'a>(message: &'a DynamicMessage, name: &str) -> Option<&'a Value> {
    let field = message
        .descriptor()
        .get_field_by_name(name)
        .unwrap_or_else(|| panic!("{} has no field {name}", message.descriptor().name()));
    if !message.has_field(&field) {
        return None;
    }
    match message.get_field(&field) {
        Cow::Borrowed(value) => Some(value),
        Cow::Owned(_) => unreachable!("a set field is stored"),
    }
}

/// `StorageClass` → `STORAGE_CLASS_`.
fn prefix(enum_name: &str) -> String {
    let mut out = String::new();
    for c in enum_name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out.push('_');
    out
}

/// Encodes a message.
pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    message.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn enums_by_short_name() {
        assert_eq!(enum_number("StorageClass", "TEXT_RAW"), Ok(6));
        assert_eq!(enum_number("RowMode", "77"), Ok(77));
        assert!(enum_number("RowMode", "SOME").is_err());
        assert_eq!(enum_name("ErrorCode", 4), "INVALID");
        assert_eq!(enum_name("ErrorCode", 99), "99");
    }

    #[test]
    fn fields_by_name() {
        let frame = from_json(
            "Frame",
            &json!({"id": 3, "response": {"exec": {"changes": "0", "cursor": 5}}}),
        )
        .unwrap();
        let response = frame.msg("response").unwrap();
        assert_eq!(frame.which("body").as_deref(), Some("response"));
        assert_eq!(response.which("outcome").as_deref(), Some("exec"));
        let exec = response.msg("exec").unwrap();
        assert_eq!((exec.opt_int("changes"), exec.opt_int("last_insert_rowid")), (Some(0), None));
        assert_eq!(exec.int("cursor"), 5);
        assert_eq!(exec.items("columns").len(), 0);
        assert_eq!(decode("Frame", &encode(&frame)).unwrap(), frame);
    }
}
