//! How many calls the load of the tests makes.

use std::num::NonZeroU32;

use clap::Args;
use serde::{Deserialize, Serialize};

/// The rates of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Rates {
    /// Sign-ins per second.
    #[arg(long, value_name = "PER SECOND", default_value = "50")]
    pub sign_ins: NonZeroU32,
    /// Token calls per second.
    #[arg(long, value_name = "PER SECOND", default_value = "500")]
    pub token_calls: NonZeroU32,
}
