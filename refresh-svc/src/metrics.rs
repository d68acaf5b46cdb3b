//! What `/metrics` tells of tokens. No account is ever a label.

use std::time::Duration;

use latchkey_domain::ProviderName;
use metrics::{Counter, Gauge, counter, gauge, histogram};

/// One refresh ended: `refreshed` or the reason of its failure.
pub fn refresh(provider: &ProviderName, outcome: &'static str, took: Duration) {
    let provider = provider.to_string();
    counter!("latchkey_refreshes_total", "provider" => provider.clone(), "outcome" => outcome)
        .increment(1);
    histogram!("latchkey_refresh_seconds", "provider" => provider).record(took);
}

/// A circuit of a provider, or of one of its tenants, opened or closed.
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

/// A provider began to refuse the grants of many accounts and to serve none.
pub fn grants_refused(provider: &ProviderName) {
    counter!("latchkey_grants_refused_total", "provider" => provider.to_string()).increment(1);
}

/// Makes the metrics of a provider visible before the first failure.
pub fn provider(provider: &ProviderName) {
    counter!("latchkey_circuit_opened_total", "provider" => provider.to_string()).increment(0);
    gauge!("latchkey_circuits_open", "provider" => provider.to_string()).increment(0);
    counter!("latchkey_grants_refused_total", "provider" => provider.to_string()).increment(0);
}

/// Where an answer came source: `cache` or `database`.
pub fn lookups(source: &'static str) -> Counter {
    counter!("latchkey_token_lookups_total", "source" => source)
}

/// Requests for a token that ended so: `answered` or the reason of the refusal.
pub fn answers(outcome: &'static str) -> Counter {
    counter!("latchkey_token_answers_total", "outcome" => outcome)
}

/// Refreshes ahead of expiry that were begun.
pub fn ahead(provider: &ProviderName) {
    counter!("latchkey_refreshes_ahead_total", "provider" => provider.to_string()).increment(1);
}

/// Refreshes of grants that would end that were begun.
pub fn renewed(provider: &ProviderName) {
    counter!("latchkey_grants_renewed_total", "provider" => provider.to_string()).increment(1);
}

/// Living grants that end within a day unless they are renewed.
pub fn ending(provider: &ProviderName, grants: i64) {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 accounts")]
    gauge!("latchkey_grants_ending", "provider" => provider.to_string()).set(grants as f64);
}

/// Callers that wait for a refresh, while the guard lives.
pub fn waiting() -> GaugeGuard {
    GaugeGuard::in_gauge(gauge!("latchkey_token_waiters"))
}

/// Watchers of accounts, while the guard lives.
pub fn watching() -> GaugeGuard {
    GaugeGuard::in_gauge(gauge!("latchkey_watchers"))
}

/// One in a gauge until it is dropped.
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
