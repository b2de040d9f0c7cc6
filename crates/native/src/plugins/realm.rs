//! A JavaScript realm with limits.
//!
//! Guarantee: [`Realm::run`] comes back, and leaves no exception and no deadline behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use lix_engine_protocol::{Error, Reason};
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Context, Ctx, Exception, Module, Runtime, TypedArray, Value};

use super::watchdog::{GiveUp, Watchdog};

/// One thread's JavaScript: a heap, a stack, the built-in objects.
pub(super) struct Realm {
    context: Context,
    clock: Rc<Clock>,
    imported: Imported,
}

/// How long a call takes. A call within a call has what is left to the outer one.
struct Clock {
    time: Duration,
    watchdog: Watchdog,
    deadline: Cell<Option<Instant>>,
    is_over: Cell<bool>,
}

/// What a call ended with instead of a value.
#[derive(Debug)]
pub(super) struct Thrown {
    /// For people.
    pub(super) message: String,
    /// What the code that threw says it is.
    reason: Option<Reason>,
    subject: Option<String>,
    stack: String,
}

impl Realm {
    /// Every call of [`Realm::run`] may take this long; `give_up` is for those that take it all the
    /// same.
    pub(super) fn new(time: Duration, give_up: GiveUp) -> Result<Self, Thrown> {
        let watchdog = Watchdog::new(give_up).map_err(|error| Thrown::words(error.to_string()))?;
        let (deadline, is_over) = Default::default();
        let clock = Rc::new(Clock { time, watchdog, deadline, is_over });
        let imported = Imported::default();
        let open = || {
            let runtime = Runtime::new()?;
            runtime.set_memory_limit(MEMORY_BYTES);
            runtime.set_max_stack_size(STACK_BYTES);
            runtime.set_loader(NoModules(imported.clone()), NoModules(imported.clone()));
            let clock = clock.clone();
            runtime.set_interrupt_handler(Some(Box::new(move || clock.has_struck())));
            Context::full(&runtime)
        };
        let context = open().map_err(|error| Thrown::words(error.to_string()))?;
        Ok(Self { context, clock, imported })
    }

    /// Runs JavaScript, also from within JavaScript that runs.
    pub(super) fn run<R>(
        &self,
        work: impl for<'js> FnOnce(Ctx<'js>) -> rquickjs::Result<R>,
    ) -> Result<R, Thrown> {
        let work = |ctx: Ctx<'_>| {
            work(ctx.clone()).map_err(|error| {
                // Taken in any case: what is left pending would surface in the next call.
                let exception = ctx.catch();
                match error {
                    _ if self.clock.is_over.get() => Thrown::late(self.clock.time),
                    rquickjs::Error::Exception => Thrown::read(&exception),
                    error => Thrown::words(error.to_string()),
                }
            })
        };
        if self.clock.deadline.get().is_some() {
            // SAFETY: the deadline is set while an outer `run` of this realm, on this thread since
            // a realm is not Send, holds the runtime's lock, and what the context hands out cannot
            // leave `work`.
            return work(unsafe { Ctx::from_raw(self.context.as_raw()) });
        }
        let _running = self.clock.start();
        self.context.with(work)
    }

    /// The module that was asked for by an `import` and refused.
    pub(super) fn take_import(&self) -> Option<String> {
        self.imported.borrow_mut().take()
    }
}

impl Clock {
    fn start(&self) -> impl Drop {
        self.is_over.set(false);
        self.deadline.set(Some(Instant::now() + self.time));
        self.watchdog.begin(self.time);
        Stop(self)
    }

    fn has_struck(&self) -> bool {
        let has_struck = self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline);
        self.is_over.set(self.is_over.get() || has_struck);
        has_struck
    }
}

struct Stop<'a>(&'a Clock);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.deadline.set(None);
        self.0.watchdog.end();
    }
}

impl Thrown {
    /// With its own reason and subject, where the code that threw gave them.
    pub(super) fn into_error(self, reason: Reason, subject: &str) -> Error {
        let subject = self.subject.as_deref().filter(|own| !own.is_empty()).unwrap_or(subject);
        Error::new(self.reason.unwrap_or(reason), self.message).subject(subject)
    }

    /// The place in this module that the stack names first, by line and column.
    pub(super) fn place_in(&self, module: &str) -> Option<(usize, usize)> {
        let (_, rest) = self.stack.split_once(&format!("{module}:"))?;
        let mut numbers = rest.split(|character: char| !character.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    fn read(exception: &Value<'_>) -> Self {
        let Some(object) = exception.as_object() else {
            let words = exception.as_string().cloned().and_then(|words| text(words).ok());
            return Self::words(words.unwrap_or_else(|| format!("threw {}", exception.type_of())));
        };
        // Any of these may throw in its turn.
        let field = |name: &str| {
            let value: Option<rquickjs::String<'_>> = object.get(name).ok();
            value.and_then(|value| text(value).ok()).filter(|value| !value.is_empty())
        };
        let message = field("message").unwrap_or_else(|| "threw without a message".into());
        let named = field("reason");
        let is_known = |reason: &&Reason| named.as_deref() == Some(reason.as_str());
        let reason = Reason::ALL.iter().find(is_known).copied();
        let message = match field("name") {
            // Whoever gives a reason has chosen the words.
            Some(name) if reason.is_none() && name != "Error" => format!("{name}: {message}"),
            _ => message,
        };
        let read = Self {
            message,
            reason,
            subject: field("subject"),
            stack: field("stack").unwrap_or_default(),
        };
        object.ctx().catch();
        read
    }

    fn late(time: Duration) -> Self {
        let message = format!("it ran for more than {} ms", time.as_millis());
        Self { reason: Some(Reason::PluginTimeout), ..Self::words(message) }
    }

    fn words(message: String) -> Self {
        Self { message, reason: None, subject: None, stack: String::new() }
    }
}

/// Refuses every import and remembers what was asked for.
struct NoModules(Imported);

type Imported = Rc<RefCell<Option<String>>>;

impl Resolver for NoModules {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        _base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        *self.0.borrow_mut() = Some(name.to_owned());
        Err(Exception::throw_message(ctx, &format!("there is no module {name:?}")))
    }
}

impl Loader for NoModules {
    fn load<'js>(
        &mut self,
        _ctx: &Ctx<'js>,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        Err(rquickjs::Error::new_loading(name))
    }
}

/// A string's text, with U+FFFD for what is no text.
pub(super) fn text(string: rquickjs::String<'_>) -> rquickjs::Result<String> {
    let string = string.to_cstring()?;
    // SAFETY: QuickJS keeps the bytes until `string` is dropped. They are read as bytes and not as
    // the `str` that the crate offers, since lone surrogates are not UTF-8.
    let bytes = unsafe { std::slice::from_raw_parts(string.as_ptr().cast::<u8>(), string.len()) };
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// A copy of the content; nothing if its buffer is detached.
pub(super) fn bytes(array: &TypedArray<'_, u8>) -> Vec<u8> {
    // SAFETY: no JavaScript runs before the copy is made.
    unsafe { array.as_bytes() }.map_or_else(Vec::new, <[u8]>::to_vec)
}

/// For all plugins of a session together.
const MEMORY_BYTES: usize = 1024 * 1024 * 1024;

/// Deeper than what browsers give, in frames, and what plugins run with there.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// What a thread needs that runs a session: JavaScript's stack, and SQLite's above and below it.
pub(crate) const THREAD_STACK_BYTES: usize = STACK_BYTES + 8 * 1024 * 1024;
