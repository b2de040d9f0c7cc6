//! Which entities a version sees of a file, in one number.
//!
//! Guarantee: two states have the same fingerprint if and only if they have the same entities in the
//! same changes. It does not depend on the order in which they are looked at, so that an edit
//! alters it without another look at what stayed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use crate::lix::OWN_PLUGIN;
use crate::lix::state::StateRow;

/// The content of a file in a version: what it is known by, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) fingerprint: Fingerprint,
    /// How many entities each plugin has.
    pub(super) owners: BTreeMap<Rc<str>, usize>,
}

/// The exclusive or of the hashes of all entities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Summary {
    pub(super) fn add(&mut self, row: &StateRow) {
        self.put(&row.plugin_key, &row.key.schema_key, &row.key.entity_id, mark(row));
    }

    pub(super) fn remove(&mut self, row: &StateRow) {
        if &*row.plugin_key == OWN_PLUGIN {
            return;
        }
        self.fingerprint.toggle(&row.key.schema_key, &row.key.entity_id, mark(row));
        if let Some(count) = self.owners.get_mut(&row.plugin_key) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&row.plugin_key);
            }
        }
    }

    /// An entity as one of its plugin's, known by its change or, if there is none, its snapshot.
    pub(super) fn put(&mut self, plugin: &Rc<str>, schema: &str, entity: &str, mark: &str) {
        if &**plugin == OWN_PLUGIN {
            return;
        }
        self.fingerprint.toggle(schema, entity, mark);
        *self.owners.entry(plugin.clone()).or_default() += 1;
    }
}

impl Fingerprint {
    pub(super) fn toggle(&mut self, schema: &str, entity: &str, mark: &str) {
        let mut hash = Sha256::new();
        for part in [schema, entity, mark] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        self.0.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
    }

    pub(super) fn text(&self) -> String {
        hex(&self.0)
    }
}

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn mark(row: &StateRow) -> &str {
    match row.untracked {
        true => row.snapshot.as_deref().unwrap_or_default(),
        false => &row.change_id,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_leaves_no_trace() {
        let plugin: Rc<str> = "p".into();
        let mut one = Summary::default();
        one.put(&plugin, "s", "a", "1");
        let after_one = one.clone();
        one.put(&plugin, "s", "b", "2");
        assert_ne!(one.fingerprint, after_one.fingerprint);
        let mut other = Summary::default();
        other.put(&plugin, "s", "b", "2");
        other.put(&plugin, "s", "a", "1");
        assert_eq!(one, other);
        one.fingerprint.toggle("s", "b", "2");
        assert_eq!(one.fingerprint, after_one.fingerprint);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let of = |schema: &str, entity: &str, mark: &str| {
            let mut fingerprint = Fingerprint::default();
            fingerprint.toggle(schema, entity, mark);
            fingerprint
        };
        assert_ne!(of("a", "bc", "d"), of("ab", "c", "d"));
        assert_ne!(of("a", "b", "cd"), of("a", "bc", "d"));
    }

    #[test]
    fn own_entities_are_no_content() {
        let mut summary = Summary::default();
        summary.put(&OWN_PLUGIN.into(), "lix_file_descriptor", "f", "1");
        assert_eq!(summary, Summary::default());
    }

    #[test]
    fn hashes_are_those_of_everybody() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
