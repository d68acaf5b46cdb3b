//! What every handler shares.

use std::sync::Arc;

use latchkey_domain::Clock;
use latchkey_providers::Registry;
use sqlx::PgPool;

use crate::account::grpc_clients::Neighbours;
use crate::config::Config;
use crate::http::rate_limit::Limits;
use crate::random::Randomness;
use crate::workspace::domain_verification::dns::TxtRecords;

/// What every handler shares.
#[derive(Debug)]
pub struct State {
    /// What this service was told.
    pub config: Config,
    /// The providers that are switched on.
    pub providers: Registry,
    /// What the account pages ask of the other services.
    pub neighbours: Neighbours,
    /// Connections as the role of schema `auth`.
    pub pool: PgPool,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often one address and one flow may ask.
    pub limits: Limits,
    /// The source of secrets.
    pub randomness: Randomness,
    /// Who is asked for the records that prove a domain.
    pub txt: Arc<dyn TxtRecords>,
}
