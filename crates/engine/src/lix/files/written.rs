//! The bytes that were written last, for when the plugin that took them apart is not there.
//!
//! Guarantee: bytes are only ever shown with the entities that were made of them. A version whose
//! content stays what it was keeps its bytes, whatever others write.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::summary::Fingerprint;
use crate::lix::reads::Read;
use crate::lix::state::Key;
use crate::lix::{FALLBACK_PLUGIN, Lix};
use crate::sqlite::{Bound, Stored};

/// A key that was written, and the change that a version saw there before; none: nothing.
pub(super) type Changed = (Key, Option<Rc<str>>);

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
        (key, before): &Changed,
    ) -> Result<()> {
        let sql = "select fingerprint from _lix_file_data where version_id = ?1 and file_id = ?2";
        let of = [Bound::Text(version_id), Bound::Text(file_id)];
        let Some(fingerprint) = self.sql.first(sql, &of, |row| row.text(0))? else { return Ok(()) };
        for other in self.all_versions()? {
            // Another look at all of its entities only where it may be worth it.
            if other.id == *version_id
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
        version_id: &str,
        file_id: &str,
        fingerprint: &Fingerprint,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let fingerprint = fingerprint.text();
        let params = [Bound::Text(file_id), Bound::Text(&fingerprint), Bound::Text(version_id)];
        let sql = "select data from _lix_file_data where file_id = ?1 and fingerprint = ?2
                   order by version_id <> ?3, version_id limit 1";
        self.sql.first(sql, &params, |row| match row.cell(0) {
            Stored::Blob(bytes) => show(bytes),
            _ => show(&[]),
        })
    }

    /// The plugin that took the bytes of a file apart and found no entities in them.
    pub(super) fn written_by(&self, version_id: &str, file_id: &str) -> Result<Option<Rc<str>>> {
        // Whoever writes the file, in whatever version, may leave the plugin's name.
        self.note_read(Read { file_id, ..Read::default() });
        let fingerprint = Fingerprint::default().text();
        let params = [Bound::Text(file_id), Bound::Text(&fingerprint), Bound::Text(version_id)];
        let sql = "select plugin_key from _lix_file_data where file_id = ?1 and fingerprint = ?2
                   order by version_id <> ?3, version_id limit 1";
        self.sql.first(sql, &params, |row| row.text(0))
    }
}
