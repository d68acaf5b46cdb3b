//! Which faults happen when: a random order that a seed determines.

use std::time::Duration;

use latchkey_servers::Volume;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::fault::{ClockFault, Conflict, Fault, Loss, NetworkFault};
use crate::part::{Link, Node, Target};
use crate::point::{Point, PointSignal};

/// The shortest time for which a fault lasts.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest time for which a fault lasts.
const LONGEST: Duration = Duration::from_secs(4);
/// The longest pause between two faults.
const PAUSE: Duration = Duration::from_secs(3);
/// The same for named points, which one run shall reach hundreds of times.
const LONGEST_AT_POINT: Duration = Duration::from_secs(1);
const PAUSE_BEFORE_POINT: Duration = Duration::from_millis(300);
/// How often a second fault is active at the same time.
const BOTH: f64 = 0.25;

/// A set of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Every fault of a stack with one PostgreSQL, one RabbitMQ and one clock.
    Mixed,
    /// Faults of the three services.
    Services,
    /// Faults of RabbitMQ.
    Broker,
    /// Faults of PostgreSQL.
    Database,
    /// Faults of the network between services and servers.
    Network,
    /// Messages that nobody should send.
    Messages,
    /// The services killed and stopped at every named point.
    Points,
    /// One fault of each important kind, once.
    Short,
    /// Fail-overs between two servers of PostgreSQL.
    Failover,
    /// Clocks of the services that are wrong.
    Clocks,
    /// Faults of the nodes of a RabbitMQ cluster, and services that are killed meanwhile.
    Cluster,
}

impl Scenario {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Services => "services",
            Self::Broker => "broker",
            Self::Database => "database",
            Self::Network => "network",
            Self::Messages => "messages",
            Self::Points => "points",
            Self::Short => "short",
            Self::Failover => "failover",
            Self::Clocks => "clocks",
            Self::Cluster => "cluster",
        }
    }

    /// Returns its faults.
    pub fn faults(self) -> Vec<Fault> {
        let services = Target::ALL
            .into_iter()
            .flat_map(|target| [Fault::Killed(target), Fault::Paused(target)]);
        let broker = [
            Fault::BrokerKilled,
            Fault::BrokerStopped,
            Fault::MemoryAlarm,
            Fault::BrokerConnectionsClosed,
            Fault::QueueDeleted,
            Fault::DiskAlarm,
            Fault::ConsumerTimeout,
        ];
        let broker = broker
            .into_iter()
            .chain(Target::ALL.map(Fault::BrokerConnectionsOfOneClosed));
        let database = [
            Fault::DatabaseKilled,
            Fault::DatabaseStopped,
            Fault::DatabaseConnectionsTerminated,
            Fault::DatabaseReadOnly,
            Fault::DiskFull(Volume::Data),
            Fault::DiskFull(Volume::WriteAheadLog),
            Fault::Conflicts(Conflict::Serialization),
            Fault::Conflicts(Conflict::Deadlock),
        ];
        let network =
            Link::all().flat_map(|link| NetworkFault::ALL.map(|how| Fault::Network(link, how)));
        let points = Point::ALL
            .into_iter()
            .flat_map(|point| PointSignal::ALL.map(|signal| Fault::At(point, signal)));
        match self {
            Self::Mixed => services
                .chain(broker)
                .chain(database)
                .chain(network)
                .chain([Fault::BadMessages])
                .chain(points)
                .collect(),
            Self::Services => services.collect(),
            Self::Broker => broker.collect(),
            Self::Database => database.to_vec(),
            Self::Network => network.collect(),
            Self::Messages => vec![Fault::BadMessages],
            Self::Points => points.collect(),
            Self::Cluster => Node::ALL
                .into_iter()
                .flat_map(|node| {
                    [
                        Fault::BrokerNodeKilled(node),
                        Fault::BrokerNodePaused(node),
                        Fault::BrokerNodeIsolated(node),
                    ]
                })
                .chain(Target::ALL.map(Fault::Killed))
                .collect(),
            Self::Short => vec![
                // At first, because a point is reached only while people sign in.
                Fault::At(Point::DeliveryHandled, PointSignal::Kill),
                Fault::At(Point::AuthEventPublished, PointSignal::Kill),
                Fault::At(Point::RequestSent, PointSignal::Stop),
                Fault::Killed(Target::Auth),
                Fault::Killed(Target::Sync),
                Fault::Killed(Target::Refresh),
                Fault::DatabaseConnectionsTerminated,
                // Its start takes longest.
                Fault::BrokerKilled,
            ],
            Self::Failover => vec![
                Fault::Failover(Loss::Killed),
                Fault::Failover(Loss::Paused),
                Fault::Failover(Loss::Stopped),
                Fault::StandbyKilled,
            ],
            Self::Clocks => Target::ALL
                .into_iter()
                .flat_map(|target| ClockFault::ALL.map(|how| Fault::Clock(target, how)))
                .collect(),
        }
    }

    /// Returns how many nodes RabbitMQ has.
    pub fn broker_nodes(self) -> usize {
        if self == Self::Cluster {
            Node::ALL.len()
        } else {
            1
        }
    }

    /// Returns whether each fault happens once.
    pub fn is_short(self) -> bool {
        self == Self::Short
    }

    /// Returns the longest pause before a fault, and the longest time for which one lasts.
    fn longest(self) -> (Duration, Duration) {
        match self {
            Self::Points => (PAUSE_BEFORE_POINT, LONGEST_AT_POINT),
            _ => (PAUSE, LONGEST),
        }
    }
}

/// A step of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Time without a fault before it.
    pub pause: Duration,
    /// The faults, one or two, which are active at the same time.
    pub faults: Vec<Fault>,
    /// How long they last.
    pub lasts: Duration,
}

/// An endless sequence of faults. Each fault of the scenario comes once before one comes again.
#[derive(Debug)]
pub struct Schedule {
    scenario: Scenario,
    random: SmallRng,
    faults: Vec<Fault>,
    deck: Vec<Fault>,
}

impl Schedule {
    /// Returns the sequence that the seed determines.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        Self {
            scenario,
            random: SmallRng::seed_from_u64(seed),
            faults: scenario.faults(),
            deck: Vec::new(),
        }
    }

    /// Leaves out the faults that this machine does not allow.
    #[must_use]
    pub fn without(mut self, left_out: &[Fault]) -> Self {
        self.faults.retain(|fault| !left_out.contains(fault));
        self
    }

    fn draw(&mut self) -> Option<Fault> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.faults);
            self.deck.shuffle(&mut self.random);
        }
        self.deck.pop()
    }

    fn time(&mut self, shortest: Duration, longest: Duration) -> Duration {
        self.random.random_range(shortest..=longest)
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let mut faults = vec![self.draw()?];
        if self.random.random_bool(BOTH) {
            let independent =
                |other: &Fault| faults.iter().all(|one| one.is_independent_of(*other));
            if let Some(position) = self.deck.iter().rposition(independent) {
                faults.push(self.deck.remove(position));
            }
        }
        let (pause, longest) = self.scenario.longest();
        Some(Step {
            pause: self.time(Duration::ZERO, pause),
            faults,
            lasts: self.time(SHORTEST, longest),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_faults_again_and_another_seed_gives_others() {
        let steps = |seed| -> Vec<Step> { Schedule::new(Scenario::Mixed, seed).take(20).collect() };
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
    }

    #[test]
    fn every_fault_comes_before_one_comes_again() {
        for scenario in [Scenario::Mixed, Scenario::Points] {
            let all = scenario.faults();
            let mut seen = Vec::new();
            for step in Schedule::new(scenario, 1) {
                seen.extend(step.faults);
                if seen.len() >= all.len() {
                    break;
                }
            }
            seen.truncate(all.len());
            assert!(all.iter().all(|fault| seen.contains(fault)));
        }
    }

    #[test]
    fn mixed_has_no_fault_that_needs_more_servers_or_clocks() {
        let mixed = Scenario::Mixed.faults();
        let others = [Scenario::Failover, Scenario::Clocks, Scenario::Cluster];
        for fault in others.into_iter().flat_map(Scenario::faults) {
            let needs_no_more = matches!(fault, Fault::Killed(_));
            assert_eq!(mixed.contains(&fault), needs_no_more, "{fault}");
        }
    }

    #[test]
    fn nothing_else_is_broken_while_a_point_is_waited_for() {
        for step in Schedule::new(Scenario::Mixed, 1).take(500) {
            let at_point = |fault: &Fault| matches!(fault, Fault::At(..));
            assert!(step.faults.len() == 1 || !step.faults.iter().any(at_point));
        }
    }
}
