//! Metrics of tokens for `/metrics`. An account is never a label.

use std::time::Duration;

use latchkey_domain::ProviderName;
use latchkey_providers::FailureClass;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use tokio::time::Instant;

/// The outcome of a refresh that returned a token.
pub const REFRESHED: &str = "refreshed";
/// The outcome of a request that was answered with a token.
pub const ANSWERED: &str = "answered";

/// Creates the metrics with 0, for the providers that are configured and the
/// reasons that callers may be given.
pub fn create<'a>(
    providers: impl Iterator<Item = &'a ProviderName>,
    reasons: impl Iterator<Item = &'static str>,
) {
    for one in providers {
        provider(one);
        let name = || one.to_string();
        let classes = FailureClass::ALL.map(FailureClass::reason);
        for outcome in classes.into_iter().chain([REFRESHED]) {
            refreshes(one, outcome).increment(0);
        }
        drop(histogram!("latchkey_refresh_seconds", "provider" => name()));
        counter!("latchkey_refreshes_ahead_total", "provider" => name()).increment(0);
        counter!("latchkey_grants_renewed_total", "provider" => name()).increment(0);
        ending(one, 0);
    }
    for outcome in reasons.chain([ANSWERED]) {
        answers(outcome).increment(0);
    }
    for source in ["cache", "database"] {
        lookups(source).increment(0);
    }
    for idle in [
        gauge!("latchkey_token_waiters"),
        gauge!("latchkey_watchers"),
        gauge!("latchkey_cached_accounts"),
    ] {
        idle.increment(0);
    }
    drop((token_age(), turn(), lease_waits()));
}

/// Describes the metrics. It comes before the first handle of one is taken, because an instrument that
/// is exported over OTLP has the description that is known then.
pub fn describe() {
    // In a test, nothing else installs the recorder.
    latchkey_service::metrics::install();
    describe_counter!(
        "latchkey_refreshes_total",
        "Answers of a provider to requests for a refresh, by outcome: refreshed or the class of the \
         failure."
    );
    describe_histogram!(
        "latchkey_refresh_seconds",
        "Time until a provider answered a request for a refresh."
    );
    describe_counter!(
        "latchkey_circuit_opened_total",
        "How often a circuit breaker of a provider, or of one of its tenants, opened."
    );
    describe_gauge!(
        "latchkey_circuits_open",
        "Circuit breakers of a provider and its tenants that are open."
    );
    describe_counter!(
        "latchkey_grants_refused_total",
        "How often a provider began to refuse the grants of many accounts while it served none."
    );
    describe_counter!(
        "latchkey_token_lookups_total",
        "Lookups of a token by source: cache (a hit) or database (a miss)."
    );
    describe_counter!(
        "latchkey_token_answers_total",
        "Answers to requests for a token by outcome: answered or the reason of the refusal."
    );
    describe_histogram!(
        "latchkey_token_age_seconds",
        "Age of a token when a caller is given it."
    );
    describe_counter!(
        "latchkey_refreshes_ahead_total",
        "Refreshes that were started ahead of the expiry of a token in use."
    );
    describe_counter!(
        "latchkey_grants_renewed_total",
        "Refreshes that were started to renew a grant before its end."
    );
    describe_gauge!(
        "latchkey_grants_ending",
        "Living grants that end within a day unless they are renewed."
    );
    describe_gauge!("latchkey_token_waiters", "Callers that wait for a refresh.");
    describe_gauge!("latchkey_watchers", "Open watches of accounts.");
    describe_gauge!(
        "latchkey_cached_accounts",
        "Accounts in the cache of opened tokens."
    );
    describe_histogram!(
        "latchkey_lease_wait_seconds",
        "Time that a refresh waited for another holder of its lease; refreshes that did not wait \
         are not counted."
    );
    describe_histogram!(
        "latchkey_database_turn_seconds",
        "Time that a read or a lease waited for its turn, before it acquires a connection: they \
         share a part of the pool."
    );
}

/// Counts a refresh by its outcome: `refreshed` or the reason of its failure.
pub fn refresh(provider: &ProviderName, outcome: &'static str, took: Duration) {
    refreshes(provider, outcome).increment(1);
    histogram!("latchkey_refresh_seconds", "provider" => provider.to_string()).record(took);
}

fn refreshes(provider: &ProviderName, outcome: &'static str) -> Counter {
    counter!("latchkey_refreshes_total", "provider" => provider.to_string(), "outcome" => outcome)
}

/// Counts the opening or closing of a circuit breaker of a provider or of one of its
/// tenants.
pub fn circuit(provider: &ProviderName, open: bool) {
    let opened = counter!("latchkey_circuit_opened_total", "provider" => provider.to_string());
    let circuits = gauge!("latchkey_circuits_open", "provider" => provider.to_string());
    if open {
        opened.increment(1);
        circuits.increment(1);
    } else {
        circuits.decrement(1);
    }
}

/// Counts that a provider began to refuse the grants of many accounts while it served
/// none.
pub fn grants_refused(provider: &ProviderName) {
    counter!("latchkey_grants_refused_total", "provider" => provider.to_string()).increment(1);
}

/// Creates the metrics of a provider before its first failure.
pub fn provider(provider: &ProviderName) {
    counter!("latchkey_circuit_opened_total", "provider" => provider.to_string()).increment(0);
    gauge!("latchkey_circuits_open", "provider" => provider.to_string()).increment(0);
    counter!("latchkey_grants_refused_total", "provider" => provider.to_string()).increment(0);
}

/// Token lookups by source: `cache` or `database`.
pub fn lookups(source: &'static str) -> Counter {
    counter!("latchkey_token_lookups_total", "source" => source)
}

/// Answered token requests by outcome: `answered` or the reason of the refusal.
pub fn answers(outcome: &'static str) -> Counter {
    counter!("latchkey_token_answers_total", "outcome" => outcome)
}

/// Ages of the tokens that callers are given.
pub fn token_age() -> Histogram {
    histogram!("latchkey_token_age_seconds")
}

/// Waits of reads and leases for their share of the pool of connections.
pub fn turn() -> Histogram {
    histogram!("latchkey_database_turn_seconds")
}

/// Sets the number of accounts in the cache.
pub fn cached_accounts(accounts: usize) {
    gauge!("latchkey_cached_accounts").set(u32::try_from(accounts).unwrap_or(u32::MAX));
}

/// Counts refreshes that were started ahead of expiry.
pub fn ahead(provider: &ProviderName) {
    counter!("latchkey_refreshes_ahead_total", "provider" => provider.to_string()).increment(1);
}

/// Counts refreshes that were started to renew a grant before its end.
pub fn renewed(provider: &ProviderName) {
    counter!("latchkey_grants_renewed_total", "provider" => provider.to_string()).increment(1);
}

/// Number of living grants that end within a day unless they are renewed.
pub fn ending(provider: &ProviderName, grants: i64) {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 accounts")]
    gauge!("latchkey_grants_ending", "provider" => provider.to_string()).set(grants as f64);
}

/// Callers that wait for a refresh, counted while the guard lives.
pub fn waiting() -> GaugeGuard {
    GaugeGuard::in_gauge(gauge!("latchkey_token_waiters"))
}

/// Watchers of accounts, counted while the guard lives.
pub fn watching() -> GaugeGuard {
    GaugeGuard::in_gauge(gauge!("latchkey_watchers"))
}

/// One unit of a gauge until it is dropped.
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    fn in_gauge(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn lease_waits() -> Histogram {
    histogram!("latchkey_lease_wait_seconds")
}

/// The wait of a refresh for the holder of its lease, which is recorded when it is dropped.
pub struct LeaseWait(Instant);

impl LeaseWait {
    /// The wait begins.
    pub fn begin() -> Self {
        Self(Instant::now())
    }
}

impl Drop for LeaseWait {
    fn drop(&mut self) {
        lease_waits().record(self.0.elapsed());
    }
}
