//! How much is measured.

use std::time::Duration;

use crate::report::ReportOptions;

/// What `cargo dev bench tokens` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A minute instead of six, with fewer accounts and callers: a look, no result.
    #[arg(long)]
    quick: bool,
    /// With the plot.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Leave the storms out.
    #[arg(long)]
    pub no_storms: bool,
    /// Accounts in place of 100,000.
    #[arg(long)]
    accounts: Option<usize>,
    /// Connections in place of 64.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
}

impl Options {
    /// Accounts that are live and cached.
    pub fn accounts(&self) -> usize {
        self.accounts
            .unwrap_or(if self.quick { 2_000 } else { 100_000 })
    }

    /// Rounds of each kind of load; in each both services are measured.
    pub fn rounds(&self) -> usize {
        if self.quick { 2 } else { 6 }
    }

    /// Length of one measurement of one service.
    pub fn round(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 5 })
    }

    /// Load before a measurement that is not counted.
    pub fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 300 } else { 1_000 })
    }

    /// Callers of a storm.
    pub fn callers(&self) -> usize {
        if self.quick { 600 } else { 5_000 }
    }

    /// Latencies of the provider in a storm.
    pub fn latencies(&self) -> &'static [u64] {
        if self.quick { &[0, 3] } else { &[0, 3, 12, 20] }
    }

    /// Expired accounts that are asked for at once.
    pub fn expired(&self) -> usize {
        if self.quick { 100 } else { 1_000 }
    }
}
