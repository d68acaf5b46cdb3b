//! What is being checked, while it is: one line on standard error, if that is a terminal.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};

use crate::check_id::CheckId;

/// The line with the checks that still run.
pub(crate) struct Progress {
    running: RefCell<Vec<CheckId>>,
    shown: bool,
}

impl Progress {
    /// Progress of these checks, shown if standard error is a terminal.
    pub(crate) fn of(checks: &[CheckId]) -> Self {
        let progress = Self {
            running: RefCell::new(checks.to_vec()),
            shown: std::io::stderr().is_terminal(),
        };
        progress.show();
        progress
    }

    /// The check has ended.
    pub(crate) fn ended(&self, check: CheckId) {
        self.running
            .borrow_mut()
            .retain(|running| *running != check);
        self.show();
    }

    fn show(&self) {
        if !self.shown {
            return;
        }
        let names: Vec<String> = self
            .running
            .borrow()
            .iter()
            .map(ToString::to_string)
            .collect();
        let line = if names.is_empty() {
            String::new()
        } else {
            // A longer line would wrap, and could not be taken back.
            format!("checking: {}", names.join(", "))
                .chars()
                .take(78)
                .collect()
        };
        // Carriage return, and erase to the end of the line (ECMA-48). If standard error is
        // closed, the report remains.
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}
