//! A failing sequence, as short as it can be made by leaving out operations.

use std::time::{Duration, Instant};

use crate::life::{self, Start, Violation};
use crate::operations::Operation;

pub(crate) struct Shrunk {
    pub(crate) operations: Vec<Operation>,
    pub(crate) violation: Violation,
}

/// Leaves out halves, quarters and so on down to single operations, while it still fails.
pub(crate) fn shrink(start: &Start, seed: u64, operations: Vec<Operation>) -> Shrunk {
    let until = Instant::now() + PATIENCE;
    let violation = match life::run(start, seed, &operations) {
        Err(violation) => violation,
        Ok(()) => Violation { message: "it passes when it runs again".into(), log: Vec::new() },
    };
    let mut shrunk = Shrunk { operations, violation };
    let mut size = shrunk.operations.len() / 2;
    while size > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < shrunk.operations.len() && Instant::now() < until {
            let mut without = shrunk.operations.clone();
            without.drain(at..(at + size).min(without.len()));
            match life::run(start, seed, &without) {
                Err(violation) => {
                    shrunk = Shrunk { operations: without, violation };
                    is_shorter = true;
                }
                Ok(()) => at += size,
            }
        }
        // Something left out later may have been what an earlier one was needed for.
        if size > 1 || !is_shorter {
            size /= 2;
        }
    }
    shrunk
}

const PATIENCE: Duration = Duration::from_secs(20);
