//! Plugins as ECMAScript modules, in a JavaScript engine of their own (QuickJS).
//!
//! Guarantee: what a plugin does wrong fails its call and nothing else. Time, memory and stack are
//! bounded; there is no file, no network and no timer; a promise is never waited for. The next call
//! works as if nothing had happened.
//!
//! One realm per session holds all of its plugins. `plugins/runtime.js` is generated from the code
//! that runs plugins in a browser and knows their shape; here is how values get there and back.

mod globals;
mod realm;
#[cfg(test)]
mod tests;
mod watchdog;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use lix_engine_core::{Manifest, PluginFile, PluginQuery, PluginSource, Plugins};
use lix_engine_protocol::{Error, Reason, Result};
use rquickjs::function::This;
use rquickjs::promise::PromiseState;
use rquickjs::{Ctx, Exception, Function, Module, Object, Persistent, TypedArray};

use self::realm::{Realm, bytes, text};

pub(crate) use self::realm::THREAD_STACK_BYTES;
pub(crate) use self::watchdog::GiveUp;

/// Evaluates every module once and asks it who it is. `time` bounds this for each of them, and each
/// call later; `give_up` is for code that cannot be stopped.
///
/// # Errors
///
/// PLUGIN_LOAD, PLUGIN_INVALID, PLUGIN_TIMEOUT; the subject is the key, or the index among
/// `sources` if none was given.
pub(crate) fn load(
    sources: &[PluginSource],
    time: Duration,
    give_up: GiveUp,
) -> Result<Box<dyn Plugins>> {
    // The code that is ours has a key of its own, should it ever fail.
    let own = |thrown: realm::Thrown| thrown.into_error(Reason::PluginLoad, "");
    let realm = Realm::new(time, give_up).map_err(own)?;
    let runtime = realm.run(|ctx| {
        globals::install(&ctx)?;
        evaluate(&ctx, "runtime.js", include_str!("plugins/runtime.js"))
    });
    let runtime = runtime.map_err(own)?;

    let modules = sources.iter().enumerate().map(|(index, source)| module(&realm, index, source));
    let modules = modules.collect::<Result<Vec<_>>>()?;

    let query = Slot::default();
    let created = realm.run(|ctx| {
        let modules = modules.into_iter().map(|module| module.restore(&ctx));
        let modules = modules.collect::<rquickjs::Result<Vec<Object<'_>>>>()?;
        let create: Function<'_> = runtime.restore(&ctx)?.get("createPluginRuntime")?;
        let runtime: Object<'_> = create.call((modules,))?;
        let connect: Function<'_> = runtime.get("connect")?;
        connect.call::<_, ()>((This(runtime.clone()), query_function(&ctx, query.clone())?))?;
        let manifests: Function<'_> = runtime.get("manifests")?;
        let manifests = text(manifests.call((This(runtime.clone()),))?)?;
        Ok((read_manifests(&manifests), Persistent::save(&ctx, runtime)))
    });
    let (manifests, runtime) = created.map_err(|thrown| {
        // Whose fault it is was not said, unless there is only one.
        let subject = if let [one] = sources { subject(0, one) } else { String::new() };
        thrown.into_error(Reason::PluginInvalid, &subject)
    })?;
    Ok(Box::new(Loaded { runtime, realm, query, manifests }))
}

/// The plugins of one session.
struct Loaded {
    /// Before the realm: nothing of it may outlive it.
    runtime: Persistent<Object<'static>>,
    realm: Realm,
    query: Slot,
    manifests: Vec<Manifest>,
}

/// Where the plugins' queries go, once there is a database.
type Slot = Rc<RefCell<Option<Rc<dyn PluginQuery>>>>;

impl Plugins for Loaded {
    fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    fn connect(&self, query: Rc<dyn PluginQuery>) {
        *self.query.borrow_mut() = Some(query);
    }

    fn detect_changes(
        &self,
        plugin: usize,
        before: Option<PluginFile<'_>>,
        after: PluginFile<'_>,
    ) -> Result<String> {
        self.call(plugin, "detectChanges", |ctx, detect, this| {
            // Copied into memory of the realm: counted by its limit, and the plugin may write to it.
            let data = |file: PluginFile<'_>| TypedArray::<u8>::new_copy(ctx.clone(), file.data);
            let before_data = before.map(data).transpose()?;
            let before = before.map(|file| file.descriptor);
            let index = plugin as u32;
            text(detect.call((this, index, before, before_data, after.descriptor, data(after)?))?)
        })
    }

    fn apply_changes(&self, plugin: usize, file: &str, changes: &str) -> Result<Vec<u8>> {
        self.call(plugin, "applyChanges", |_, apply, this| {
            let data: TypedArray<'_, u8> = apply.call((this, plugin as u32, file, changes))?;
            Ok(bytes(&data))
        })
    }
}

impl Loaded {
    fn call<R>(
        &self,
        plugin: usize,
        method: &str,
        work: impl for<'js> FnOnce(&Ctx<'js>, Function<'js>, This<Object<'js>>) -> rquickjs::Result<R>,
    ) -> Result<R> {
        let result = self.realm.run(|ctx| {
            let runtime = self.runtime.clone().restore(&ctx)?;
            work(&ctx, runtime.get(method)?, This(runtime))
        });
        let key = &self.manifests[plugin].key;
        result.map_err(|thrown| thrown.into_error(Reason::PluginFailed, key))
    }
}

fn module(
    realm: &Realm,
    index: usize,
    source: &PluginSource,
) -> Result<Persistent<Object<'static>>> {
    let subject = subject(index, source);
    let code = std::str::from_utf8(&source.code).map_err(|error| {
        let message = format!("the code is not UTF-8: {error}");
        Error::new(Reason::PluginLoad, message).subject(subject.clone())
    })?;
    let code = code.strip_prefix('\u{feff}').unwrap_or(code);
    let name = format!("plugin-{index}.js");
    realm.run(|ctx| evaluate(&ctx, &name, code)).map_err(|mut thrown| {
        let place = match realm.take_import() {
            Some(wanted) => {
                thrown.message = format!(
                    "it imports {wanted:?}; a plugin is one module, so bundle what it needs into it"
                );
                place_of(code, &wanted)
            }
            None => thrown.place_in(&name),
        };
        if let Some((line, column)) = place {
            thrown.message += &format!(" (line {line}, column {column})");
        }
        thrown.into_error(Reason::PluginLoad, &subject)
    })
}

fn subject(index: usize, source: &PluginSource) -> String {
    if source.key.is_empty() { index.to_string() } else { source.key.clone() }
}

/// Runs a module from its first line to its last.
fn evaluate(
    ctx: &Ctx<'_>,
    name: &str,
    code: &str,
) -> rquickjs::Result<Persistent<Object<'static>>> {
    let (module, promise) = Module::declare(ctx.clone(), name, code)?.eval()?;
    match promise.state() {
        PromiseState::Resolved => Ok(Persistent::save(ctx, module.namespace()?)),
        PromiseState::Rejected => match promise.result::<()>() {
            Some(Err(error)) => Err(error),
            _ => unreachable!("a rejected promise has an error"),
        },
        PromiseState::Pending => {
            let message = "it waits at its top level (`await`); a plugin is synchronous";
            Err(Exception::throw_message(ctx, message))
        }
    }
}

/// Where a module is imported, by line and column: the parser does not say.
fn place_of(code: &str, wanted: &str) -> Option<(usize, usize)> {
    let quoted = [format!("\"{wanted}\""), format!("'{wanted}'")];
    let at = quoted.iter().filter_map(|quoted| code.find(quoted)).min()?;
    let line_start = code[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = code[..at].matches('\n').count() + 1;
    Some((line, code[line_start..at].chars().count() + 1))
}

/// `querySync`'s way out: from JavaScript to the engine and back, in the middle of a statement.
fn query_function<'js>(ctx: &Ctx<'js>, slot: Slot) -> rquickjs::Result<Function<'js>> {
    let query = move |ctx: Ctx<'js>, sql: rquickjs::String<'js>, params: rquickjs::String<'js>| {
        // Nothing is borrowed during the query: it may call other plugins, which query too.
        let query = slot.borrow().clone();
        let answer = match query {
            Some(query) => query.query(&text(sql)?, &text(params)?),
            None => Err(Error::new(Reason::NotInitialized, "there is no database yet")),
        };
        answer.map_err(|error| match Exception::from_message(ctx.clone(), &error.message) {
            Ok(exception) => match exception.set("reason", error.reason.as_str()) {
                Ok(()) => exception.throw(),
                Err(error) => error,
            },
            Err(error) => error,
        })
    };
    Function::new(ctx.clone(), query)
}

/// What the runtime says is as it should be; it is our own code.
fn read_manifests(json: &str) -> Vec<Manifest> {
    let manifests: Vec<serde_json::Value> =
        serde_json::from_str(json).expect("the runtime writes JSON");
    let read = |manifest: &serde_json::Value| Manifest {
        key: manifest["key"].as_str().expect("checked by the runtime").to_owned(),
        detect_changes_glob: manifest["detectChangesGlob"].as_str().map(str::to_owned),
        detects: manifest["detects"] == true,
        applies: manifest["applies"] == true,
    };
    manifests.iter().map(read).collect()
}
