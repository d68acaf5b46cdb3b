//! `sync-svc parked` and `sync-svc unrouted`: messages that wait for an operator.

use clap::Subcommand;
use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Parked, Selection, Shelf, Which};
use latchkey_messaging::topology::{self, Subscription};
use latchkey_messaging::{BrokerConfig, BrokerError};

/// The commands for parked or unrouted messages.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the messages with the reasons.
    List {
        /// List only messages with this routing key, e.g. `user.authenticated.v1`.
        #[arg(long)]
        routing_key: Option<String>,
        /// Skip this many messages of each queue.
        #[arg(long, default_value_t = 0)]
        skip: usize,
        /// List at most this many messages of each queue.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Count the messages by routing key.
    Count,
    /// Show one message with its body in hexadecimal.
    Show {
        /// CloudEvents id of the message.
        event_id: EventId,
    },
    /// Publish messages again, after the cause was repaired.
    Redrive {
        /// CloudEvents id of the message.
        #[arg(
            required_unless_present_any = ["all", "routing_key"],
            conflicts_with_all = ["all", "routing_key"],
        )]
        event_id: Option<EventId>,
        /// Publish every message.
        #[arg(long, conflicts_with = "routing_key")]
        all: bool,
        /// Publish the messages with this routing key.
        #[arg(long)]
        routing_key: Option<String>,
        /// Skip this many messages of each queue.
        #[arg(long, default_value_t = 0)]
        skip: usize,
        /// Publish at most this many messages of each queue.
        #[arg(long)]
        limit: Option<usize>,
    },
}

/// The queues of messages that sync-svc could not handle.
pub fn parked() -> Vec<Shelf> {
    let queues = Subscription::built_in().into_iter();
    queues.map(|own| Shelf::Parked(own.queue)).collect()
}

/// Runs the command on these queues and returns the lines to print.
///
/// # Errors
/// The broker failed or refused.
pub async fn run(
    command: &Command,
    queues: Vec<Shelf>,
    broker: &BrokerConfig,
) -> Result<Vec<String>, BrokerError> {
    let mut lines = Vec::new();
    for queue in queues {
        let name = queue.to_string();
        match command {
            Command::List {
                routing_key,
                skip,
                limit,
            } => {
                let selection = Selection {
                    which: by_key(routing_key.as_ref()),
                    skip: *skip,
                    limit: Some(*limit),
                };
                let found = parked::list(broker, queue, selection).await?;
                lines.extend(found.iter().map(|message| line(&name, message)));
            }
            Command::Count => {
                let counts = parked::count(broker, queue).await?;
                let counts = counts.into_iter();
                lines.extend(counts.map(|(key, count)| format!("{name}\t{key}\t{count}")));
            }
            Command::Show { event_id } => {
                if let Some(message) = parked::show(broker, queue, *event_id).await? {
                    lines.push(line(&name, &message));
                    lines.push(hex(&message.body));
                }
            }
            Command::Redrive {
                event_id,
                routing_key,
                skip,
                limit,
                ..
            } => {
                if queue == Shelf::Unrouted {
                    declare(broker).await?;
                }
                let selection = Selection {
                    which: event_id.map_or_else(|| by_key(routing_key.as_ref()), Which::Event),
                    skip: *skip,
                    limit: *limit,
                };
                let again = parked::redrive(broker, queue, selection).await?;
                lines.push(format!("{name}: {again} published again"));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing waits".to_owned());
    }
    Ok(lines)
}

fn by_key(key: Option<&String>) -> Which {
    key.map_or(Which::All, |key| Which::Keys(vec![key.clone()]))
}

/// Declares queues and bindings, so that the messages of a lost binding are routed when
/// they are published again.
async fn declare(broker: &BrokerConfig) -> Result<(), BrokerError> {
    let connection = broker.connect().await?;
    let refused = topology::declare(&connection, &Subscription::built_in()).await?;
    for refused in refused {
        tracing::warn!(refused.what, refused.reason, "not declared");
    }
    if let Err(error) = connection.close(200, "done".into()).await {
        tracing::debug!(%error, "the connection is closed already");
    }
    Ok(())
}

fn line(queue: &str, message: &Parked) -> String {
    let id = message
        .event_id
        .map_or_else(|| "-".to_owned(), |id| id.to_string());
    let type_ = if message.event_type.is_empty() {
        "-"
    } else {
        &message.event_type
    };
    let at = if message.parked_at.is_empty() {
        "-"
    } else {
        &message.parked_at
    };
    format!(
        "{queue}\t{id}\t{type_}\t{at}\t{} failed tries\t{}",
        message.attempts, message.reason
    )
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
