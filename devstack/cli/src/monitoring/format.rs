//! Values and names of series as Grafana writes them.

use std::collections::BTreeMap;

/// Writes a value with a unit of Grafana.
pub(super) fn value(unit: &str, value: f64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    match unit {
        "percentunit" => format!("{} %", number(value * 100.0)),
        "s" if value == 0.0 => "0 s".to_owned(),
        "s" if value < 0.001 => format!("{} µs", number(value * 1e6)),
        "s" if value < 1.0 => format!("{} ms", number(value * 1e3)),
        "s" if value < 120.0 => format!("{} s", number(value)),
        "s" => format!("{} min", number(value / 60.0)),
        "bytes" => format!("{} MiB", number(value / MIB)),
        "ops" | "reqps" => format!("{}/s", number(value)),
        _ => number(value),
    }
}

/// Three digits, or as many as the whole number has.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Puts the labels of a series into the template of its name.
pub(super) fn legend(template: &str, labels: &BTreeMap<String, String>) -> String {
    let mut name = template.to_owned();
    for (label, value) in labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_their_unit() {
        for (unit, given, written) in [
            ("percentunit", 0.995, "99.5 %"),
            ("s", 0.0, "0 s"),
            ("s", 0.000_25, "250 µs"),
            ("s", 0.0125, "12.5 ms"),
            ("s", 90.0, "90 s"),
            ("s", 300.0, "5 min"),
            ("bytes", 50.0 * 1024.0 * 1024.0, "50 MiB"),
            ("ops", 0.333_33, "0.33/s"),
            ("none", 3.0, "3"),
            ("none", 1234.0, "1234"),
        ] {
            assert_eq!(value(unit, given), written);
        }
    }

    #[test]
    fn a_name_has_the_labels_of_its_series() {
        let labels = [("provider", "google"), ("outcome", "refreshed")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let name = legend("{{provider}} {{outcome}}", &labels.into());
        assert_eq!(name, "google refreshed");
    }
}
