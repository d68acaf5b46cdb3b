//! Executions of statements, as `auto_explain` writes them into PostgreSQL's log.

use serde::Deserialize;

/// `log_line_prefix` with which the log must be written: the role of the session.
pub const LOG_LINE_PREFIX: &str = "%u ";

/// One execution of a statement.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The role of the session that sent the statement.
    pub role: String,
    /// Its text on one line.
    pub text: String,
    /// How long it took, in milliseconds.
    pub milliseconds: f64,
    /// How it was executed.
    pub plan: Node,
}

/// One node of a plan.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    /// Such as `Index Scan`.
    #[serde(rename = "Node Type")]
    pub kind: String,
    /// Schema of the table that is read or written.
    #[serde(rename = "Schema")]
    pub schema: Option<String>,
    /// The table that is read or written.
    #[serde(rename = "Relation Name")]
    pub table: Option<String>,
    /// The index that is read.
    #[serde(rename = "Index Name")]
    pub index: Option<String>,
    /// The condition by which the index is searched.
    #[serde(rename = "Index Cond")]
    pub index_condition: Option<String>,
    /// Rows that it returned each time.
    #[serde(rename = "Actual Rows", default)]
    pub rows: f64,
    /// How often it was executed.
    #[serde(rename = "Actual Loops", default)]
    pub loops: f64,
    /// Rows that were read for nothing each time.
    #[serde(rename = "Rows Removed by Filter", default)]
    pub removed: f64,
    /// Buffers found in PostgreSQL's memory, those of the children included.
    #[serde(rename = "Shared Hit Blocks", default)]
    pub hit: u64,
    /// Buffers read from elsewhere, those of the children included.
    #[serde(rename = "Shared Read Blocks", default)]
    pub read: u64,
    /// The nodes from which it gets its rows.
    #[serde(rename = "Plans", default)]
    pub children: Vec<Self>,
}

#[derive(Deserialize)]
struct Explained {
    #[serde(rename = "Query Text")]
    text: String,
    #[serde(rename = "Plan")]
    plan: Node,
}

impl Node {
    /// Returns this node and all below it.
    pub fn all(&self) -> Vec<&Self> {
        let mut found = vec![self];
        found.extend(self.children.iter().flat_map(Self::all));
        found
    }

    /// Whether it reads the table from its beginning, in the order of its rows or of an index.
    pub fn reads_from_the_beginning(&self) -> bool {
        self.kind == "Seq Scan" || (self.index.is_some() && self.index_condition.is_none())
    }

    /// Returns the table with its schema, such as `auth.session`.
    pub fn table(&self) -> Option<String> {
        let table = self.table.as_deref()?;
        Some(match &self.schema {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        })
    }
}

impl Execution {
    /// Returns the number of buffers that it touched.
    pub fn buffers(&self) -> u64 {
        self.plan.hit + self.plan.read
    }

    /// Returns the number of rows that it returned or wrote, at least one. A batch touches more
    /// buffers than one row.
    pub fn rows(&self) -> f64 {
        let written = self.plan.all().into_iter();
        let written = written
            .filter(|node| node.kind == "ModifyTable")
            .flat_map(|node| &node.children)
            .chain([&self.plan]);
        written
            .map(|node| node.rows * node.loops)
            .fold(1.0, f64::max)
    }
}

/// Reads the executions from a log. Other lines are skipped.
///
/// # Errors
/// A plan cannot be read.
pub fn read(log: &str) -> serde_json::Result<Vec<Execution>> {
    let mut executions = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((role, milliseconds)) = heading(line) else {
            continue;
        };
        // The further lines of a message are indented.
        let mut json = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            json.push_str(line);
            json.push('\n');
        }
        let Explained { text, plan } = serde_json::from_str(&json)?;
        executions.push(Execution {
            role: role.to_owned(),
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            milliseconds,
            plan,
        });
    }
    Ok(executions)
}

/// Returns role and duration from the first line of an execution.
fn heading(line: &str) -> Option<(&str, f64)> {
    let (role, message) = line.split_once(" LOG:  duration: ")?;
    let milliseconds = message.strip_suffix(" ms  plan:")?;
    Some((role, milliseconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
 LOG:  database system is ready to accept connections
auth_svc LOG:  duration: 0.041 ms  plan:
\t{
\t  \"Query Text\": \"SELECT *\\n   FROM auth.session\",
\t  \"Plan\": {
\t    \"Node Type\": \"Nested Loop\", \"Actual Rows\": 1, \"Actual Loops\": 1,
\t    \"Shared Hit Blocks\": 5, \"Shared Read Blocks\": 2,
\t    \"Plans\": [{
\t      \"Node Type\": \"Index Scan\", \"Schema\": \"auth\", \"Relation Name\": \"session\",
\t      \"Index Name\": \"session_pkey\", \"Actual Rows\": 1, \"Actual Loops\": 1
\t    }]
\t  }
\t}
auth_svc CONTEXT:  SQL statement
auth_svc WARNING:  something else
";

    #[test]
    fn executions_are_read_from_a_log_with_other_lines() {
        let read = read(LOG).unwrap();
        assert_eq!(read.len(), 1);
        let execution = &read[0];
        assert_eq!(execution.role, "auth_svc");
        assert_eq!(execution.text, "SELECT * FROM auth.session");
        assert_eq!(execution.buffers(), 7);
        let nodes = execution.plan.all();
        assert_eq!(nodes[1].table().as_deref(), Some("auth.session"));
        assert_eq!(nodes[1].index.as_deref(), Some("session_pkey"));
    }

    #[test]
    fn a_plan_that_cannot_be_read_is_an_error() {
        assert!(read("a LOG:  duration: 1.0 ms  plan:\n\t{\n").is_err());
    }
}
