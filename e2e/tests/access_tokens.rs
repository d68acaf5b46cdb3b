//! Access tokens are verified by libraries of other languages, which know only the issuer.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::build::binary;
use devstack::{Options, Stack, walkthrough};
use latchkey_demo_provider::Decision;
use latchkey_e2e::{packages, run};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use url::Url;

/// Time limit of a program on a busy machine.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Makes a key that signs access tokens.
async fn key(algorithm: &str) -> anyhow::Result<String> {
    let made = Command::new(binary("latchkey")?)
        .args(["keys", "generate", "--algorithm", algorithm])
        .output()
        .await?;
    let text = String::from_utf8(made.stdout)?;
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("SESSION_SIGNING_KEYS="));
    Ok(key.context("latchkey made no key")?.to_owned())
}

/// Runs a program that verifies the token of its standard input, and returns the subject.
async fn verified<const N: usize>(
    program: impl AsRef<OsStr>,
    directory: &Path,
    arguments: [&str; N],
    token: &str,
) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(token.as_bytes()).await?;
    drop(input);
    let output = tokio::time::timeout(TIME_LIMIT, child.wait_with_output()).await??;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

// R14
#[test]
fn libraries_of_other_languages_verify_a_token_of_each_kind_of_key() -> anyhow::Result<()> {
    run(async {
        let node = packages::install_npm("foreign-provider")?;
        let python = packages::install_python("foreign-provider-python")?;
        let interpreter = packages::python(&python);
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign-provider-python");
        let keys = [
            key("rs256").await?,
            key("eddsa").await?,
            key("es256").await?,
        ];
        for signing in 0..keys.len() {
            let mut keys = keys.clone();
            keys.rotate_left(signing);
            let options = Options::test()
                .with("SESSION_SIGNING_KEYS", keys.join(","))
                .with("TOKEN_PAIR_COOKIE_ENABLED", "true");
            let stack = Stack::start(options).await?;
            let (subject, token) = signed_in(&stack).await?;
            let issuer = stack.public_url();
            let by_jose = verified("node", &node, ["verify.mjs", issuer], &token);
            assert_eq!(by_jose.await.context("jose")?, subject);
            for library in ["joserfc", "jwcrypto"] {
                let arguments = ["verify.py", library, issuer];
                let by_library = verified(&interpreter, &scripts, arguments, &token);
                assert_eq!(by_library.await.context(library)?, subject);
            }
        }
        Ok(())
    })
}

/// Signs in, and returns the person and an access token.
async fn signed_in(stack: &Stack) -> anyhow::Result<(String, String)> {
    let mut browser = Browser::new()?;
    let decision = Decision::allow("ada");
    walkthrough::sign_in(&mut browser, stack, "/auth/google", &decision).await?;
    let me = browser
        .get(format!("{}/auth/me", stack.public_url()))
        .await?;
    let me: Value = serde_json::from_str(&me.body)?;
    let subject = me["userId"].as_str().context("nobody is signed in")?;
    let pair = browser.cookie(&Url::parse(stack.public_url())?, "tokenPair");
    let pair = format!("pair={}", pair.context("no token pair")?);
    let pair = url::form_urlencoded::parse(pair.as_bytes()).next();
    let pair: Value = serde_json::from_str(&pair.context("no token pair")?.1)?;
    let token = pair["accessOrWorkspaceAgnosticToken"]["token"].as_str();
    Ok((
        subject.to_owned(),
        token.context("no access token")?.to_owned(),
    ))
}
