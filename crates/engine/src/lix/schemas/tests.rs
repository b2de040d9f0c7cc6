use expect_test::expect;
use serde_json::json;

use super::*;

fn schema(document: Value) -> Rc<Schema> {
    Schema::compile(&document).unwrap_or_else(|error| panic!("{}", error.message))
}

/// The message of the refusal, or an empty one.
fn refusal(schema: &Schema, content: Value) -> String {
    let Value::Object(content) = content else { panic!("content is an object") };
    match schema.validate(&content) {
        Ok(()) => String::new(),
        Err(error) => {
            assert_eq!(error.reason, Reason::SchemaMismatch);
            assert_eq!(error.subject, &*schema.key);
            error.message
        }
    }
}

fn fits(schema: &Schema, content: Value) -> bool {
    refusal(schema, content).is_empty()
}

fn broken(document: Value) -> String {
    let error = Schema::compile(&document).expect_err("it must not compile");
    assert_eq!(error.reason, Reason::Validation);
    let prefix = "The provided schema is not a valid lix schema: ";
    error.message.strip_prefix(prefix).expect("the words upstream tests look for").to_owned()
}

fn built_in(key: &str) -> Rc<Schema> {
    Schemas::default().built_in(key).expect("it comes with the engine")
}

fn list(names: &[Rc<str>]) -> String {
    names.join(", ")
}

/// The catalogue of the data model, 6.1 and 6.2, said by the documents themselves.
#[test]
fn built_in_schemas_are_those_of_the_catalogue() {
    let mut text = String::new();
    for builtin in builtin::ALL {
        let schema = built_in(builtin.key);
        assert_eq!((&*schema.key, &*schema.version), (builtin.key, "1.0"));
        assert_eq!(schema.document["type"], "object");
        assert_eq!(schema.document["additionalProperties"], false);
        let view = builtin.view.unwrap_or("-");
        let stored = if builtin.is_stored { "" } else { ", not stored" };
        text += &format!("{} as {view} ({:?}{stored})\n", builtin.key, builtin.kind);
        text += &format!("  key {}\n", list(&schema.primary_key));
        for properties in &schema.unique {
            text += &format!("  unique {}\n", list(properties));
        }
        for key in &schema.foreign_keys {
            let mode = if key.materialized { " (materialized)" } else { "" };
            let (own, target) = (list(&key.properties), list(&key.referenced));
            text += &format!("  {own} -> {}.({target}){mode}\n", key.schema_key);
        }
        let required = schema.document.get("required").unwrap_or(&Value::Null);
        text += &format!("  required {required}\n  has");
        for name in &schema.properties {
            let property = &schema.document["properties"][&**name];
            let nullable = if property["nullable"] == true { "?" } else { "" };
            let default = match builtin.default(name) {
                Some(default) => format!("={default:?}"),
                None => String::new(),
            };
            let generated = if property["x-lix-generated"] == true { " gen" } else { "" };
            let kind = property["type"].to_string().replace('"', "");
            text += &format!(" {name}:{kind}{nullable}{generated}{default};");
        }
        text.push('\n');
    }
    expect![[r#"
        lix_change_set as change_set (Generated)
          key id
          required ["id"]
          has id:string gen=NanoId; metadata:object?;
        lix_change_set_element as change_set_element (Generated)
          key change_set_id, change_id
          unique change_set_id, entity_id, schema_key, file_id
          change_set_id -> lix_change_set.(id)
          change_id -> lix_change.(id)
          schema_key -> lix_stored_schema.(key)
          required ["change_set_id","change_id","entity_id","schema_key","file_id"]
          has change_set_id:string; change_id:string; entity_id:string; schema_key:string; file_id:string;
        lix_change_set_label as change_set_label (Generated)
          key change_set_id, label_id
          change_set_id -> lix_change_set.(id)
          label_id -> lix_label.(id)
          required ["change_set_id","label_id"]
          has change_set_id:string; label_id:string; metadata:object?;
        lix_commit as commit (Generated)
          key id
          change_set_id -> lix_change_set.(id) (materialized)
          required ["id","change_set_id"]
          has id:string=UuidV7; change_set_id:string; change_ids:[array,null]; author_account_ids:[array,null]; parent_commit_ids:[array,null]; meta_change_ids:[array,null];
        lix_commit_edge as commit_edge (ReadOnly)
          key parent_id, child_id
          parent_id -> lix_commit.(id)
          child_id -> lix_commit.(id)
          required ["parent_id","child_id"]
          has parent_id:string; child_id:string;
        lix_file_descriptor as file (Special)
          key id
          unique path
          required ["id","path"]
          has id:string gen=NanoId; path:string; metadata:object?; hidden:boolean gen;
        lix_log as log (Generated)
          key id
          required ["id","key","message","level"]
          has id:string gen=NanoId; key:string; message:string; level:string;
        lix_stored_schema as stored_schema (Generated)
          key key, version
          required null
          has key:string gen=SchemaKey; version:string gen=SchemaVersion; value:[object,array,string,number,boolean,null];
        lix_key_value as key_value (Generated)
          key key
          required ["key","value"]
          has key:string; value:[object,array,string,number,boolean,null];
        lix_account as account (Generated)
          key id
          required ["id","name"]
          has id:string gen=NanoId; name:string;
        lix_change_author as change_author (Generated)
          key change_id, account_id
          change_id -> lix_change.(id)
          account_id -> lix_account.(id)
          required ["change_id","account_id"]
          has change_id:string; account_id:string;
        lix_label as label (Generated)
          key id
          required ["id","name"]
          has id:string gen=NanoId; name:string;
        lix_entity_label as entity_label (Generated)
          key entity_id, schema_key, file_id, label_id
          entity_id, schema_key, file_id -> state.(entity_id, schema_key, file_id)
          label_id -> lix_label.(id)
          required ["entity_id","schema_key","file_id","label_id"]
          has entity_id:string; schema_key:string; file_id:string; label_id:string;
        lix_entity_thread as entity_thread (Generated)
          key entity_id, schema_key, file_id, thread_id
          entity_id, schema_key, file_id -> state.(entity_id, schema_key, file_id)
          thread_id -> lix_thread.(id)
          required ["entity_id","schema_key","file_id","thread_id"]
          has entity_id:string; schema_key:string; file_id:string; thread_id:string;
        lix_thread as thread (Generated)
          key id
          required ["id"]
          has id:string gen=NanoId; metadata:object?;
        lix_thread_comment as thread_comment (Generated)
          key id
          thread_id -> lix_thread.(id)
          parent_id -> lix_thread_comment.(id)
          required ["id","thread_id","body"]
          has id:string gen=NanoId; thread_id:string; parent_id:string?; body:object;
        lix_version_descriptor as - (Special)
          key id
          unique working_commit_id
          working_commit_id -> lix_commit.(id)
          required ["id","name","working_commit_id"]
          has id:string gen; name:string gen; working_commit_id:string gen; inherits_from_version_id:[string,null]; hidden:boolean gen;
        lix_version_tip as - (Special)
          key id
          commit_id -> lix_commit.(id) (materialized)
          required ["id","commit_id"]
          has id:string gen; commit_id:string gen;
        lix_active_version as active_version (Special)
          key version_id
          version_id -> lix_version_descriptor.(id)
          required ["version_id"]
          has version_id:string;
        lix_active_account as active_account (Special, not stored)
          key account_id
          account_id -> lix_account.(id)
          required ["account_id"]
          has account_id:string;
    "#]].assert_eq(&text);
    assert_eq!(builtin::ALL.iter().filter(|builtin| builtin.is_stored).count(), 19);
    assert!(Builtin::find("lix_key_value").is_some() && Builtin::find("key_value").is_none());
}

#[test]
fn foreign_keys_of_built_in_schemas_point_at_what_there_is() {
    for schema in builtin::ALL.iter().map(|builtin| built_in(builtin.key)) {
        for key in &schema.foreign_keys {
            assert_eq!(key.properties.len(), key.referenced.len());
            if !matches!(&*key.schema_key, STATE | CHANGE) {
                let target = built_in(&key.schema_key);
                assert!(key.referenced.iter().all(|name| target.properties.contains(name)));
            }
        }
    }
}

#[test]
fn the_options_of_deterministic_mode_have_a_document() {
    let mode = schema(json::parse(builtin::DETERMINISTIC_MODE).unwrap());
    assert!(fits(&mode, json!({"enabled": true, "random_seed": "s", "nano_id": false})));
    assert!(!fits(&mode, json!({"random_seed": "s"})));
}

#[test]
fn paths_of_files_are_absolute_and_plain() {
    let file = built_in("lix_file_descriptor");
    let long = "/x".repeat(5_000);
    for path in ["/a", "/ä", "/.hidden", "/a.", "/a b", "/a?b#c", "/a/../b", "/%20", &long] {
        assert!(fits(&file, json!({"id": "f", "path": path})), "{path}");
    }
    for path in ["", "a", "/", "/a/", "/a//b", "/a\\b", "//a", "/a\nb", "/a\r/b"] {
        let message = refusal(&file, json!({"id": "f", "path": path}));
        for part in [
            "The provided snapshot content does not match the schema 'lix_file_descriptor' (1.0).",
            "/path must match pattern \"^(/",
            "path must match pattern",
            &format!("Received value: {}", json!(path)),
        ] {
            assert!(message.contains(part), "{message}\nshould contain {part}");
        }
    }
}

#[test]
fn comments_are_zettel_documents() {
    let comment = built_in("lix_thread_comment");
    let with = |content: Value| {
        let body = json!({"type": "zettel_doc", "content": content});
        fits(&comment, json!({"id": "c", "thread_id": "t", "parent_id": null, "body": body}))
    };
    let block = |children: Value| {
        json!([{"type": "zettel_text_block", "zettel_key": "block1", "style": "zettel_normal",
            "children": children}])
    };
    let span = |marks: Value| {
        block(json!([{"type": "zettel_span", "zettel_key": "span-1", "text": "x", "marks": marks}]))
    };
    assert!(with(json!([])));
    assert!(with(block(json!([]))));
    assert!(with(span(json!([{"type": "zettel_bold"}, {"type": "zettel_link", "href": "x"}]))));
    assert!(with(span(json!([{"type": "my_mark", "anything": 1}]))));
    assert!(with(json!([{"type": "my_block", "zettel_key": "block2", "rows": [1, 2]}])));
    assert!(!with(span(json!([{"type": "zettel_link"}]))));
    assert!(!with(span(json!([{"type": "zettel_wave"}]))));
    assert!(!with(json!([{"type": "my_block", "zettel_rows": 1}])));
    assert!(!with(json!([{"type": "zettel_text_block", "zettel_key": "short"}])));
    assert!(!with(json!("text")));
    let body = r#"{"type":"zettel_doc","content":[]}"#;
    assert!(fits(&comment, json!({"id": "c", "thread_id": "t", "body": body})));
    assert!(!fits(&comment, json!({"id": "c", "thread_id": "t", "body": {"type": "other"}})));
}

#[test]
fn documents_need_key_version_and_constraints_that_name_properties() {
    let with = |more: Value| {
        let mut document = json!({"x-lix-key": "k", "x-lix-version": "1.0", "type": "object",
            "properties": {"a": {"type": "string"}, "b": {}}});
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        broken(document)
    };
    let messages = [
        broken(json!([])),
        broken(json!(3)),
        broken(json!("{")),
        broken(json!({})),
        with(json!({"x-lix-key": ""})),
        with(json!({"x-lix-version": null})),
        with(json!({"x-lix-version": "1"})),
        with(json!({"x-lix-version": "1.0.0"})),
        with(json!({"type": "array"})),
        with(json!({"properties": []})),
        with(json!({"required": "a"})),
        with(json!({"properties": {"a": {"type": "strin"}}})),
        with(json!({"properties": {"a": {"pattern": "("}}})),
        with(json!({"properties": {"a": {"minLength": -1}}})),
        with(json!({"properties": {"a": {"multipleOf": 0}}})),
        with(json!({"properties": {"a": {"$ref": "#/definitions/x"}}})),
        with(json!({"properties": {"a": {"$ref": "http://example.com/other.json"}}})),
        with(json!({"properties": {"a/b": 5}})),
        with(json!({"allOf": [{"$ref": "#"}]})),
        with(json!({"x-lix-primary-key": "a"})),
        with(json!({"x-lix-primary-key": ["a", "c"]})),
        with(json!({"x-lix-primary-key": ["a", "a"]})),
        with(json!({"x-lix-unique": ["a"]})),
        with(json!({"x-lix-unique": [["c"]]})),
        with(json!({"x-lix-foreign-keys": {}})),
        with(json!({"x-lix-foreign-keys": [{}]})),
        with(json!({"x-lix-foreign-keys": [{"properties": ["a"]}]})),
        with(json!({"x-lix-foreign-keys": [{"properties": ["c"],
            "references": {"schemaKey": "x", "properties": ["y"]}}]})),
        with(json!({"x-lix-foreign-keys": [{"properties": ["a"],
            "references": {"schemaKey": "x", "properties": []}}]})),
        with(json!({"x-lix-foreign-keys": [{"properties": ["a"],
            "references": {"properties": ["y"]}}]})),
        with(json!({"x-lix-foreign-keys": [{"properties": ["a"], "mode": "later",
            "references": {"schemaKey": "x", "properties": ["y"]}}]})),
    ];
    expect![[r#"
        it is no JSON object
        it is no JSON object
        it is a string, but malformed JSON
        it must have a string 'x-lix-key'
        it must have a string 'x-lix-key'
        it must have a 'x-lix-version' of the form '<major>.<minor>'
        it must have a 'x-lix-version' of the form '<major>.<minor>'
        it must have a 'x-lix-version' of the form '<major>.<minor>'
        its type must be 'object'
        /properties must be an object
        /required must be an array of names
        /properties/a/type must be the name of a type or several
        /properties/a/pattern is not a regular expression: missing ) at character 1
        /properties/a/minLength must be a whole number
        /properties/a/multipleOf must be greater than 0
        $ref: there is nothing at '#/definitions/x'
        $ref: 'http://example.com/other.json' is not in the document
        /properties/a~1b must be a schema: an object or a boolean
        $ref: a schema refers to itself
        x-lix-primary-key must be an array of names
        x-lix-primary-key: there is no property "c"
        x-lix-primary-key names 'a' twice
        x-lix-unique must be an array of arrays of names
        x-lix-unique: there is no property "c"
        x-lix-foreign-keys must be an array
        x-lix-foreign-keys: 'properties' must be names, at least one
        x-lix-foreign-keys: 'references' is missing
        x-lix-foreign-keys: there is no property 'c'
        x-lix-foreign-keys: 'references.properties' must be names, at least one
        x-lix-foreign-keys: 'references.schemaKey' must be a string
        x-lix-foreign-keys: 'mode' must be 'immediate' or 'materialized'"#]]
    .assert_eq(&messages.join("\n"));
}

#[test]
fn documents_may_say_more_than_is_understood() {
    let document = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/k.json",
        "x-lix-key": "k", "x-lix-version": "2.10", "x-other": {"a": 1}, "x-lix-primary-key": [],
        "x-lix-foreign-keys": [{"properties": ["a"], "mode": "immediate",
            "references": {"schemaKey": "t", "properties": ["x", "y"], "schemaVersion": "1.0"}}],
        "title": "K",
        "properties": {
            "a": {"type": ["string", "number", "null"], "format": "date", "default": "x"},
            "b": {"$ref": "https://example.com/k.json#/definitions/count"},
            "c": {"type": "integer", "nullable": true}},
        "definitions": {"count": {"type": "integer", "minimum": 0}}
    });
    let schema = schema(Value::String(document.to_string()));
    assert_eq!(list(&schema.properties), "a, b, c");
    assert_eq!(schema.document, document);
    assert_eq!(schema.foreign_keys[0].schema_version.as_deref(), Some("1.0"));
    for _ in 0..2 {
        assert!(fits(&schema, json!({"a": "no date", "b": 0, "c": null, "d": []})));
    }
    assert!(fits(&schema, json!({})));
    assert!(!fits(&schema, json!({"a": true})));
    assert!(!fits(&schema, json!({"b": -1})));
}

#[test]
fn problems_are_named_in_the_words_that_tests_look_for() {
    let schema = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0", "type": "object",
        "properties": {
            "value": {"type": "number", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 0.5},
            "text": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
            "choice": {"enum": ["x", 1]},
            "fixed": {"const": null},
            "items": {"type": "array", "minItems": 1, "maxItems": 3, "uniqueItems": true,
                "items": {"type": "integer"}, "contains": {"const": 1}},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "exactly": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
            "never": false,
            "nope": {"not": {"type": "string"}},
            "branch": {"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "null"}},
            "inner/~": {"type": "object", "required": ["x"], "propertyNames": {"maxLength": 1},
                "dependencies": {"x": ["y"]}, "minProperties": 2},
            "null": {"type": ["string", "null"]}
        },
        "required": ["value", "key"],
        "additionalProperties": false}));
    let show = |content: Value| {
        let message = refusal(&schema, content);
        let (first, lines) = message.split_once('\n').expect("a line for each problem");
        assert_eq!(first, "The provided snapshot content does not match the schema 'k' (1.0).");
        lines.to_owned() + "\n\n"
    };
    let text = [
        show(json!({"value": "x", "key": 1})),
        show(json!({"value": 0.75})),
        show(json!({"value": 10, "other": 1, "more": 2})),
        show(json!({"value": 1, "text": "b"})),
        show(json!({"value": 1, "text": "aäöü"})),
        show(json!({"value": 1, "choice": "y", "fixed": 0, "null": 3})),
        show(json!({"value": 1, "items": []})),
        show(json!({"value": 1, "items": [1, 1.0, "x", 2.5]})),
        show(json!({"value": 1, "either": 1, "exactly": 1, "never": 1, "nope": ""})),
        show(json!({"value": 1, "branch": ""})),
        show(json!({"value": 1, "branch": 5, "inner/~": {}})),
        show(json!({"value": 1, "inner/~": {"x": 1, "long": 2}})),
        show(json!({"value": "x".repeat(1_000)})),
    ];
    expect![[r#"
        /value must be number. Received value: "x"
        content must NOT have additional properties: 'key'. Received value: {"value":"x","key":1}

        /value must be >= 1. Received value: 0.75
        /value must be multiple of 0.5. Received value: 0.75
        content must have required property 'key'. Received value: {"value":0.75}

        /value must be < 10. Received value: 10
        content must NOT have additional properties: 'other'. Received value: {"value":10,"other":1,"more":2}
        content must NOT have additional properties: 'more'. Received value: {"value":10,"other":1,"more":2}
        content must have required property 'key'. Received value: {"value":10,"other":1,"more":2}

        /text must NOT have fewer than 2 characters. Received value: "b"
        /text must match pattern "^a". Received value: "b"
        content must have required property 'key'. Received value: {"value":1,"text":"b"}

        /text must NOT have more than 3 characters. Received value: "aäöü"
        content must have required property 'key'. Received value: {"value":1,"text":"aäöü"}

        /choice must be equal to one of the allowed values: "x", 1. Received value: "y"
        /fixed must be equal to constant null. Received value: 0
        /null must be string or null. Received value: 3
        content must have required property 'key'. Received value: {"value":1,"choice":"y","fixed":0,"null":3}

        /items must NOT have fewer than 1 items. Received value: []
        /items must contain at least 1 valid item. Received value: []
        content must have required property 'key'. Received value: {"value":1,"items":[]}

        /items must NOT have more than 3 items. Received value: [1,1.0,"x",2.5]
        /items must NOT have duplicate items (items 0 and 1 are equal). Received value: [1,1.0,"x",2.5]
        /items/2 must be integer. Received value: "x"
        /items/3 must be integer. Received value: 2.5
        content must have required property 'key'. Received value: {"value":1,"items":[1,1.0,"x",2.5]}

        /either must match a schema in anyOf. Received value: 1
        /exactly must match exactly one schema in oneOf. Received value: 1
        /never must not be there. Received value: 1
        /nope must NOT be valid. Received value: ""
        content must have required property 'key'. Received value: {"value":1,"either":1,"exactly":1,"never":1,"nope":""}

        /branch must NOT have fewer than 1 characters. Received value: ""
        content must have required property 'key'. Received value: {"value":1,"branch":""}

        /branch must be null. Received value: 5
        /inner~1~0 must NOT have fewer than 2 properties. Received value: {}
        /inner~1~0 must have required property 'x'. Received value: {}
        content must have required property 'key'. Received value: {"value":1,"branch":5,"inner/~":{}}

        /inner~1~0 must have only valid property names: 'long' is none. Received value: {"x":1,"long":2}
        /inner~1~0 must have property 'y' when property 'x' is present. Received value: {"x":1,"long":2}
        content must have required property 'key'. Received value: {"value":1,"inner/~":{"x":1,"long":2}}

        /value must be number. Received value: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (1002 bytes)
        content must have required property 'key'. Received value: {"value":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (1012 bytes)

    "#]].assert_eq(&text.concat());
}

#[test]
fn values_that_came_through_sql_are_taken_for_what_they_mean() {
    let schema = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0", "type": "object",
        "properties": {"data": {"type": "object", "required": ["a"]}, "flag": {"type": "boolean"},
            "maybe": {"type": ["boolean", "null"]}, "text": {"type": "string"}}}));
    assert!(fits(&schema, json!({"data": "{\"a\": 1}", "flag": 1, "maybe": 0})));
    assert!(fits(&schema, json!({"data": {"a": 1}, "flag": true, "maybe": null, "text": "{"})));
    assert!(!fits(&schema, json!({"flag": 5})));
    assert!(!fits(&schema, json!({"flag": 0.5})));
    assert!(!fits(&schema, json!({"text": 1})));
    assert!(
        refusal(&schema, json!({"data": "{}"})).contains("/data must have required property 'a'")
    );
    assert!(refusal(&schema, json!({"data": "[]"})).contains("/data must be object"));
    let message = refusal(&schema, json!({"data": "{a"}));
    assert!(message.contains("Invalid JSON in property 'data': malformed JSON"), "{message}");
}

#[test]
fn schemas_may_contain_themselves() {
    let schema = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0",
        "properties": {"tree": {"$ref": "#/definitions/tree"}},
        "definitions": {"tree": {"type": "object", "additionalProperties": false,
            "properties": {"name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/definitions/tree"}}}}}}));
    let leaf = |name: Value| json!({"children": [{"name": name}]});
    assert!(fits(&schema, json!({"tree": leaf(json!("x"))})));
    let message = refusal(&schema, json!({"tree": leaf(json!(1))}));
    assert!(message.contains("/tree/children/0/name must be string"), "{message}");
}

/// Neither depth nor the number of ways makes a check run long or overflow the stack.
#[test]
fn checks_are_bounded() {
    let deep = |levels: usize| {
        let text = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
        json::parse(&text).unwrap()
    };
    let recursive = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0",
        "additionalProperties": {"anyOf": [{"$ref": "#"}, {"type": "number"}]}}));
    assert!(fits(&recursive, deep(100)));
    let message = refusal(&recursive, deep(900));
    assert!(message.contains("takes too long"), "{message}");
    let any = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0"}));
    assert!(fits(&any, deep(900)));

    let doubling = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0",
        "anyOf": [{"properties": {"a": {"$ref": "#"}}, "required": ["b"]},
            {"properties": {"a": {"$ref": "#"}}, "required": ["c"]}]}));
    let message = refusal(&doubling, deep(60));
    assert!(message.contains("takes too long"), "{message}");

    let backtracking = schema(json!({"x-lix-key": "k", "x-lix-version": "1.0",
        "properties": {"a": {"pattern": "^(a+)+$"}}}));
    let message = refusal(&backtracking, json!({"a": "a".repeat(50) + "!"}));
    assert!(message.contains("takes too long"), "{message}");
    let nested = "{\"not\":".repeat(900) + "{}" + &"}".repeat(900);
    let mut nested = json::parse(&nested).unwrap();
    nested["x-lix-key"] = json!("k");
    nested["x-lix-version"] = json!("1.0");
    assert!(broken(nested).ends_with("schemas are nested too deep"));
}

fn versioned(version: &str, more: Value) -> Value {
    let mut document = json!({"x-lix-key": "k", "x-lix-version": version,
        "properties": {"id": {"type": "string"}, "a": {}, "b": {}}, "x-lix-primary-key": ["id"]});
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

#[test]
fn content_has_to_fit_the_schema_of_its_version() {
    let mut schemas = Schemas::default();
    assert!(schemas.find("k", "1.0").unwrap().is_none());
    assert!(schemas.find("lix_key_value", "1.0").unwrap().is_none(), "known, but not stored");
    assert!(schemas.built_in("lix_key_value").is_some() && schemas.built_in("k").is_none());

    schemas.replace_stored([
        versioned("1.9", json!({})),
        Value::String(versioned("1.10", json!({"required": ["a"]})).to_string()),
        versioned("1.9", json!({"required": ["b"]})),
        json!("not a schema"),
        json!({"x-lix-key": "bad", "x-lix-version": "1.0", "type": "array"}),
    ]);
    let old = schemas.find("k", "1.9").unwrap().unwrap();
    let new = schemas.find("k", "1.10").unwrap().unwrap();
    assert!(fits(&old, json!({})) && !fits(&new, json!({})));
    assert!(Rc::ptr_eq(schemas.newest("k").unwrap(), &new), "1.10 comes after 1.9");
    assert_eq!(
        schemas.stored().map(|schema| &*schema.version).collect::<Vec<_>>(),
        ["1.9", "1.10"]
    );
    assert!(schemas.has_stored("k", "1.10") && !schemas.has_stored("k", "1.1"));

    let error = schemas.find("k", "2.0").unwrap_err();
    assert_eq!(error.reason, Reason::Validation);
    assert_eq!(error.message, "Schema 'k' has no stored version '2.0'");
    let error = schemas.find("bad", "1.0").unwrap_err();
    assert!(error.message.starts_with("The provided schema is not a valid lix schema"));

    schemas.replace_stored([]);
    assert!(schemas.find("k", "2.0").unwrap().is_none());
}

#[test]
fn an_equal_document_is_compiled_once() {
    let mut schemas = Schemas::default();
    let builtin = Builtin::find("lix_account").unwrap().value();
    schemas.replace_stored([builtin.clone(), versioned("1.0", json!({}))]);
    let built_in = schemas.built_in("lix_account").unwrap();
    assert!(Rc::ptr_eq(&schemas.find("lix_account", "1.0").unwrap().unwrap(), &built_in));
    let stored = schemas.find("k", "1.0").unwrap().unwrap();
    schemas.replace_stored([versioned("1.0", json!({})), builtin]);
    assert!(Rc::ptr_eq(&schemas.find("k", "1.0").unwrap().unwrap(), &stored));
    schemas.replace_stored([versioned("1.0", json!({"required": ["a"]}))]);
    assert!(!Rc::ptr_eq(&schemas.find("k", "1.0").unwrap().unwrap(), &stored));
}

#[test]
fn the_registry_knows_who_refers_to_whom() {
    let mut schemas = Schemas::default();
    let refer = |own: &str, key: &str, property: &str| json!({"properties": [own], "references": {"schemaKey": key, "properties": [property]}});
    schemas.replace_stored([
        versioned(
            "1.0",
            json!({"x-lix-unique": [["b", "a"], ["id"]],
            "x-lix-foreign-keys": [refer("a", "t", "name"), refer("b", "state", "entity_id")]}),
        ),
        versioned(
            "1.1",
            json!({"x-lix-foreign-keys": [refer("b", "t", "id"), refer("a", "k", "id")]}),
        ),
    ]);
    let referring = |key: &str| {
        let found = schemas.referencing(key).into_iter();
        found
            .map(|(schema, key)| format!("{} {}", schema.version, key.properties[0]))
            .collect::<Vec<_>>()
    };
    assert_eq!(referring("t"), ["1.0 a", "1.1 b"]);
    assert_eq!(referring("state"), ["1.0 b"]);
    assert!(referring("nothing").is_empty());
    let indexed =
        |key: &str| schemas.indexed(key).iter().map(|names| list(names)).collect::<Vec<_>>();
    assert_eq!(indexed("k"), ["b, a", "a", "b"], "not the primary key");
    assert_eq!(indexed("t"), ["name", "id"]);
    assert!(indexed("state").is_empty());
    assert!(schemas.is_indexed("k", &["b".into(), "a".into()]));
    assert!(!schemas.is_indexed("k", &["a".into(), "b".into()]));
    assert_eq!(schemas.primary_key("k").as_deref(), Some(&["id".into()][..]));
    assert_eq!(schemas.primary_key("t"), None);
}

/// What another implementation says, over schemas and values of a seeded generator.
mod oracle {
    use super::*;

    /// splitmix64.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) % bound as u64) as usize
        }

        fn one<T: Clone>(&mut self, of: &[T]) -> T {
            of[self.below(of.len())].clone()
        }

        fn value(&mut self, depth: usize) -> Value {
            match self.below(if depth == 0 { 4 } else { 7 }) {
                0 => json!(null),
                1 => json!(self.below(2) == 0),
                2 => self.one(
                    &[0.0, 1.0, 2.0, -1.0, 1.5, 0.3, 1e20]
                        .map(|float| if float == 2.0 { json!(2) } else { json!(float) }),
                ),
                3 => json!(self.one(&["", "a", "b", "ab", "aab", "1", "ä"])),
                4 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
                _ => {
                    let mut object = Map::new();
                    for _ in 0..self.below(4) {
                        let name = self.name();
                        let value = self.value(depth - 1);
                        object.insert(name.to_owned(), value);
                    }
                    Value::Object(object)
                }
            }
        }

        fn name(&mut self) -> &'static str {
            self.one(&["a", "b", "c", "ab", "x/y"])
        }

        fn names(&mut self) -> Value {
            let mut names: Vec<&str> = (0..self.below(3)).map(|_| self.name()).collect();
            names.sort_unstable();
            names.dedup();
            json!(names)
        }

        fn schemas(&mut self, depth: usize) -> Value {
            (0..1 + self.below(3)).map(|_| self.schema(depth)).collect()
        }

        fn schema(&mut self, depth: usize) -> Value {
            if depth == 0 {
                return self.one(&[
                    json!({}),
                    json!(true),
                    json!(false),
                    json!({"type": "string"}),
                    json!({"type": "integer"}),
                    json!({"type": "number"}),
                    json!({"$ref": "#/definitions/d"}),
                    json!({"const": 1}),
                ]);
            }
            if self.below(12) == 0 {
                return json!({"$ref": self.one(&["#/definitions/d", "#/definitions/e~1f"])});
            }
            let mut schema = Map::new();
            for _ in 0..1 + self.below(3) {
                let depth = depth - 1;
                let small = self.below(4);
                let (keyword, value) = match self.below(33) {
                    0..4 => {
                        let names =
                            ["string", "number", "integer", "boolean", "object", "array", "null"];
                        let (one, other) = (self.below(7), self.below(7));
                        let several = self.below(2) == 0 && one != other;
                        let pair = json!([names[one], names[other]]);
                        ("type", if several { pair } else { json!(names[one]) })
                    }
                    4 => ("const", self.value(1)),
                    5 => ("enum", json!([[self.value(1)], self.value(0), "xyz"])),
                    6 => ("minimum", json!(small)),
                    7 => ("exclusiveMinimum", json!(small)),
                    8 => ("maximum", json!(small)),
                    9 => ("exclusiveMaximum", json!(small)),
                    10 => ("multipleOf", self.one(&[json!(0.5), json!(2), json!(0.25)])),
                    11 => ("minLength", json!(small)),
                    12 => ("maxLength", json!(small)),
                    13 => ("pattern", json!(self.one(&["^a", "b$", "^a*b?$", "[^a]", "\\d"]))),
                    14 => ("minItems", json!(small)),
                    15 => ("maxItems", json!(small)),
                    16 => ("uniqueItems", json!(true)),
                    17 => ("items", self.schema(depth)),
                    18 => ("items", self.schemas(depth)),
                    19 => ("additionalItems", self.schema(depth)),
                    20 => ("contains", self.schema(depth)),
                    21 => ("minProperties", json!(small)),
                    22 => ("maxProperties", json!(small)),
                    23 => ("required", self.names()),
                    24 => ("propertyNames", self.schema(depth)),
                    25 => ("additionalProperties", self.schema(depth)),
                    26 => (
                        "patternProperties",
                        json!({"^a": self.schema(depth), "b": self.schema(depth)}),
                    ),
                    27 => ("dependencies", json!({"a": self.names(), "b": self.schema(depth)})),
                    28 => (self.one(&["allOf", "anyOf", "oneOf"]), self.schemas(depth)),
                    29 => ("not", self.schema(depth)),
                    30 => {
                        let (then, other) = (self.schema(depth), self.schema(depth));
                        schema.insert("then".into(), then);
                        schema.insert("else".into(), other);
                        ("if", self.schema(depth))
                    }
                    _ => {
                        let mut properties = Map::new();
                        for _ in 0..1 + self.below(3) {
                            let name = self.name();
                            let property = self.schema(depth);
                            properties.insert(name.to_owned(), property);
                        }
                        ("properties", Value::Object(properties))
                    }
                };
                schema.insert(keyword.to_owned(), value);
            }
            Value::Object(schema)
        }
    }

    #[test]
    fn another_validator_agrees() {
        let mut chance = Chance(7);
        let (mut fitting, mut checked) = (0, 0);
        for _ in 0..3_000 {
            let mut document = loop {
                if let Value::Object(document) = chance.schema(3) {
                    break document;
                }
            };
            if document.contains_key("$ref") {
                continue;
            }
            let definitions =
                json!({"d": {"type": ["string", "integer"]}, "e/f": {"minLength": 2}});
            document.insert("definitions".into(), definitions);
            let document = Value::Object(document);
            let ours = Validator::compile(&document)
                .unwrap_or_else(|problem| panic!("{problem} in {document}"));
            let mut compiled = boon::Schemas::new();
            let mut compiler = boon::Compiler::new();
            compiler.set_default_draft(boon::Draft::V7);
            compiler.add_resource("memory:schema", document.clone()).unwrap();
            let theirs = compiler
                .compile("memory:schema", &mut compiled)
                .unwrap_or_else(|error| panic!("{error} in {document}"));
            for _ in 0..20 {
                let value = chance.value(3);
                let expected = compiled.validate(&value, theirs).is_ok();
                let problems = ours.problems(&value);
                assert_eq!(problems.is_empty(), expected, "{value} in {document}: {problems:?}");
                if let Value::Object(object) = &value {
                    let problems = ours.problems_of(object);
                    assert_eq!(
                        problems.is_empty(),
                        expected,
                        "{value} in {document}: {problems:?}"
                    );
                }
                checked += 1;
                fitting += usize::from(expected);
            }
        }
        assert!(fitting * 4 > checked && fitting * 4 < checked * 3, "{fitting} of {checked}");
    }
}
