//! Metrics of tokens for `/metrics`. An account is never a label.

use std::time::Duration;

use latchkey_domain::ProviderName;
use metrics::{Counter, Gauge, counter, gauge, histogram};

/// Counts a refresh by its outcome: `refreshed` or the reason of its failure.
pub fn refresh(provider: &ProviderName, outcome: &'static str, took: Duration) {
    let provider = provider.to_string();
    counter!("latchkey_refreshes_total", "provider" => provider.clone(), "outcome" => outcome)
        .increment(1);
    histogram!("latchkey_refresh_seconds", "provider" => provider).record(took);
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
