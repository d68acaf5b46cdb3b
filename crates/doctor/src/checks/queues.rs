//! Exchanges, queues and bindings, and the messages that wait for an operator.

use std::collections::BTreeSet;

use latchkey_messaging::broker::BrokerError;
use latchkey_messaging::parked::{self, OperatorQueue, Parked};
use latchkey_messaging::topology::{
    Binding, Inspected, Presence, SYNC_SVC_QUEUE, UNROUTED_QUEUE, bindings, inspect, parked_queue,
};
use serde::Deserialize;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::wording::{counted, listed};
use crate::world::{Mode, World};

/// The waiting messages that are read to name their reasons.
const SAMPLE: usize = 20;

/// Exchange, queue and routing key of each binding.
type Bindings = BTreeSet<(String, String, String)>;

struct Seen {
    topology: Vec<Inspected>,
    /// The bindings by the management API, if it is given.
    bindings: Option<Result<Bindings, String>>,
    /// The first unrouted and parked messages.
    unrouted: Vec<Parked>,
    parked: Vec<Parked>,
}

/// A binding in the response of the management API.
#[derive(Debug, Deserialize)]
struct ApiBinding {
    source: String,
    destination: String,
    routing_key: String,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let connection = world.connection().await?;
    let topology = inspect(connection).await.map_err(failed)?;
    let unrouted = if messages_of(&topology, UNROUTED_QUEUE) > 0 {
        sample(world, OperatorQueue::Unrouted).await
    } else {
        Vec::new()
    };
    let parked = if messages_of(&topology, &parked_queue(SYNC_SVC_QUEUE)) > 0 {
        sample(world, OperatorQueue::from(SYNC_SVC_QUEUE)).await
    } else {
        Vec::new()
    };
    let seen = Seen {
        bindings: bindings_of(world).await,
        topology,
        unrouted,
        parked,
    };
    let line = |one: &Inspected| match &one.presence {
        Presence::Exchange => one.name.clone(),
        Presence::Queue {
            messages,
            consumers,
        } => format!("{}: {messages} messages, {consumers} consumers", one.name),
        Presence::Refused(why) => format!("{}: {why}", one.name),
    };
    let mut lines: Vec<String> = seen.topology.iter().map(line).collect();
    if seen.bindings.is_none() {
        lines.push(
            "bindings: RABBITMQ_API_URL is not set; a missing one shows in latchkey.unrouted"
                .to_owned(),
        );
    }
    Ok(Looked {
        seen: lines,
        findings: judge(&seen, world.mode),
        detail: None,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: BrokerError) -> NotLooked {
    NotLooked::Failed(error.to_string())
}

/// Reads messages and leaves them in the queue. Empty if the user may not read them: their number
/// is known without it.
async fn sample(world: &World, queue: OperatorQueue) -> Vec<Parked> {
    match world.brokers().first() {
        Some((_, broker)) => parked::list(broker, queue, SAMPLE)
            .await
            .unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Every binding of the virtual host. The protocol itself shows none.
async fn bindings_of(world: &World) -> Option<Result<Bindings, String>> {
    let mut url = world.management.clone()?;
    let brokers = world.brokers();
    let (_, broker) = brokers.first()?;
    let vhost = broker.virtual_host().to_owned();
    // Credentials in a URL would be in the text of an error.
    let (user, password) = (decoded(url.username()), url.password().map(decoded));
    let plain = url.set_username("").and_then(|()| url.set_password(None));
    let path = url.path_segments_mut().map(|mut path| {
        path.pop_if_empty().extend(["api", "bindings", &vhost]);
    });
    if plain.is_err() || path.is_err() {
        return Some(Err("RABBITMQ_API_URL is no URL of a server".to_owned()));
    }
    let request = world.http.get(url).basic_auth(user, password);
    Some(bindings_in(request).await)
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', "%2B");
    let pair = format!("v={text}");
    let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

async fn bindings_in(request: reqwest::RequestBuilder) -> Result<Bindings, String> {
    let said = |error: reqwest::Error| error.without_url().to_string();
    let response = request.send().await.map_err(said)?;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let bindings: Vec<ApiBinding> = response.json().await.map_err(said)?;
    let bindings = bindings.into_iter();
    Ok(bindings
        .map(|one| (one.source, one.destination, one.routing_key))
        .collect())
}

fn messages_of(topology: &[Inspected], queue: &str) -> u32 {
    let name = format!("queue {queue}");
    let found = topology.iter().find(|one| one.name == name);
    match found.map(|one| &one.presence) {
        Some(Presence::Queue { messages, .. }) => *messages,
        _ => 0,
    }
}

fn judge(seen: &Seen, mode: Mode) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_missing = |one: &&Inspected| matches!(one.presence, Presence::Refused(_));
    // Before the first deployment nothing is declared.
    let is_new = mode == Mode::BeforeDeploy && seen.topology.iter().all(|one| is_missing(&one));
    if is_new {
        return findings;
    }
    for one in &seen.topology {
        if let Presence::Refused(problem) = &one.presence {
            findings.push(missing(&one.name, problem));
        }
    }
    match &seen.bindings {
        Some(Err(problem)) => findings.push(management_api(problem)),
        Some(Ok(there)) => findings.extend(unbound(there, &seen.topology)),
        None => {}
    }
    let unrouted = messages_of(&seen.topology, UNROUTED_QUEUE);
    if unrouted > 0 {
        let keys = seen.unrouted.iter().map(|one| one.routing_key.clone());
        findings.push(self::unrouted(unrouted, &distinct(keys)));
    }
    findings.extend(seen.topology.iter().filter_map(not_consumed));
    let parked = messages_of(&seen.topology, &parked_queue(SYNC_SVC_QUEUE));
    if parked > 0 {
        let reasons = seen.parked.iter().map(|one| one.reason.clone());
        findings.push(self::parked(parked, &distinct(reasons)));
    }
    findings
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The bindings that are missing. A queue that is missing is reported itself.
fn unbound(there: &Bindings, topology: &[Inspected]) -> Vec<Finding> {
    let exists = |binding: &Binding| {
        let name = format!("queue {}", binding.queue);
        topology
            .iter()
            .any(|one| one.name == name && matches!(one.presence, Presence::Queue { .. }))
    };
    let is_there = |binding: &Binding| {
        let (exchange, queue, key) = (binding.exchange, binding.queue, binding.routing_key);
        there.contains(&(exchange.to_owned(), queue.to_owned(), key.to_owned()))
    };
    let missing = bindings().into_iter();
    let missing = missing.filter(|binding| exists(binding) && !is_there(binding));
    missing.map(|binding| not_bound(&binding)).collect()
}

/// Queues for operators have no consumer.
fn not_consumed(one: &Inspected) -> Option<Finding> {
    let queue = one.name.strip_prefix("queue ")?;
    let is_consumed = queue == SYNC_SVC_QUEUE || queue.starts_with("latchkey.jobs.");
    match one.presence {
        Presence::Queue {
            messages: messages @ 1..,
            consumers: 0,
        } if is_consumed => Some(waits(queue, messages)),
        _ => None,
    }
}

fn missing(name: &str, problem: &str) -> Finding {
    Finding {
        code: "topology_missing",
        runbook: Runbook::Unrouted,
        problem: format!("the broker does not show the {name}: {problem}"),
        looked_at: format!("the {name}, by a passive declaration"),
        remedy: "start sync-svc, which declares every queue within QUEUES_CHECKED_EVERY; if it \
                 runs, its user lacks rights (docs/operate.md, rights at the broker)"
            .to_owned(),
    }
}

fn management_api(problem: &str) -> Finding {
    Finding {
        code: "management_api",
        runbook: Runbook::Broker,
        problem: format!("the management API of the broker does not answer: {problem}"),
        looked_at: "RABBITMQ_API_URL".to_owned(),
        remedy:
            "correct RABBITMQ_API_URL (http://user:password@host:15672; the user needs the tag \
                 `monitoring`), or unset it"
                .to_owned(),
    }
}

fn not_bound(binding: &Binding) -> Finding {
    let Binding {
        queue,
        exchange,
        routing_key,
    } = binding;
    Finding {
        code: "queue_not_bound",
        runbook: Runbook::Unrouted,
        problem: format!("the queue {queue} is not bound to {exchange} by {routing_key:?}"),
        looked_at: "the bindings in the management API".to_owned(),
        remedy: "start sync-svc, which binds its queues again within QUEUES_CHECKED_EVERY and \
                 publishes what they missed; find out who removed the binding"
            .to_owned(),
    }
}

/// Routing keys or reasons of a sample.
fn kinds(sample: &[String]) -> String {
    if sample.is_empty() {
        "the user of AMQP_URL may not read them".to_owned()
    } else {
        listed(sample)
    }
}

fn unrouted(count: u32, routing_keys: &[String]) -> Finding {
    let events = counted(count, "event", "events");
    Finding {
        code: "unrouted",
        runbook: Runbook::Unrouted,
        problem: format!(
            "a queue is not bound: {events} had none: {}",
            kinds(routing_keys)
        ),
        looked_at: "the queue latchkey.unrouted".to_owned(),
        remedy:
            "start sync-svc, which declares its queues and fetches these events; for a routing \
                 key of another consumer bind its queue, then `latchkey unrouted redrive --all`"
                .to_owned(),
    }
}

fn waits(queue: &str, messages: u32) -> Finding {
    let messages = counted(messages, "message is", "messages are");
    let (runbook, remedy) = if queue == SYNC_SVC_QUEUE {
        (Runbook::Account, "start sync-svc, and read its log")
    } else {
        let remedy = "start the sync worker that consumes this queue: channels wait for it";
        (Runbook::Channels, remedy)
    };
    Finding {
        code: "not_consumed",
        runbook,
        problem: format!("nobody consumes the queue {queue}, in which {messages} waiting"),
        looked_at: format!("messages and consumers of {queue}"),
        remedy: remedy.to_owned(),
    }
}

fn parked(count: u32, reasons: &[String]) -> Finding {
    Finding {
        code: "parked",
        runbook: Runbook::Parked,
        problem: format!(
            "sync-svc could not handle {}: {}",
            counted(count, "message", "messages"),
            kinds(reasons)
        ),
        looked_at: format!("the queue {}", parked_queue(SYNC_SVC_QUEUE)),
        remedy: "`latchkey parked list` shows them; remove the reason, then `latchkey parked \
                 redrive --all`"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    fn queue(name: &str, messages: u32, consumers: u32) -> Inspected {
        Inspected {
            name: format!("queue {name}"),
            presence: Presence::Queue {
                messages,
                consumers,
            },
        }
    }

    fn seen(topology: Vec<Inspected>) -> Seen {
        Seen {
            topology,
            bindings: None,
            unrouted: Vec::new(),
            parked: Vec::new(),
        }
    }

    #[test]
    fn a_queue_without_a_consumer_is_a_finding_while_messages_wait_in_it() {
        let quiet = seen(vec![
            queue(SYNC_SVC_QUEUE, 0, 0),
            queue("latchkey.jobs.calendar", 3, 1),
        ]);
        assert_eq!(judge(&quiet, Mode::Now), []);
        let waiting = seen(vec![queue(SYNC_SVC_QUEUE, 2, 0)]);
        assert_eq!(codes(&judge(&waiting, Mode::Now)), ["not_consumed"]);
        // Its messages wait for nobody.
        let recent = seen(vec![queue("latchkey.events.recent", 9, 0)]);
        assert_eq!(judge(&recent, Mode::Now), []);
    }

    #[test]
    fn only_before_the_first_deployment_may_everything_be_missing() {
        let missing = Inspected {
            name: format!("queue {SYNC_SVC_QUEUE}"),
            presence: Presence::Refused("NOT_FOUND".to_owned()),
        };
        let new = seen(vec![missing.clone()]);
        assert_eq!(judge(&new, Mode::BeforeDeploy), []);
        assert_eq!(codes(&judge(&new, Mode::Now)), ["topology_missing"]);
        let partly = seen(vec![missing, queue(UNROUTED_QUEUE, 0, 0)]);
        assert_eq!(
            codes(&judge(&partly, Mode::BeforeDeploy)),
            ["topology_missing"]
        );
    }

    #[test]
    fn credentials_of_the_management_url_are_decoded() {
        assert_eq!(decoded("a%40b+c"), "a@b+c");
    }
}
