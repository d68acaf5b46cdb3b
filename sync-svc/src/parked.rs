//! `sync-svc parked` and `sync-svc unrouted`: what waits for the operator.

use clap::Subcommand;
use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Parked, Shelf, Which};
use latchkey_messaging::topology::Subscription;
use latchkey_messaging::{BrokerConfig, BrokerError};

/// What to do with messages that wait.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List what waits, with the reasons.
    List {
        /// At most this many of each queue.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one message, its body in hexadecimal.
    Show {
        /// CloudEvents id of the message.
        event_id: EventId,
    },
    /// Publish messages again, after the cause is mended.
    Redrive {
        /// CloudEvents id of the message.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        event_id: Option<EventId>,
        /// Every message.
        #[arg(long)]
        all: bool,
    },
}

/// What sync-svc could not handle.
pub fn parked() -> Vec<Shelf> {
    let queues = Subscription::built_in().into_iter();
    queues.map(|own| Shelf::Parked(own.queue)).collect()
}

/// Runs the command over these shelves and answers the lines to print.
///
/// # Errors
/// The broker's refusal.
pub async fn run(
    command: &Command,
    shelves: Vec<Shelf>,
    broker: &BrokerConfig,
) -> Result<Vec<String>, BrokerError> {
    let mut lines = Vec::new();
    for shelf in shelves {
        let name = shelf.to_string();
        match command {
            Command::List { limit } => {
                let found = parked::list(broker, shelf, *limit).await?;
                lines.extend(found.iter().map(|message| line(&name, message)));
            }
            Command::Show { event_id } => {
                if let Some(message) = parked::show(broker, shelf, *event_id).await? {
                    lines.push(line(&name, &message));
                    lines.push(hex(&message.body));
                }
            }
            Command::Redrive { event_id, .. } => {
                let which = event_id.map_or(Which::All, Which::Event);
                let again = parked::redrive(broker, shelf, which).await?;
                lines.push(format!("{name}: {again} published again"));
            }
        }
    }
    if lines.is_empty() {
        lines.push("nothing waits".to_owned());
    }
    Ok(lines)
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
