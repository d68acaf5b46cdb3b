//! No token is given that has expired.

use std::time::Duration;

use super::violation::{Kind, Violations};
use crate::evidence::{Evidence, Given};
use crate::fault::Fault;
use crate::history::{FaultSpan, Moment};
use crate::part::Target;

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

/// Returns how long after its end a token may have been given: the end was computed with the clock of
/// auth-svc or refresh-svc when the token was issued, and judged with that of refresh-svc when the
/// token was given.
fn skew(faults: &[FaultSpan], given: &Given) -> Duration {
    let storing = [Target::Auth, Target::Refresh];
    let stored = offsets(faults, &storing, (given.issued, given.issued));
    let judged = offsets(faults, &[Target::Refresh], (given.asked, given.answered));
    let ahead = stored.max().unwrap_or_default().max(0);
    let behind = judged.min().unwrap_or_default().min(0);
    Duration::from_secs(ahead.abs_diff(behind))
}

/// Returns how far clocks of these services were ahead between two moments, in seconds.
fn offsets(
    faults: &[FaultSpan],
    targets: &[Target],
    (from, to): (Moment, Moment),
) -> impl Iterator<Item = i64> {
    faults.iter().filter_map(move |span| {
        let is_active = span.begun.minus(WINDOW) <= to && from <= span.ended.plus(WINDOW);
        match span.fault {
            Fault::Clock(target, how) if is_active && targets.contains(&target) => {
                Some(how.seconds())
            }
            _ => None,
        }
    })
}
