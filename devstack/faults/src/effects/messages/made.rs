//! Messages that the suite makes out of an event that was published before.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use latchkey_messaging::outbox::Event as _;
use latchkey_proto::events::{MemberRemoved, UserAuthenticated};
use prost::Message as _;
use uuid::Uuid;

use crate::planted::Fate;
use crate::shadow::Sample;

/// Length of an oversized message, in bytes: sync-svc accepts 256 KiB.
const OVERSIZED: usize = 257 * 1024;
/// Five years, in seconds.
const YEARS: i64 = 5 * 365 * 24 * 3_600;
/// Ten days, in seconds: sync-svc tolerates that clocks differ by one.
const DAYS: i64 = 10 * 24 * 3_600;

/// A message, and what has to become of it.
pub(super) struct Made {
    pub(super) id: Uuid,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
    pub(super) fate: Fate,
}

/// Returns a message that says nothing of itself.
pub(super) fn without_headers() -> Made {
    let id = Uuid::new_v4();
    Made {
        id,
        properties: BasicProperties::default().with_message_id(id.to_string().into()),
        body: b"without headers".to_vec(),
        fate: Fate::Parked,
    }
}

/// Returns the sample under other ids: malformed, of an unknown version, oversized, with a time of
/// the future in its header, and as an authentication years ago and one in the future.
pub(super) fn changed(sample: &Sample) -> Vec<Made> {
    let body = || sample.body.clone();
    let version = [("cloudEvents:type", "user.authenticated.v9")];
    let past = [("cloudEvents:time", "2021-01-01T00:00:00Z")];
    let future = [("cloudEvents:time", "2126-01-01T00:00:00Z")];
    let mut made = vec![
        another(sample, &[], b"\xff\xff\xff".to_vec(), Fate::Parked),
        another(sample, &version, body(), Fate::Parked),
        another(sample, &[], vec![0xff; OVERSIZED], Fate::Parked),
    ];
    if let Some(event) = connecting(sample) {
        made.push(another(sample, &future, body(), Fate::Applied));
        let long_ago = moved(event.clone(), -YEARS);
        made.push(another(sample, &past, long_ago, Fate::Applied));
        let in_future = moved(event, DAYS);
        made.push(another(sample, &future, in_future, Fate::Parked));
    }
    made
}

/// Returns a message that ends the only membership in a workspace, at the time of the sample.
pub(super) fn removal(sample: &Sample) -> Option<(Made, MemberRemoved)> {
    let removal = MemberRemoved {
        workspace_id: Uuid::new_v4().to_string(),
        user_id: Uuid::new_v4().to_string(),
        removed_at: connecting(sample)?.authenticated_at,
        keep_connections: false,
    };
    let kind = [("cloudEvents:type", MemberRemoved::ROUTING_KEY)];
    let message = another(sample, &kind, removal.encode_to_vec(), Fate::Applied);
    Some((message, removal))
}

/// Returns the sign-in of the removed member to the workspace, which arrives after the removal. The
/// mail address is nobody's, so that an account of it has no sign-in of the driver.
pub(super) fn sign_in_after(removal: &MemberRemoved, sample: &Sample) -> Option<Made> {
    let mut event = connecting(sample)?;
    event.workspace_id.clone_from(&removal.workspace_id);
    event.user_id.clone_from(&removal.user_id);
    event.authenticated_at = removal.removed_at;
    if let Some(identity) = event.identity.as_mut() {
        identity.handle = format!("gone-{}@acme.example", Uuid::new_v4().simple());
    }
    Some(another(sample, &[], event.encode_to_vec(), Fate::Applied))
}

/// Reads a sign-in. One without a connection changes nothing and is not in the inbox.
fn connecting(sample: &Sample) -> Option<UserAuthenticated> {
    let event = UserAuthenticated::decode(sample.body.as_slice()).ok()?;
    event.connection.is_some().then_some(event)
}

/// Returns the event with another time of authentication.
fn moved(mut event: UserAuthenticated, seconds: i64) -> Vec<u8> {
    if let Some(at) = event.authenticated_at.as_mut() {
        at.seconds = at.seconds.saturating_add(seconds);
    }
    event.encode_to_vec()
}

/// Returns a message with the headers of the sample, except for the id and the changes.
fn another(sample: &Sample, changes: &[(&str, &str)], body: Vec<u8>, fate: Fate) -> Made {
    let id = Uuid::new_v4();
    let text = id.to_string();
    let mut headers = sample.properties.headers().clone().unwrap_or_default();
    for (name, value) in changes
        .iter()
        .copied()
        .chain([("cloudEvents:id", text.as_str())])
    {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    Made {
        id,
        properties: sample
            .properties
            .clone()
            .with_message_id(text.as_str().into())
            .with_headers(headers),
        body,
        fate,
    }
}

#[cfg(test)]
mod tests {
    use latchkey_proto::events::Connection;

    use super::*;

    fn sample() -> Sample {
        let event = UserAuthenticated {
            connection: Some(Connection::default()),
            ..UserAuthenticated::default()
        };
        Sample {
            properties: BasicProperties::default(),
            body: event.encode_to_vec(),
        }
    }

    #[test]
    fn every_message_has_an_id_of_its_own_and_five_of_seven_have_to_be_parked() {
        let mut made = changed(&sample());
        made.push(without_headers());
        let ids: std::collections::BTreeSet<Uuid> = made.iter().map(|one| one.id).collect();
        assert_eq!(ids.len(), 7);
        let parked = made.iter().filter(|one| one.fate == Fate::Parked);
        assert_eq!(parked.count(), 5);
    }

    #[test]
    fn the_sign_in_to_the_workspace_that_is_gone_is_not_newer_than_the_removal() {
        let (_, removal) = removal(&sample()).unwrap();
        let message = sign_in_after(&removal, &sample()).unwrap();
        let event = UserAuthenticated::decode(message.body.as_slice()).unwrap();
        assert_eq!(event.workspace_id, removal.workspace_id);
        assert_eq!(event.authenticated_at, removal.removed_at);
    }
}
