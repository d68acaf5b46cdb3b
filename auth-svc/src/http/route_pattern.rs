//! The patterns of routes.

/// Returns the pattern without the rules of its parameters, as people and metrics name it:
/// `/auth/{provider:google|microsoft}-apis` → `/auth/{provider}-apis`.
pub fn without_rules(pattern: &str) -> String {
    let mut path = String::with_capacity(pattern.len());
    let mut in_rule = false;
    for c in pattern.chars() {
        match c {
            ':' => in_rule = true,
            '}' => in_rule = false,
            _ => {}
        }
        if !in_rule {
            path.push(c);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_described_by_its_name() {
        for (pattern, path) in [
            (
                "/auth/{provider:google|microsoft}-apis",
                "/auth/{provider}-apis",
            ),
            ("/auth/oidc/{provider}", "/auth/oidc/{provider}"),
            ("/", "/"),
        ] {
            assert_eq!(without_rules(pattern), path);
        }
    }
}
