//! The spans of messages (semantic conventions of OpenTelemetry for RabbitMQ).

use latchkey_domain::EventId;
use latchkey_service::telemetry;
use tracing::Span;
use tracing::field::Empty;

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
    pub(crate) fn publish_span(&self) -> Span {
        let destination = destination(self.exchange, self.routing_key, None);
        let span = tracing::info_span!(
            "publish",
            otel.name = format!("publish {destination}"),
            otel.kind = "producer",
            otel.status_code = Empty,
            messaging.system = "rabbitmq",
            messaging.operation.name = "publish",
            "messaging.operation.type" = "send",
            messaging.destination.name = destination,
            messaging.rabbitmq.destination.routing_key = self.routing_key,
            messaging.message.id = Empty,
            messaging.message.body.size = Empty,
            cloudevents.event_id = Empty,
            cloudevents.event_type = Empty,
            "error.type" = Empty,
        );
        self.complete(&span);
        span
    }

    /// The span of the handling of the message, which came from `queue`.
    pub(crate) fn process_span(&self, queue: &str, delivery_tag: u64) -> Span {
        let destination = destination(self.exchange, self.routing_key, Some(queue));
        let span = tracing::info_span!(
            "consume",
            otel.name = format!("process {destination}"),
            otel.kind = "consumer",
            otel.status_code = Empty,
            messaging.system = "rabbitmq",
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = destination,
            messaging.rabbitmq.destination.routing_key = self.routing_key,
            messaging.rabbitmq.message.delivery_tag = i64::try_from(delivery_tag).ok(),
            messaging.message.id = Empty,
            messaging.message.body.size = Empty,
            cloudevents.event_id = Empty,
            cloudevents.event_type = Empty,
            "error.type" = Empty,
        );
        self.complete(&span);
        span
    }

    fn complete(&self, span: &Span) {
        telemetry::set_parent(span, self.traceparent);
        span.record(
            "messaging.message.body.size",
            i64::try_from(self.bytes).ok(),
        );
        if let Some((id, event_type)) = self.event {
            span.record("messaging.message.id", tracing::field::display(id));
            span.record("cloudevents.event_id", tracing::field::display(id));
            span.record("cloudevents.event_type", event_type);
        }
    }
}

/// Records that the operation of a span failed. `kind` is one of few texts.
pub(crate) fn record_failure(span: &Span, kind: &'static str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
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
