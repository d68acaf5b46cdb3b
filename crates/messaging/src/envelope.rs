//! CloudEvents 1.0 attributes and trace context in AMQP headers.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use latchkey_domain::EventId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const CONTENT_TYPE: &str = "application/protobuf";
const PERSISTENT: u8 = 2;
const SPEC_VERSION: &str = "1.0";

const ID: &str = "cloudEvents:id";
const SOURCE: &str = "cloudEvents:source";
const TYPE: &str = "cloudEvents:type";
const SUBJECT: &str = "cloudEvents:subject";
const TIME: &str = "cloudEvents:time";
const SPEC: &str = "cloudEvents:specversion";
const TRACEPARENT: &str = "traceparent";
/// Failed attempts to handle the message.
pub(crate) const ATTEMPTS: &str = "latchkey-attempts";
/// Why the message was parked.
pub(crate) const PARKED_REASON: &str = "latchkey-parked-reason";
/// When the message was parked (RFC 3339).
pub(crate) const PARKED_AT: &str = "latchkey-parked-at";

/// The CloudEvents attributes and the trace context of a message that is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) id: EventId,
    pub(crate) source: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) time: Option<OffsetDateTime>,
    pub(crate) traceparent: Option<&'a str>,
}

/// The same of a message that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) id: EventId,
    pub(crate) source: String,
    pub(crate) event_type: String,
    pub(crate) subject: String,
    pub(crate) time: Option<OffsetDateTime>,
    pub(crate) traceparent: Option<String>,
    pub(crate) attempts: u32,
}

/// The headers are not those of an event. The text becomes the parking reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEnvelope {
    #[error("content type is not application/protobuf")]
    ContentType,
    #[error("header cloudEvents:specversion is not 1.0")]
    SpecVersion,
    #[error("header cloudEvents:id is not a UUID")]
    Id,
    #[error("header {0} is missing")]
    Missing(&'static str),
}

impl Attributes<'_> {
    /// The properties of the message to publish.
    pub(crate) fn to_properties(self) -> BasicProperties {
        let id = self.id.to_string();
        let mut headers = FieldTable::default();
        set(&mut headers, ID, id.as_str());
        set(&mut headers, SOURCE, self.source);
        set(&mut headers, TYPE, self.event_type);
        set(&mut headers, SUBJECT, self.subject);
        set(&mut headers, SPEC, SPEC_VERSION);
        if let Some(time) = self.time.and_then(|time| time.format(&Rfc3339).ok()) {
            set(&mut headers, TIME, time);
        }
        if let Some(traceparent) = self.traceparent {
            set(&mut headers, TRACEPARENT, traceparent);
        }
        BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into())
            .with_headers(headers)
    }
}

impl Envelope {
    /// Reads the properties of a delivery.
    pub(crate) fn from_properties(properties: &BasicProperties) -> Result<Self, InvalidEnvelope> {
        let content_type = properties.content_type().as_ref().map(ShortString::as_str);
        if content_type != Some(CONTENT_TYPE) {
            return Err(InvalidEnvelope::ContentType);
        }
        if get(properties, SPEC).as_deref() != Some(SPEC_VERSION) {
            return Err(InvalidEnvelope::SpecVersion);
        }
        let required =
            |name: &'static str| get(properties, name).ok_or(InvalidEnvelope::Missing(name));
        Ok(Self {
            id: required(ID)?.parse().map_err(|_| InvalidEnvelope::Id)?,
            source: required(SOURCE)?,
            event_type: required(TYPE)?,
            subject: get(properties, SUBJECT).unwrap_or_default(),
            time: get(properties, TIME)
                .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
            traceparent: get(properties, TRACEPARENT),
            attempts: attempts(properties),
        })
    }
}

/// The same properties with some headers replaced (`Some`) or removed (`None`). They are made
/// persistent, because a forwarded message must survive a restart of the broker.
pub(crate) fn with_headers(
    properties: &BasicProperties,
    changes: &[(&'static str, Option<AMQPValue>)],
) -> BasicProperties {
    let mut headers = properties
        .headers()
        .as_ref()
        .map(|headers| headers.inner().clone())
        .unwrap_or_default();
    for (name, value) in changes {
        match value {
            Some(value) => headers.insert(ShortString::from(*name), value.clone()),
            None => headers.remove(*name),
        };
    }
    properties
        .clone()
        .with_headers(FieldTable::from(headers))
        .with_delivery_mode(PERSISTENT)
}

/// The value of a text header.
pub(crate) fn text(value: impl Into<String>) -> AMQPValue {
    AMQPValue::LongString(value.into().into())
}

/// Reads a text header.
pub(crate) fn get(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Failed attempts to handle the message.
pub(crate) fn attempts(properties: &BasicProperties) -> u32 {
    let headers = properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(ATTEMPTS)) {
        Some(AMQPValue::LongUInt(attempts)) => *attempts,
        Some(AMQPValue::LongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        Some(AMQPValue::LongLongInt(attempts)) => u32::try_from(*attempts).unwrap_or(0),
        _ => 0,
    }
}

fn set(headers: &mut FieldTable, name: &'static str, value: impl Into<String>) {
    headers.insert(name.into(), text(value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(subject: String) -> Envelope {
        Envelope {
            id: EventId::generate(),
            source: "/latchkey/auth-svc".to_owned(),
            event_type: "user.authenticated.v1".to_owned(),
            subject,
            time: Some(OffsetDateTime::UNIX_EPOCH),
            traceparent: None,
            attempts: 0,
        }
    }

    /// The properties of a message with this envelope.
    fn properties_of(envelope: &Envelope) -> BasicProperties {
        let attributes = Attributes {
            id: envelope.id,
            source: &envelope.source,
            event_type: &envelope.event_type,
            subject: &envelope.subject,
            time: envelope.time,
            traceparent: envelope.traceparent.as_deref(),
        };
        attributes.to_properties()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(subject in ".{0,300}") {
            let written = envelope(subject);
            prop_assert_eq!(Envelope::from_properties(&properties_of(&written)), Ok(written));
        }
    }

    #[test]
    fn an_event_of_another_version_of_cloudevents_is_refused() {
        let properties = with_headers(
            &properties_of(&envelope(String::new())),
            &[(SPEC, Some(text("0.3")))],
        );
        assert_eq!(
            Envelope::from_properties(&properties),
            Err(InvalidEnvelope::SpecVersion)
        );
    }

    #[test]
    fn a_message_without_headers_is_refused() {
        assert!(Envelope::from_properties(&BasicProperties::default()).is_err());
    }

    #[test]
    fn attempts_survive_a_round_trip() {
        let properties = with_headers(
            &properties_of(&envelope(String::new())),
            &[(ATTEMPTS, Some(AMQPValue::LongUInt(3)))],
        );
        assert_eq!(attempts(&properties), 3);
        assert_eq!(attempts(&with_headers(&properties, &[(ATTEMPTS, None)])), 0);
    }
}
