//! No token is given that has expired.

use std::time::Duration;

use super::violation::{Kind, Violations};
use crate::evidence::{Evidence, Given};
use crate::fault::{Fault, Target};
use crate::history::FaultSpan;

/// The provider counts whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);
/// A clock that was wrong may have been read this long before or after the fault.
const WINDOW: Duration = Duration::from_secs(5);

pub(super) fn check(evidence: &Evidence, violations: &mut Violations) {
    for given in &evidence.given {
        let late = given.asked.since(given.expires);
        if late > ROUNDING + skew(&evidence.faults, given) {
            violations.add(
                Kind::ExpiredTokenGiven,
                format!("{} got a token {late:?} after its end", given.person),
            );
        }
    }
}

/// Returns how far the clock was wrong that judged the life of a token, or that was read when the
/// token was stored: the clocks of auth-svc and refresh-svc, at any time of the token's life.
fn skew(faults: &[FaultSpan], given: &Given) -> Duration {
    let active = faults.iter().filter(|span| {
        span.begun.minus(WINDOW) <= given.answered && given.issued <= span.ended.plus(WINDOW)
    });
    let skews = active.filter_map(|span| match span.fault {
        Fault::Clock(Target::Auth | Target::Refresh, how) => {
            Some(Duration::from_secs(how.seconds().unsigned_abs()))
        }
        _ => None,
    });
    skews.max().unwrap_or_default()
}
