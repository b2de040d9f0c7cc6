//! One error for everything that crosses the wire: a code to act on, a reason that never changes
//! its name, and words for people.

use lix_engine_proto::{EngineError, ErrorCode};

/// A result whose error can be put on the wire.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request was refused.
///
/// `reason` is stable and decides the [`ErrorCode`]; `message` is English and may change.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct Error {
    /// What happened, as registered in `docs/protocol/errors.md`.
    pub reason: Reason,
    /// What happened, for people.
    pub message: String,
    /// The limit, parameter, capability or path that the reason is about, or empty.
    pub subject: String,
    /// SQLite's primary and extended result code, 0 where SQLite did not speak.
    pub sqlite_code: i32,
    /// See [`Error::sqlite_code`].
    pub sqlite_extended_code: i32,
    /// Byte offset into the statement's UTF-8 text.
    pub sql_offset: Option<u32>,
    /// Which statement of a batch failed.
    pub batch_index: Option<u32>,
    /// The same request can succeed later, unchanged.
    pub retryable: bool,
}

impl Error {
    /// An error that says what happened; the code follows from the reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            subject: String::new(),
            sqlite_code: 0,
            sqlite_extended_code: 0,
            sql_offset: None,
            batch_index: None,
            retryable: reason.retryable(),
        }
    }

    /// Names what the reason is about.
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// A value of [`crate::Limits`] was exceeded; the subject is its field name.
    pub fn limit(field: &str, allowed: u64, found: impl std::fmt::Display) -> Self {
        Self::new(Reason::LimitExceeded, format!("{field} is {allowed}, got {found}"))
            .subject(field)
    }

    /// The engine has no such ability in this build; the subject is the capability's short name.
    pub fn capability(name: &str) -> Self {
        Self::new(Reason::CapabilityMissing, format!("this engine does not offer {name}"))
            .subject(name)
    }

    /// What a program switches on.
    pub fn code(&self) -> ErrorCode {
        self.reason.code()
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        EngineError {
            code: error.code().into(),
            reason: error.reason.as_str().to_owned(),
            message: error.message,
            sqlite_code: error.sqlite_code,
            sqlite_extended_code: error.sqlite_extended_code,
            sql_offset: error.sql_offset,
            batch_index: error.batch_index,
            subject: error.subject,
            detail: String::new(),
            retryable: error.retryable,
        }
    }
}

/// Declares the registry once: variant, wire name, code, and whether a retry can help.
macro_rules! reasons {
    ($($code:ident { $($variant:ident = $name:literal $($retry:ident)?),+ $(,)? })+) => {
        /// The registry of reasons. A name, once released, keeps its meaning.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is described in docs/protocol/errors.md")]
        pub enum Reason { $($($variant),+),+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Reason] = &[$($(Reason::$variant),+),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Reason::$variant => $name),+),+ }
            }

            /// The code this reason belongs to.
            pub const fn code(self) -> ErrorCode {
                match self { $($(Reason::$variant => ErrorCode::$code),+),+ }
            }

            const fn retryable(self) -> bool {
                match self { $($(Reason::$variant => reasons!(@retry $($retry)?)),+),+ }
            }
        }
    };
    (@retry retry) => { true };
    (@retry) => { false };
}

reasons! {
    Protocol {
        FrameMalformed = "FRAME_MALFORMED",
        AttachmentMismatch = "ATTACHMENT_MISMATCH",
        IdReused = "ID_REUSED",
        BatchMalformed = "BATCH_MALFORMED",
    }
    Unimplemented {
        CallUnknown = "CALL_UNKNOWN",
        CapabilityMissing = "CAPABILITY_MISSING",
    }
    Lifecycle {
        NotInitialized = "NOT_INITIALIZED",
        AlreadyInitialized = "ALREADY_INITIALIZED",
        Closing = "CLOSING",
        Closed = "CLOSED",
        Failed = "FAILED",
    }
    Invalid {
        SqlSyntax = "SQL_SYNTAX",
        SqlEmpty = "SQL_EMPTY",
        SqlMultiple = "SQL_MULTIPLE",
        SqlError = "SQL_ERROR",
        ParamMissing = "PARAM_MISSING",
        ParamUnknown = "PARAM_UNKNOWN",
        ParamInvalid = "PARAM_INVALID",
        OptionInvalid = "OPTION_INVALID",
        VersionUnknown = "VERSION_UNKNOWN",
        ReadOnly = "READ_ONLY",
    }
    Constraint {
        Unique = "UNIQUE",
        PrimaryKey = "PRIMARY_KEY",
        ForeignKey = "FOREIGN_KEY",
        NotNull = "NOT_NULL",
        Check = "CHECK",
        SchemaMismatch = "SCHEMA_MISMATCH",
        Validation = "VALIDATION",
        Trigger = "TRIGGER",
    }
    Transaction {
        InTransaction = "IN_TRANSACTION",
        NoTransaction = "NO_TRANSACTION",
        ScopeBusy = "SCOPE_BUSY" retry,
        Busy = "BUSY" retry,
        CursorUnknown = "CURSOR_UNKNOWN",
        CursorInvalidated = "CURSOR_INVALIDATED",
    }
    Interrupted {
        Cancelled = "CANCELLED" retry,
        Timeout = "TIMEOUT" retry,
    }
    Limit {
        LimitExceeded = "LIMIT_EXCEEDED",
        ResultTooLarge = "RESULT_TOO_LARGE",
        CursorSpoolLimit = "CURSOR_SPOOL_LIMIT",
        Inflight = "INFLIGHT" retry,
        OutOfMemory = "OUT_OF_MEMORY",
    }
    Storage {
        StorageUnsupported = "STORAGE_UNSUPPORTED",
        StorageBusy = "STORAGE_BUSY" retry,
        StorageQuota = "STORAGE_QUOTA",
        StorageExists = "STORAGE_EXISTS",
        StorageMissing = "STORAGE_MISSING",
        StorageReadonly = "STORAGE_READONLY",
        StorageFailed = "STORAGE_FAILED",
        StorageLost = "STORAGE_LOST",
    }
    Corrupt {
        ImageInvalid = "IMAGE_INVALID",
        DatabaseCorrupt = "DATABASE_CORRUPT",
    }
    Plugin {
        PluginLoad = "PLUGIN_LOAD",
        PluginInvalid = "PLUGIN_INVALID",
        PluginDuplicate = "PLUGIN_DUPLICATE",
        PluginAsync = "PLUGIN_ASYNC",
        PluginFailed = "PLUGIN_FAILED",
        PluginTimeout = "PLUGIN_TIMEOUT",
        PluginMissing = "PLUGIN_MISSING",
    }
    Internal {
        EngineDefect = "ENGINE_DEFECT",
    }
}
