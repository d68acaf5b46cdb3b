//! Numbers, lists and lengths of time in texts for people.

use time::Duration;

/// Up to five of the items.
pub(crate) fn listed(items: &[String]) -> String {
    const MOST: usize = 5;
    let more = items.len().saturating_sub(MOST);
    let shown: Vec<&str> = items.iter().take(MOST).map(String::as_str).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A number with its noun.
pub(crate) fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    // A count is never negative.
    let count = count.try_into().unwrap_or_default();
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A length of time with its largest unit.
pub(crate) fn long(duration: Duration) -> String {
    let seconds = duration.whole_seconds().abs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Texts of others may have several lines, or characters that change a terminal.
pub(crate) fn on_one_line(text: &str) -> String {
    const MOST: usize = 600;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_one_unit() {
        assert_eq!(long(Duration::seconds(119)), "119 s");
        assert_eq!(long(Duration::minutes(-5)), "5 min");
        assert_eq!(long(Duration::hours(47)), "47 h");
        assert_eq!(long(Duration::days(3)), "3 d");
    }

    #[test]
    fn a_number_has_its_noun() {
        assert_eq!(counted(1_i64, "event is", "events are"), "1 event is");
        assert_eq!(counted(0_usize, "event is", "events are"), "0 events are");
    }

    #[test]
    fn long_lists_are_cut() {
        let items: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(listed(&items), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(listed(&[]), "none");
    }
}
