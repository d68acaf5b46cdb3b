//! What a check returns.

use std::fmt;

use serde_json::Value;

use crate::check_id::CheckId;
use crate::finding::Finding;

/// What a check saw.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// Lines for people: what was looked at, and what it was like.
    pub seen: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The facts for programs, if there are more than the lines.
    pub detail: Option<Value>,
}

/// Why a check did not look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotLooked {
    /// The other check has found the cause.
    Because(CheckId),
    /// A variable or an option is not set.
    NotSet(&'static str),
    /// It is no part of this mode.
    NotNow(&'static str),
    /// The role of the database may not read it.
    NoRight,
    /// The database reports another error.
    Failed(String),
}

impl NotLooked {
    /// Why a statement failed.
    pub(crate) fn of_statement(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            // insufficient_privilege
            Some("42501") => Self::NoRight,
            // undefined_table, undefined_column, invalid_schema_name
            Some("42P01" | "42703" | "3F000") => Self::Because(CheckId::Migrations),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for NotLooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Because(check) => write!(f, "needs {check}"),
            Self::NotSet(name) => write!(f, "{name} is not set"),
            Self::NotNow(why) => f.write_str(why),
            Self::NoRight => f.write_str(
                "the role of DATABASE_URL may not read it: use a login role in latchkey_operator",
            ),
            Self::Failed(error) => f.write_str(error),
        }
    }
}

/// What a check returns.
pub(crate) type Outcome = Result<Looked, NotLooked>;
