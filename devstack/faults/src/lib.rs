//! The fault suite: people sign in, connect, disconnect and ask for tokens while servers and
//! services are broken, and an independent checker judges what is left.
//!
//! `cargo dev faults --help` says how it is run, `docs/faults.md` what it does.

pub mod checker;
pub mod driver;
pub mod effects;
pub mod environment;
pub mod evidence;
pub mod fault;
pub mod history;
pub mod part;
pub mod planted;
pub mod point;
pub mod point_watch;
pub mod report;
pub mod run;
pub mod schedule;
pub mod shadow;
