//! Somebody who only hears of commits, and has to know as much as somebody who looks.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::client::Row;
use crate::model::{DOC, Id, KEY_VALUE, Key, Model, NOTE, Own};

/// What the events told so far.
pub(crate) struct Listener {
    /// By version and entity; None: deleted.
    tracked: HashMap<Id, BTreeMap<Key, Option<Id>>>,
    untracked: HashMap<Id, BTreeMap<Key, Id>>,
    /// What each began with: a version that is made again by an old name begins anew.
    starts: HashMap<Id, Rc<Own>>,
}

impl Listener {
    pub(crate) fn new(model: &Model) -> Self {
        let mut listener =
            Self { tracked: HashMap::new(), untracked: HashMap::new(), starts: HashMap::new() };
        listener.meet(model);
        listener
    }

    /// Takes in the rows of a commit and compares what is known now with what there is.
    pub(crate) fn hear(&mut self, model: &Model, rows: &[Row]) -> Result<(), String> {
        self.meet(model);
        for row in rows {
            self.take(row)?;
        }
        for (id, version) in &model.versions {
            let mut tracked = self.tracked[id].clone();
            tracked.retain(|_, content| content.is_some());
            let own = version.own.iter().filter(|(key, _)| is_followed(key));
            let own =
                own.map(|(key, entry)| (key.clone(), model.changes[entry.change].snapshot.clone()));
            let own: BTreeMap<Key, Option<Id>> =
                own.filter(|(_, content)| content.is_some()).collect();
            if tracked != own {
                return Err(format!(
                    "events say that {id} has {tracked:?} instead of {own:?}: {rows:?}"
                ));
            }
            let heard = self.untracked.get(id).cloned().unwrap_or_default();
            let there = version.untracked.iter().filter(|(key, _)| is_followed(key));
            let there: BTreeMap<Key, Id> =
                there.filter_map(|(key, content)| Some((key.clone(), content.clone()?))).collect();
            if heard != there {
                return Err(format!(
                    "events say that {id} has untracked {heard:?} instead of {there:?}: {rows:?}"
                ));
            }
        }
        Ok(())
    }

    /// A version begins with what its first commit shows.
    fn meet(&mut self, model: &Model) {
        for (id, version) in &model.versions {
            let known = self.starts.insert(id.clone(), version.start.clone());
            if known.is_some_and(|known| Rc::ptr_eq(&known, &version.start)) {
                continue;
            }
            let start = version.start.iter().filter(|(key, _)| is_followed(key));
            let start = start
                .map(|(key, entry)| (key.clone(), model.changes[entry.change].snapshot.clone()))
                .collect();
            self.tracked.insert(id.clone(), start);
            self.untracked.remove(id);
        }
    }

    fn take(&mut self, row: &Row) -> Result<(), String> {
        let [id, entity, schema, _, _, _, _, version, commit, untracked, content] = row.as_slice()
        else {
            return Err(format!("a row of an event has {} columns", row.len()));
        };
        let key = Key { schema: schema.text(), entity: entity.text() };
        if !is_followed(&key) {
            return Ok(());
        }
        let (version, content) = (version.text(), content.option());
        if untracked.integer() != 0 {
            if commit.option().is_some() || &*id.text() != "untracked" {
                return Err(format!("an untracked row of an event: {row:?}"));
            }
            let rows = self.untracked.entry(version).or_default();
            match content {
                Some(content) => rows.insert(key, content),
                None => rows.remove(&key),
            };
        } else {
            if let Some(rows) = self.untracked.get_mut(&version) {
                rows.remove(&key);
            }
            self.tracked.entry(version).or_default().insert(key, content);
        }
        Ok(())
    }
}

fn is_followed(key: &Key) -> bool {
    [KEY_VALUE, DOC, NOTE].contains(&&*key.schema)
}
