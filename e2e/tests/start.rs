//! A missing variable stops the start with one line.

use std::process::Command;

use devstack::build::binary;

// R40
#[test]
fn a_missing_variable_stops_the_start_with_one_line_that_names_it() -> anyhow::Result<()> {
    for service in ["auth-svc", "sync-svc", "refresh-svc"] {
        let output = Command::new(binary(service)?).env_clear().output()?;
        assert!(
            !output.status.success(),
            "{service} started without anything"
        );
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(text.trim_end().lines().count(), 1, "{service}: {text}");
        let names_one = text.split([':', ' ']).any(|word| {
            word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        assert!(names_one, "{service} names no variable: {text}");
    }
    Ok(())
}
