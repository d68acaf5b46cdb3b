//! The spans of all services, by trace and parent.

use std::fmt::Write as _;

use anyhow::Context as _;
use latchkey_testkit::ReceivedSpan;

/// Attributes that the text of a trace shows.
const SHOWN: [&str; 6] = [
    "http.response.status_code",
    "url.full",
    "rpc.response.status_code",
    "messaging.message.id",
    "db.response.returned_rows",
    "provider",
];

/// The spans that all services exported, in the order in which they began.
#[derive(Debug)]
pub struct SpanTree {
    spans: Vec<ReceivedSpan>,
}

impl SpanTree {
    pub fn of(mut spans: Vec<ReceivedSpan>) -> Self {
        spans.sort_by_key(|span| span.time);
        Self { spans }
    }

    /// The only span of a service with this name.
    pub fn span(&self, service: &str, name: &str) -> anyhow::Result<&ReceivedSpan> {
        let mut found = self
            .spans
            .iter()
            .filter(|span| span.service == service && span.name == name);
        let span = found
            .next()
            .with_context(|| format!("{service} has no span {name}:\n{}", self.names()))?;
        anyhow::ensure!(found.next().is_none(), "{service} has {name} twice");
        Ok(span)
    }

    /// The span with this id.
    pub fn by_id(&self, id: &str) -> anyhow::Result<&ReceivedSpan> {
        let mut spans = self.spans.iter();
        spans
            .find(|span| span.span_id == id)
            .with_context(|| format!("no span {id}"))
    }

    /// The first span below `ancestor`, at any depth, for which `wanted` returns `true`.
    pub fn below(
        &self,
        ancestor: &ReceivedSpan,
        wanted: impl Fn(&ReceivedSpan) -> bool,
    ) -> anyhow::Result<&ReceivedSpan> {
        let mut trace = self.trace(&ancestor.trace_id).into_iter();
        trace
            .find(|span| wanted(span) && self.is_below(span, ancestor))
            .with_context(|| {
                let text = self.text(&ancestor.trace_id);
                format!("a span below {} is missing:\n{text}", ancestor.name)
            })
    }

    /// The spans of a trace.
    pub fn trace(&self, trace_id: &str) -> Vec<&ReceivedSpan> {
        let spans = self.spans.iter();
        spans.filter(|span| span.trace_id == trace_id).collect()
    }

    /// A trace as an indented tree: name, service and kind, duration, some attributes.
    pub fn text(&self, trace_id: &str) -> String {
        let mut text = String::new();
        for span in self.trace(trace_id) {
            if self.by_id(&span.parent_id).is_err() {
                self.write(&mut text, span, 0);
            }
        }
        text
    }

    fn write(&self, text: &mut String, span: &ReceivedSpan, depth: usize) {
        let (began, ended) = span.time;
        let micros = ended.saturating_sub(began) / 1_000;
        let _ = write!(
            text,
            "{:indent$}{} [{} {}] {}.{} ms",
            "",
            span.name,
            span.service,
            span.kind,
            micros / 1_000,
            micros % 1_000 / 100,
            indent = depth * 2,
        );
        for name in SHOWN {
            if let Some(value) = span.attributes.get(name) {
                let _ = write!(text, " {name}={value}");
            }
        }
        text.push('\n');
        for child in &self.spans {
            if child.parent_id == span.span_id {
                self.write(text, child, depth + 1);
            }
        }
    }

    fn is_below(&self, span: &ReceivedSpan, ancestor: &ReceivedSpan) -> bool {
        let mut span = span;
        while let Ok(parent) = self.by_id(&span.parent_id) {
            if parent.span_id == ancestor.span_id {
                return true;
            }
            span = parent;
        }
        false
    }

    fn names(&self) -> String {
        let names = self.spans.iter();
        let mut names: Vec<String> = names
            .map(|span| format!("{} {}", span.service, span.name))
            .collect();
        names.sort();
        names.dedup();
        names.join("\n")
    }
}
