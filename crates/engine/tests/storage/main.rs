//! Stored files as they are found: of released formats, damaged, cut off, of other programs, on
//! disks without room. What cannot be opened is refused with a reason and is not touched.

#![allow(clippy::result_large_err, reason = "an error of the protocol, not of a hot path")]

#[path = "../crash/client.rs"]
#[allow(dead_code, reason = "shared with the crash simulator")]
mod client;
#[path = "../crash/disk.rs"]
#[allow(dead_code, reason = "shared with the crash simulator")]
mod disk;

use std::path::PathBuf;
use std::process::Command;

use lix_engine_core::StorageFile;
use lix_engine_protocol::proto::{
    AutosavePolicy, Durability, EngineError, ErrorCode, InitRequest, OpenMode, request,
};
use lix_engine_protocol::{Error, Reason, Result};
use xxhash_rust::xxh64::xxh64;

use crate::client::{Client, blob, bytes, integer};
use crate::disk::{Disk, Fate};

#[test]
fn format_version_1_opens() {
    assert_eq!(open(&fixture("store-v1.lix")).unwrap(), fixture("store-v1.sqlite"));
}

/// The reader in Python shares nothing with the engine but `docs/storage-format.md`.
#[test]
fn the_reader_of_the_examples_reads_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.sqlite");
    let read = |store: PathBuf| {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = if cfg!(windows) { "python" } else { "python3" };
        let mut command = Command::new(python);
        command.arg(root.join("examples/read_store.py")).arg(store).arg(&plain);
        let output = command.output().expect("Python runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_read, said) = read(fixture_path("store-v1.lix"));
    assert!(is_read, "{said}");
    assert_eq!(std::fs::read(&plain).unwrap(), fixture("store-v1.sqlite"));

    let mut damaged = fixture("store-v1.lix");
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last] ^= 1;
    let path = directory.path().join("damaged.lix");
    std::fs::write(&path, damaged).unwrap();
    // The last byte that is not zero belongs to the last record or to something older.
    let (is_read, _) = read(path);
    assert!(!is_read || std::fs::read(&plain).unwrap() != fixture("store-v1.sqlite"));
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused_or_whole() {
    let (sealed, image) = sealed_store();
    let mut refused = 0;
    for len in 1..sealed.len() {
        match open(&sealed[..len]) {
            Ok(found) => assert_eq!(found, image, "{len} bytes"),
            Err(error) => {
                refused += 1;
                assert_refused(&error, len);
            }
        }
    }
    assert!(refused > sealed.len() / 2);
    assert_eq!(open(&[]).unwrap_err().reason, "STORAGE_MISSING");
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let (mut sealed, image) = sealed_store();
    let mut refused = 0;
    for at in 0..sealed.len() {
        // Every byte; its bits in turn. The store's own tests flip every bit of a smaller one.
        let bit = 1 << (at % 8);
        sealed[at] ^= bit;
        match open(&sealed) {
            Ok(found) => assert_eq!(found, image, "byte {at}"),
            Err(error) => {
                refused += 1;
                assert_refused(&error, at);
            }
        }
        sealed[at] ^= bit;
    }
    assert!(refused > image.len(), "{refused} of {}", sealed.len());
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut store = fixture("store-v1.lix");
    for slot in [0, 4096] {
        store[slot + 8] = 2;
        let sum = xxh64(&store[slot..slot + 4088], 0);
        store[slot + 4088..slot + 4096].copy_from_slice(&sum.to_le_bytes());
    }
    let error = open(&store).unwrap_err();
    assert_refused(&error, 0);
    assert!(error.message.contains("version 2") && error.message.contains("newer"));
}

#[test]
fn files_of_other_programs_are_refused_and_left_alone() {
    let noise: Vec<u8> =
        (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sqlite = fixture("store-v1.sqlite");
    let files: [&[u8]; 6] =
        [b"a text\n", &noise, &sqlite, &[0; 8193], &[0xff; 8192], &noise[..5000]];
    for file in files {
        assert_refused(&open(file).unwrap_err(), file.len());
    }
    let error = open(&sqlite).unwrap_err();
    assert!(error.message.contains("SQLite") && error.message.contains("seed"), "{error:?}");

    let mut garbage_behind = fixture("store-v1.lix");
    let garbage = noise.iter().cycle();
    garbage_behind[8192..].iter_mut().zip(garbage).for_each(|(byte, garbage)| *byte = *garbage);
    assert_refused(&open(&garbage_behind).unwrap_err(), 0);

    // Behind the end of a store there is room for anything.
    let mut longer = fixture("store-v1.lix");
    longer.extend(&noise);
    assert_eq!(open(&longer).unwrap(), sqlite);
}

#[test]
fn a_full_disk_loses_nothing_wherever_it_becomes_full() {
    let init = || InitRequest {
        durability: Durability::Strict.into(),
        autosave: Some(AutosavePolicy { debounce_ms: 1, max_delay_ms: 1, disabled: false }),
        ..Default::default()
    };
    let mut is_reached = true;
    let mut full_from = 0;
    while is_reached {
        is_reached = false;
        let disk = Disk::with_content(vec![], 1);
        let mut left = full_from;
        disk.set_fate(move |_| match left {
            0 => Fate::Full,
            _ => {
                left -= 1;
                Fate::Works
            }
        });
        let mut client = Client::on(&disk, 1);
        let mut stored = None;
        if let Err(error) = client.init(OpenMode::OpenOrCreate, None, init()) {
            assert_eq!(error.reason, "STORAGE_QUOTA");
            // The last flush may be all that was missing.
            let left = open(&disk.content());
            let is_whole = left.as_ref().is_ok_and(|image| image.starts_with(b"SQLite"));
            assert!(is_whole || left.is_err_and(|error| error.reason == "STORAGE_MISSING"));
            (full_from, is_reached) = (full_from + 1, true);
            continue;
        }
        for round in 0..6 {
            let sql = match round {
                0 => "create table t(id integer primary key, b)".to_owned(),
                _ => format!("insert into t values ({round}, zeroblob({}))", round * 90_000),
            };
            match client.exec(&sql, vec![]) {
                Ok(()) => stored = Some(round),
                Err(error) => {
                    assert_eq!(error.reason, "STORAGE_QUOTA", "{error:?}");
                    is_reached = true;
                    break;
                }
            }
        }
        let mut found = Client::on(&Disk::with_content(disk.content(), 0), 0);
        found.init(OpenMode::Open, None, InitRequest::default()).unwrap();
        assert!(found.is_sound());
        if let Some(round) = stored.filter(|round| *round > 0) {
            let sql = format!("insert into t values ({round}, 0)");
            assert_eq!(found.exec(&sql, vec![]).unwrap_err().reason, "PRIMARY_KEY");
        }
        // With room again everything is stored.
        disk.calm();
        client.save().unwrap();
        let image = bytes(&client.export().unwrap());
        assert_eq!(open(&disk.content()).unwrap(), image);
        full_from += 1;
    }
    assert!(full_from > 20, "{full_from}");
}

/// Writes the fixtures anew. They are never to change; a new version of the format gets new ones.
#[test]
#[ignore = "makes what the other tests read"]
fn make_fixtures() {
    let disk = Disk::with_content(vec![], 1);
    let mut client = Client::on(&disk, 42);
    let durability = Durability::Strict.into();
    let init = InitRequest { durability, ..Default::default() };
    client.init(OpenMode::Create, None, init).unwrap();
    client.exec("create table note(id integer primary key, body)", vec![]).unwrap();
    for id in 1..4 {
        let body = blob((0..3_000 * id).map(|n| (n * id % 251) as u8).collect());
        client.exec("insert into note values (?, ?)", vec![integer(id), body]).unwrap();
    }
    // A checkpoint, then two records that follow it.
    client.call(request::Call::Close(Default::default()), None).unwrap();
    let mut client = Client::on(&disk, 43);
    let init = InitRequest { durability, ..Default::default() };
    client.init(OpenMode::Open, None, init).unwrap();
    client.exec("delete from note where id = 2", vec![]).unwrap();
    client.exec("insert into note values (4, 'the last one')", vec![]).unwrap();
    let image = bytes(&client.export().unwrap());
    std::fs::write(fixture_path("store-v1.lix"), disk.content()).unwrap();
    std::fs::write(fixture_path("store-v1.sqlite"), image).unwrap();
}

/// The image that a file leads to; the file is as it was afterwards, whatever comes of it.
/// The original's tables, as an engine that did not know them had stored them.
#[test]
fn a_stored_lix_of_the_original_is_taken_over_and_saved() {
    let disk = Disk::with_content(vec![], 1);
    let mut client = Client::on(&disk, 7);
    client.init(OpenMode::Create, None, InitRequest::default()).unwrap();
    for sql in [
        "create table internal_snapshot (id text primary key, content blob) strict",
        "create table internal_change (id text primary key, entity_id text, schema_key text, schema_version text,
           file_id text, plugin_key text, snapshot_id text, created_at text) strict",
        "create table internal_state_all_untracked (entity_id text, schema_key text, file_id text, version_id text,
           plugin_key text, snapshot_content blob, schema_version text, created_at text, updated_at text) strict",
        "insert into internal_snapshot values ('s', jsonb('{\"key\":\"a\",\"value\":1}'))",
        "insert into internal_change
           values ('c', 'a', 'lix_key_value', '1.0', 'lix', 'lix_own_entity', 's', '2025-09-01T00:00:00.000Z')",
    ] {
        client.exec(sql, vec![]).unwrap();
    }
    client.save().unwrap();
    assert!(!client.is_lix());

    let mut client = Client::on(&disk, 8);
    client.init(OpenMode::Open, None, InitRequest::default()).unwrap();
    assert!(client.is_lix());
    let change = client.rows("select snapshot_content from change").unwrap();
    let stored = disk.content();

    // Nothing is written any more: it was saved when it was opened.
    let again = Disk::with_content(stored.clone(), 2);
    let mut client = Client::on(&again, 9);
    client.init(OpenMode::Open, None, InitRequest::default()).unwrap();
    assert_eq!(again.content(), stored);
    assert!(client.is_lix() && client.is_sound());
    assert_eq!(client.rows("select snapshot_content from change").unwrap(), change);
}

fn open(content: &[u8]) -> std::result::Result<Vec<u8>, EngineError> {
    let disk = Disk::with_content(content.to_vec(), 0);
    disk.set_fate(|step| match step {
        disk::Step::Flush => Fate::Works,
        step => panic!("{step:?} by opening"),
    });
    let mut client = Client::on(&disk, 0);
    let opened = client.init(OpenMode::Open, None, InitRequest::default());
    let image = opened.and_then(|()| client.export());
    image.map(|image| bytes(&image).to_vec())
}

fn assert_refused(error: &EngineError, at: usize) {
    assert_eq!(error.code(), ErrorCode::Corrupt, "{at}: {error:?}");
    assert_eq!((&*error.reason, &*error.subject), ("IMAGE_INVALID", "storage.path"), "{at}");
}

/// A small store that was closed, and its image.
fn sealed_store() -> (Vec<u8>, Vec<u8>) {
    let disk = Disk::with_content(vec![], 1);
    let mut client = Client::on(&disk, 7);
    client.init(OpenMode::Create, None, InitRequest::default()).unwrap();
    client.exec("create table t(a)", vec![]).unwrap();
    client.save().unwrap();
    client.exec("insert into t values (zeroblob(5000))", vec![]).unwrap();
    let image = bytes(&client.export().unwrap()).to_vec();
    client.call(request::Call::Close(Default::default()), None).unwrap();
    (disk.content(), image)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixture_path(name)).unwrap()
}

fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
