//! The bounds of the buckets of histograms, which are the same at `/metrics` and over OTLP.

/// The end of the names of the histograms with the usual buckets.
pub(super) const USUAL_SUFFIX: &str = "_seconds";

/// The usual buckets: from a cached token to a provider that takes half a minute.
pub(super) const USUAL: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    30.0, 60.0,
];

/// Buckets of what may wait for the end of an outage: from 5 milliseconds to a day.
const OUTAGES: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
    7_200.0, 86_400.0,
];

/// Buckets of the ages of tokens: from a second to a day.
const AGES: &[f64] = &[
    1.0, 10.0, 60.0, 300.0, 600.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
    86_400.0,
];

/// The histograms with other buckets.
pub(super) const OTHERS: [(&str, &[f64]); 3] = [
    ("latchkey_outbox_publish_seconds", OUTAGES),
    ("latchkey_event_lag_seconds", OUTAGES),
    ("latchkey_token_age_seconds", AGES),
];

/// The bounds of the buckets of the histogram `name`.
pub(super) fn of(name: &str) -> &'static [f64] {
    let other = OTHERS.into_iter().find(|(other, _)| *other == name);
    other.map_or(USUAL, |(_, buckets)| buckets)
}
