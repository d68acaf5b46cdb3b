//! `Retry-After` (RFC 9110 section 10.2.3): seconds or a date.

use std::time::Duration;

use http::HeaderMap;
use time::OffsetDateTime;

/// Longest wait. A longer one in the header is shortened to this.
const MAX: Duration = Duration::from_hours(24);

/// Time to wait, at most [`MAX`]. `None` if the header is absent or malformed.
pub(crate) fn parse(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    let wait = if let Ok(seconds) = text.parse::<f64>() {
        // RFC 9110 allows no fraction, but some providers send one.
        let seconds = Some(seconds).filter(|seconds| *seconds >= 0.0)?;
        Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(MAX)
    } else {
        let date = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
        Duration::try_from(date - now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().ok()?);
        // Sun, 06 Nov 1994 08:49:37 GMT
        parse(
            &headers,
            OffsetDateTime::from_unix_timestamp(784_111_777).ok()?,
        )
    }

    // R32
    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        for (text, seconds) in [
            ("0", 0),
            ("120", 120),
            ("1.5", 2),
            ("99999999999999999999", 86_400),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("Fri, 06 Nov 2099 08:00:00 GMT", 86_400),
        ] {
            assert_eq!(read(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "-1", "soon", "NaN", "Sun, 99 Nov 1994 08:50:37 GMT"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_or_exceeds_the_longest_wait(text in "[ -~]{0,40}") {
            prop_assert!(read(&text).is_none_or(|wait| wait <= MAX));
        }
    }
}
