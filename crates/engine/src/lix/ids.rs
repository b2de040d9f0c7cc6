//! Where ids, timestamps and chance come from, and how they become the same every time.
//!
//! Guarantee: in deterministic mode every value follows from the mode's options and from how many
//! were drawn before it. Nothing but a call here draws; reads of state never do, so the numbers
//! that a program sees depend on what it wrote and asked for, not on how the engine works.
//!
//! What draws how much: a change its timestamp, then its id; sealing one timestamp for all
//! versions, then for each version the ids of commit, change set, tip change and commit change.
//! A rollback does not give numbers back: where they stand is in memory, and [`Ids::store`] writes it
//! down before each commit.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::{Error, Reason, Result};
use serde_json::Value;

use super::sql::Sql;
use super::words::{ADJECTIVES, DETERMINISTIC_WORDS, NOUNS, VERBS};
use crate::Platform;
use crate::sqlite::Bound;

/// The generators of one connection.
pub(crate) struct Ids {
    platform: Arc<dyn Platform>,
    mode: RefCell<Mode>,
    /// The seed of the numbers drawn by [`Ids::random`] so far.
    seed: RefCell<Option<Rc<str>>>,
    sequence: Cell<i64>,
    rng: Cell<Option<Rng>>,
    saved: Cell<Drawn>,
    last_uuid: Cell<(u64, u16)>,
    chance: RefCell<Chance>,
}

/// Random bytes fetched ahead: asking the platform may be a call out of WebAssembly.
struct Chance {
    bytes: [u8; 512],
    used: usize,
}

/// The value of `lix_deterministic_mode`, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) is_deterministic: bool,
    /// What [`Ids::random`] starts from.
    pub(crate) seed: Rc<str>,
    timestamp: bool,
    uuid_v7: bool,
    nano_id: bool,
    has_random_lix_id: bool,
}

/// What was drawn so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Drawn {
    /// The highest number handed out.
    sequence: Option<i64>,
    /// `hi` and `lo`.
    rng: Option<(u64, u64)>,
}

impl Ids {
    /// Generators that take everything from the platform.
    pub(crate) fn new(platform: Arc<dyn Platform>) -> Self {
        Self {
            platform,
            mode: RefCell::new(Mode::off()),
            seed: RefCell::default(),
            sequence: Cell::new(0),
            rng: Cell::default(),
            saved: Cell::default(),
            last_uuid: Cell::default(),
            chance: RefCell::new(Chance { bytes: [0; 512], used: 512 }),
        }
    }

    /// An id for changes, commits, and change sets of commits.
    pub(crate) fn uuid_v7(&self) -> Rc<str> {
        match self.mode.borrow().draws(|mode| mode.uuid_v7) {
            true => format!("01920000-0000-7000-8000-0000{:08x}", self.draw()).into(),
            false => self.random_uuid().into(),
        }
    }

    /// An id of 21 characters, or of as many as asked for unless it is deterministic.
    pub(crate) fn nano_id(&self, length: Option<usize>) -> Rc<str> {
        match self.mode.borrow().draws(|mode| mode.nano_id) {
            true => format!("test_{:010}", self.draw()).into(),
            false => self.random_nano_id(length.unwrap_or(NANO_ID_CHARACTERS)).into(),
        }
    }

    /// Now, in ISO 8601 with milliseconds and `Z`.
    pub(crate) fn timestamp(&self) -> Rc<str> {
        match self.mode.borrow().draws(|mode| mode.timestamp) {
            true => iso(self.draw()).into(),
            false => iso(self.platform.unix_ms()).into(),
        }
    }

    /// A word for people, in lower case.
    pub(crate) fn human_id(&self) -> Rc<str> {
        match self.mode.borrow().is_deterministic {
            true => {
                let words = DETERMINISTIC_WORDS.len();
                let index = usize::try_from(self.draw()).unwrap_or_default() % words;
                DETERMINISTIC_WORDS[index].into()
            }
            false => self.pick(NOUNS).into(),
        }
    }

    /// A number from 0 to less than 1.
    pub(crate) fn random(&self) -> f64 {
        if !self.mode.borrow().is_deterministic {
            return fraction(self.random_u64());
        }
        let mut rng = self.rng();
        let number = rng.next();
        self.rng.set(Some(rng));
        number
    }

    /// The next number of the sequence.
    pub(crate) fn next_sequence_number(&self) -> Result<i64> {
        if !self.is_deterministic() {
            let message = "nextDeterministicSequenceNumber() is available only when \
                           lix_deterministic_mode = true";
            return Err(Error::new(Reason::SqlError, message));
        }
        Ok(self.draw())
    }

    pub(crate) fn is_deterministic(&self) -> bool {
        self.mode.borrow().is_deterministic
    }

    /// What holds from here on. Another seed than before starts [`Ids::random`] anew; the sequence
    /// goes on.
    pub(crate) fn set_mode(&self, mode: Mode) {
        if mode.is_deterministic {
            let before = self.seed.replace(Some(mode.seed.clone()));
            if before.is_some_and(|before| before != mode.seed) {
                self.rng.set(None);
            }
        }
        self.mode.replace(mode);
    }

    /// Goes on where another left off.
    fn restore(&self, drawn: Drawn) {
        self.sequence.set(drawn.sequence.map_or(0, |highest| highest + 1));
        self.rng.set(drawn.rng.map(|(hi, lo)| Rng { hi, lo }));
        self.saved.set(drawn);
    }

    /// Numbers were drawn that are not written down.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved().is_some()
    }

    /// What was drawn, if it is not what [`Ids::note_saved`] or [`Ids::restore`] was told last. Normal
    /// mode draws nothing.
    fn unsaved(&self) -> Option<Drawn> {
        let drawn = self.drawn();
        (drawn != self.saved.get() && drawn != Drawn::default()).then_some(drawn)
    }

    /// This is stored now, or will be with the open transaction; [`Ids::note_lost`] if not.
    fn note_saved(&self, drawn: Drawn) {
        self.saved.set(drawn);
    }

    /// A transaction was rolled back: nobody knows what is stored.
    pub(crate) fn note_lost(&self) {
        self.saved.set(Drawn { sequence: Some(i64::MIN), rng: None });
    }

    /// Goes on where the file says, which says nothing in a new one.
    pub(crate) fn load(&self, sql: &Sql) -> Result<()> {
        let mut drawn = Drawn::default();
        sql.each("select key, value from _lix_meta", &[], |row| {
            match &*row.text(0) {
                SEQUENCE => drawn.sequence = row.optional_integer(1),
                RNG => {
                    let text = row.text(1);
                    let halves = text.split_once(' ');
                    drawn.rng =
                        halves.and_then(|(hi, lo)| Some((hi.parse().ok()?, lo.parse().ok()?)));
                }
                _ => {}
            }
            Ok(())
        })?;
        self.restore(drawn);
        Ok(())
    }

    /// Writes down what was drawn since the last time, as a part of the open transaction.
    pub(crate) fn store(&self, sql: &Sql) -> Result<()> {
        let Some(drawn) = self.unsaved() else { return Ok(()) };
        let put = "insert or replace into _lix_meta (key, value) values (?1, ?2)";
        if let Some(highest) = drawn.sequence {
            sql.run(put, &[Bound::Text(SEQUENCE), Bound::Integer(highest)])?;
        }
        if let Some((hi, lo)) = drawn.rng {
            sql.run(put, &[Bound::Text(RNG), Bound::Text(&format!("{hi} {lo}"))])?;
        }
        self.note_saved(drawn);
        Ok(())
    }

    /// Ids for a new lix, with the value of its `lix_deterministic_mode`, if it has one.
    pub(crate) fn boot(&self, mode: Option<&Value>) -> Boot<'_> {
        let mode = mode.map_or_else(Mode::off, |value| Mode::from_json(value, ""));
        let now = if mode.is_deterministic { 0 } else { self.platform.unix_ms() };
        Boot { ids: self, mode, timestamp: iso(now).into(), counter: Cell::new(0) }
    }

    fn drawn(&self) -> Drawn {
        Drawn {
            sequence: self.sequence.get().checked_sub(1).filter(|highest| *highest >= 0),
            rng: self.rng.get().map(|Rng { hi, lo }| (hi, lo)),
        }
    }

    fn draw(&self) -> i64 {
        let number = self.sequence.get();
        self.sequence.set(number + 1);
        number
    }

    fn rng(&self) -> Rng {
        self.rng.get().unwrap_or_else(|| Rng::seeded(&self.mode.borrow().seed))
    }

    /// Grows with every call, also when the clock stands still or goes back.
    fn random_uuid(&self) -> String {
        let (last_ms, last_count) = self.last_uuid.get();
        let now_ms = u64::try_from(self.platform.unix_ms()).unwrap_or_default();
        // Half of the room is for those that follow within the millisecond.
        let fresh_count = (self.random_u64() & 0x7ff) as u16;
        let (ms, count) = match (now_ms > last_ms, last_count < 0xfff) {
            (true, _) => (now_ms, fresh_count),
            (false, true) => (last_ms, last_count + 1),
            (false, false) => (last_ms + 1, fresh_count),
        };
        self.last_uuid.set((ms, count));
        let tail = self.random_u64() & !(0b11 << 62) | 0b10 << 62;
        format!(
            "{:08x}-{:04x}-7{count:03x}-{:04x}-{:012x}",
            ms >> 16 & 0xffff_ffff,
            ms & 0xffff,
            tail >> 48,
            tail & 0xffff_ffff_ffff,
        )
    }

    fn random_nano_id(&self, length: usize) -> String {
        // Values beyond the alphabet are dropped, so that every character is as likely.
        let character = || ALPHABET.get(usize::from(self.random_bytes::<1>()[0] & 63));
        let characters = std::iter::repeat_with(character).flatten();
        characters.take(length).map(|byte| char::from(*byte)).collect()
    }

    fn random_u64(&self) -> u64 {
        u64::from_le_bytes(self.random_bytes())
    }

    fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let Chance { bytes, used } = &mut *self.chance.borrow_mut();
        if *used + N > bytes.len() {
            self.platform.random(bytes);
            *used = 0;
        }
        *used += N;
        bytes[*used - N..*used].try_into().expect("N bytes")
    }

    fn pick(&self, words: &[&'static str]) -> &'static str {
        words[(self.random_u64() % words.len() as u64) as usize]
    }
}

impl Mode {
    /// Everything as chance and the clock want it.
    pub(crate) fn off() -> Self {
        Self {
            is_deterministic: false,
            seed: "".into(),
            timestamp: true,
            uuid_v7: true,
            nano_id: true,
            has_random_lix_id: false,
        }
    }

    /// Reads the value of `lix_deterministic_mode`. Members that nobody knows are fine; without
    /// `random_seed` chance depends on the id of the lix.
    pub(crate) fn from_json(value: &Value, lix_id: &str) -> Self {
        let is_on = |name| value.get(name) != Some(&Value::Bool(false));
        Self {
            is_deterministic: value.get("enabled").is_some_and(is_loosely_true),
            seed: match value.get("random_seed") {
                None | Some(Value::Null) => lix_id.into(),
                Some(Value::String(seed)) => seed.as_str().into(),
                Some(seed) => seed.to_string().into(),
            },
            timestamp: is_on("timestamp"),
            uuid_v7: is_on("uuid_v7"),
            nano_id: is_on("nano_id"),
            has_random_lix_id: value.get("randomLixId").is_some_and(is_loosely_true),
        }
    }

    fn draws(&self, is_on: impl FnOnce(&Self) -> bool) -> bool {
        self.is_deterministic && is_on(self)
    }
}

/// Ids for the content of a new lix, from a counter of their own in deterministic mode.
pub(crate) struct Boot<'a> {
    ids: &'a Ids,
    mode: Mode,
    timestamp: Rc<str>,
    counter: Cell<u64>,
}

impl Boot<'_> {
    pub(crate) fn uuid_v7(&self) -> Rc<str> {
        match self.mode.is_deterministic {
            true => format!("0192aaaa-0000-7000-8000-0000{:08x}", self.draw()).into(),
            false => self.ids.random_uuid().into(),
        }
    }

    pub(crate) fn nano_id(&self) -> Rc<str> {
        match self.mode.is_deterministic {
            true => format!("boot_{:010}", self.draw()).into(),
            false => self.ids.random_nano_id(NANO_ID_CHARACTERS).into(),
        }
    }

    /// One moment for everything.
    pub(crate) fn timestamp(&self) -> Rc<str> {
        self.timestamp.clone()
    }

    /// Passes over numbers that belong to ids which this engine does not need.
    pub(crate) fn skip(&self, numbers: u64) {
        self.counter.set(self.counter.get() + numbers);
    }

    /// The id of the lix; takes no number.
    pub(crate) fn lix_id(&self) -> Rc<str> {
        match self.mode.is_deterministic && !self.mode.has_random_lix_id {
            true => "deterministic-lix-id".into(),
            false => self.ids.random_nano_id(NANO_ID_CHARACTERS).into(),
        }
    }

    /// Its name; takes no number.
    pub(crate) fn lix_name(&self) -> Rc<str> {
        if self.mode.is_deterministic {
            return "deterministic-lix-name".into();
        }
        self.three_words().join("-").into()
    }

    /// The name of the first account; takes no number.
    pub(crate) fn account_name(&self) -> Rc<str> {
        if self.mode.is_deterministic {
            return "Anonymous Deterministic".into();
        }
        let mut name = String::from("Anonymous ");
        for word in self.three_words() {
            let (first, rest) = word.split_at(1);
            let _ = write!(name, "{}{rest}", first.to_ascii_uppercase());
        }
        name.into()
    }

    fn three_words(&self) -> [&'static str; 3] {
        [self.ids.pick(ADJECTIVES), self.ids.pick(NOUNS), self.ids.pick(VERBS)]
    }

    fn draw(&self) -> u64 {
        let number = self.counter.get();
        self.skip(1);
        number
    }
}

/// The generator xorshift128+.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rng {
    hi: u64,
    lo: u64,
}

impl Rng {
    fn seeded(seed: &str) -> Self {
        // FNV-1a over UTF-16, then two steps of SplitMix64.
        let mut state = seed.encode_utf16().fold(0xcbf2_9ce4_8422_2325_u64, |hash, unit| {
            (hash ^ u64::from(unit)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut split = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        let (hi, lo) = (split(), split());
        // Both zero would stay zero.
        Self { hi: if hi == 0 { 1 } else { hi }, lo: if lo == 0 { 2 } else { lo } }
    }

    fn next(&mut self) -> f64 {
        let mut s1 = self.lo;
        let s0 = self.hi;
        self.lo = s0;
        s1 ^= s1 << 23;
        self.hi = s1 ^ s0 ^ s1 >> 17 ^ s0 >> 26;
        fraction(self.hi.wrapping_add(self.lo))
    }
}

/// The upper 53 bits as a number from 0 to less than 1.
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// `true`, 1 and "1".
fn is_loosely_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() == Some(1.0),
        Value::String(text) => text.trim().parse() == Ok(1.0),
        _ => false,
    }
}

/// Milliseconds since 1970 as ISO 8601 in UTC.
pub(crate) fn iso(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS));
    // Days since 0000-03-01, in eras of 400 years; a year then ends with its leap day.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Keys of `_lix_meta`.
const SEQUENCE: &str = "sequence_number";
const RNG: &str = "rng_state";

const DAY_MS: i64 = 86_400_000;
const NANO_ID_CHARACTERS: usize = 21;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use serde_json::json;

    use super::*;

    /// A clock that stands where it is put, and bytes from a generator.
    #[derive(Default)]
    struct Still {
        unix_ms: AtomicI64,
        chance: AtomicU64,
    }

    impl Platform for Still {
        fn unix_ms(&self) -> i64 {
            self.unix_ms.load(Ordering::Relaxed)
        }

        fn monotonic_ms(&self) -> u64 {
            0
        }

        fn random(&self, buffer: &mut [u8]) {
            for byte in buffer {
                let seed = self.chance.fetch_add(1, Ordering::Relaxed);
                *byte = (fraction(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * 256.0) as u8;
            }
        }
    }

    fn ids() -> (Ids, Arc<Still>) {
        let platform = Arc::new(Still::default());
        (Ids::new(platform.clone()), platform)
    }

    fn deterministic(options: Value) -> Ids {
        let (ids, _) = ids();
        ids.set_mode(Mode::from_json(&options, "deterministic-lix-id"));
        ids
    }

    #[test]
    fn deterministic_generators_share_one_counter() {
        let ids = deterministic(json!({ "enabled": true }));
        assert_eq!(&*ids.timestamp(), "1970-01-01T00:00:00.000Z");
        assert_eq!(&*ids.uuid_v7(), "01920000-0000-7000-8000-000000000001");
        assert_eq!(&*ids.nano_id(None), "test_0000000002");
        assert_eq!(&*ids.nano_id(Some(3)), "test_0000000003");
        assert_eq!(&*ids.human_id(), DETERMINISTIC_WORDS[4]);
        ids.random();
        assert_eq!(ids.next_sequence_number().unwrap(), 5);
        assert_eq!(&*ids.timestamp(), "1970-01-01T00:00:00.006Z");
        for _ in 7..54 {
            ids.next_sequence_number().unwrap();
        }
        assert_eq!(&*ids.human_id(), DETERMINISTIC_WORDS[4]);
    }

    #[test]
    fn the_check_values_of_the_random_numbers_hold() {
        let expected = [
            (
                "deterministic-lix-id",
                [0.0012119052293715349, 0.10991657726159576, 0.9156716654821693],
            ),
            ("test-seed", [0.6863488865526077, 0.433452357958801, 0.009583687269435703]),
        ];
        for (seed, numbers) in expected {
            let ids = deterministic(json!({ "enabled": true, "random_seed": seed }));
            assert_eq!([ids.random(), ids.random(), ids.random()], numbers, "{seed}");
        }
        let by_id = deterministic(json!({ "enabled": true }));
        assert_eq!(by_id.random(), expected[0].1[0]);
    }

    #[test]
    fn random_numbers_go_on_until_the_seed_changes() {
        let mode =
            |seed: &str| Mode::from_json(&json!({ "enabled": true, "random_seed": seed }), "an id");
        let (ids, _) = ids();
        ids.set_mode(mode("test-seed"));
        ids.random();
        let drawn = ids.unsaved().unwrap();
        ids.set_mode(Mode::off());
        ids.random();
        ids.set_mode(mode("test-seed"));
        assert_eq!(ids.random(), 0.433452357958801);
        ids.set_mode(mode("deterministic-lix-id"));
        assert_eq!(ids.random(), 0.0012119052293715349);

        let (reopened, _) = self::ids();
        reopened.restore(drawn);
        reopened.set_mode(mode("test-seed"));
        assert_eq!(reopened.random(), 0.433452357958801);
    }

    #[test]
    fn numbers_go_on_in_a_file_that_is_opened_again() {
        let ids = deterministic(json!({ "enabled": true }));
        assert_eq!(ids.unsaved(), None);
        ids.nano_id(None);
        ids.nano_id(None);
        let drawn = ids.unsaved().unwrap();
        assert_eq!(drawn, Drawn { sequence: Some(1), rng: None });
        ids.note_saved(drawn);
        assert_eq!(ids.unsaved(), None);
        ids.note_lost();
        assert_eq!(ids.unsaved(), Some(drawn), "after a rollback");

        let reopened = deterministic(json!({ "enabled": true }));
        reopened.restore(drawn);
        assert_eq!(reopened.unsaved(), None);
        assert_eq!(reopened.next_sequence_number().unwrap(), 2);
    }

    #[test]
    fn generators_can_be_left_out() {
        let options =
            json!({ "enabled": true, "timestamp": false, "uuid_v7": false, "nano_id": false });
        let ids = deterministic(options);
        assert_eq!(ids.timestamp(), ids.timestamp());
        assert_ne!(ids.uuid_v7(), ids.uuid_v7());
        assert_eq!(ids.nano_id(None).len(), 21);
        assert_eq!(ids.next_sequence_number().unwrap(), 0, "nothing was drawn");
    }

    #[test]
    fn enabled_is_read_loosely() {
        for on in [json!(true), json!(1), json!(1.0), json!("1")] {
            assert!(
                Mode::from_json(&json!({ "enabled": on, "other": [] }), "").is_deterministic,
                "{on}"
            );
        }
        for off in
            [json!(false), json!(0), json!(2), json!("true"), json!(""), json!(null), json!({})]
        {
            assert!(!Mode::from_json(&json!({ "enabled": off }), "").is_deterministic, "{off}");
        }
        for off in [json!({}), json!(true), json!([true]), json!("enabled"), json!(null)] {
            assert!(!Mode::from_json(&off, "").is_deterministic, "{off}");
        }
    }

    #[test]
    fn normal_mode_has_no_sequence() {
        let (ids, _) = ids();
        ids.nano_id(None);
        let error = ids.next_sequence_number().unwrap_err();
        assert!(error.message.contains("only when lix_deterministic_mode = true"), "{error}");
        assert_eq!(ids.unsaved(), None);
        ids.note_lost();
        assert_eq!(ids.unsaved(), None);
    }

    #[test]
    fn uuids_are_of_version_7_and_grow_whatever_the_clock_does() {
        let (ids, platform) = ids();
        platform.unix_ms.store(0x0192_1234_5678, Ordering::Relaxed);
        let mut uuids: Vec<_> = (0..10_000).map(|_| ids.uuid_v7()).collect();
        assert!(uuids[0].starts_with("01921234-5678-7"), "{}", uuids[0]);
        platform.unix_ms.store(0x0192_1234_0000, Ordering::Relaxed);
        uuids.extend((0..10).map(|_| ids.uuid_v7()));
        platform.unix_ms.store(0x0193_0000_0000, Ordering::Relaxed);
        uuids.push(ids.uuid_v7());
        assert!(uuids.last().unwrap().starts_with("01930000-0000-7"));
        assert!(uuids.is_sorted_by(|a, b| a < b));
        for uuid in &uuids {
            let parts: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert_eq!(&uuid[14..15], "7");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    #[test]
    fn nano_ids_have_the_length_asked_for_and_every_character_of_the_alphabet() {
        let (ids, _) = ids();
        assert_eq!(ids.nano_id(None).len(), 21);
        for length in [0, 1, 10, 33, 100] {
            assert_eq!(ids.nano_id(Some(length)).len(), length);
        }
        let seen: HashSet<_> = ids.nano_id(Some(5_000)).bytes().collect();
        assert_eq!(seen, ALPHABET.iter().copied().collect());
    }

    #[test]
    fn timestamps_are_iso_dates() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso(unix_ms), text);
        }
    }

    #[test]
    fn a_deterministic_lix_begins_with_a_counter_of_its_own() {
        let (ids, _) = ids();
        let boot = ids.boot(Some(&json!({ "enabled": true, "bootstrap": true })));
        assert_eq!(&*boot.nano_id(), "boot_0000000000");
        boot.skip(9);
        assert_eq!(&*boot.uuid_v7(), "0192aaaa-0000-7000-8000-00000000000a");
        assert_eq!(&*boot.timestamp(), "1970-01-01T00:00:00.000Z");
        assert_eq!(&*boot.lix_id(), "deterministic-lix-id");
        assert_eq!(&*boot.lix_name(), "deterministic-lix-name");
        assert_eq!(&*boot.account_name(), "Anonymous Deterministic");
        assert_eq!(&*boot.nano_id(), "boot_0000000011");
        assert_eq!(ids.unsaved(), None);

        let boot = ids.boot(Some(&json!({ "enabled": true, "randomLixId": true })));
        assert_eq!(boot.lix_id().len(), 21);
        assert_eq!(&*boot.lix_name(), "deterministic-lix-name");
    }

    #[test]
    fn names_are_made_of_words() {
        let (ids, _) = ids();
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let boot = ids.boot(None);
        for _ in 0..200 {
            assert!(is_word(&ids.human_id()));
            let name = boot.lix_name();
            assert!(name.split('-').count() == 3 && name.split('-').all(is_word), "{name}");
            let account = boot.account_name();
            let words = account.strip_prefix("Anonymous ").unwrap();
            assert!(words.bytes().all(|byte| byte.is_ascii_alphabetic()), "{account}");
            assert_eq!(words.bytes().filter(u8::is_ascii_uppercase).count(), 3, "{account}");
        }
        let distinct: HashSet<_> = DETERMINISTIC_WORDS.iter().collect();
        assert_eq!((DETERMINISTIC_WORDS.len(), distinct.len()), (50, 50));
    }
}
