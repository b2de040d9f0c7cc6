//! The schemas of the entities that the engine itself knows, one document per file.

/// A schema that comes with the engine.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) key: &'static str,
    /// Its table; none: it is a part of the table `version`.
    pub(crate) view: Option<&'static str>,
    /// How that table comes to be.
    pub(crate) kind: ViewKind,
    pub(crate) document: &'static str,
    /// Whether a new lix stores it, so that it is enforced.
    pub(crate) is_stored: bool,
    /// Properties that an INSERT through the table may leave out, with what they become.
    pub(crate) defaults: &'static [(&'static str, Default)],
}

/// How a table of entities comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewKind {
    /// From the schema, with its twins `_all` and `_history`.
    Generated,
    /// Likewise, and nothing is written through it.
    ReadOnly,
    /// Made by hand.
    Special,
}

/// What a missing property becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    NanoId,
    UuidV7,
    /// Of a stored schema: the key that its document names.
    SchemaKey,
    /// Of a stored schema: the version that its document names.
    SchemaVersion,
}

impl Builtin {
    /// The one with this schema key.
    pub(crate) fn find(key: &str) -> Option<&'static Builtin> {
        ALL.iter().find(|builtin| builtin.key == key)
    }

    /// What an INSERT makes of a property that is missing or NULL.
    pub(crate) fn default(&self, property: &str) -> Option<Default> {
        self.defaults.iter().find(|(name, _)| *name == property).map(|(_, default)| *default)
    }
}

/// Every schema of entities, in the order in which a new lix stores them.
pub(crate) const ALL: &[Builtin] = &[
    Builtin {
        defaults: NANO_ID,
        ..generated("lix_change_set", "change_set", include_str!("change_set.json"))
    },
    generated(
        "lix_change_set_element",
        "change_set_element",
        include_str!("change_set_element.json"),
    ),
    generated("lix_change_set_label", "change_set_label", include_str!("change_set_label.json")),
    Builtin {
        defaults: &[("id", Default::UuidV7)],
        ..generated("lix_commit", "commit", include_str!("commit.json"))
    },
    Builtin {
        kind: ViewKind::ReadOnly,
        ..generated("lix_commit_edge", "commit_edge", include_str!("commit_edge.json"))
    },
    Builtin {
        kind: ViewKind::Special,
        defaults: NANO_ID,
        ..generated("lix_file_descriptor", "file", include_str!("file_descriptor.json"))
    },
    Builtin { defaults: NANO_ID, ..generated("lix_log", "log", include_str!("log.json")) },
    Builtin {
        defaults: &[("key", Default::SchemaKey), ("version", Default::SchemaVersion)],
        ..generated("lix_stored_schema", "stored_schema", include_str!("stored_schema.json"))
    },
    generated("lix_key_value", "key_value", include_str!("key_value.json")),
    Builtin {
        defaults: NANO_ID,
        ..generated("lix_account", "account", include_str!("account.json"))
    },
    generated("lix_change_author", "change_author", include_str!("change_author.json")),
    Builtin { defaults: NANO_ID, ..generated("lix_label", "label", include_str!("label.json")) },
    generated("lix_entity_label", "entity_label", include_str!("entity_label.json")),
    generated("lix_entity_thread", "entity_thread", include_str!("entity_thread.json")),
    Builtin { defaults: NANO_ID, ..generated("lix_thread", "thread", include_str!("thread.json")) },
    Builtin {
        defaults: NANO_ID,
        ..generated("lix_thread_comment", "thread_comment", include_str!("thread_comment.json"))
    },
    Builtin {
        view: None,
        kind: ViewKind::Special,
        ..generated("lix_version_descriptor", "", include_str!("version_descriptor.json"))
    },
    Builtin {
        view: None,
        kind: ViewKind::Special,
        ..generated("lix_version_tip", "", include_str!("version_tip.json"))
    },
    Builtin {
        kind: ViewKind::Special,
        ..generated("lix_active_version", "active_version", include_str!("active_version.json"))
    },
    Builtin {
        kind: ViewKind::Special,
        is_stored: false,
        ..generated("lix_active_account", "active_account", include_str!("active_account.json"))
    },
];

/// The document that the value of the key-value `lix_deterministic_mode` fits. No entity has it.
#[cfg(test)]
pub(crate) const DETERMINISTIC_MODE: &str = include_str!("deterministic_mode.json");

const fn generated(key: &'static str, view: &'static str, document: &'static str) -> Builtin {
    Builtin {
        key,
        view: Some(view),
        kind: ViewKind::Generated,
        document,
        is_stored: true,
        defaults: &[],
    }
}

const NANO_ID: &[(&str, Default)] = &[("id", Default::NanoId)];
