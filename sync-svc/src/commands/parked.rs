//! `sync-svc parked` and `sync-svc unrouted`: messages that wait for an operator.

use clap::Subcommand;
use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Filter, OperatorQueue, Parked, Selection};
use latchkey_messaging::topology::{self, SYNC_SVC_QUEUE};
use latchkey_messaging::{BrokerConfig, BrokerError};

/// The commands for parked or unrouted messages.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the messages with the reasons.
    List {
        /// List only messages with this routing key, e.g. `user.authenticated.v1`.
        #[arg(long)]
        routing_key: Option<String>,
        /// Skip this many messages.
        #[arg(long, default_value_t = 0)]
        skip: usize,
        /// List at most this many messages.
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
        /// Skip this many messages.
        #[arg(long, default_value_t = 0)]
        skip: usize,
        /// Publish at most this many messages.
        #[arg(long)]
        limit: Option<usize>,
    },
}

/// The messages that sync-svc could not handle.
pub fn parked() -> OperatorQueue {
    OperatorQueue::from(SYNC_SVC_QUEUE)
}

/// Runs the command on this queue and returns the lines to print.
///
/// # Errors
/// The broker failed or refused.
pub async fn run(
    command: &Command,
    queue: OperatorQueue,
    broker: &BrokerConfig,
) -> Result<Vec<String>, BrokerError> {
    let name = queue.to_string();
    let lines: Vec<String> = match command {
        Command::List {
            routing_key,
            skip,
            limit,
        } => {
            let selection = Selection {
                filter: by_key(routing_key.as_ref()),
                skip: *skip,
                limit: Some(*limit),
            };
            let found = parked::list(broker, queue, selection).await?;
            found.iter().map(|message| line(&name, message)).collect()
        }
        Command::Count => {
            let counts = parked::count(broker, queue).await?.into_iter();
            counts
                .map(|(key, count)| format!("{name}\t{key}\t{count}"))
                .collect()
        }
        Command::Show { event_id } => {
            let shown = parked::show(broker, queue, *event_id).await?;
            shown
                .iter()
                .flat_map(|message| [line(&name, message), hex(&message.body)])
                .collect()
        }
        Command::Redrive {
            event_id,
            routing_key,
            skip,
            limit,
            ..
        } => {
            if queue == OperatorQueue::Unrouted {
                declare(broker).await?;
            }
            let selection = Selection {
                filter: event_id.map_or_else(|| by_key(routing_key.as_ref()), Filter::Event),
                skip: *skip,
                limit: *limit,
            };
            let again = parked::redrive(broker, queue, selection).await?;
            vec![format!("{name}: {again} published again")]
        }
    };
    if lines.is_empty() {
        return Ok(vec!["nothing waits".to_owned()]);
    }
    Ok(lines)
}

fn by_key(key: Option<&String>) -> Filter {
    key.map_or(Filter::All, |key| Filter::Keys(vec![key.clone()]))
}

/// Declares queues and bindings, so that the messages of a lost binding are routed when
/// they are published again.
async fn declare(broker: &BrokerConfig) -> Result<(), BrokerError> {
    let connection = broker.connect().await?;
    let refused = topology::declare(&connection).await?;
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
