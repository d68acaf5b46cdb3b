//! Every event is published at least once, and none without its fact.

use super::violation::{Kind, Violations};
use crate::evidence::Evidence;
use crate::planted::Fate;

pub(super) fn check(evidence: &Evidence, violations: &mut Violations) {
    let database = &evidence.database;
    for (id, key) in &database.committed {
        // What sync-svc has applied was published. The shadow queue is not bound to the events of
        // sync-svc while the fault of its queue is prepared.
        if !evidence.seen.contains_key(id) && !database.applied.contains(id) {
            violations.add(Kind::EventLost, format!("{key} {id} was never published"));
        }
    }
    for id in &evidence.parked {
        let has_to_be = evidence.planted.get(id) == Some(&Fate::Parked);
        if !has_to_be && !database.applied.contains(id) {
            let key = database.committed.get(id).map_or("message", String::as_str);
            violations.add(Kind::EventParked, format!("{key} {id} was parked"));
        }
    }
    for id in evidence.seen.keys() {
        if !database.committed.contains_key(id) {
            violations.add(
                Kind::EventUnfounded,
                format!("{id} was published and never committed"),
            );
        }
    }
}
