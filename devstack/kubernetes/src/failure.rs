//! What an operator would look at when a deployment does not become ready.

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
        let arguments = [&["--namespace", NAMESPACE], command].concat();
        text.push_str(&format!("\n$ kubectl {}\n", arguments.join(" ")));
        match kubectl.run(&arguments).await {
            Ok(output) => text.push_str(&output),
            Err(error) => text.push_str(&format!("{error:#}\n")),
        }
    }
    text
}
