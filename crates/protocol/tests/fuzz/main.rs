//! A bounded run of the fuzz targets on any machine: valid messages, damaged in every way that a
//! small program can think of. `LIX_FUZZ_SEED` and `LIX_FUZZ_ITERATIONS` go elsewhere and further.

#[allow(dead_code, reason = "shared; this uses a part of it")]
#[path = "../../../engine/tests/session/random.rs"]
mod random;
mod targets;

use bytes::Bytes;
use lix_engine_protocol::BatchBuilder;
use lix_engine_protocol::proto::{
    ColumnData, ExecRequest, Frame, Request, RowBatch, StorageClass, Value, frame, request, value,
};
use lix_engine_protocol::stream::{PREAMBLE, write_frame};
use prost::Message as _;

use crate::random::{Random, setting};

#[test]
fn fuzz_stream() {
    run(targets::stream, |random| {
        let mut bytes = Vec::new();
        if random.one_in(4) {
            bytes.extend(PREAMBLE);
        }
        for _ in 0..random.below(4) {
            let sizes: Vec<u64> = (0..random.below(4)).map(|_| random.below(40) as u64).collect();
            let frame = Frame { attachment_sizes: sizes.clone(), ..some_frame(random) };
            write_frame(&mut bytes, &frame.encode_to_vec()).unwrap();
            bytes.extend(vec![random.next() as u8; sizes.iter().sum::<u64>() as usize]);
        }
        bytes
    });
}

#[test]
fn fuzz_envelope() {
    run(targets::envelope, |random| some_frame(random).encode_to_vec());
}

#[test]
fn fuzz_batch() {
    run(targets::batch, |random| match random.one_in(2) {
        true => built_batch(random),
        false => assembled_batch(random).encode_to_vec(),
    });
}

fn run(target: fn(&[u8]), generate: fn(&mut Random) -> Vec<u8>) {
    let first = setting("LIX_FUZZ_SEED", 1);
    for seed in first..first + setting("LIX_FUZZ_ITERATIONS", 20_000) {
        let mut random = Random::new(seed);
        let mut data = generate(&mut random);
        for _ in 0..random.below(5) {
            damage(&mut random, &mut data);
        }
        if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
            eprintln!("LIX_FUZZ_SEED={seed} LIX_FUZZ_ITERATIONS=1 repeats this: {data:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn damage(random: &mut Random, data: &mut Vec<u8>) {
    if data.is_empty() {
        data.push(random.next() as u8);
        return;
    }
    let at = random.below(data.len());
    let end = (at + 1 + random.below(8)).min(data.len());
    match random.below(7) {
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at] = [0, 1, 0x7f, 0x80, 0xff, 8, 0x12, 0x1a][random.below(8)],
        2 => data.truncate(at),
        3 => drop(data.drain(at..end)),
        4 => {
            let copy = data[at..end].to_vec();
            data.splice(at..at, copy);
        }
        5 => data.insert(at, random.next() as u8),
        // A varint as long as they get.
        _ => drop(data.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
    }
}

fn some_frame(random: &mut Random) -> Frame {
    let exec = ExecRequest {
        sql: "select 'é', ?".chars().take(random.below(14)).collect(),
        params: vec![Value { kind: Some(value::Kind::Integer(random.next() as i64)) }],
        param_rows: random.one_in(3).then(|| assembled_batch(random)),
        ..Default::default()
    };
    let body = match random.below(5) {
        0 => None,
        1 => Some(frame::Body::Response(Default::default())),
        2 => Some(frame::Body::Event(Default::default())),
        _ => Some(frame::Body::Request(Request {
            scope: random.below(2) as u32,
            call: Some(request::Call::Exec(exec)),
        })),
    };
    let id = [0, 1, 127, 128, u32::MAX][random.below(5)];
    let sizes = (0..random.below(4)).map(|_| random.next() >> random.below(64)).collect();
    Frame { id, attachment_sizes: sizes, body }
}

/// A batch as the engine makes it.
fn built_batch(random: &mut Random) -> Vec<u8> {
    let columns = random.below(4);
    let mut builder = BatchBuilder::new(columns);
    for _ in 0..random.below(30) {
        for column in 0..columns {
            match random.below(7) {
                0 => builder.null(column),
                1..=2 => builder.integer(column, random.next() as i64 >> random.below(64)),
                3 => builder.real(column, f64::from_bits(random.next())),
                4 => builder.text(column, &"aé😀\0z".as_bytes()[..random.below(10)]),
                5 => builder.text(column, &vec![b'x'; random.below(300)]),
                _ => builder.blob(column, &vec![0xff; random.below(300)]),
            }
        }
        builder.end_row();
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes);
    bytes
}

/// A batch that nobody made on purpose: right fields, wrong lengths.
fn assembled_batch(random: &mut Random) -> RowBatch {
    let rows = random.below(6);
    let run = |random: &mut Random, width: usize| -> Bytes {
        let len = (rows * width).saturating_sub(random.below(8) / 7);
        (0..len).map(|_| random.below(4) as u8).collect()
    };
    let columns = (0..random.below(3)).map(|_| {
        let is_mixed = random.one_in(2);
        let width = [1, 2, 4, 8][random.below(4)];
        ColumnData {
            uniform: if is_mixed {
                0
            } else {
                StorageClass::Integer as i32 + random.below(6) as i32
            },
            classes: (0..if is_mixed { rows } else { 0 })
                .map(|_| 1 + random.below(6) as u8)
                .collect(),
            int_width: width as u32,
            ints: run(random, width),
            reals: if random.one_in(2) { run(random, 8) } else { Bytes::new() },
            text: if random.one_in(2) { run(random, 1) } else { Bytes::new() },
            blobs: if random.one_in(3) { run(random, 1) } else { Bytes::new() },
            len_width: [0, 1, 2, 4, 3][random.below(5)],
            lens: run(random, 1),
        }
    });
    RowBatch { columns: columns.collect(), row_count: rows as u32 }
}
