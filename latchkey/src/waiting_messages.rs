//! `latchkey parked` and `latchkey unrouted`: messages that wait for an operator.

use std::fmt::Write as _;
use std::str::FromStr;

use clap::{Args, Subcommand};
use latchkey_config::Environment;
use latchkey_domain::EventId;
use latchkey_messaging::parked::{self, Filter, OperatorQueue, Parked, Selection};
use latchkey_messaging::topology::{self, SYNC_SVC_QUEUE};
use latchkey_messaging::{BrokerConfig, BrokerError};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::console::Console;
use crate::failure::Failure;
use crate::program;

/// The commands for parked or unrouted messages.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List the messages with the reasons, the oldest first.
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
        /// CloudEvents id of the message, or its number in the list.
        message: MessageName,
    },
    /// Publish messages again, after the cause was repaired.
    Redrive(Chosen),
    /// Delete messages for ever.
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// The messages that a command changes.
#[derive(Debug, Clone, Args)]
pub struct Chosen {
    /// CloudEvents id of the message, or its number in the list. Numbers change when a message
    /// leaves the queue.
    #[arg(
        required_unless_present_any = ["all", "routing_key"],
        conflicts_with_all = ["all", "routing_key"],
    )]
    message: Option<MessageName>,
    /// Every message.
    #[arg(long, conflicts_with = "routing_key")]
    all: bool,
    /// The messages with this routing key.
    #[arg(long)]
    routing_key: Option<String>,
    /// Skip this many messages.
    #[arg(long, default_value_t = 0, conflicts_with = "message")]
    skip: usize,
    /// At most this many messages.
    #[arg(long, conflicts_with = "message")]
    limit: Option<usize>,
}

/// A message, by its id or, because a message may have none, by its number in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageName {
    /// CloudEvents id.
    Event(EventId),
    /// Position in the queue, from 1.
    Number(usize),
}

impl FromStr for MessageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse() {
            return match number {
                0 => Err("the first message has the number 1".to_owned()),
                number => Ok(Self::Number(number)),
            };
        }
        text.parse()
            .map(Self::Event)
            .map_err(|_| "must be the id of an event (UUID) or a number of the list".to_owned())
    }
}

impl From<MessageName> for Selection {
    fn from(name: MessageName) -> Self {
        match name {
            MessageName::Event(id) => Self::from(Filter::Event(id)),
            MessageName::Number(number) => Self::number(number),
        }
    }
}

impl Chosen {
    fn selection(&self) -> Selection {
        self.message.map_or_else(
            || Selection {
                filter: by_key(self.routing_key.as_ref()),
                skip: self.skip,
                limit: self.limit,
            },
            Selection::from,
        )
    }

    /// If a message was named, there must be one.
    fn require(&self, found: usize) -> Result<(), Failure> {
        if self.message.is_some() && found == 0 {
            Err(no_such_message())
        } else {
            Ok(())
        }
    }
}

fn no_such_message() -> Failure {
    Failure::Refused("there is no such message: `list` shows those that wait".to_owned())
}

/// The messages that sync-svc could not handle.
pub(crate) fn parked() -> OperatorQueue {
    OperatorQueue::from(SYNC_SVC_QUEUE)
}

/// The events that no queue was bound for.
pub(crate) fn unrouted() -> OperatorQueue {
    OperatorQueue::Unrouted
}

/// Runs a command on this queue.
pub(crate) async fn run(
    environment: &Environment,
    queue: OperatorQueue,
    command: Command,
    console: &mut Console<'_>,
) -> Result<Answer, Failure> {
    let broker = BrokerConfig::from_environment(environment, program::NAME)?;
    let failed = |error: BrokerError| Failure::Refused(broker.explain(&error));
    let name = queue.to_string();
    match command {
        Command::List {
            routing_key,
            skip,
            limit,
        } => {
            let selection = Selection {
                filter: by_key(routing_key.as_ref()),
                skip,
                limit: Some(limit),
            };
            let found = parked::list(&broker, queue, selection)
                .await
                .map_err(failed)?;
            Ok(Answer::list(
                found.iter().map(|message| entry(&name, message)),
                "nothing waits",
            ))
        }
        Command::Count => {
            let counts = parked::count(&broker, queue).await.map_err(failed)?;
            let entries = counts.into_iter().map(|(key, count)| {
                let json = json!({ "queue": name, "routingKey": key, "messages": count });
                (format!("{name}\t{key}\t{count}"), json)
            });
            Ok(Answer::list(entries, "nothing waits"))
        }
        Command::Show { message } => {
            let shown = parked::show(&broker, queue, message)
                .await
                .map_err(failed)?
                .ok_or_else(no_such_message)?;
            let (line, mut json) = entry(&name, &shown);
            let body = hex(&shown.body);
            json["body"] = json!(body);
            Ok(Answer::new(format!("{line}\n{body}"), json))
        }
        Command::Redrive(chosen) => {
            if queue == OperatorQueue::Unrouted {
                declare(&broker, console).await.map_err(failed)?;
            }
            let again = parked::redrive(&broker, queue, chosen.selection())
                .await
                .map_err(failed)?;
            chosen.require(again)?;
            Ok(Answer::new(
                format!("{name}: {again} published again"),
                json!({ "queue": name, "publishedAgain": again }),
            ))
        }
        Command::Discard { chosen, yes } => {
            let selection = chosen.selection();
            let found = parked::list(&broker, queue.clone(), selection.clone())
                .await
                .map_err(failed)?;
            chosen.require(found.len())?;
            if !found.is_empty() {
                for message in &found {
                    console.say(&entry(&name, message).0);
                }
                let what = format!("{name}: {} messages will be deleted", found.len());
                console.confirm(&what, yes)?;
            }
            let discarded = parked::discard(&broker, queue, selection)
                .await
                .map_err(failed)?;
            let messages: Vec<Value> = discarded
                .iter()
                .map(|message| entry(&name, message).1)
                .collect();
            Ok(Answer::new(
                format!("{name}: {} discarded", discarded.len()),
                json!({ "queue": name, "discarded": messages }),
            ))
        }
    }
}

fn by_key(key: Option<&String>) -> Filter {
    key.map_or(Filter::All, |key| Filter::Keys(vec![key.clone()]))
}

/// Declares queues and bindings, so that the messages of a lost binding are routed when
/// they are published again.
async fn declare(broker: &BrokerConfig, console: &mut Console<'_>) -> Result<(), BrokerError> {
    let connection = broker.connect().await?;
    for refused in topology::declare(&connection).await? {
        console.say(&format!(
            "warning: {} is not declared: {}",
            refused.what, refused.reason
        ));
    }
    // The answer is there, so it does not matter how the connection ends.
    let _ = connection.close(200, "done".into()).await;
    Ok(())
}

fn entry(queue: &str, message: &Parked) -> (String, Value) {
    let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let id = message.event_id.map(|id| id.to_string());
    let line = format!(
        "{queue}\t{}\t{}\t{}\t{}\t{} failed tries\t{}",
        message.number,
        or_dash(id.as_deref().unwrap_or_default()),
        or_dash(&message.event_type),
        or_dash(&message.parked_at),
        message.attempts,
        message.reason
    );
    let json = json!({
        "queue": queue,
        "number": message.number,
        "id": id,
        "type": message.event_type,
        "subject": message.subject,
        "routingKey": message.routing_key,
        "parkedAt": message.parked_at,
        "failedTries": message.attempts,
        "reason": message.reason,
    });
    (line, json)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
