//! The store with images that are not databases, which makes it possible to look at every write.
//! `tests/crash` does the same through sessions and SQL.

use lix_engine_protocol::{Error, Reason, Result};

use self::disk::{Chance, Disk, Fate, Step};
use super::{BLOCK, Store, format};
use crate::image::Image;
use crate::{Platform, StorageFile};

#[path = "../../tests/crash/disk.rs"]
#[allow(dead_code, reason = "shared with the simulator")]
mod disk;

struct Seeded;

impl Platform for Seeded {
    fn unix_ms(&self) -> i64 {
        0
    }

    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fn open(disk: &Disk) -> Result<(Store, Option<Image>)> {
    Store::open(disk.file(), &Seeded)
}

fn save(store: &mut Store, image: &mut Image) -> Result<()> {
    let mut save = store.begin(image);
    loop {
        match store.step(&mut save, 64 * 1024) {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            Err(error) => {
                store.abandon(save, image);
                return Err(error);
            }
        }
    }
}

fn bytes(image: &Image) -> Vec<u8> {
    image.snapshot().chunks().collect::<Vec<_>>().concat()
}

fn reopened(disk: &Disk) -> Vec<u8> {
    bytes(&open(disk).unwrap().1.unwrap())
}

fn fill(image: &mut Image, blocks: std::ops::Range<u64>, byte: u8) {
    for block in blocks {
        image.write(&[byte; BLOCK], block * BLOCK as u64);
    }
}

#[test]
fn what_is_saved_is_found_again() {
    let disk = Disk::default();
    let (mut store, none) = open(&disk).unwrap();
    assert!(none.is_none());
    let mut image = Image::default();
    image.write(b"some bytes", 5000);
    save(&mut store, &mut image).unwrap();
    assert_eq!(reopened(&disk), bytes(&image));

    for round in 0..300u64 {
        image.write(&[round as u8; 3000], round * 1000 % 200_000);
        if round % 50 == 49 {
            image.truncate(round * 400);
        }
        save(&mut store, &mut image).unwrap();
        assert_eq!(reopened(&disk), bytes(&image), "round {round}");
    }
    store.seal().unwrap();
    assert_eq!(reopened(&disk), bytes(&image));
}

#[test]
fn a_large_image_takes_several_steps_and_keeps_its_content() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..5000, 1);
    let expected = bytes(&image);
    let mut running = store.begin(&mut image);
    let mut steps = 0;
    while !store.step(&mut running, 1 << 20).unwrap() {
        steps += 1;
        fill(&mut image, 0..5000, 2);
    }
    assert!(steps > 15, "{steps}");
    assert_eq!(reopened(&disk), expected);
    save(&mut store, &mut image).unwrap();
    assert_eq!(reopened(&disk), bytes(&image));
}

#[test]
fn a_small_save_costs_little_and_one_flush() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..2000, 1);
    save(&mut store, &mut image).unwrap();
    fill(&mut image, 0..1, 2);
    save(&mut store, &mut image).unwrap();
    for round in 0..100 {
        let before = disk.operations();
        fill(&mut image, 0..1, round);
        fill(&mut image, 1000..1002, round);
        let mut running = store.begin(&mut image);
        assert!(store.step(&mut running, usize::MAX).unwrap());
        assert_eq!(running.bytes_written(), 4 * BLOCK as u64);
        let operations = disk.operations() - before;
        assert!(operations <= 4, "{operations} writes and flushes in round {round}");
    }
}

#[test]
fn a_file_that_became_empty_shrinks_by_and_by() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..4000, 1);
    save(&mut store, &mut image).unwrap();
    let full = disk.content().len();
    image.truncate(100 * BLOCK as u64);
    save(&mut store, &mut image).unwrap();
    let mut saves = 0;
    // A save of something makes the rest of the last one free.
    fill(&mut image, 7..9, 9);
    save(&mut store, &mut image).unwrap();
    while store.wants_compaction() {
        save(&mut store, &mut image).unwrap();
        saves += 1;
        assert!(saves < 100, "compaction ends");
        assert_eq!(reopened(&disk), bytes(&image));
    }
    let small = disk.content().len();
    assert!(small < full / 8, "{full} bytes became {small} in {saves} saves");
}

#[test]
fn compaction_moves_scattered_blocks_in_bounded_steps() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..3000, 1);
    save(&mut store, &mut image).unwrap();
    // Twice as large, the upper half in use; then all but a part of that goes.
    fill(&mut image, 0..3000, 2);
    save(&mut store, &mut image).unwrap();
    let full = disk.content().len();
    image.truncate(900 * BLOCK as u64);
    save(&mut store, &mut image).unwrap();
    let mut saves = 0;
    while store.wants_compaction() {
        let mut running = store.begin(&mut image);
        assert!(store.step(&mut running, usize::MAX).unwrap());
        assert!(running.bytes_written() < 600 * 1024, "{}", running.bytes_written());
        saves += 1;
        assert!(saves < 100, "compaction ends");
    }
    assert!(saves > 3, "{saves}");
    assert_eq!(reopened(&disk), bytes(&image));
    assert!(disk.content().len() < full / 2);
    store.seal().unwrap();
    assert_eq!(reopened(&disk), bytes(&image));
}

#[test]
fn replacing_keeps_the_old_until_the_new_is_stored() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..400, 1);
    save(&mut store, &mut image).unwrap();
    let old = bytes(&image);

    let mut store = Store::replace(disk.file(), &Seeded).unwrap();
    assert_eq!(reopened(&disk), old);
    let mut image = Image::default();
    fill(&mut image, 0..5, 9);
    disk.set_fate(|step| if step == Step::Flush { Fate::Fails } else { Fate::Works });
    assert!(save(&mut store, &mut image).is_err());
    let mut chance = Chance::new(1);
    for _ in 0..100 {
        let found = Disk::with_content(disk.cut(&mut chance), 0);
        let found = reopened(&found);
        assert!(found == old || found == bytes(&image));
    }
    disk.calm();
    save(&mut store, &mut image).unwrap();
    assert_eq!(reopened(&disk), bytes(&image));
}

#[test]
fn another_programs_file_is_taken_over_at_once_or_not_at_all() {
    let foreign: Vec<u8> = (0..50_001).map(|at| (at / 7) as u8 | 1).collect();
    for fails_at in 0..40 {
        let disk = Disk::with_content(foreign.clone(), fails_at);
        assert_eq!(open(&disk).err().unwrap().reason, Reason::ImageInvalid);
        let mut store = Store::replace(disk.file(), &Seeded).unwrap();
        let mut image = Image::default();
        fill(&mut image, 0..20, 3);
        let expected = bytes(&image);
        let untouched = foreign.clone();
        let mut chance = Chance::new(fails_at);
        let wanted = expected.clone();
        disk.observe(move |power| {
            let left = power.cut(&mut chance);
            let found = open(&Disk::with_content(left.clone(), 0));
            match found {
                Ok((_, Some(image))) => assert_eq!(bytes(&image), wanted),
                Ok((_, None)) => panic!("the old content is gone"),
                Err(error) => {
                    assert_eq!(error.reason, Reason::ImageInvalid);
                    assert_eq!(left[..untouched.len()], untouched);
                }
            }
        });
        let mut left = fails_at;
        disk.set_fate(move |_| {
            left = left.wrapping_sub(1);
            if left == 0 { Fate::Fails } else { Fate::Works }
        });
        while save(&mut store, &mut image).is_err() {}
        disk.calm();
        assert_eq!(reopened(&disk), expected);
        fill(&mut image, 0..2, 5);
        save(&mut store, &mut image).unwrap();
        assert_eq!(reopened(&disk), bytes(&image));
    }
}

#[test]
fn a_file_that_was_let_go_is_taken_again_unless_it_was_changed() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    store.release();
    assert!(store.resume(disk.file()).unwrap());
    let mut image = Image::default();
    fill(&mut image, 0..5, 1);
    save(&mut store, &mut image).unwrap();
    for round in 2..5 {
        fill(&mut image, 0..2, round);
        save(&mut store, &mut image).unwrap();
        store.release();
        assert!(save(&mut store, &mut image).is_ok(), "nothing has to be written");
        fill(&mut image, 0..1, 99);
        assert_eq!(save(&mut store, &mut image).unwrap_err().reason, Reason::StorageFailed);
        assert!(store.resume(disk.file()).unwrap());
        save(&mut store, &mut image).unwrap();
        assert_eq!(reopened(&disk), bytes(&image));
    }

    // A save that seemed to fail but was stored is still ours.
    fill(&mut image, 0..1, 50);
    disk.set_fate(|step| if step == Step::Flush { Fate::Fails } else { Fate::Works });
    assert!(save(&mut store, &mut image).is_err());
    disk.calm();
    store.release();
    assert!(store.resume(disk.file()).unwrap());
    save(&mut store, &mut image).unwrap();

    store.release();
    let (mut other, found) = open(&disk).unwrap();
    let mut found = found.unwrap();
    fill(&mut found, 3..4, 77);
    save(&mut other, &mut found).unwrap();
    assert!(!store.resume(disk.file()).unwrap());
    assert_eq!(reopened(&disk), bytes(&found));
}

#[test]
fn a_flipped_bit_in_a_sealed_store_is_noticed_or_harmless() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    fill(&mut image, 0..1, 1);
    save(&mut store, &mut image).unwrap();
    fill(&mut image, 1..2, 2);
    save(&mut store, &mut image).unwrap();
    store.seal().unwrap();
    let expected = bytes(&image);
    let len = disk.content().len();
    let (mut refused, mut harmless) = (0_usize, 0);
    // Two or three bits of each byte.
    for bit in (0..len * 8).step_by(3) {
        disk.flip(bit);
        match open(&disk) {
            Ok((_, found)) => {
                assert_eq!(bytes(&found.unwrap()), expected, "bit {bit}");
                harmless += 1;
            }
            Err(error) => {
                assert_eq!(error.reason, Reason::ImageInvalid, "bit {bit}");
                refused += 1;
            }
        }
        disk.flip(bit);
    }
    // Content, a table page and a root page count; one header and what is free do not.
    assert!(refused.abs_diff(4 * BLOCK * 8 / 3) < 8, "{refused}");
    assert_eq!(refused + harmless, (len * 8).div_ceil(3));
}

#[test]
fn a_flipped_bit_among_records_leaves_a_state_that_was_saved_or_none() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    let mut states = vec![];
    for round in 1..4 {
        fill(&mut image, 0..1, round);
        save(&mut store, &mut image).unwrap();
        states.push(bytes(&image));
    }
    for at in 0..disk.content().len() {
        disk.flip(at * 8 + at % 8);
        match open(&disk) {
            Ok((_, found)) => assert!(states.contains(&bytes(&found.unwrap())), "byte {at}"),
            Err(error) => assert_eq!(error.reason, Reason::ImageInvalid, "byte {at}"),
        }
        disk.flip(at * 8 + at % 8);
    }
}

#[test]
fn forged_blocks_with_right_checksums_are_refused_or_read() {
    let disk = Disk::default();
    let (mut store, _) = open(&disk).unwrap();
    let mut image = Image::default();
    for round in 1..4 {
        fill(&mut image, 0..3, round);
        save(&mut store, &mut image).unwrap();
    }
    let content = disk.content();
    let is_record = |block: &usize| content[block * BLOCK..].starts_with(b"LIXSAVED");
    let records: Vec<usize> = (2..content.len() / BLOCK).filter(is_record).collect();
    assert_eq!(records.len(), 2);
    let mut chance = Chance::new(5);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..4000 {
        let mut forged = content.clone();
        // A header in both slots, or a record; some bytes of its fields, often extreme ones.
        let places = match chance.below(3) {
            0 => vec![records[0]],
            1 => vec![records[1]],
            _ => vec![0, 1],
        };
        let changes: Vec<(usize, u8)> = (0..1 + chance.below(4))
            .map(|_| (8 + chance.below(100), [0, 1, 0x7f, 0xff][chance.below(4)]))
            .collect();
        for place in places {
            let block = &mut forged[place * BLOCK..][..BLOCK];
            changes.iter().for_each(|(at, byte)| block[*at] = *byte);
            format::stamp(block.try_into().unwrap());
        }
        let forged = Disk::with_content(forged, 0);
        match open(&forged) {
            Ok((mut store, found)) => {
                read += 1;
                // Whatever it is, it can be gone on from.
                let mut image = found.unwrap_or_default();
                fill(&mut image, 0..2, 9);
                save(&mut store, &mut image).unwrap();
                assert_eq!(reopened(&forged), bytes(&image));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.reason, Reason::ImageInvalid);
            }
        }
    }
    assert!(refused > 500 && read > 500, "{refused} {read}");
}

/// What a save and an opening cost besides the disk, at several sizes; run it in release.
#[test]
#[ignore = "prints times"]
fn costs() {
    for megabytes in [1, 10, 100, 400] {
        let disk = Disk::default();
        let (mut store, _) = open(&disk).unwrap();
        let mut image = Image::default();
        let blocks = megabytes * 256;
        fill(&mut image, 0..blocks, 1);
        let started = std::time::Instant::now();
        save(&mut store, &mut image).unwrap();
        let whole = started.elapsed();
        let started = std::time::Instant::now();
        let mut written = 0;
        for round in 0..1000u64 {
            fill(&mut image, 0..1, round as u8);
            let block = round * 7919 % blocks;
            fill(&mut image, block..block + 1, round as u8);
            let mut running = store.begin(&mut image);
            while !store.step(&mut running, 1 << 20).unwrap() {}
            written += running.bytes_written();
        }
        let small = started.elapsed() / 1000;
        let (expected, mut content) = (bytes(&image), disk.content());
        let started = std::time::Instant::now();
        let found = open(&Disk::with_content(std::mem::take(&mut content), 0)).unwrap().1.unwrap();
        let opened = started.elapsed();
        assert!(bytes(&found) == expected);
        println!(
            "{megabytes} MB: all {whole:?}, small {small:?} and {} bytes, open {opened:?}",
            written / 1000
        );
    }
}

/// One life of a store after another, each ended by a power cut, a kill or a seal.
#[test]
fn any_power_cut_leaves_a_state_that_was_saved() {
    let seeds = std::env::var("LIX_STORE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let first = std::env::var("LIX_STORE_FIRST").ok().and_then(|first| first.parse().ok());
    let first: u64 = first.unwrap_or(0);
    for seed in first..first + seeds.unwrap_or(15) {
        let outcome = std::panic::catch_unwind(|| live(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

fn live(seed: u64) {
    let mut chance = Chance::new(seed);
    let mut disk = Disk::with_content(vec![], chance.next());
    // States since the last acknowledged one, that one first. Nothing saved is no image.
    let mut states: Vec<Option<Vec<u8>>> = vec![None];
    let scale = [12, 60, 300][chance.below(3)];
    for _ in 0..6 {
        let (mut store, image) = match open(&disk) {
            Ok(opened) => opened,
            Err(error) => panic!("the file cannot be opened: {error}"),
        };
        let found = image.as_ref().map(bytes);
        assert!(states.contains(&found), "the content is a state after what was acknowledged");
        states = vec![found];
        let mut image = image.unwrap_or_default();

        let fails = chance.below(3);
        let mut fates = Chance::new(chance.next());
        disk.set_fate(move |_| match fates.below(30) {
            0 if fails == 1 => Fate::Fails,
            1 if fails == 1 => Fate::Full,
            _ => Fate::Works,
        });
        let mut left = 1 + chance.below(60);
        'life: while left > 0 {
            change(&mut image, &mut chance, scale);
            let mut running = store.begin(&mut image);
            states.push(Some(bytes(&image)));
            loop {
                left = left.saturating_sub(1);
                if left == 0 {
                    break 'life;
                }
                match store.step(&mut running, 40_000) {
                    Ok(false) => {}
                    Ok(true) => {
                        states.drain(..states.len() - 1);
                        break;
                    }
                    Err(_) => {
                        store.abandon(running, &mut image);
                        break;
                    }
                }
                if chance.below(4) == 0 {
                    // Not part of the running save.
                    image.write(&[chance.next() as u8; 9], chance.below(20) as u64 * 999);
                }
            }
            look_at_cuts(&disk, &states, &mut chance);
            match chance.below(40) {
                0 if store.seal().is_ok() && states.len() == 1 => {
                    look_at_cuts(&disk, &states, &mut chance);
                }
                1 => {
                    store.release();
                    assert!(store.resume(disk.file()).unwrap(), "nobody else was here");
                }
                _ => {}
            }
        }
        let left = match chance.below(3) {
            0 => {
                // The process dies; the file goes on with what is not flushed yet.
                disk.calm();
                continue;
            }
            _ => disk.cut(&mut chance),
        };
        disk = Disk::with_content(left, chance.next());
    }
}

fn look_at_cuts(disk: &Disk, states: &[Option<Vec<u8>>], chance: &mut Chance) {
    for _ in 0..2 {
        let left = Disk::with_content(disk.cut(chance), 0);
        let found = match open(&left) {
            Ok((_, found)) => found.as_ref().map(bytes),
            Err(error) => panic!("the file cannot be opened: {error}"),
        };
        assert!(states.contains(&found), "the content is a state after what was acknowledged");
    }
}

fn change(image: &mut Image, chance: &mut Chance, scale: usize) {
    let pieces = match chance.below(12) {
        0 => scale,
        1 => 0,
        _ => 1 + chance.below(4),
    };
    for _ in 0..pieces {
        let byte = chance.next() as u8;
        let len = 1 + chance.below(3 * BLOCK);
        image.write(&vec![byte; len], chance.below(scale * BLOCK) as u64);
    }
    if chance.below(15) == 0 {
        let len = chance.below(image.len() as usize + 1) as u64;
        image.truncate(if chance.below(2) == 0 { len } else { len / 16 });
    }
    if image.len() == 0 {
        image.write(&[1], 0);
    }
}
