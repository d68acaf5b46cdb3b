//! Command-line options of the benchmarks.

use std::time::Duration;

/// Options of every benchmark.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ReportOptions {
    /// Write the result into docs/performance.md.
    #[arg(long)]
    pub keep: bool,
}

/// Command-line options of `cargo dev bench tokens`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Measure for one minute instead of six with fewer accounts and callers, for a first
    /// impression.
    #[arg(long)]
    quick: bool,
    /// Whether the result and its plot are written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Do not measure storms.
    #[arg(long)]
    pub no_storms: bool,
    /// Number of accounts instead of 100,000.
    #[arg(long)]
    accounts: Option<usize>,
    /// Number of connections.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
}

impl Options {
    /// Returns the number of accounts with a valid, cached token.
    pub fn accounts(&self) -> usize {
        self.accounts
            .unwrap_or(if self.quick { 2_000 } else { 100_000 })
    }

    /// Returns the number of rounds of each kind of load. Each round measures both services.
    pub fn rounds(&self) -> usize {
        if self.quick { 2 } else { 6 }
    }

    /// Returns the duration of one measurement of one service.
    pub fn round(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 5 })
    }

    /// Returns the duration of the load before each measurement, which is not counted.
    pub fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 300 } else { 1_000 })
    }

    /// Returns the number of callers of a storm.
    pub fn callers(&self) -> usize {
        if self.quick { 600 } else { 5_000 }
    }

    /// Returns the latencies of the provider in storms, in seconds.
    pub fn latencies(&self) -> &'static [u64] {
        if self.quick { &[0, 3] } else { &[0, 3, 12, 20] }
    }
}

/// Command-line options of `cargo dev bench events` and `notify`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct EventOptions {
    /// Measure for half a minute, for a first impression.
    #[arg(long)]
    quick: bool,
    /// Whether the result is written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
}

impl EventOptions {
    /// Returns the number of rounds. Each measures everything that is compared.
    pub fn rounds(self) -> usize {
        if self.quick { 2 } else { 6 }
    }

    /// Returns the duration of one measurement of commits.
    pub fn round(self) -> Duration {
        Duration::from_millis(if self.quick { 1_000 } else { 3_000 })
    }

    /// Returns the number of events of one measurement of a publisher.
    pub fn events(self) -> usize {
        if self.quick { 10_000 } else { 50_000 }
    }

    /// Returns the number of commits whose time to a consumer is measured.
    pub fn commits(self) -> usize {
        if self.quick { 200 } else { 2_000 }
    }
}

/// Command-line options of `cargo dev bench logout`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct LogoutOptions {
    /// End 1,000 sessions in ten seconds instead of 10,000 in a minute, for a first impression.
    #[arg(long)]
    quick: bool,
    /// Sign-ins per second.
    #[arg(long, default_value_t = 10)]
    pub sign_ins: u32,
    /// Seconds over which the logout tokens are sent, instead of 60.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Whether the result is written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
}

impl LogoutOptions {
    /// Returns the number of people who are signed in, each with two sessions.
    pub fn people(self) -> usize {
        if self.quick { 500 } else { 5_000 }
    }

    /// Returns the duration of each measurement.
    pub fn length(self) -> Duration {
        let seconds = self.seconds.unwrap_or(if self.quick { 10 } else { 60 });
        Duration::from_secs(seconds)
    }

    /// Returns the duration of the sign-ins that are not counted.
    pub fn warm_up(self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 10 })
    }
}

/// Command-line options of `cargo dev bench login`.
#[derive(Debug, Clone, clap::Args)]
pub struct LoginOptions {
    /// Measure with fewer sign-ins, for a first impression.
    #[arg(long)]
    quick: bool,
    /// Whether the result is written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
    /// Numbers of replicas with which the path of events is measured.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    pub replicas: Vec<usize>,
    /// Draw a flame graph, with `perf` and the programs of the crate `inferno`.
    #[arg(long)]
    pub flame_graph: bool,
}

impl LoginOptions {
    /// Returns the number of sign-ins of the closed loop.
    pub fn sign_ins(&self) -> usize {
        if self.quick { 600 } else { 6_000 }
    }

    /// Returns the number of sign-ins that are recorded and repeated, and of events.
    pub fn recorded(&self) -> usize {
        if self.quick { 500 } else { 10_000 }
    }

    /// Returns the duration of the open loop at half load.
    pub fn half_load(&self) -> Duration {
        Duration::from_secs(if self.quick { 5 } else { 30 })
    }

    /// Returns the number of sign-ins one after the other, and of those that are traced.
    pub fn single(&self) -> usize {
        if self.quick { 50 } else { 300 }
    }

    /// Returns the number of starts of each service.
    pub fn starts(&self) -> usize {
        if self.quick { 2 } else { 5 }
    }
}

/// Command-line options of `cargo dev bench memory`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct MemoryOptions {
    /// Duration of the load in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=1_440))]
    pub minutes: u16,
    /// Whether the result is written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
}

/// Command-line options of `cargo dev bench scale`.
#[derive(Debug, Clone, clap::Args)]
pub struct ScaleOptions {
    /// Numbers of accounts, separated by commas. An account takes 7 kB of disk.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000_u64, 1_000_000])]
    pub accounts: Vec<u64>,
    /// Number of people who sign in at each size.
    #[arg(long, default_value_t = 20)]
    pub people: usize,
    /// Whether the result is written into the documentation.
    #[command(flatten)]
    pub report: ReportOptions,
}
