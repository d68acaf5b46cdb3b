//! The migrations of Latchkey's database: one schema and one role per service, and the
//! compatibility views. `README.md` says how to add one.
//!
//! The SQL is embedded in the program.

mod apply;
mod status;
mod wait;

use sqlx::migrate::Migrator;

pub use self::apply::{LOCK_TIMEOUT, Waiting, run, run_reporting};
pub use self::status::{MigrationState, Status, StatusError, status};
pub use self::wait::{NotReady, wait};

/// All migrations, the oldest first.
pub static MIGRATOR: Migrator = sqlx::migrate!("./sql");
