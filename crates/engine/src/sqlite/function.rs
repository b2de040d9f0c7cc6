//! SQL functions written in safe Rust. What holds for the callbacks of a virtual table holds here.

use std::rc::Rc;

use lix_engine_protocol::Result;

use super::{Link, Stored};

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
        todo!()
    }
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
