//! What the namespaces of a cluster hide from the programs in them.

use std::path::Path;

/// `namespaces.sh` hides what is below these directories.
const HIDDEN: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// Checks that the namespaces do not hide what is needed in them.
///
/// # Errors
/// The path is below one of [`HIDDEN`]; the error ends with what helps.
pub fn ensure_visible(needed: &Path, remedy: &str) -> anyhow::Result<()> {
    // A symbolic link may lead there.
    let real = needed.canonicalize();
    let real = real.as_deref().unwrap_or(needed);
    let hidden = HIDDEN.iter().find(|hidden| real.starts_with(hidden));
    if let Some(hidden) = hidden {
        let needed = needed.display();
        anyhow::bail!("{needed} is below {hidden}, which a cluster hides: {remedy}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_the_cluster_hides_is_an_error_that_says_what_helps() {
        let check = |path: &str| ensure_visible(Path::new(path), "set GOMODCACHE elsewhere");
        check("/var/library/go").unwrap();
        let error = check("/var/lib/go/no-such-directory").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/var/lib/go/no-such-directory is below /var/lib, which a cluster hides: set GOMODCACHE \
             elsewhere"
        );
    }
}
