//! The bytes that were written last, for when the plugin that took them apart is not there.
//!
//! Guarantee: bytes are only ever shown with the entities that were made of them. A version whose
//! content stays what it was keeps its bytes, whatever others write.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::Descriptor;
use super::summary::Fingerprint;
use crate::lix::reads::Read;
use crate::lix::state::Key;
use crate::lix::{FALLBACK_PLUGIN, Lix};
use crate::sqlite::{Bound, Stored};

/// Content that was written.
pub(super) struct Changed {
    /// One of the keys.
    pub(super) key: Key,
    /// The change that the version saw there before; none: nothing.
    pub(super) before: Option<Rc<str>>,
    /// The change of the descriptor that it saw before.
    pub(super) descriptor: Option<Rc<str>>,
}

/// A file as somebody sees it.
pub(super) struct Seen<'a> {
    pub(super) version_id: &'a str,
    pub(super) file_id: &'a str,
    /// The change of its descriptor, at a commit; none: the one that the version sees.
    pub(super) descriptor: Option<Rc<str>>,
}

impl Lix {
    /// Notes what was written to a file in a version, and for whom the old bytes have to stay.
    pub(super) fn put_written(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file_id: &Rc<str>,
        plugin_key: &str,
        data: &[u8],
        changed: Option<&Changed>,
    ) -> Result<()> {
        let fingerprint = self.summary(version_id, file_id)?.fingerprint.text();
        let params = [
            Bound::Text(version_id),
            Bound::Text(file_id),
            Bound::Text(plugin_key),
            Bound::Text(&fingerprint),
            Bound::Blob(data),
        ];
        let sql = "select 1 from _lix_file_data
                   where version_id = ?1 and file_id = ?2 and plugin_key = ?3 and fingerprint = ?4 and data = ?5";
        if self.sql.first(sql, &params, |_| ())?.is_some() {
            return Ok(());
        }
        if let Some(changed) = changed {
            self.leave_written(version_id, file_id, changed)?;
        }
        self.sql.run(
            "insert into _lix_file_data (version_id, file_id, plugin_key, fingerprint, data)
             values (?1, ?2, ?3, ?4, ?5)
             on conflict do update set plugin_key = ?3, fingerprint = ?4, data = ?5",
            &params,
        )
    }

    /// A version's bytes go, as far as it is about that version.
    pub(super) fn drop_written(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file_id: &Rc<str>,
        changed: Option<&Changed>,
    ) -> Result<()> {
        if let Some(changed) = changed {
            self.leave_written(version_id, file_id, changed)?;
        }
        let sql = "delete from _lix_file_data where version_id = ?1 and file_id = ?2";
        self.sql.run(sql, &[Bound::Text(version_id), Bound::Text(file_id)])
    }

    /// Gives the bytes of a version, before they go, to the others that still see their entities.
    fn leave_written(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file_id: &Rc<str>,
        Changed { key, before, descriptor }: &Changed,
    ) -> Result<()> {
        let sql = "select fingerprint from _lix_file_data where version_id = ?1 and file_id = ?2";
        let of = [Bound::Text(version_id), Bound::Text(file_id)];
        let Some(fingerprint) = self.sql.first(sql, &of, |row| row.text(0))? else { return Ok(()) };
        let is_nothing = *fingerprint == *Fingerprint::default().text();
        for other in self.all_versions()? {
            let is_another = is_nothing
                && (descriptor.is_none()
                    || self.descriptor_change(&other.id, file_id)? != *descriptor);
            // Another look at all entities only where it may be worth it.
            if other.id == *version_id
                || is_another
                || self.get(&other.id, key)?.map(|row| row.change_id) != *before
                || self.summary(&other.id, file_id)?.fingerprint.text() != *fingerprint
            {
                continue;
            }
            self.sql.run(
                "insert into _lix_file_data (version_id, file_id, plugin_key, fingerprint, data)
                 select ?3, file_id, plugin_key, fingerprint, data
                 from _lix_file_data where version_id = ?1 and file_id = ?2
                 on conflict do update set plugin_key = excluded.plugin_key,
                   fingerprint = excluded.fingerprint, data = excluded.data
                 where fingerprint <> excluded.fingerprint",
                &[Bound::Text(version_id), Bound::Text(file_id), Bound::Text(&other.id)],
            )?;
        }
        Ok(())
    }

    /// Bytes that came without a word about what was made of them belong to the entities that are
    /// there.
    pub(crate) fn adopt_written(self: &Rc<Self>) -> Result<()> {
        let mut found = Vec::new();
        let sql = "select version_id, file_id from _lix_file_data where fingerprint = ''";
        self.sql.each(sql, &[], |row| {
            found.push((row.text(0), row.text(1)));
            Ok(())
        })?;
        for (version_id, file_id) in found {
            let summary = self.summary(&version_id, &file_id)?;
            let [version, file] = [Bound::Text(&version_id), Bound::Text(&file_id)];
            match summary.owners.keys().find(|key| &***key != FALLBACK_PLUGIN) {
                Some(plugin) => self.sql.run(
                    "update _lix_file_data set plugin_key = ?3, fingerprint = ?4 where version_id = ?1 and file_id = ?2",
                    &[version, file, Bound::Text(plugin), Bound::Text(&summary.fingerprint.text())],
                )?,
                None => self.drop_written(&version_id, &file_id, None)?,
            }
        }
        Ok(())
    }

    /// Shows the bytes that entities were made of, in whatever version; none: nobody has them.
    pub(super) fn with_written<T>(
        &self,
        seen: &Seen<'_>,
        fingerprint: &Fingerprint,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let Some((version_id, _)) = self.written(seen, fingerprint)? else { return Ok(None) };
        let params = [Bound::Text(&version_id), Bound::Text(seen.file_id)];
        let sql = "select data from _lix_file_data where version_id = ?1 and file_id = ?2";
        self.sql.first(sql, &params, |row| match row.cell(0) {
            Stored::Blob(bytes) => show(bytes),
            _ => show(&[]),
        })
    }

    /// The plugin that took the bytes of a file apart and found no entities in them.
    pub(super) fn written_by(&self, seen: &Seen<'_>) -> Result<Option<Rc<str>>> {
        // Whoever writes the file, in whatever version, may leave the plugin's name.
        self.note_read(Read { file_id: seen.file_id, ..Read::default() });
        let found = self.written(seen, &Fingerprint::default())?;
        Ok(found.map(|(_, plugin_key)| plugin_key))
    }

    /// Where bytes lie that became these entities, and the plugin that made them. No entities are the
    /// same nothing only where the file is the same by its descriptor, too.
    fn written(
        &self,
        seen: &Seen<'_>,
        fingerprint: &Fingerprint,
    ) -> Result<Option<(Rc<str>, Rc<str>)>> {
        let text = fingerprint.text();
        let params = [Bound::Text(seen.file_id), Bound::Text(&text), Bound::Text(seen.version_id)];
        let sql = "select version_id, plugin_key from _lix_file_data
                   where file_id = ?1 and fingerprint = ?2 order by version_id <> ?3, version_id";
        let mut found = Vec::new();
        self.sql.each(sql, &params, |row| {
            found.push((row.text(0), row.text(1)));
            Ok(())
        })?;
        if *fingerprint != Fingerprint::default() {
            return Ok(found.into_iter().next());
        }
        let descriptor = match &seen.descriptor {
            Some(change_id) => Some(change_id.clone()),
            None => self.descriptor_change(seen.version_id, seen.file_id)?,
        };
        for (version_id, plugin_key) in found {
            let is_own = *version_id == *seen.version_id && seen.descriptor.is_none();
            if is_own || self.descriptor_change(&version_id, seen.file_id)? == descriptor {
                return Ok(Some((version_id, plugin_key)));
            }
        }
        Ok(None)
    }

    /// The change of a file's descriptor that a version sees.
    fn descriptor_change(&self, version_id: &str, file_id: &str) -> Result<Option<Rc<str>>> {
        let row = self.get(version_id, &Descriptor::key(&file_id.into()))?;
        Ok(row.map(|row| row.change_id))
    }
}
