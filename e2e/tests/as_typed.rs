//! The commands of operators of the replaced system: each block of `docs/as-typed.md`
//! runs against a stack, unchanged except for host names and values.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use devstack::build::binary;
use devstack::{Options, ServiceId, Stack};
use latchkey_demo_provider::Decision;
use latchkey_e2e::{account, eventually, run, shared_with, sign_in};
use latchkey_servers::{Package, ensure_installed, free_port, silent};
use tokio::sync::Mutex;
use url::Url;

const LIST: &str = include_str!("../../docs/as-typed.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// Keeps sign-ins apart from changes of the domains that may sign in.
static DOMAINS: Mutex<()> = Mutex::const_new(());

/// A fenced block: its language and its text.
type Block = (&'static str, &'static str);

fn blocks() -> Vec<Block> {
    let mut parts = LIST.split("```");
    parts.next();
    parts
        .step_by(2)
        .filter_map(|block| block.split_once('\n'))
        .collect()
}

/// The only block that contains these words.
fn block(language: &str, words: &str) -> anyhow::Result<&'static str> {
    let found: Vec<&str> = blocks()
        .into_iter()
        .filter(|(name, text)| *name == language && text.contains(words))
        .map(|(_, text)| text)
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        others => anyhow::bail!("{} blocks of {language} with {words}", others.len()),
    }
}

/// The words between backticks on the line with this beginning.
fn names(beginning: &str) -> anyhow::Result<Vec<&'static str>> {
    let line = LIST.lines().find(|line| line.starts_with(beginning));
    let line = line.with_context(|| format!("no line {beginning}"))?;
    let quoted = line.split('`').skip(1).step_by(2);
    Ok(quoted.flat_map(str::split_whitespace).collect())
}

/// A stack whose services have every variable that the document names.
async fn stack() -> anyhow::Result<Arc<Stack>> {
    shared_with(|| {
        let port = free_port()?;
        let callback = format!("http://localhost:{port}/auth/google/redirect");
        let options = Options::test()
            .with("AUTH_GOOGLE_CALLBACK_URL", callback)
            .with("IS_BILLING_ENABLED", "false");
        Ok(Options {
            public_port: Some(port),
            ..options
        })
    })
    .await
}

/// Runs a block of commands in the environment of auth-svc. A command that fails, also
/// within a pipe, fails the block.
fn shell(stack: &Stack, text: &str) -> anyhow::Result<String> {
    let auth = stack.services().find(|(part, _)| **part == ServiceId::Auth);
    let (_, auth) = auth.context("no auth-svc")?;
    let path = std::env::var_os("PATH").context("no PATH")?;
    let output = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", text])
        .env_clear()
        .envs(auth.environment())
        .env("PATH", path)
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    eprintln!("$ {text}{said}");
    anyhow::ensure!(
        output.status.success(),
        "{text}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Runs statements with psql and the login of an operator.
fn psql(stack: &Stack, text: &str) -> anyhow::Result<Result<String, String>> {
    let mut child = Command::new(stack.servers.postgres.program("psql"))
        .args(["--no-psqlrc", "--no-align", "--tuples-only"])
        .args(["--field-separator=,", "--set=ON_ERROR_STOP=1"])
        .arg(stack.database().operator_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run psql")?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let said = String::from_utf8(output.stdout)?;
    let complaint = String::from_utf8(output.stderr)?;
    eprintln!("{text}\n{said}{complaint}");
    Ok(if output.status.success() {
        Ok(said)
    } else {
        Err(complaint)
    })
}

/// The rows of the output.
fn rows(said: Result<String, String>) -> anyhow::Result<Vec<String>> {
    let said = said.map_err(anyhow::Error::msg)?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn done(said: Result<String, String>) -> anyhow::Result<String> {
    let said = said.map_err(anyhow::Error::msg)?;
    Ok(said.trim_end().to_owned())
}

// R1
#[test]
fn the_entry_points_location_is_found_as_typed() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Curl], &silent())?;
        let stack = stack().await?;
        let typed = block("bash", "/auth/google | grep")?;
        let typed = typed.replace("https://yourdomain.com", stack.public_url());
        let said = shell(&stack, &typed)?;
        let [line] = said.lines().collect::<Vec<_>>()[..] else {
            anyhow::bail!("{said}");
        };
        let location = line.strip_prefix("Location: ").context("no location")?;
        let to = Url::parse(location)?;
        let authorize = format!("{}/google/authorize", stack.demo().base_url());
        assert_eq!(location.split('?').next(), Some(authorize.as_str()));
        let client = to.query_pairs().find(|(name, _)| name == "client_id");
        assert_eq!(client.context("no client id")?.1, stack.demo().client_id());
        Ok(())
    })
}

// R15
#[test]
fn health_is_requested_as_typed_and_constant() -> anyhow::Result<()> {
    run(async {
        ensure_installed(&[Package::Curl], &silent())?;
        let stack = stack().await?;
        let typed = block("bash", "/healthz")?;
        let typed = typed.replace("https://yourdomain.com", stack.public_url());
        let said = shell(&stack, &typed)?;
        assert!(!said.is_empty());
        assert_eq!(said, shell(&stack, &typed)?);
        Ok(())
    })
}

// R25
#[test]
fn accounts_and_channels_are_found_as_typed() -> anyhow::Result<()> {
    run(async {
        let stack = stack().await?;
        let domains = DOMAINS.lock().await;
        sign_in(&stack, "/auth/google", &Decision::allow("ada")).await?;
        drop(domains);
        account(&stack, "google", "ada@acme.example").await?;

        let typed = block("sql", "FROM \"connectedAccount\"")?;
        let typed = typed.replace("user@example.com", "ada@acme.example");
        let accounts = rows(psql(&stack, &typed)?)?;
        let [found] = accounts.as_slice() else {
            anyhow::bail!("{accounts:?}");
        };
        let (id, rest) = found.split_once(',').context("one column")?;
        assert_eq!(rest, "ada@acme.example,google,t");

        let typed = block("sql", "FROM \"messageChannel\"")?;
        let channels = rows(psql(&stack, &typed.replace("account-id", id))?)?;
        let [channel] = channels.as_slice() else {
            anyhow::bail!("{channels:?}");
        };
        let (_, status) = channel.split_once(',').context("one column")?;
        assert!(["ONGOING", "ACTIVE"].contains(&status), "{status}");
        Ok(())
    })
}

// R25
#[test]
fn the_columns_that_people_select_are_there_with_their_types() -> anyhow::Result<()> {
    run(async {
        let stack = stack().await?;
        let expected = |column: &str| match column {
            "\"scopes\"" => Ok("ARRAY"),
            "\"syncStage\"" => Ok("text"),
            "\"isSyncEnabled\"" => Ok("boolean"),
            time if time.ends_with("At\"") => Ok("timestamp with time zone"),
            other => anyhow::bail!("unknown type: {other}"),
        };
        for (line, views) in [
            ("| `\"authFailedAt\"`", vec!["\"connectedAccount\""]),
            (
                "| `\"syncStage\"`",
                vec!["\"messageChannel\"", "\"calendarChannel\""],
            ),
        ] {
            let (mut columns, mut of) = (Vec::new(), Vec::new());
            for name in names(line)? {
                if name.ends_with("Account\"") || name.ends_with("Channel\"") {
                    of.push(name);
                } else {
                    columns.push(name);
                }
            }
            assert_eq!(of, views);
            assert_eq!(columns.len(), 5, "{columns:?}");
            for view in views {
                let list = columns.join(", ");
                rows(psql(&stack, &format!("SELECT {list} FROM {view};"))?)?;
                let types = rows(psql(
                    &stack,
                    &format!(
                        "SELECT column_name || ' ' || data_type FROM information_schema.columns
                         WHERE table_name = '{}';",
                        view.trim_matches('"')
                    ),
                )?)?;
                for column in &columns {
                    let line = format!("{} {}", column.trim_matches('"'), expected(column)?);
                    assert!(types.contains(&line), "{view}: {line}: {types:?}");
                }
            }
        }
        Ok(())
    })
}

// R7, R25
#[test]
fn a_domain_is_allowed_as_typed() -> anyhow::Result<()> {
    run(async {
        let stack = stack().await?;
        let workspace = stack.database().workspace_id().to_string();
        let typed = block("sql", "INSERT INTO \"workspaceMetadata\"")?;
        let typed = typed.replace("workspace-id", &workspace);
        let list = "[\"company.com\", \"company.co\"]";
        let shown = "SELECT value FROM \"workspaceMetadata\" WHERE key = 'approvedAccessDomains';";

        let _domains = DOMAINS.lock().await;
        // The list of the configuration, without a row.
        let before = rows(psql(&stack, shown)?)?;
        assert_eq!(before, [r#"["acme.example", "acme.test"]"#]);
        assert_eq!(done(psql(&stack, &typed)?)?, "INSERT 0 1");
        let after = rows(psql(&stack, shown)?)?;
        assert_eq!(after, [r#"["company.co", "company.com"]"#]);

        // A second row replaces the list immediately.
        let linus = Decision::allow("linus");
        let mut browser = devstack::browser::Browser::new()?;
        let refused = devstack::walkthrough::sign_in(&mut browser, &stack, "/auth/google", &linus);
        assert!(refused.await?.landing.location.is_none());
        let both = typed.replace(list, r#"["globex.example", "acme.example", "acme.test"]"#);
        assert_eq!(done(psql(&stack, &both)?)?, "INSERT 0 1");
        sign_in(&stack, "/auth/google", &linus).await?;
        account(&stack, "google", "linus@globex.example").await?;

        for wrong in ["[\"company\"]", "{\"a\": 1}", "*.company.com", "true", ""] {
            let refused = psql(&stack, &typed.replace(list, wrong))?.unwrap_err();
            // psql adds the place in the database where the error was raised.
            let said = refused.lines().next().context("nothing said")?;
            let sentence = "ERROR:  \"value\" must be a list of domains such as \
                            [\"company.com\", \"company.co\"]";
            assert!(said.starts_with(sentence), "{refused}");
        }
        let update = |value: &str| {
            format!(
                "UPDATE \"workspaceMetadata\" SET value = '{value}'
                 WHERE key = 'approvedAccessDomains' AND \"workspaceId\" = '{workspace}';"
            )
        };
        assert!(psql(&stack, &update("company"))?.is_err());
        assert_eq!(done(psql(&stack, &update(list))?)?, "UPDATE 1");
        assert_eq!(rows(psql(&stack, shown)?)?, after);
        let delete = "DELETE FROM \"workspaceMetadata\" WHERE key = 'approvedAccessDomains';";
        assert_eq!(done(psql(&stack, delete)?)?, "DELETE 1");
        assert_eq!(rows(psql(&stack, shown)?)?, [""; 0]);

        // Restores the state for the other tests.
        let first = typed.replace(list, r#"["acme.example", "acme.test"]"#);
        assert_eq!(done(psql(&stack, &first)?)?, "INSERT 0 1");
        Ok(())
    })
}

// R40
#[test]
fn the_environment_is_inspected_as_typed() -> anyhow::Result<()> {
    run(async {
        let stack = stack().await?;
        let said = shell(&stack, block("bash", "env | grep")?)?;
        let names = names("Names: ")?;
        assert_eq!(names.len(), 7, "{names:?}");
        let shown: BTreeMap<&str, &str> = said
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        for name in &names {
            let looked_for = ["AUTH_GOOGLE", "CALENDAR_PROVIDER"];
            if looked_for.iter().any(|part| name.contains(part)) {
                assert!(shown.contains_key(name), "{name} is not in {said}");
            }
            assert!(
                is_documented(name),
                "docs/configuration.md does not describe {name}"
            );
            // A value in quotes is refused, and the error names the variable.
            let complaint = check(&stack, name, "\"quoted\"")?.unwrap_err();
            let named = complaint.starts_with(&format!("auth-svc: {name}: "));
            assert!(
                named && complaint.lines().count() == 1,
                "{name}: {complaint}"
            );
        }
        check(&stack, "IS_BILLING_ENABLED", "true")?.map_err(anyhow::Error::msg)?;
        assert!(check(&stack, "AUTH_GOOGLE_ISSUED", "\"quoted\"")?.is_ok());
        Ok(())
    })
}

fn is_documented(name: &str) -> bool {
    let general = name.replace("AUTH_GOOGLE_", "AUTH_<P>_");
    CONFIGURATION
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"))
        .any(|(names, _)| {
            names
                .split([',', '`', ' '])
                .any(|one| one == name || one == general)
        })
}

/// Runs `auth-svc config check` with the variables of the running service and this one.
fn check(stack: &Stack, name: &str, value: &str) -> anyhow::Result<Result<(), String>> {
    let auth = stack.services().find(|(part, _)| **part == ServiceId::Auth);
    let (_, auth) = auth.context("no auth-svc")?;
    let output = Command::new(binary("auth-svc")?)
        .args(["config", "check"])
        .env_clear()
        .envs(auth.environment())
        .env(name, value)
        .output()?;
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8(output.stderr)?)
    })
}

// R25, R35
#[test]
fn no_relation_that_an_operator_may_read_contains_a_token() -> anyhow::Result<()> {
    run(async {
        let stack = stack().await?;
        let domains = DOMAINS.lock().await;
        sign_in(&stack, "/auth/google", &Decision::allow("grace")).await?;
        drop(domains);
        account(&stack, "google", "grace@acme.example").await?;
        eventually("a channel", async || {
            let said = psql(&stack, "SELECT count(*) > 0 FROM \"messageChannel\";")?;
            Ok((rows(said)? == ["t"]).then_some(()))
        })
        .await?;
        let relations = rows(psql(
            &stack,
            "SELECT format('%I.%I', n.nspname, c.relname)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm') AND has_schema_privilege(n.oid, 'USAGE')
               AND has_any_column_privilege(c.oid, 'SELECT')
               AND n.nspname NOT IN ('pg_catalog', 'information_schema');",
        )?)?;
        let issued = stack.demo().issued();
        assert!(issued.len() >= 3, "{} tokens and codes", issued.len());
        let mut text = String::new();
        for relation in &relations {
            let columns = psql(
                &stack,
                &format!(
                    "SELECT string_agg(format('%I', attname), ', ') FROM pg_attribute
                     WHERE attrelid = '{relation}'::regclass AND attnum > 0
                       AND NOT attisdropped
                       AND has_column_privilege(attrelid, attnum, 'SELECT');"
                ),
            )?;
            let columns = rows(columns)?.join(", ");
            let said = psql(
                &stack,
                &format!("SELECT to_json(t) FROM (SELECT {columns} FROM {relation}) AS t;"),
            )?;
            text += &said.map_err(anyhow::Error::msg)?;
        }
        for seen in ["grace@acme.example", "[sealed]", "ONGOING", "acme.test"] {
            assert!(
                text.contains(seen),
                "no relation of {relations:?} contains {seen}"
            );
        }
        for one in issued {
            assert!(!text.contains(&one.token), "a view shows a {}", one.kind);
        }
        // Sealed bytes are not shown either.
        assert!(!text.contains("\\\\x"), "a view shows bytes");
        Ok(())
    })
}

// Without this test a block of the document could remain untested.
#[test]
fn each_block_of_the_document_is_run() -> anyhow::Result<()> {
    let run = [
        ("bash", "/auth/google | grep"),
        ("bash", "/healthz"),
        ("bash", "env | grep"),
        ("sql", "FROM \"connectedAccount\""),
        ("sql", "FROM \"messageChannel\""),
        ("sql", "INSERT INTO \"workspaceMetadata\""),
        // `front_end.rs` runs it in a browser.
        ("js", "tokenPair"),
    ];
    for (language, words) in run {
        block(language, words)?;
    }
    assert_eq!(blocks().len(), run.len());
    Ok(())
}
