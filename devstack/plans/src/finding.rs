//! Judges plans: the cost of a statement must not grow with the number of accounts.

use std::collections::BTreeSet;
use std::fmt;

use crate::execution::{Execution, Node};
use crate::statement::Statement;

/// Most buffers for one row. An index of ten million rows has four levels, and a statement that
/// inserts into a table with six indexes touches some 30 buffers.
const MOST_BUFFERS: f64 = 100.0;
/// Most rows that a scan of a whole table reads, such as one with a limit, or that any scan reads
/// for nothing. A workspace of the filled database has 20 people.
const MOST_ROWS: f64 = 200.0;

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The statement.
    pub text: String,
    /// The table that is concerned, if it is one.
    pub table: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.as_deref().unwrap_or("all tables");
        write!(f, "{table}: {}\n    {}", self.problem, self.text)
    }
}

/// Judges statements. `growing` are the tables, with schemas, whose rows grow with the number of
/// accounts.
pub fn judge(statements: &[Statement], growing: &BTreeSet<String>) -> BTreeSet<Finding> {
    statements
        .iter()
        .flat_map(|statement| {
            let executions = statement.executions.iter();
            let nodes = executions.flat_map(|execution| {
                let nodes = execution.plan.all().into_iter();
                nodes.filter_map(|node| of_node(execution, node, growing))
            });
            nodes.chain(of_buffers(statement))
        })
        .collect()
}

/// Returns the names of all indexes that are read.
pub fn indexes(statements: &[Statement]) -> BTreeSet<&str> {
    let executions = statements.iter().flat_map(|one| &one.executions);
    executions
        .flat_map(|execution| execution.plan.all())
        .filter_map(|node| node.index.as_deref())
        .collect()
}

fn of_node(execution: &Execution, node: &Node, growing: &BTreeSet<String>) -> Option<Finding> {
    let table = node.table().filter(|table| growing.contains(table))?;
    let removed = node.removed * node.loops;
    let read = removed + node.rows * node.loops;
    let problem = if node.reads_from_the_beginning() && read > MOST_ROWS {
        "the whole table is read".to_owned()
    } else if removed > MOST_ROWS {
        format!("more than {MOST_ROWS} rows are read for nothing")
    } else {
        return None;
    };
    Some(Finding {
        text: execution.text.clone(),
        table: Some(table),
        problem,
    })
}

/// The first execution of a connection also reads the catalogue, so it is the median that counts.
fn of_buffers(statement: &Statement) -> Option<Finding> {
    (statement.buffers() > MOST_BUFFERS).then(|| Finding {
        text: statement.text.clone(),
        table: None,
        problem: format!("more than {MOST_BUFFERS} buffers for one row"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::statement::grouped;

    fn found(node: &Value) -> Vec<Finding> {
        let execution = Execution {
            role: "auth_svc".to_owned(),
            text: "SELECT".to_owned(),
            milliseconds: 1.0,
            plan: serde_json::from_value(node.clone()).unwrap(),
        };
        let growing = BTreeSet::from(["auth.session".to_owned()]);
        let statements = grouped(vec![execution]);
        judge(&statements, &growing).into_iter().collect()
    }

    fn session(kind: &str, loops: u32, removed: u32, buffers: u32) -> Value {
        json!({
            "Node Type": kind, "Schema": "auth", "Relation Name": "session", "Actual Rows": 1,
            "Actual Loops": loops, "Rows Removed by Filter": removed, "Shared Hit Blocks": buffers
        })
    }

    fn whole_index() -> Value {
        json!({
            "Node Type": "Index Only Scan", "Schema": "auth", "Relation Name": "session",
            "Index Name": "session_pkey", "Actual Rows": 500, "Actual Loops": 1,
            "Shared Hit Blocks": 4
        })
    }

    #[test]
    fn a_plan_that_reads_one_row_by_an_index_is_right() {
        assert!(found(&session("Index Scan", 1, 0, 4)).is_empty());
        // A limit ends the scan.
        assert!(found(&session("Seq Scan", 1, 0, 1)).is_empty());
        let mut searched = whole_index();
        searched["Index Cond"] = json!("(user_id = $1)");
        assert!(found(&searched).is_empty());
    }

    #[test]
    fn a_plan_that_reads_a_table_or_many_rows_or_buffers_is_found() {
        let problem = |node: &Value| found(node).pop().unwrap().problem;
        assert_eq!(
            problem(&session("Seq Scan", 1, 500, 4)),
            "the whole table is read"
        );
        let removed = problem(&session("Index Scan", 1, 201, 4));
        assert_eq!(removed, "more than 200 rows are read for nothing");
        let buffers = problem(&session("Index Scan", 1, 0, 101));
        assert_eq!(buffers, "more than 100 buffers for one row");
        assert_eq!(problem(&whole_index()), "the whole table is read");
        let below = json!({"Node Type": "Limit", "Plans": [session("Seq Scan", 1, 500, 4)]});
        assert_eq!(problem(&below), "the whole table is read");
    }

    #[test]
    fn a_table_that_does_not_grow_may_be_read() {
        let node = json!({"Node Type": "Seq Scan", "Schema": "auth", "Relation Name": "readiness",
                          "Actual Rows": 500, "Actual Loops": 1});
        assert!(found(&node).is_empty());
    }
}
