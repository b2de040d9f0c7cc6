//! SQLite's GLOB outside of SQL.

use std::ffi::CString;

use rusqlite::ffi;

/// Whether a text matches, as `text GLOB pattern` says it. Nothing with a NUL does.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (Ok(pattern), Ok(text)) = (CString::new(pattern), CString::new(text)) else {
        return false;
    };
    // SAFETY: both are texts with a NUL at their end, and are only read.
    unsafe { ffi::sqlite3_strglob(pattern.as_ptr(), text.as_ptr()) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the plugin contract.
    #[test]
    fn paths_match_as_in_sql() {
        for (path, pattern, matches) in [
            ("/d/a.json", "*.json", true),
            ("/a.json", "**/*.json", true),
            ("/a.JSON", "*.json", false),
            ("/a.md", "*.{md,json}", false),
            ("/a.md", "*.[mM][dD]", true),
            ("/a.json", "a.json", false),
            ("/x/y/a.json", "/*/a.json", true),
            ("/ä.json", "/?.json", true),
            ("/a", "", false),
            ("/a", "*", true),
            ("/a", "*\0", false),
            ("/a\0", "*", false),
        ] {
            assert_eq!(glob(pattern, path), matches, "{path} {pattern}");
        }
    }
}
