//! One file for each check: `look` gathers facts, and `judge` turns them into findings.

pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod client_credentials;
pub(crate) mod clock;
pub(crate) mod database;
pub(crate) mod discovery;
pub(crate) mod entry_point;
pub(crate) mod environment;
pub(crate) mod failures;
pub(crate) mod front_end;
pub(crate) mod migrations;
pub(crate) mod outbox;
pub(crate) mod person;
pub(crate) mod providers;
pub(crate) mod queues;
pub(crate) mod redirect_uris;
pub(crate) mod sealing_keys;
pub(crate) mod versions;
