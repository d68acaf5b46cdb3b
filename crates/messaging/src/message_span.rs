//! The spans of messages (semantic conventions of OpenTelemetry for RabbitMQ).

use latchkey_domain::EventId;
use latchkey_service::telemetry::{KeyValue, SpanKind, TraceSpan};

/// The default exchange, if a message has no routing key either.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// A message whose span is wanted.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    /// CloudEvents id and type, unless the message is not one of ours.
    pub(crate) event: Option<(EventId, &'a str)>,
    /// Length of the body in bytes.
    pub(crate) bytes: usize,
    /// Trace context of the message: of what wrote it, or of its publication.
    pub(crate) traceparent: Option<&'a str>,
}

impl Message<'_> {
    /// The span of the publication of the message.
    pub(crate) fn publish_span(&self) -> TraceSpan {
        TraceSpan::start(SpanKind::Producer, self.traceparent, || {
            let destination = destination(self.exchange, self.routing_key, None);
            let name = format!("publish {destination}");
            (name.into(), self.attributes(destination, "publish", "send"))
        })
    }

    /// The span of the handling of the message, which came from `queue`.
    pub(crate) fn process_span(&self, queue: &str, delivery_tag: u64) -> TraceSpan {
        TraceSpan::start(SpanKind::Consumer, self.traceparent, || {
            let destination = destination(self.exchange, self.routing_key, Some(queue));
            let name = format!("process {destination}");
            let mut attributes = self.attributes(destination, "process", "process");
            attributes.push(KeyValue::new(
                "messaging.rabbitmq.message.delivery_tag",
                delivery_tag.cast_signed(),
            ));
            (name.into(), attributes)
        })
    }

    fn attributes(
        &self,
        destination: String,
        operation: &'static str,
        operation_type: &'static str,
    ) -> Vec<KeyValue> {
        let key = self.routing_key.to_owned();
        let mut attributes = vec![
            KeyValue::new("messaging.system", "rabbitmq"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", operation_type),
            KeyValue::new("messaging.destination.name", destination),
            KeyValue::new("messaging.rabbitmq.destination.routing_key", key),
        ];
        if let Ok(bytes) = i64::try_from(self.bytes) {
            attributes.push(KeyValue::new("messaging.message.body.size", bytes));
        }
        if let Some((id, event_type)) = self.event {
            let id = id.to_string();
            attributes.extend([
                KeyValue::new("messaging.message.id", id.clone()),
                KeyValue::new("cloudevents.event_id", id),
                KeyValue::new("cloudevents.event_type", event_type.to_owned()),
            ]);
        }
        attributes
    }
}

/// The name of a destination: `exchange:routing key` for a publisher, and the queue behind them for
/// a consumer. A part that is empty is left out, and so is a queue that is the routing key too.
fn destination(exchange: &str, routing_key: &str, queue: Option<&str>) -> String {
    let queue = queue.filter(|queue| *queue != routing_key);
    let parts: Vec<&str> = [exchange, routing_key]
        .into_iter()
        .chain(queue)
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() {
        DEFAULT_EXCHANGE.to_owned()
    } else {
        parts.join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_named_as_the_conventions_say() {
        for (exchange, routing_key, queue, name) in [
            ("events", "a.v1", None, "events:a.v1"),
            ("events", "a.v1", Some("svc"), "events:a.v1:svc"),
            // A message that comes back from a retry queue.
            ("", "svc", Some("svc"), "svc"),
            ("", "svc", None, "svc"),
            ("", "", None, "amq.default"),
        ] {
            assert_eq!(destination(exchange, routing_key, queue), name);
        }
    }
}
