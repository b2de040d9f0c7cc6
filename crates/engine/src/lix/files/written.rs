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

/// A key that was written, and the change that a version saw there before; none: nothing.
pub(super) type Changed = (Key, Option<Rc<str>>);

impl Lix {
    /// Notes what was written to a file in a version, and for whom the old bytes have to stay.
    pub(super) fn put_written(
        self: &Rc<Self>,
        version_id: &Rc<str>,
        file: &Descriptor,
        plugin_key: &str,
        data: &[u8],
        changed: Option<&Changed>,
    ) -> Result<()> {
        let fingerprint = name(&self.summary(version_id, &file.id)?.fingerprint, &file.path);
        let params = [
            Bound::Text(version_id),
            Bound::Text(&file.id),
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
            self.leave_written(version_id, &file.id, changed)?;
        }
        self.sql.run(
            "insert into _lix_file_data (version_id, file_id, plugin_key, fingerprint, data)
             values (?1, ?2, ?3, ?4, ?5)
             on conflict do update set plugin_key = ?3, fingerprint = ?4, data = ?5",
            &params,
        )
    }

    /// A file has another path and the same bytes.
    pub(super) fn rename_written(
        &self,
        version_id: &str,
        was: &Descriptor,
        path: &str,
    ) -> Result<()> {
        let nothing = Fingerprint::default();
        let (old, new) = (name(&nothing, &was.path), name(&nothing, path));
        self.sql.run(
            "update _lix_file_data set fingerprint = ?4 where version_id = ?1 and file_id = ?2 and fingerprint = ?3",
            &[Bound::Text(version_id), Bound::Text(&was.id), Bound::Text(&old), Bound::Text(&new)],
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
            {
                continue;
            }
            let Some(row) = self.get(&other.id, &Descriptor::key(file_id))? else { continue };
            let file = Descriptor::from_snapshot(file_id, row.snapshot.as_deref());
            if name(&self.summary(&other.id, file_id)?.fingerprint, &file.path) != *fingerprint {
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
                Some(plugin) => {
                    let fingerprint = name(&summary.fingerprint, "");
                    let row = [version, file, Bound::Text(plugin), Bound::Text(&fingerprint)];
                    let sql = "update _lix_file_data set plugin_key = ?3, fingerprint = ?4
                               where version_id = ?1 and file_id = ?2";
                    self.sql.run(sql, &row)?;
                }
                None => self.drop_written(&version_id, &file_id, None)?,
            }
        }
        Ok(())
    }

    /// Shows the bytes that entities were made of, in whatever version; none: nobody has them.
    pub(super) fn with_written<T>(
        &self,
        version_id: &str,
        file: &Descriptor,
        fingerprint: &Fingerprint,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let fingerprint = name(fingerprint, &file.path);
        let params = [Bound::Text(&file.id), Bound::Text(&fingerprint), Bound::Text(version_id)];
        let sql = "select data from _lix_file_data where file_id = ?1 and fingerprint = ?2
                   order by version_id <> ?3, version_id limit 1";
        self.sql.first(sql, &params, |row| match row.cell(0) {
            Stored::Blob(bytes) => show(bytes),
            _ => show(&[]),
        })
    }

    /// The plugin that took the bytes of a file apart and found no entities in them.
    pub(super) fn written_by(
        &self,
        version_id: &str,
        file: &Descriptor,
    ) -> Result<Option<Rc<str>>> {
        // Whoever writes the file, in whatever version, may leave the plugin's name.
        self.note_read(Read { file_id: &file.id, ..Read::default() });
        let nothing = name(&Fingerprint::default(), &file.path);
        let params = [Bound::Text(&file.id), Bound::Text(&nothing), Bound::Text(version_id)];
        let sql = "select plugin_key from _lix_file_data where file_id = ?1 and fingerprint = ?2
                   order by version_id <> ?3, version_id limit 1";
        self.sql.first(sql, &params, |row| row.text(0))
    }
}

/// How content is known here. No entities are the same nothing only under the same path.
fn name(fingerprint: &Fingerprint, path: &str) -> String {
    match *fingerprint == Fingerprint::default() {
        true => format!("nothing at {path}"),
        false => fingerprint.text(),
    }
}
