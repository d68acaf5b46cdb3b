//! What an operator would look at when a deployment does not become ready.

use std::fmt::Write as _;

use crate::deployment::NAMESPACE;
use crate::kubectl::Kubectl;

/// Commands whose output describes the state of the namespace.
const COMMANDS: [&[&str]; 3] = [
    &["get", "pods"],
    &[
        "get",
        "events",
        "--field-selector=type=Warning",
        "--sort-by=.lastTimestamp",
    ],
    &[
        "logs",
        "--selector=app.kubernetes.io/part-of=latchkey",
        "--all-containers",
        "--prefix",
        "--tail=5",
    ],
];

/// Returns pods, warnings, and the ends of the logs.
pub async fn describe(kubectl: &Kubectl) -> String {
    let mut text = String::new();
    for command in COMMANDS {
        let arguments = [["--namespace", NAMESPACE].as_slice(), command].concat();
        let output = match kubectl.run(&arguments).await {
            Ok(output) => output,
            Err(error) => format!("{error:#}"),
        };
        let _ = write!(text, "\n$ kubectl {}\n{output}", arguments.join(" "));
    }
    text
}
