//! No log event has a field with a name that the log line uses itself: the field would appear twice
//! or replace the field of the line.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::{Path, PathBuf};

const RESERVED: [&str; 6] = ["level", "target", "message", "timestamp", "span", "spans"];
const MACROS: [&str; 6] = [
    "trace!(", "debug!(", "info!(", "warn!(", "error!(", "event!(",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The text from an open parenthesis to its end, without string literals.
fn arguments(code: &str) -> String {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    let mut arguments = String::new();
    for c in code.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if !in_text && c != '"' {
            arguments.push(c);
        }
    }
    arguments
}

/// Names of the fields of an event.
fn fields(arguments: &str) -> Vec<String> {
    let mut depth = 0;
    let top_level = arguments.split(|c| {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    top_level
        .map(|field| {
            let name = field.split('=').next().unwrap_or_default();
            name.trim().trim_start_matches(['%', '?']).to_owned()
        })
        .collect()
}

#[test]
fn no_event_has_a_field_of_a_reserved_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for part in ["auth-svc/src", "sync-svc/src", "refresh-svc/src", "crates"] {
        sources(&root.join(part), &mut found);
    }
    let mut events = 0;
    for path in found {
        let code = std::fs::read_to_string(&path).unwrap();
        for name in MACROS {
            for (position, _) in code.match_indices(&format!("tracing::{name}")) {
                let start = position + "tracing::".len() + name.len();
                let fields = fields(&arguments(&code[start..]));
                for reserved in RESERVED {
                    let has = fields.iter().any(|field| field == reserved);
                    assert!(!has, "{}: {reserved} in {fields:?}", path.display());
                }
                events += 1;
            }
        }
    }
    assert!(events > 100, "{events}");
}

#[test]
fn fields_are_found() {
    let code = r#"level = %x, error, "text, level = {}", f(a, level), %target) level"#;
    let names = fields(&arguments(code));
    assert_eq!(names, ["level", "error", "", "f(a, level)", "target"]);
}
