//! From `init` to a session that is ready: what is asked for, where it is kept, what is found there.

use std::rc::Rc;

use bytes::Bytes;
use lix_engine_protocol::proto::{
    Capability, CommitDetail, Durability, EventKind, EventOptions, InitRequest, InitResponse,
    OpenMode, PluginFormat, StorageKind, StorageTarget, init_request, plugin, response,
};
use lix_engine_protocol::{Error, Outcome, Reason, Result};

use super::saving::listener;
use super::{Effect, Loading, Opening, Phase, Ready, Reports, Session, Sink, StorageRequest};
use crate::database::Database;
use crate::persistence::Persistence;
use crate::plugins::loading::{Order, Suite};
use crate::store::Store;
use crate::{Attachment, PluginSource, Plugins, StorageFile};

impl Session {
    /// Opens a database; nothing yet if the shell has to load plugins or open storage first.
    pub(super) fn init(
        &mut self,
        id: u32,
        init: InitRequest,
        attachments: Vec<Box<dyn Attachment>>,
        sink: Sink<'_>,
    ) -> Result<Option<Outcome>> {
        let capabilities = self.capabilities();
        for number in &init.required {
            match Capability::try_from(*number) {
                Ok(Capability::Unspecified) => {}
                Ok(wanted) if capabilities.contains(&wanted) => {}
                Ok(wanted) => return Err(Error::capability(short_name(wanted.as_str_name()))),
                Err(_) => return Err(Error::capability(&number.to_string())),
            }
        }
        self.target(&init)?;
        if init.open_mode() == OpenMode::Open && init.seed.is_some() {
            let message = "OPEN takes what is stored; a seed image has no place in it";
            return Err(Error::new(Reason::OptionInvalid, message).subject("open_mode"));
        }
        if init.plugins.is_empty() {
            return self.open(id, init, &attachments, None, sink);
        }

        let sources = self.plugin_sources(&init, &attachments)?;
        let timeout_ms = match init.plugin_timeout_ms {
            0 => PLUGIN_TIMEOUT_MS,
            asked => asked,
        };
        let suite = self.options.conformance.then(|| Suite {
            platform: self.platform.clone(),
            faults: self.faults.clone(),
            timeout_ms,
        });
        let shell_has_own = self.options.plugins.contains(&PluginFormat::Builtin);
        let order = Order::new(sources, suite, shell_has_own)?;
        let sources = order.of_shell();
        if sources.is_empty() {
            let plugins = order.fill(None)?;
            return self.open(id, init, &attachments, Some(plugins), sink);
        }
        self.phase = Phase::Loading(Box::new(Loading { id, init, attachments, order }));
        sink(Effect::LoadPlugins { sources, timeout_ms });
        Ok(None)
    }

    /// What was asked of the shell is there, or will not be.
    pub(super) fn plugins_loaded(&mut self, result: Result<Box<dyn Plugins>>, sink: Sink<'_>) {
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Loading(loading) => {
                let Loading { id, init, attachments, order } = *loading;
                let opened = match result {
                    Ok(plugins) => order.fill(Some(plugins)),
                    Err(error) => Err(order.blamed(error)),
                };
                let outcome = opened
                    .and_then(|plugins| self.open(id, init, &attachments, Some(plugins), sink));
                match outcome {
                    Ok(Some(outcome)) => self.answer(id, &outcome, vec![], sink),
                    Ok(None) => {}
                    Err(error) => self.refuse(id, error, sink),
                }
            }
            // Too late: nobody wants them any more.
            phase => self.phase = phase,
        }
    }

    /// The plugins that are asked for, if there can be such plugins.
    fn plugin_sources(
        &self,
        init: &InitRequest,
        attachments: &[Box<dyn Attachment>],
    ) -> Result<Vec<PluginSource>> {
        let invalid = |message: &str, index: usize, field: &str| {
            let subject = format!("plugins[{index}].{field}");
            Err(Error::new(Reason::OptionInvalid, message).subject(subject))
        };
        let capabilities = self.capabilities();
        let mut sources = Vec::with_capacity(init.plugins.len());
        for (index, plugin) in init.plugins.iter().enumerate() {
            let format = plugin.format();
            let needed = match format {
                PluginFormat::Esm => Capability::PluginsEsm,
                PluginFormat::Wasm => Capability::PluginsWasm,
                PluginFormat::Builtin => Capability::PluginsBuiltin,
                PluginFormat::Unspecified => {
                    return invalid("a plugin has to say what its code is", index, "format");
                }
            };
            if !capabilities.contains(&needed) {
                return Err(Error::capability(short_name(needed.as_str_name())));
            }
            let code = match &plugin.code {
                _ if format == PluginFormat::Builtin => Bytes::new(),
                Some(plugin::Code::InlineCode(code)) => code.clone(),
                Some(plugin::Code::CodeAttachment(attachment)) => {
                    let code = attachments.get(*attachment as usize).ok_or_else(|| {
                        let message = format!("the frame has no attachment {attachment}");
                        Error::new(Reason::AttachmentMismatch, message).subject("code_attachment")
                    })?;
                    code.read(0, usize::try_from(code.len()).expect("within the limit")).into()
                }
                None => return invalid("a plugin that is not built in needs code", index, "code"),
            };
            if format == PluginFormat::Builtin && plugin.key.is_empty() {
                return invalid("a built-in plugin is found by its key", index, "key");
            }
            sources.push(PluginSource { key: plugin.key.clone(), format, code });
        }
        Ok(sources)
    }

    /// Opens a database in memory; nothing yet if its storage has to be opened first.
    fn open(
        &mut self,
        id: u32,
        init: InitRequest,
        attachments: &[Box<dyn Attachment>],
        plugins: Option<Rc<dyn Plugins>>,
        sink: Sink<'_>,
    ) -> Result<Option<Outcome>> {
        let platform = self.platform.clone();
        let seed = match &init.seed {
            None => None,
            Some(init_request::Seed::Image(image)) => {
                Some(Database::from_image(image, platform).map_err(named("image"))?)
            }
            Some(init_request::Seed::ImageAttachment(index)) => {
                let image = attachments.get(*index as usize).ok_or_else(|| {
                    let message = format!("the frame has no attachment {index}");
                    Error::new(Reason::AttachmentMismatch, message).subject("image_attachment")
                })?;
                let database = Database::from_image(image.as_ref(), platform);
                Some(database.map_err(named("image_attachment"))?)
            }
        };
        let Some(target) = self.target(&init)? else {
            return self.init_memory(&init, seed, plugins).map(Some);
        };
        let request = StorageRequest {
            kind: target.kind(),
            path: target.path.clone(),
            create: init.open_mode() != OpenMode::Open,
            wait_ms: target.wait_ms,
        };
        self.phase = Phase::Opening(Box::new(Opening { id, init, target, seed, plugins }));
        sink(Effect::OpenStorage(request));
        Ok(None)
    }

    /// Where the database is to be kept; nowhere: in memory.
    fn target(&self, init: &InitRequest) -> Result<Option<StorageTarget>> {
        let Some(target) = &init.storage else { return Ok(None) };
        let kind = match StorageKind::try_from(target.kind) {
            Ok(StorageKind::Unspecified | StorageKind::Memory) => return Ok(None),
            Ok(kind) if self.options.storage.contains(&kind) => kind,
            _ if target.or_memory => return Ok(None),
            Ok(kind) => return Err(unsupported(short_name(kind.as_str_name()))),
            Err(_) => return Err(unsupported(&target.kind.to_string())),
        };
        let invalid = |message: String| {
            Err(Error::new(Reason::OptionInvalid, message).subject("storage.path"))
        };
        match &*target.path {
            "" => invalid(format!("storage in {} needs a path", short_name(kind.as_str_name()))),
            path if path.contains('\0') => invalid("the path holds a NUL".into()),
            _ => Ok(Some(target.clone())),
        }
    }

    fn init_memory(
        &mut self,
        init: &InitRequest,
        seed: Option<Database>,
        plugins: Option<Rc<dyn Plugins>>,
    ) -> Result<Outcome> {
        if init.open_mode() == OpenMode::Open {
            return Err(Error::new(Reason::StorageMissing, "memory holds nothing to open"));
        }
        let mut database = match seed {
            Some(database) => database,
            None => Database::create(self.platform.clone())?,
        };
        database.open_lix(init.lix.as_ref(), plugins).map_err(named(seed_field(init)))?;
        Ok(self.ready(init, database, None, false))
    }

    /// What was asked of the shell is there, or will not be.
    pub(super) fn storage_opened(&mut self, result: Result<Box<dyn StorageFile>>, sink: Sink<'_>) {
        let result = result.map(|file| match self.options.conformance {
            true => self.faults.watch(file),
            false => file,
        });
        match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Opening(opening) => {
                let id = opening.id;
                let outcome = self.init_stored(*opening, result, sink);
                if self.died(sink) {
                    return;
                }
                match outcome {
                    Ok(outcome) => self.answer(id, &outcome, vec![], sink),
                    Err(error) => self.refuse(id, error, sink),
                }
            }
            Phase::Ready(ready) => {
                self.phase = Phase::Ready(ready);
                self.resumed(result, sink);
            }
            // Too late: nobody wants it any more.
            phase => self.phase = phase,
        }
    }

    fn init_stored(
        &mut self,
        opening: Opening,
        result: Result<Box<dyn StorageFile>>,
        sink: Sink<'_>,
    ) -> Result<Outcome> {
        let Opening { init, target, seed, plugins, .. } = opening;
        let file = match result {
            Ok(file) => file,
            Err(error) if error.reason == Reason::StorageUnsupported && target.or_memory => {
                return self.init_memory(&init, seed, plugins);
            }
            Err(error) => return Err(error),
        };
        let mode = init.open_mode();
        let (store, stored) = match mode {
            OpenMode::Replace => (Store::replace(file, &*self.platform)?, None),
            _ => Store::open(file, &*self.platform)?,
        };
        let path = &target.path;
        let is_new = stored.is_none();
        let field = if is_new { seed_field(&init) } else { "storage.path" };
        let mut database = match (mode, stored, seed) {
            (OpenMode::Create, Some(_), _) => {
                let message = format!("{path} holds a database already");
                return Err(Error::new(Reason::StorageExists, message).subject(path));
            }
            (OpenMode::Open, None, _) => {
                let message = format!("{path} holds no database");
                return Err(Error::new(Reason::StorageMissing, message).subject(path));
            }
            (_, Some(image), _) => Database::from_stored(image, self.platform.clone())?,
            (_, None, Some(seed)) => seed,
            (_, None, None) => Database::create(self.platform.clone())?,
        };
        let is_new_lix = database.open_lix(init.lix.as_ref(), plugins).map_err(named(field))?;
        let is_unsaved = is_new || is_new_lix;
        let policy = init.autosave.unwrap_or_default();
        let is_strict = init.durability() == Durability::Strict;
        let storage = (target.kind(), path.clone());
        let mut persistence = Persistence::new(storage, store, policy, is_strict, is_unsaved);
        let reports = Reports::of(&init);
        if is_unsaved && !policy.disabled {
            let now_ms = self.clock.now_ms(&*self.platform);
            let mut listener = listener(&mut self.last_event_seq, reports, sink);
            persistence.save_now(&database, now_ms, &mut listener)?;
        }
        Ok(self.ready(&init, database, Some(persistence), !is_new))
    }

    fn ready(
        &mut self,
        init: &InitRequest,
        mut database: Database,
        persistence: Option<Persistence>,
        restored: bool,
    ) -> Outcome {
        let storage = persistence.as_ref().map_or(StorageKind::Memory, |kept| kept.kind);
        let (reports, resuming, strict_failure) = (Reports::of(init), None, None);
        if reports.commits {
            database.watch_commits(reports.detail);
        }
        let schema_version = database.schema_version().into();
        let ready = Ready { database, persistence, reports, resuming, strict_failure };
        self.phase = Phase::Ready(Box::new(ready));

        #[allow(clippy::unnecessary_min_or_max, reason = "MINOR will not stay 0")]
        let minor = init.minor.min(MINOR);
        Outcome::Plain(response::Outcome::Init(InitResponse {
            minor,
            engine_name: "lix-engine".into(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            sqlite_version: rusqlite::version().into(),
            schema_version,
            capabilities: self.capabilities().into_iter().map(i32::from).collect(),
            storage: storage.into(),
            limits: Some(self.options.limits),
            restored,
        }))
    }

    pub(super) fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities =
            vec![Capability::Cursors, Capability::NamedParams, Capability::ChangeControl];
        if !self.options.storage.is_empty() {
            capabilities.extend([Capability::Persistence, Capability::Autosave]);
        }
        if self.platform.hears_cancels() {
            capabilities.push(Capability::CancelRunning);
        }
        for format in self.options.plugins {
            match format {
                PluginFormat::Esm => capabilities.push(Capability::PluginsEsm),
                PluginFormat::Wasm => capabilities.push(Capability::PluginsWasm),
                PluginFormat::Builtin | PluginFormat::Unspecified => {}
            }
        }
        if self.options.conformance || self.options.plugins.contains(&PluginFormat::Builtin) {
            capabilities.push(Capability::PluginsBuiltin);
        }
        if self.options.conformance {
            capabilities.extend([Capability::ManualClock, Capability::Faults]);
        }
        capabilities
    }
}

impl Reports {
    fn of(init: &InitRequest) -> Self {
        let wants =
            |kind| init.events.as_ref().is_some_and(|events| events.kinds().any(|any| any == kind));
        Self {
            commits: wants(EventKind::Commit),
            detail: init.events.as_ref().map_or(CommitDetail::Summary, EventOptions::commit_detail),
            autosaves: wants(EventKind::Autosave),
        }
    }
}

/// The field of the request that holds the bytes which are no sound database.
fn named(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error.reason {
        Reason::ImageInvalid => error.subject(field),
        _ => error,
    }
}

fn seed_field(init: &InitRequest) -> &'static str {
    match init.seed {
        Some(init_request::Seed::ImageAttachment(_)) => "image_attachment",
        _ => "image",
    }
}

fn unsupported(kind: &str) -> Error {
    let message = format!("this engine cannot store in {kind}");
    Error::new(Reason::StorageUnsupported, message).subject(kind)
}

/// `CAPABILITY_CURSORS` is `CURSORS` where an error names it.
fn short_name(name: &str) -> &str {
    let name = name.strip_prefix("CAPABILITY_").unwrap_or(name);
    name.strip_prefix("STORAGE_KIND_").unwrap_or(name)
}

/// How long a call of a plugin may take if the host does not say.
const PLUGIN_TIMEOUT_MS: u32 = 10_000;

/// The highest minor of protocol version 1 that this engine speaks.
const MINOR: u32 = 0;
