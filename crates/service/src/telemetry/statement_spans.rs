//! A span for each statement of PostgreSQL that belongs to a trace.
//!
//! sqlx reports every statement that ended, with the time that it took. So the spans need nothing
//! at the places where statements are sent, and no statement is forgotten. A statement's
//! parameters are not in the report. `BEGIN` is not reported, and neither is whether a statement
//! failed: the span around it says so.

use std::fmt;
use std::time::{Duration, SystemTime};

use latchkey_config::Environment;
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer};
use opentelemetry::{Context, KeyValue};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;

use crate::database;

/// Target of the reports of sqlx.
pub(super) const STATEMENTS: &str = "sqlx::query";

/// Longest name of a span that the conventions advise, in characters.
const MAX_SUMMARY: usize = 255;

/// The layer that makes the spans. Its filter should let only [`STATEMENTS`] pass, from level
/// `debug`.
#[derive(Debug)]
pub(super) struct StatementSpans<T> {
    tracer: T,
    server: Server,
}

impl<T> StatementSpans<T> {
    /// The layer whose spans `tracer` exports.
    pub(super) fn new(tracer: T, server: Server) -> Self {
        Self { tracer, server }
    }
}

/// The attributes of every span: system, database and server.
#[derive(Debug)]
pub(super) struct Server(Vec<KeyValue>);

impl Server {
    /// The server of `DATABASE_URL`. Whoever connects reports a fault of the variable.
    pub(super) fn from_environment(environment: &Environment) -> Self {
        let mut attributes = vec![KeyValue::new("db.system.name", "postgresql")];
        if let Ok(options) = database::options(environment) {
            let host = options.get_host().to_owned();
            attributes.push(KeyValue::new("server.address", host));
            attributes.push(KeyValue::new("server.port", i64::from(options.get_port())));
            if let Some(name) = options.get_database() {
                attributes.push(KeyValue::new("db.namespace", name.to_owned()));
            }
        }
        Self(attributes)
    }
}

impl<S, T> Layer<S> for StatementSpans<T>
where
    S: Subscriber,
    T: Tracer + Send + Sync + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let parent = Context::current();
        // Background work that looks for something to do belongs to no trace.
        if !parent.span().span_context().is_sampled() {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "spans have the time of the machine"
        )]
        let ended = SystemTime::now();
        let mut statement = Statement::default();
        event.record(&mut statement);
        let summary = summary(statement.text());
        let mut attributes = self.server.0.clone();
        attributes.push(KeyValue::new("db.query.summary", summary.clone()));
        if let Some(rows) = statement.rows_returned {
            attributes.push(KeyValue::new("db.response.returned_rows", rows));
        }
        let mut span = self
            .tracer
            .span_builder(summary)
            .with_kind(SpanKind::Client)
            .with_start_time(ended.checked_sub(statement.elapsed).unwrap_or(ended))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        span.end_with_timestamp(ended);
    }
}

/// What sqlx reports of a statement.
#[derive(Debug, Default)]
struct Statement {
    /// The first words.
    beginning: String,
    /// The statement; empty if it has no more words than `beginning`.
    whole: String,
    rows_returned: Option<i64>,
    elapsed: Duration,
}

impl Statement {
    fn text(&self) -> &str {
        if self.whole.is_empty() {
            &self.beginning
        } else {
            &self.whole
        }
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.beginning),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows_returned = i64::try_from(value).ok();
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The operations of a statement, each with its tables, such as `INSERT auth.outbox`. The names of
/// tables begin with their schema, so that anything else is left out, and so is a `SELECT` at the
/// end that reads only arrays. A statement without any of them is its first word.
fn summary(statement: &str) -> String {
    let words = statement
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "(),;".contains(c)))
        .filter(|word| !word.is_empty());
    let mut parts: Vec<&str> = Vec::new();
    let [mut earlier, mut before] = [""; 2];
    for word in words.clone() {
        let operation = match word {
            "SELECT" | "INSERT" | "DELETE" => true,
            // Neither `FOR NO KEY UPDATE` nor `ON CONFLICT … DO UPDATE`.
            "UPDATE" => !matches!(before, "FOR" | "KEY" | "DO"),
            _ => false,
        };
        let table = match before {
            "FROM" => earlier != "DISTINCT",
            "INTO" | "JOIN" | "UPDATE" | "USING" | "ONLY" => true,
            _ => false,
        };
        let is_repeated = parts.last() == Some(&word);
        if (operation || table && is_qualified_name(word)) && !is_repeated {
            parts.push(word);
        }
        [earlier, before] = [before, word];
    }
    if parts.len() > 1 && parts.last() == Some(&"SELECT") {
        parts.pop();
    }
    if parts.is_empty() {
        parts.extend(words.take(1));
    }
    parts.join(" ").chars().take(MAX_SUMMARY).collect()
}

/// Returns `true` for `schema.table`.
fn is_qualified_name(word: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    word.split_once('.')
        .is_some_and(|(schema, table)| is_name(schema) && is_name(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_summed_up_by_its_operations_and_tables() {
        for (statement, expected) in [
            (
                "INSERT INTO auth.outbox\n (event_id) VALUES ($1) ON CONFLICT DO UPDATE SET a = 1",
                "INSERT auth.outbox",
            ),
            (
                "SELECT EXISTS (SELECT FROM sync.outbox WHERE exchange = $1)",
                "SELECT sync.outbox",
            ),
            (
                "WITH claimed AS (UPDATE vault.credential SET a = $1 RETURNING *)
                 SELECT * FROM claimed JOIN sync.account ON true FOR NO KEY UPDATE",
                "UPDATE vault.credential SELECT sync.account",
            ),
            (
                "SELECT a IS DISTINCT FROM b.c FROM auth.session s -- FROM auth.user",
                "SELECT auth.session",
            ),
            (
                "DELETE FROM auth.outbox WHERE seq = ANY($1)",
                "DELETE auth.outbox",
            ),
            (
                "INSERT INTO sync.sync_job (id) SELECT * FROM UNNEST($1::uuid[]) RETURNING id",
                "INSERT sync.sync_job",
            ),
            ("SELECT 'ada@acme.example'", "SELECT"),
            ("LISTEN \"outbox\"", "LISTEN"),
            ("", ""),
        ] {
            assert_eq!(summary(statement), expected, "{statement}");
        }
    }
}
