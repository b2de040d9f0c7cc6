//! `--trace`: every frame as a line of JSON that a person can read.

use lix_engine_proto::{
    BatchErrorMode, ExecBatchRequest, ExecRequest, FetchRequest, RowMode, request,
};
use serde_json::{Value, json};

use crate::engine::{Engine, PREAMBLE, exec, framed, init, request};

#[test]
fn every_frame_is_a_line_and_rows_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.ndjson");
    let mut engine = Engine::start(&["serve", "--stdio", "--trace", path.to_str().unwrap()]);
    let statement = |sql: &str| ExecRequest { sql: sql.into(), ..Default::default() };
    let cursor = ExecRequest {
        rows: RowMode::Cursor.into(),
        max_batch_rows: 1,
        ..statement("values (1), (2)")
    };
    let batch = ExecBatchRequest {
        statements: vec![statement("select 'b'"), statement("nonsense")],
        on_error: BatchErrorMode::Stop.into(),
    };
    let mut input = PREAMBLE.to_vec();
    for frame in [
        init(1),
        exec(2, "select 9007199254740993 as i, 1.5, 'é', x'00ff', null, cast(x'ff' as text)"),
        request(3, request::Call::Exec(cursor)),
        request(4, request::Call::Fetch(FetchRequest { cursor: 1, credit: 1 })),
        request(5, request::Call::ExecBatch(batch)),
        request(6, request::Call::Export(Default::default())),
    ] {
        input.extend(framed(&frame, &[]));
    }
    // A frame whose damage stands behind its id.
    input.extend([5, 0, 0, 0, 8, 7, 0x1a, 0xff, 1]);
    engine.send(&input);
    let (output, _) = engine.finish();

    let trace = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> =
        trace.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 14);
    let toward = |direction| lines.iter().filter(move |line| line["direction"] == direction);
    assert_eq!(toward("to_engine").count(), 7);
    let bytes: u64 = toward("to_host")
        .map(|line| {
            let attachments = line["attachments"].as_array().unwrap();
            4 + line["bytes"].as_u64().unwrap()
                + attachments.iter().map(|size| size.as_u64().unwrap()).sum::<u64>()
        })
        .sum();
    assert_eq!(bytes, output.len() as u64 - 8, "the trace accounts for every byte");
    assert!(lines.is_sorted_by_key(|line| line["ms"].as_f64().unwrap()));

    let asked = &lines.iter().find(|line| line["frame"]["id"] == 2).unwrap()["frame"];
    assert!(asked["request"]["exec"]["sql"].as_str().unwrap().starts_with("select 9007"));
    // The refusal of the damaged frame may overtake, so look by id.
    let answer = |id: u32| {
        let mut frames = toward("to_host").map(|line| &line["frame"]);
        &frames.find(|frame| frame["id"] == id).unwrap()["response"]
    };
    assert_eq!(
        answer(2)["exec"]["batch"]["rows"],
        json!([[
            { "int": "9007199254740993" },
            { "real": "1.5" },
            { "text": "é" },
            { "blob": "AP8=" },
            null,
            { "text_raw": "/w==" },
        ]])
    );
    assert_eq!(answer(2)["exec"]["columns"][0]["name"], "i");
    assert_eq!(answer(3)["exec"]["batch"]["rows"], json!([[{ "int": "1" }]]));
    assert_eq!(answer(4)["fetch"]["batch"]["rows"], json!([[{ "int": "2" }]]));
    let items = &answer(5)["execBatch"]["items"];
    assert_eq!(items[0]["ok"]["batch"]["rows"], json!([[{ "text": "b" }]]));
    assert_eq!(items[1]["error"]["reason"], "SQL_SYNTAX");
    assert_eq!(answer(7)["error"]["reason"], "FRAME_MALFORMED");
    assert!(toward("to_engine").any(|line| line["frame"]["malformed"] == "CAca/wE="));
}
