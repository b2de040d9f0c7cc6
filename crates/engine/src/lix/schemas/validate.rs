//! JSON Schema, draft 7.
