//! What a sequence is made of. An operation says what to do in numbers that find a place in
//! whatever is there when it runs, so that leaving out others does not make it meaningless.

use crate::random::Random;

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Insert {
        what: What,
        through: Through,
        at: usize,
        values: Vec<usize>,
        untracked: bool,
    },
    Update {
        what: What,
        through: Through,
        at: usize,
        value: usize,
        untracked: Option<bool>,
    },
    Delete {
        what: What,
        through: Through,
        at: usize,
    },
    /// Every version that shows the entity.
    UpdateEverywhere {
        what: What,
        value: usize,
    },
    DeleteEverywhere {
        what: What,
    },
    Move {
        what: What,
        at: usize,
        to: usize,
    },
    WriteToNobody {
        what: What,
    },
    CreateVersion {
        from: From,
        parent: Parent,
        /// By a name that there was already.
        again: Option<usize>,
    },
    Switch {
        to: usize,
        by_update: bool,
    },
    Merge {
        source: usize,
        target: usize,
    },
    Transition {
        version: usize,
        to: usize,
        by_update: bool,
    },
    Checkpoint,
    Rename {
        version: usize,
    },
    Inherit {
        version: usize,
        from: Parent,
    },
    DeleteVersion {
        version: usize,
    },
    Apply {
        changes: Vec<usize>,
    },
    Accounts {
        number: usize,
    },
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Release {
        number: usize,
    },
    RollbackTo {
        number: usize,
    },
    Rebuild,
}

/// An entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct What {
    pub(crate) table: usize,
    pub(crate) entity: usize,
}

/// Which table a write goes to: `key_value_all`, `key_value`, `state_all`, `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    All,
    Active,
    StateAll,
    State,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    Tip(usize),
    Commit(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Parent {
    Global,
    Nobody,
    Version(usize),
    Unknown,
}

/// Numbers large enough to find any place.
const ANY: usize = 1 << 16;
pub(crate) const TABLES: usize = 3;

impl Operation {
    pub(crate) fn any(random: &mut Random) -> Self {
        let at = random.below(ANY);
        let other = random.below(ANY);
        let what = What::any(random);
        let through = match random.below(8) {
            0..=3 => Through::All,
            4..=5 => Through::Active,
            6 => Through::StateAll,
            _ => Through::State,
        };
        match random.below(100) {
            0..=19 => {
                let more = if random.one_in(8) { random.below(3) } else { 0 };
                let values = (0..=more).map(|_| random.below(ANY)).collect();
                Self::Insert { what, through, at, values, untracked: random.one_in(6) }
            }
            20..=33 => {
                let untracked = random.one_in(4).then(|| random.one_in(2));
                Self::Update { what, through, at, value: other, untracked }
            }
            34..=44 => Self::Delete { what, through, at },
            45 => Self::UpdateEverywhere { what, value: other },
            46 => Self::DeleteEverywhere { what },
            47..=48 => Self::Move { what, at, to: other },
            49 => Self::WriteToNobody { what },
            50..=55 => {
                let from = match random.below(3) {
                    0 => From::Commit(other),
                    _ => From::Tip(other),
                };
                let again = random.one_in(5).then_some(at);
                Self::CreateVersion { from, parent: Parent::any(random), again }
            }
            56..=60 => Self::Switch { to: at, by_update: random.one_in(2) },
            61..=68 => Self::Merge { source: at, target: other },
            69..=71 => Self::Transition { version: at, to: other, by_update: random.one_in(3) },
            72..=76 => Self::Checkpoint,
            77 => Self::Rename { version: at },
            78..=79 => Self::Inherit { version: at, from: Parent::any(random) },
            80 => Self::DeleteVersion { version: at },
            81..=82 => {
                Self::Apply { changes: (0..=random.below(3)).map(|_| random.below(ANY)).collect() }
            }
            83 => Self::Accounts { number: random.below(4) },
            84..=87 => Self::Begin,
            88..=90 => Self::Commit,
            91 => Self::Rollback,
            92..=94 => Self::Savepoint,
            95..=96 => Self::Release { number: at },
            97..=98 => Self::RollbackTo { number: at },
            _ => Self::Rebuild,
        }
    }
}

impl What {
    fn any(random: &mut Random) -> Self {
        // Most of the time the plain table, and few entities, so that they meet.
        let table = [0, 0, 0, 1, 2][random.below(5)];
        Self { table, entity: random.below(4) }
    }
}

impl Parent {
    fn any(random: &mut Random) -> Self {
        match random.below(8) {
            0..=2 => Self::Global,
            3 => Self::Nobody,
            4..=6 => Self::Version(random.below(ANY)),
            _ => Self::Unknown,
        }
    }
}
