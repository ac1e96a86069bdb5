//! One look of a check: what it saw, how bad that is, what to do.
//!
//! The texts stand as literals where the finding is made: `docs/troubleshooting.md` has a row for each, and a test reads
//! them from here.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and something should be looked at.
    Warning,
    /// `run` would not work, or not as configured.
    Failure,
}

/// What one look gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Which check looked.
    pub check: &'static str,
    /// What it saw.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, what: what.into(), todo: None }
    }

    /// To be looked at.
    pub fn warning(check: &'static str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Warning, check, what: what.into(), todo: Some(todo.into()) }
    }

    /// To be mended.
    pub fn failure(check: &'static str, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { level: Level::Failure, check, what: what.into(), todo: Some(todo.into()) }
    }
}
