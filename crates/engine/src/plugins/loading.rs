//! From plugins that are asked for to plugins that can be called: the suite's own and the shell's,
//! in one order and under one set of rules.
//!
//! Guarantee: every plugin has the key under which it was asked for, no key is there twice, and
//! none is one that the engine keeps for itself.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use lix_engine_protocol::proto::{FaultPoint, PluginFormat};
use lix_engine_protocol::{Error, Reason, Result};

use super::builtin::Fixtures;
use super::{Manifest, PluginFile, PluginQuery, PluginSource, Plugins};
use crate::Platform;
use crate::faults::Faults;
use crate::lix::{FALLBACK_PLUGIN, OWN_PLUGIN};

/// What a conformance run brings along.
pub(crate) struct Suite {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) faults: Faults,
    pub(crate) timeout_ms: u32,
}

/// Plugins that are asked for.
pub(crate) struct Order {
    sources: Vec<PluginSource>,
    /// The suite's own, and which of the sources they are.
    fixtures: Fixtures,
    places: Vec<Place>,
    faults: Option<Faults>,
}

/// Where a plugin is: its index among the suite's or the shell's.
#[derive(Clone, Copy)]
enum Place {
    Suite(usize),
    Shell(usize),
}

impl Order {
    /// Finds what the engine has itself. What is built in and not found is the shell's if that has
    /// some.
    pub(crate) fn new(
        sources: Vec<PluginSource>,
        suite: Option<Suite>,
        shell_has_own: bool,
    ) -> Result<Self> {
        let mut keys = HashSet::new();
        for (index, PluginSource { key, format, code }) in sources.iter().enumerate() {
            if !key.is_empty() && !keys.insert(&**key) {
                return Err(duplicate(key));
            }
            if *format == PluginFormat::Esm && std::str::from_utf8(code).is_err() {
                let message = "the module is not UTF-8 text";
                return Err(Error::new(Reason::PluginLoad, message).subject(name(key, index)));
            }
        }
        let (mut fixtures, faults) = match suite {
            Some(Suite { platform, faults, timeout_ms }) => {
                (Fixtures::new(platform, timeout_ms), Some(faults))
            }
            None => (Fixtures::default(), None),
        };
        let mut of_shell = 0;
        let mut places = Vec::with_capacity(sources.len());
        for source in &sources {
            let own = match source.format {
                PluginFormat::Builtin if faults.is_some() => fixtures.add(&source.key),
                _ => None,
            };
            if source.format == PluginFormat::Builtin && own.is_none() && !shell_has_own {
                let message = format!("there is no built-in plugin {}", source.key);
                return Err(Error::new(Reason::PluginLoad, message).subject(&source.key));
            }
            places.push(own.map_or(Place::Shell(of_shell), Place::Suite));
            of_shell += usize::from(own.is_none());
        }
        Ok(Self { sources, fixtures, places, faults })
    }

    /// Those that the shell has to load.
    pub(crate) fn of_shell(&self) -> Vec<PluginSource> {
        self.shell_indexes().map(|index| self.sources[index].clone()).collect()
    }

    /// Puts everything together and checks it.
    pub(crate) fn fill(self, shell: Option<Box<dyn Plugins>>) -> Result<Rc<dyn Plugins>> {
        let theirs = shell.as_ref().map_or(&[][..], |shell| shell.manifests());
        let mut keys = HashSet::new();
        let mut manifests = Vec::with_capacity(self.sources.len());
        for (index, (source, place)) in self.sources.iter().zip(&self.places).enumerate() {
            let found = match *place {
                Place::Suite(index) => self.fixtures.manifests().get(index),
                Place::Shell(index) => theirs.get(index),
            };
            let refused = |reason: Reason, message: String| {
                Err(Error::new(reason, message).subject(name(&source.key, index)))
            };
            let Some(manifest) = found else {
                let message = format!("plugin {} was not loaded", name(&source.key, index));
                return refused(Reason::PluginLoad, message);
            };
            let key = &manifest.key;
            if key.is_empty() {
                let message = format!("plugin {} has no key", name(&source.key, index));
                return refused(Reason::PluginInvalid, message);
            }
            if !source.key.is_empty() && source.key != *key {
                let message =
                    format!("the plugin that is asked for as {} calls itself {key}", source.key);
                return refused(Reason::PluginInvalid, message);
            }
            if [OWN_PLUGIN, FALLBACK_PLUGIN].contains(&&**key) {
                let message = format!("the engine keeps the key {key} for itself");
                return Err(Error::new(Reason::PluginInvalid, message).subject(key));
            }
            if !keys.insert(key.clone()) {
                return Err(duplicate(key));
            }
            manifests.push(manifest.clone());
        }
        let Self { fixtures, places, faults, .. } = self;
        Ok(Rc::new(Loaded { fixtures, shell, places, manifests, faults }))
    }

    /// A shell's error, which may name a plugin by its index among the shell's.
    pub(crate) fn blamed(&self, error: Error) -> Error {
        if self.sources.iter().any(|source| source.key == error.subject) {
            return error;
        }
        let place = error.subject.parse().ok();
        match place.and_then(|place| self.shell_indexes().nth(place)) {
            Some(index) => error.subject(name(&self.sources[index].key, index)),
            None => error,
        }
    }

    fn shell_indexes(&self) -> impl Iterator<Item = usize> {
        let shells = |(_, place): &(usize, &Place)| matches!(place, Place::Shell(_));
        self.places.iter().enumerate().filter(shells).map(|(index, _)| index)
    }
}

/// Everything that is loaded.
struct Loaded {
    fixtures: Fixtures,
    shell: Option<Box<dyn Plugins>>,
    places: Vec<Place>,
    manifests: Vec<Manifest>,
    faults: Option<Faults>,
}

impl Loaded {
    /// Calls a plugin; whatever goes wrong is said of it.
    fn call<T>(
        &self,
        plugin: usize,
        call: impl FnOnce(&dyn Plugins, usize) -> Result<T>,
    ) -> Result<T> {
        let pass = |faults: &Faults| faults.pass(FaultPoint::PluginCall);
        let result = self.faults.as_ref().map_or(Ok(()), pass).and_then(|()| {
            match (self.places[plugin], &self.shell) {
                (Place::Suite(index), _) => call(&self.fixtures, index),
                (Place::Shell(index), Some(shell)) => call(&**shell, index),
                (Place::Shell(_), None) => unreachable!("its manifest came from there"),
            }
        });
        result.map_err(|error| match error.subject.is_empty() {
            true => error.subject(&self.manifests[plugin].key),
            false => error,
        })
    }
}

impl Plugins for Loaded {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, query: Rc<dyn PluginQuery>) {
        self.fixtures.connect(query.clone());
        if let Some(shell) = &self.shell {
            shell.connect(query);
        }
    }

    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Result<String> {
        self.call(plugin, |plugins, index| plugins.detect_changes(index, before, after))
    }

    fn apply_changes(&self, plugin: usize, file: &str, changes: &str) -> Result<Vec<u8>> {
        self.call(plugin, |plugins, index| plugins.apply_changes(index, file, changes))
    }
}

/// How errors name a plugin.
fn name(key: &str, index: usize) -> String {
    if key.is_empty() { index.to_string() } else { key.to_owned() }
}

fn duplicate(key: &str) -> Error {
    let message = format!("there are two plugins with the key {key}");
    Error::new(Reason::PluginDuplicate, message).subject(key)
}
