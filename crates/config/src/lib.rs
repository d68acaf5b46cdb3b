//! Configuration by environment variables (R40): each value comes from `NAME`, or from the file
//! whose path is in `NAME_FILE`.
//!
//! A faulty variable is a [`ConfigError`]: one line that names the variable and says what its
//! value must be. A program reports all faults at once: [`read_all!`] collects them, and
//! [`report`] prints the same list for `config check` and for a start.
//!
//! The variables that a program knows are those that it reads: an [`Environment`] records their
//! names. A program reads each of its variables at every start, also those of features that are
//! switched off, so that the list is complete.

mod command;
mod duration;
mod environment;
mod error;
mod server_url;
mod similar;
mod web_origin;

pub use command::{ConfigCommand, EXIT_CODE, MovedCommand, report};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use server_url::hint_of_server_url;
pub use web_origin::{InvalidOrigin, WebOrigin};
