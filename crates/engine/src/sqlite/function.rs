//! SQL functions written in safe Rust. What holds for the callbacks of a virtual table holds here.

use std::ffi::{CString, c_int, c_void};
use std::rc::Rc;

use lix_engine_protocol::{Error, Reason, Result};
use rusqlite::ffi;

use super::vtab::{Cell, slice, stored};
use super::{Hooks, Link, Stored};

/// A value of one's own, with text that is UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(Rc<str>),
    Blob(Rc<[u8]>),
}

/// What a function is given and what it makes of it.
pub(crate) type Function = dyn Fn(&[Stored<'_>]) -> Result<Owned>;

impl Link {
    /// Makes a function known, in place of one by the same name and number of arguments; -1 is any
    /// number. A deterministic one gives the same for the same within a statement.
    pub(crate) fn register_function(
        &self,
        name: &str,
        arguments: i32,
        deterministic: bool,
        function: Rc<Function>,
    ) -> Result<()> {
        let name = CString::new(name)
            .map_err(|_| Error::new(Reason::EngineDefect, "a function's name contains a NUL"))?;
        let hooks = std::ptr::from_ref::<Hooks>(&self.hooks);
        let registered = Box::into_raw(Box::new(Registered { function, hooks }));
        let purity = if deterministic { ffi::SQLITE_DETERMINISTIC } else { 0 };
        // SAFETY: the connection is open; SQLite frees the context when the function goes, or at
        // once if this fails.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                self.db(),
                name.as_ptr(),
                arguments,
                ffi::SQLITE_UTF8 | purity | ffi::SQLITE_INNOCUOUS,
                registered.cast(),
                Some(call),
                None,
                None,
                Some(free),
            )
        };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.report(false).into()) }
    }
}

struct Registered {
    function: Rc<Function>,
    /// Boxed, and dropped after the connection.
    hooks: *const Hooks,
}

/// SAFETY: SQLite calls it with the context given to it and with valid values.
unsafe extern "C" fn call(
    context: *mut ffi::sqlite3_context,
    count: c_int,
    values: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: as promised; functions go with the connection, before the hooks.
    let (registered, arguments, mut out) = unsafe {
        let registered = &*ffi::sqlite3_user_data(context).cast::<Registered>();
        let values = slice(values.cast_const(), count).iter();
        let arguments: Vec<Stored<'_>> = values.map(|value| stored(*value)).collect();
        (registered, arguments, Cell::new(context))
    };
    // SAFETY: as above.
    let hooks = unsafe { &*registered.hooks };
    let function = registered.function.clone();
    match hooks.call(|| function(&arguments)) {
        Ok(value) => out.set(&value),
        Err(failure) => out.fail(&failure),
    }
}

/// SAFETY: SQLite calls it once, when nothing uses the function any more.
unsafe extern "C" fn free(context: *mut c_void) {
    // SAFETY: as promised.
    drop(unsafe { Box::from_raw(context.cast::<Registered>()) });
}

impl From<Stored<'_>> for Owned {
    fn from(stored: Stored<'_>) -> Self {
        match stored {
            Stored::Null => Owned::Null,
            Stored::Integer(value) => Owned::Integer(value),
            Stored::Real(value) => Owned::Real(value),
            Stored::Text(bytes) => Owned::Text(String::from_utf8_lossy(bytes).into()),
            Stored::Blob(bytes) => Owned::Blob(bytes.into()),
        }
    }
}

impl From<&str> for Owned {
    fn from(text: &str) -> Self {
        Owned::Text(text.into())
    }
}

impl From<String> for Owned {
    fn from(text: String) -> Self {
        Owned::Text(text.into())
    }
}

impl From<Rc<str>> for Owned {
    fn from(text: Rc<str>) -> Self {
        Owned::Text(text)
    }
}

impl From<i64> for Owned {
    fn from(value: i64) -> Self {
        Owned::Integer(value)
    }
}

impl From<f64> for Owned {
    fn from(value: f64) -> Self {
        Owned::Real(value)
    }
}

impl From<bool> for Owned {
    fn from(value: bool) -> Self {
        Owned::Integer(value.into())
    }
}

impl<T: Into<Owned>> From<Option<T>> for Owned {
    fn from(value: Option<T>) -> Self {
        value.map_or(Owned::Null, Into::into)
    }
}
