//! Of the messages that the suite sent, exactly those are parked that cannot be handled.

use super::violation::{Kind, Violations};
use crate::evidence::Evidence;
use crate::planted::Fate;

pub(super) fn check(evidence: &Evidence, violations: &mut Violations) {
    for (id, fate) in &evidence.planted {
        let is_applied = evidence.database.applied.contains(id);
        match fate {
            Fate::Parked if is_applied || !evidence.parked.contains(id) => violations.add(
                Kind::MessageNotParked,
                format!("message {id} cannot be handled and is not parked"),
            ),
            Fate::Applied if !is_applied => violations.add(
                Kind::MessageNotApplied,
                format!("message {id} can be handled and was not"),
            ),
            Fate::Parked | Fate::Applied => {}
        }
    }
}
