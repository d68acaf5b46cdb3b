//! Nobody but refresh-svc can read a token: a byte search finds none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use devstack::Stack;
use devstack::trail::{get_access_token, refresh_access_token};
use latchkey_demo_provider::Decision;
use latchkey_e2e::{account, run, sign_in};

// R35
#[test]
fn no_token_is_found_in_database_broker_or_logs() -> anyhow::Result<()> {
    run(async {
        // Everything that the services can be brought to say, too.
        let options = devstack::Options::test().with("RUST_LOG", "debug");
        let mut stack = Stack::start(options).await?;
        for (path, provider) in [
            ("/auth/google", "google"),
            ("/auth/microsoft", "microsoft"),
            ("/auth/oidc/demo", "demo"),
        ] {
            sign_in(&stack, path, &Decision::allow("ada")).await?;
            let account = account(&stack, provider, "ada@acme.example").await?;
            let mut tokens = stack.tokens(0).await?;
            let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
            refresh_access_token(&mut tokens, account.id, token.version).await?;
        }
        // What is in memory goes to disk.
        sqlx::query("CHECKPOINT").execute(stack.pool()).await?;
        stack.servers.rabbitmq.stop();

        let issued = stack.demo().issued();
        assert!(issued.len() >= 9, "{} tokens and codes", issued.len());
        let secrets: Vec<&[u8]> = issued.iter().map(|one| one.token.as_bytes()).collect();
        let needle = |bytes: &[u8]| {
            secrets
                .iter()
                .position(|secret| contains(bytes, secret))
                .and_then(|position| issued.get(position))
        };
        let places = [
            stack.servers.postgres.data_directory().to_owned(),
            stack.servers.rabbitmq.data_directory().to_owned(),
            stack.directory(),
        ];
        let mut files = Vec::new();
        for place in &places {
            collect(place, &mut files)?;
        }
        assert!(
            files.len() > 500,
            "only {} files were searched",
            files.len()
        );
        let mut logs = 0;
        for file in &files {
            let bytes = match std::fs::read(file) {
                Ok(bytes) => bytes,
                // PostgreSQL removes files while it runs.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).context(file.display().to_string()),
            };
            logs += usize::from(file.ends_with("auth-svc.log") && !bytes.is_empty());
            if let Some(found) = needle(&bytes) {
                panic!("{} shows a {}", file.display(), found.kind);
            }
        }
        assert!(logs > 0, "auth-svc has written no log");
        // The search itself works: the sealed rows are there.
        let handle = b"ada@acme.example";
        assert!(
            files
                .iter()
                .any(|file| { std::fs::read(file).is_ok_and(|bytes| contains(&bytes, handle)) })
        );
        Ok(())
    })
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A search that skips ahead by the first byte, quick enough for a data
/// directory without a crate for it.
fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    let Some((first, rest)) = secret.split_first() else {
        return false;
    };
    let mut left = bytes;
    while let Some(position) = left.iter().position(|byte| byte == first) {
        let Some(after) = left.get(position + 1..) else {
            return false;
        };
        if after.starts_with(rest) {
            return true;
        }
        left = after;
    }
    false
}
