//! Only refresh-svc can read a token: a byte search finds no token elsewhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use devstack::message_recorder::MessageRecorder;
use devstack::walkthrough::{get_access_token, refresh_access_token};
use devstack::{ServiceId, Stack};
use latchkey_demo_provider::Decision;
use latchkey_e2e::{account, eventually, run, sign_in};
use latchkey_messaging::topology::SYNC_SVC_QUEUE;

/// Texts of a sign-in that every place contains. They show that the search works.
const HANDLE: &str = "ada@acme.example";

const WAYS: [(&str, &str); 3] = [
    ("/auth/google", "google"),
    ("/auth/microsoft", "microsoft"),
    ("/auth/oidc/demo", "demo"),
];

// R35
#[test]
fn no_token_is_found_in_database_broker_or_logs() -> anyhow::Result<()> {
    run(async {
        // The most detailed logs are searched as well.
        let options = devstack::Options::test().with("RUST_LOG", "debug");
        let mut stack = Stack::start(options).await?;
        let mut watcher = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
        for (path, provider) in WAYS {
            sign_in(&stack, path, &Decision::allow("ada")).await?;
            let account = account(&stack, provider, HANDLE).await?;
            let mut tokens = stack.tokens(0).await?;
            let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
            refresh_access_token(&mut tokens, account.id, token.version).await?;
        }
        // Waiting messages are on the disk of the broker.
        stack.service(ServiceId::Sync)?.stop();
        for (path, _) in WAYS {
            sign_in(&stack, path, &Decision::allow("ada")).await?;
        }
        eventually("events that wait", async || {
            let waiting = watcher.waiting_on(SYNC_SVC_QUEUE).await?;
            Ok((waiting >= 3).then_some(()))
        })
        .await?;
        let seen = watcher.all().await?.to_vec();
        // Writes the content of memory to disk.
        sqlx::query("CHECKPOINT").execute(stack.pool()).await?;
        stack.servers.rabbitmq.stop();

        let issued = stack.demo().issued();
        assert!(issued.len() >= 9, "{} tokens and codes", issued.len());
        let mut found = Vec::new();
        for message in &seen {
            for one in &issued {
                if contains(&message.payload, &one.token) {
                    found.push(format!("{} shows a {}", message.routing_key, one.kind));
                }
            }
        }
        let events = |message: &&devstack::message_recorder::RecordedMessage| {
            message.routing_key == "user.authenticated.v1" && contains(&message.payload, HANDLE)
        };
        assert!(seen.iter().filter(events).count() >= 6, "too few events");

        let mut wanted: Vec<&str> = issued.iter().map(|one| one.token.as_str()).collect();
        wanted.push(HANDLE);
        let database = stack.servers.postgres.data_directory();
        let broker = stack.servers.rabbitmq.data_directory();
        let directory = stack.directory();
        let hits = search(&[database, broker, &directory], &wanted)?;
        for place in [database, broker] {
            let shows = |hit: &Hit| hit.file.starts_with(place) && hit.text == HANDLE;
            assert!(
                hits.iter().any(shows),
                "nothing was found in {}",
                place.display()
            );
        }
        for (_, service) in stack.services() {
            let log = std::fs::read_to_string(service.log())?;
            assert!(log.contains("DEBUG"), "{} logs too little", service.name());
            assert!(service.log().starts_with(&directory));
        }
        for hit in hits {
            if let Some(one) = issued.iter().find(|one| one.token == hit.text) {
                found.push(format!("{} shows a {}", hit.file.display(), one.kind));
            }
        }
        found.sort();
        found.dedup();
        assert!(found.is_empty(), "{found:#?}");
        Ok(())
    })
}

/// An occurrence of a text in a file.
struct Hit {
    file: PathBuf,
    text: String,
}

/// Searches every file below the directories for the texts, byte by byte.
fn search(directories: &[&Path], texts: &[&str]) -> anyhow::Result<Vec<Hit>> {
    let mut child = Command::new("grep")
        .args([
            "--recursive",
            "--text",
            "--only-matching",
            "--with-filename",
            "--null",
        ])
        // PostgreSQL deletes files while it runs.
        .args(["--no-messages", "--fixed-strings", "--file=-", "--"])
        .args(directories)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run grep")?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(texts.join("\n").as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    let hit = |line: &str| {
        let (file, text) = line.split_once('\0')?;
        Some(Hit {
            file: file.into(),
            text: text.to_owned(),
        })
    };
    Ok(said.lines().filter_map(hit).collect())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
