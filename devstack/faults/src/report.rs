//! The table of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::checker::Violation;
use crate::fault::Fault;
use crate::history::{Answer, Call, Entry, FaultSpan, Moment, Operation};
use crate::point::{Point, PointSignal};

/// Head of the table.
const HEAD: &str = "\
| scenario | seed | faults | sign-ins | token calls | lost | doubled | violations | slowest recovery |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
";
/// Head of the table of named points.
const POINTS_HEAD: &str = "
| service | point | SIGKILL | SIGSTOP | not reached |
| --- | --- | --- | --- | --- |
";
/// Violations that are printed.
const PRINTED: usize = 30;

/// How often a service was broken at a named point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PointHits {
    /// It got SIGKILL.
    pub killed: usize,
    /// It got SIGSTOP.
    pub stopped: usize,
    /// The point was not reached in time, and nothing happened.
    pub not_reached: usize,
}

impl PointHits {
    fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.stopped += other.stopped;
        self.not_reached += other.not_reached;
    }
}

/// What a run found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// The seed.
    pub seed: u64,
    /// Number of faults, without those whose point was not reached.
    pub faults: usize,
    /// The named points of the run.
    pub points: BTreeMap<Point, PointHits>,
    /// Number of confirmed sign-ins and connections.
    pub sign_ins: usize,
    /// Number of token calls that got a token.
    pub token_calls: usize,
    /// The slowest recovery after a fault, and that fault.
    pub slowest: Option<(Duration, FaultSpan)>,
    /// The violations.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Counts what the history tells.
    pub fn new(
        scenario: &'static str,
        seed: u64,
        entries: &[Entry],
        (calls, faults): (&[Call], &[FaultSpan]),
        violations: Vec<Violation>,
    ) -> Self {
        let count =
            |counts: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| counts(call)).count();
        Self {
            scenario,
            seed,
            faults: faults.iter().filter_map(FaultSpan::broken_from).count(),
            points: points(faults),
            sign_ins: count(&|call| call.operation.authenticates() && call.is_confirmed()),
            token_calls: count(&|call| matches!(call.answer, Answer::Token { .. })),
            slowest: slowest(entries, calls, faults),
            violations,
        }
    }

    /// Returns the number of violations that are losses.
    pub fn lost(&self) -> usize {
        let lost = self.violations.iter();
        lost.filter(|violation| violation.kind.is_loss()).count()
    }

    /// Returns the number of violations that are doubles.
    pub fn doubled(&self) -> usize {
        let doubled = self.violations.iter();
        doubled
            .filter(|violation| violation.kind.is_doubled())
            .count()
    }

    /// Returns the table of the named points; empty if the run has none.
    fn points_table(&self) -> String {
        if self.points.is_empty() {
            return String::new();
        }
        let mut text = POINTS_HEAD.to_owned();
        let mut row = |service: &str, point: &str, hits: PointHits| {
            let PointHits {
                killed,
                stopped,
                not_reached,
            } = hits;
            let _ = writeln!(
                text,
                "| {service} | {point} | {killed} | {stopped} | {not_reached} |"
            );
        };
        let mut all = PointHits::default();
        for (point, hits) in &self.points {
            row(point.service().name(), point.name(), *hits);
            all.add(*hits);
        }
        row("", "all", all);
        text
    }

    /// Returns the tables in Markdown, and the violations.
    pub fn markdown(&self) -> String {
        let (lost, doubled) = (self.lost(), self.doubled());
        let slowest = self.slowest.map_or_else(String::new, |(time, span)| {
            format!("{:.1} s, {}", time.as_secs_f64(), span.fault)
        });
        let mut text = format!(
            "{HEAD}| {} | {} | {} | {} | {} | {lost} | {doubled} | {} | {slowest} |\n",
            self.scenario,
            self.seed,
            self.faults,
            self.sign_ins,
            self.token_calls,
            self.violations.len() - lost - doubled,
        );
        text.push_str(&self.points_table());
        for violation in self.violations.iter().take(PRINTED) {
            let _ = write!(text, "\n- {violation}");
        }
        if self.violations.len() > PRINTED {
            let more = self.violations.len() - PRINTED;
            let _ = write!(text, "\n- and {more} more");
        }
        text
    }
}

/// Returns how often each named point was reached.
fn points(faults: &[FaultSpan]) -> BTreeMap<Point, PointHits> {
    let mut points: BTreeMap<Point, PointHits> = BTreeMap::new();
    for span in faults {
        let Fault::At(point, signal) = span.fault else {
            continue;
        };
        let hits = points.entry(point).or_default();
        match (span.reached, signal) {
            (None, _) => hits.not_reached += 1,
            (Some(_), PointSignal::Kill) => hits.killed += 1,
            (Some(_), PointSignal::Stop) => hits.stopped += 1,
        }
    }
    points
}

/// Returns the slowest recovery. After a fault has ended, a sign-in, the account of a sign-in and a
/// token have to come; the last of the three ends the recovery. What does not come before the next
/// fault begins is not counted for the fault.
fn slowest(
    entries: &[Entry],
    calls: &[Call],
    faults: &[FaultSpan],
) -> Option<(Duration, FaultSpan)> {
    let answered = |counts: &dyn Fn(&Call) -> bool| {
        let calls = calls.iter().filter(|call| counts(call));
        sorted(calls.map(|call| call.answered))
    };
    let sign_in = |call: &Call| matches!(call.operation, Operation::SignIn { .. });
    let signs = [
        answered(&|call| sign_in(call) && call.is_confirmed()),
        answered(&|call| matches!(call.answer, Answer::Token { .. })),
        sorted(entries.iter().filter_map(|entry| match entry {
            Entry::AccountSeen { at, .. } => Some(*at),
            _ => None,
        })),
    ];
    let begins = sorted(faults.iter().map(|span| span.begun));
    let recovery = |span: &FaultSpan| {
        let limit = first_after(&begins, span.ended).unwrap_or(Moment::NEVER);
        signs
            .iter()
            .filter_map(|sign| first_after(sign, span.ended))
            .filter(|at| *at < limit)
            .map(|at| at.since(span.ended))
            .max()
    };
    faults
        .iter()
        .filter(|span| span.broken_from().is_some())
        .filter_map(|span| Some((recovery(span)?, *span)))
        .max_by_key(|(time, _)| *time)
}

fn sorted(moments: impl Iterator<Item = Moment>) -> Vec<Moment> {
    let mut moments: Vec<Moment> = moments.collect();
    moments.sort_unstable();
    moments
}

fn first_after(sorted: &[Moment], at: Moment) -> Option<Moment> {
    let position = sorted.partition_point(|moment| *moment <= at);
    sorted.get(position).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Person, Provider, Reached};

    #[test]
    fn a_point_that_is_not_reached_is_counted_apart() {
        let span = |signal, is_reached: bool| FaultSpan {
            fault: Fault::At(Point::LeaseTaken, signal),
            begun: Moment(10),
            ended: Moment(20),
            reached: is_reached.then_some(Reached {
                at: Moment(15),
                account: None,
            }),
        };
        let faults = [
            span(PointSignal::Kill, true),
            span(PointSignal::Stop, true),
            span(PointSignal::Kill, true),
            span(PointSignal::Stop, false),
        ];
        let report = Report::new("points", 1, &[], (&[], &faults), Vec::new());
        assert_eq!(report.faults, 3);
        let text = report.markdown();
        assert!(
            text.contains("| refresh-svc | lease taken | 2 | 1 | 1 |"),
            "{text}"
        );
        assert!(text.contains("|  | all | 2 | 1 | 1 |"), "{text}");
    }

    #[test]
    fn a_recovery_lasts_until_the_first_answer_after_the_fault() {
        let person = Person {
            name: "p1".to_owned(),
            provider: Provider::Strict,
        };
        let call = |asked, answered| Call {
            operation: Operation::SignIn {
                person: person.clone(),
            },
            asked: Moment(asked),
            answered: Moment(answered),
            answer: Answer::Done,
        };
        let span = FaultSpan {
            fault: Fault::BrokerKilled,
            begun: Moment(10),
            ended: Moment(20),
            reached: None,
        };
        let calls = [call(5, 9), call(11, 3_000_020), call(12, 9_000_000)];
        let (time, _) = slowest(&[], &calls, &[span]).unwrap();
        assert_eq!(time, Duration::from_secs(3));
    }
}
