//! The executions of one statement together.

use std::collections::BTreeMap;

use crate::execution::Execution;

/// Parts of statements that read many rows, but once in some minutes and not for each event or
/// call.
const PERIODIC: [&str; 5] = [
    // A window of a table in which no index finds old rows (`database/sweeping.rs`).
    "WITH seen AS MATERIALIZED (",
    // refresh-svc looks for tokens of earlier sealing keys when it starts, and every ten minutes: a
    // window of the grants, and the few tokens that wait for their revocation.
    "account_id <= $2 AND (access_token_key_id <> $3 OR refresh_token_key_id <> $3)",
    "FROM vault.replaced_grant r JOIN vault.credential c",
    // refresh-svc looks for the partitions of the next weeks once in an hour.
    "vault.audit_partitions()",
    "vault.audit_prepare()",
];

/// Returns whether a statement is sent once in some minutes, and not for each event or call.
pub fn is_periodic(text: &str) -> bool {
    PERIODIC.iter().any(|part| text.contains(part))
}

/// A statement of one role and its executions.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The role that sent it.
    pub role: String,
    /// Its text on one line.
    pub text: String,
    /// All of its executions; at least one.
    pub executions: Vec<Execution>,
}

/// Groups executions by role and text.
pub fn grouped(executions: Vec<Execution>) -> Vec<Statement> {
    let mut groups: BTreeMap<(String, String), Vec<Execution>> = BTreeMap::new();
    for execution in executions {
        let key = (execution.role.clone(), execution.text.clone());
        groups.entry(key).or_default().push(execution);
    }
    let statements = groups.into_iter();
    statements
        .map(|((role, text), executions)| Statement {
            role,
            text,
            executions,
        })
        .collect()
}

impl Statement {
    /// Returns the median of the buffers that an execution touches for one row.
    pub fn buffers(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
        let of = |execution: &Execution| execution.buffers() as f64 / execution.rows();
        self.median(of)
    }

    /// Returns the median of the durations in milliseconds.
    pub fn milliseconds(&self) -> f64 {
        self.median(|execution| execution.milliseconds)
    }

    fn median(&self, of: impl Fn(&Execution) -> f64) -> f64 {
        let mut values: Vec<f64> = self.executions.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }
}
