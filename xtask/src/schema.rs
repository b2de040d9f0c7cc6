//! The tables of a lix as TypeScript types, from the schemas that the engine is built with.
//!
//! What is absent: the tables that no schema describes (`state`, `change`, `version` …) are written by
//! hand in bindings/ts/src/lix/tables.ts, and a test compares both with what the engine declares.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::codegen::Mode;
use crate::run::root;

/// `bindings/ts/src/lix/schema.ts`.
pub(crate) fn typescript(mode: Mode) -> Result<()> {
    let fresh = generate()?;
    let path = root().join(GENERATED);
    if mode == Mode::Write {
        return fs::write(&path, fresh).with_context(|| format!("cannot write {GENERATED}"));
    }
    let committed = fs::read_to_string(&path).with_context(|| format!("no {GENERATED}"))?;
    ensure!(
        committed == fresh,
        "{GENERATED} is not what the schemas generate\nrun `cargo xtask codegen` and commit the result"
    );
    Ok(())
}

fn generate() -> Result<String> {
    let mut schemas = Vec::new();
    let dir = root().join(SCHEMAS);
    for entry in fs::read_dir(&dir).with_context(|| format!("no {SCHEMAS}"))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else {
            continue;
        };
        if path.extension().is_some_and(|end| end == "json") && !WITHOUT_TABLES.contains(&&*name) {
            let text = fs::read_to_string(&path)?;
            schemas.push((name, serde_json::from_str(&text).context(path.display().to_string())?));
        }
    }
    schemas.sort_by(|(one, _), (other, _)| one.cmp(other));
    render(&schemas)
}

/// Every schema as the properties of its tables, then the tables, then what is JSON in them.
fn render(schemas: &[(String, Value)]) -> Result<String> {
    let mut out = HEAD.to_owned();
    for (name, schema) in schemas {
        properties(&mut out, name, schema)?;
    }
    out += "/** The tables of the built-in schemas. */\nexport interface EntityTables {\n";
    let mut json = String::new();
    for (name, schema) in schemas {
        let pascal = pascal(name);
        if name == FILE {
            continue;
        }
        let suffix = if READ_ONLY.contains(&&**name) { "ReadOnly" } else { "" };
        let _ = writeln!(out, "  {name}: Entity{suffix}Table<{pascal}Properties>");
        let _ = writeln!(out, "  {name}_all: EntityAll{suffix}Table<{pascal}Properties>");
        let _ = writeln!(out, "  {name}_history: EntityHistoryTable<{pascal}Properties>");
        let columns = json_columns(schema);
        if !columns.is_empty() {
            for table in ["", "_all", "_history"] {
                let _ = writeln!(json, "  {name}{table}: {{ {} }},", columns.join(", "));
            }
        }
    }
    let names: Vec<_> = schemas.iter().map(|(name, _)| name).filter(|name| *name != FILE).collect();
    let _ = writeln!(
        out,
        "}}\n\n/** Their names; each has `_all` and `_history`, too. */\nexport const ENTITY_TABLES: readonly string[] = {names:?}\n"
    );
    out += "/**\n * Which of their columns are JSON: `\"json\"` if text in it always is, else the place of the property's letter in\n * `_types`, because text may be a string, too.\n */\n";
    let _ = writeln!(
        out,
        "export const ENTITY_JSON_COLUMNS: {{ readonly [table: string]: {{ readonly [column: string]: \"json\" | number }} }} = {{\n{json}}}"
    );
    Ok(out)
}

/// The interface of a schema's properties, and the types that it defines.
fn properties(out: &mut String, name: &str, schema: &Value) -> Result<()> {
    let pascal = pascal(name);
    if let Some(definitions) = schema.get("definitions").and_then(Value::as_object) {
        for (definition, schema) in definitions {
            let ty = type_of(schema, &pascal)?;
            let _ = writeln!(out, "export type {pascal}{} = {ty}\n", self::pascal(definition));
        }
    }
    let key = schema["x-lix-key"].as_str().context("x-lix-key")?;
    let _ =
        writeln!(out, "/** The properties of `{key}`. */\nexport interface {pascal}Properties {{");
    for (property, schema_of) in object(schema, "properties")? {
        let mut ty = type_of(schema_of, &pascal)?;
        if schema_of.get("properties").is_some() {
            let named = format!("{pascal}{}", self::pascal(property));
            let at = out.rfind("/**").context("the interface's comment")?;
            out.insert_str(at, &format!("export type {named} = {ty}\n\n"));
            ty = named;
        }
        let is_nullable = schema_of.get("nullable").is_some()
            || ty.contains("| null")
            || !names(schema, "required").contains(&&**property);
        let is_generated = schema_of.get("x-lix-generated").is_some()
            || names(schema, "x-lix-primary-key") == [&**property] && property == "id";
        let column = match (kind(schema_of), is_generated, is_nullable && ty != "JsonValue") {
            (Kind::Boolean, ..) => "FlagColumn".to_owned(),
            (_, true, _) => format!("Generated<{ty}>"),
            (Kind::Plain, _, false) => ty,
            (Kind::Plain, _, true) => format!("{} | null", ty.trim_end_matches(" | null")),
            (_, _, false) => format!("JsonColumn<{ty}>"),
            (_, _, true) => format!("JsonColumn<{} | null>", ty.trim_end_matches(" | null")),
        };
        let _ = writeln!(out, "  {property}: {column}");
    }
    *out += "}\n\n";
    Ok(())
}

/// `name: "json"`, or the place among the properties.
fn json_columns(schema: &Value) -> Vec<String> {
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let column = |(place, (name, schema)): (usize, (&String, &Value))| match kind(schema) {
        Kind::Json => Some(format!("{name}: \"json\"")),
        Kind::Any => Some(format!("{name}: {place}")),
        Kind::Boolean | Kind::Plain => None,
    };
    properties.iter().enumerate().filter_map(column).collect()
}

/// How a property is stored, as the engine decides it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Boolean,
    Json,
    Any,
}

fn kind(property: &Value) -> Kind {
    let types = types(property);
    let is_nested = |name: &&str| ["object", "array"].contains(name);
    match types.as_slice() {
        ["boolean"] => Kind::Boolean,
        [] => Kind::Any,
        types if !types.iter().any(is_nested) => Kind::Plain,
        types if types.iter().all(|name| is_nested(name) || *name == "null") => Kind::Json,
        _ => Kind::Any,
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

/// A JSON schema as a TypeScript type.
fn type_of(schema: &Value, pascal: &str) -> Result<String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix("#/definitions/").context("only own definitions")?;
        return Ok(format!("{pascal}{}", self::pascal(name)));
    }
    if let Some(constant) = schema.get("const") {
        return Ok(constant.to_string());
    }
    let union = |branches: &[Value]| -> Result<String> {
        let types: Result<Vec<_>> = branches.iter().map(|branch| type_of(branch, pascal)).collect();
        Ok(types?.join(" | "))
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Ok(values.iter().map(Value::to_string).collect::<Vec<_>>().join(" | "));
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        return union(branches);
    }
    if kind(schema) == Kind::Any {
        return Ok("JsonValue".to_owned());
    }
    let types: Result<Vec<_>> =
        types(schema).iter().map(|name| single(name, schema, pascal)).collect();
    Ok(types?.join(" | "))
}

fn single(name: &str, schema: &Value, pascal: &str) -> Result<String> {
    Ok(match name {
        "array" => match schema.get("items") {
            Some(items) => format!("readonly {}[]", parenthesised(type_of(items, pascal)?)),
            None => "readonly JsonValue[]".to_owned(),
        },
        "object" if schema.get("properties").is_none() => "JsonObject".to_owned(),
        "object" => {
            let required = names(schema, "required");
            let mut members = Vec::new();
            for (property, of) in object(schema, "properties")? {
                let ty = type_of(of, pascal)?;
                members.push(match required.contains(&&**property) {
                    true => format!("readonly {property}: {ty}"),
                    false => format!("readonly {property}?: {ty} | undefined"),
                });
            }
            if schema.get("propertyNames").is_some() {
                members.push("readonly [property: string]: JsonValue | undefined".to_owned());
            }
            format!("{{ {} }}", members.join("; "))
        }
        "integer" => "number".to_owned(),
        name => name.to_owned(),
    })
}

fn parenthesised(ty: String) -> String {
    if ty.contains(' ') { format!("({ty})") } else { ty }
}

fn object<'a>(schema: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    schema.get(name).and_then(Value::as_object).with_context(|| format!("no {name} in {schema}"))
}

fn names<'a>(schema: &'a Value, keyword: &str) -> Vec<&'a str> {
    let names = schema.get(keyword).and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn pascal(name: &str) -> String {
    let name = if name == FILE { "file" } else { name };
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

const HEAD: &str = "\
// Generated by `cargo xtask codegen` from crates/engine/src/lix/schemas; not to be edited.

import type { Generated } from \"kysely\"
import type {
  EntityAllReadOnlyTable, EntityAllTable, EntityHistoryTable, EntityReadOnlyTable, EntityTable, FlagColumn, JsonColumn, JsonObject, JsonValue,
} from \"./columns.js\"

";
const SCHEMAS: &str = "crates/engine/src/lix/schemas";
const GENERATED: &str = "bindings/ts/src/lix/schema.ts";
/// A part of `version`, tables of their own kind, and the value of a key value.
const WITHOUT_TABLES: [&str; 5] =
    ["active_account", "active_version", "deterministic_mode", "version_descriptor", "version_tip"];
/// Its table has more than the properties.
const FILE: &str = "file_descriptor";
/// Computed.
const READ_ONLY: [&str; 1] = ["commit_edge"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_become_columns() {
        let schema = json!({
            "x-lix-key": "lix_note", "x-lix-primary-key": ["id"], "required": ["id", "text", "any"],
            "properties": {
                "id": {"type": "string"},
                "text": {"type": "string"},
                "stars": {"type": ["number", "null"]},
                "done": {"type": "boolean"},
                "tags": {"type": ["array", "null"], "items": {"type": "string"}},
                "any": {},
                "body": {"type": "object", "properties": {"a": {"const": 1}, "b": {"$ref": "#/definitions/deep"}}, "required": ["a"]},
            },
            "definitions": {"deep": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
        });
        let text = render(&[("note".into(), schema)]).unwrap();
        for line in [
            "export type NoteDeep = string | JsonObject",
            "export type NoteBody = { readonly a: 1; readonly b?: NoteDeep | undefined }",
            "  id: Generated<string>",
            "  text: string",
            "  stars: number | null",
            "  done: FlagColumn",
            "  tags: JsonColumn<readonly string[] | null>",
            "  any: JsonColumn<JsonValue>",
            "  body: JsonColumn<NoteBody | null>",
            "  note_all: EntityAllTable<NoteProperties>",
            "  note_history: { tags: \"json\", any: 5, body: \"json\" },",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nin\n{text}");
        }
    }
}
