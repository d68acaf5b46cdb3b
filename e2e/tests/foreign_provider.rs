//! Against an identity provider that nobody here wrote: the certified
//! `oidc-provider` of the npm registry, as it comes.

use std::time::Duration;

use anyhow::Context as _;
use devstack::browser::{Browser, Page};
use devstack::trail::{get_access_token, refresh_access_token};
use devstack::{Options, Stack};
use latchkey_e2e::{account, node, run};
use latchkey_servers::{Child, ChildSpec, free_port};

const CLIENT_ID: &str = "latchkey";
const CLIENT_SECRET: &str = "a-secret-that-is-long-enough";

/// The provider as a child.
struct ForeignProvider {
    issuer: String,
    _child: Child,
}

async fn start(public_url: &str) -> anyhow::Result<ForeignProvider> {
    let place = node::install("foreign-provider")?;
    let port = free_port()?;
    let issuer = format!("http://127.0.0.1:{port}");
    let log = place.join("server.log");
    let redirects = format!(
        "{public_url}/auth/oidc/foreign/redirect {public_url}/auth/oidc-apis/foreign/get-access-token"
    );
    let spec = ChildSpec::new("oidc-provider", "node", &place, &log)
        .arg("server.mjs")
        .env("PORT", port.to_string())
        .env("CLIENT_ID", CLIENT_ID)
        .env("CLIENT_SECRET", CLIENT_SECRET)
        .env("REDIRECT_URIS", redirects)
        .env("ACCESS_TOKEN_TTL", "3600");
    let mut child = Child::start(spec)?;
    child
        .wait_until(Duration::from_secs(30), || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await?;
    Ok(ForeignProvider {
        issuer,
        _child: child,
    })
}

impl ForeignProvider {
    /// Token requests with a refresh token that it answered.
    async fn refreshes(&self) -> anyhow::Result<u32> {
        let page = Browser::new()?
            .get(format!("{}/refreshes", self.issuer))
            .await?;
        Ok(page.body.parse()?)
    }
}

/// Fills the provider's own pages in until it sends the browser back.
async fn through_the_pages(
    browser: &mut Browser,
    authorize: &str,
    public_url: &str,
) -> anyhow::Result<Page> {
    let back = |url: &url::Url| url.as_str().starts_with(public_url);
    let mut page = browser.follow(authorize, back).await?;
    for _ in 0..4 {
        if let Some(callback) = page.location.clone() {
            return browser.get(callback).await;
        }
        let prompt = if page.body.contains(r#"value="login""#) {
            "login"
        } else {
            "consent"
        };
        let form = [("prompt", prompt), ("login", "ada"), ("password", "any")];
        page = browser.post(page.url.clone(), &form).await?;
        if let Some(next) = page.location.clone().filter(|next| !back(next)) {
            page = browser.follow(next, back).await?;
        }
    }
    anyhow::bail!("lost on the provider's pages: {} {}", page.url, page.body)
}

// R3, R5, R30, R31
#[test]
fn a_certified_provider_of_configuration_alone_signs_in_and_refreshes() -> anyhow::Result<()> {
    run(async {
        let public_port = free_port()?;
        let public_url = format!("http://localhost:{public_port}");
        let provider = start(&public_url).await?;
        let mut options = Options::test()
            .with("AUTH_OIDC_FOREIGN_ISSUER", &provider.issuer)
            .with("AUTH_OIDC_FOREIGN_CLIENT_ID", CLIENT_ID)
            .with("AUTH_OIDC_FOREIGN_CLIENT_SECRET", CLIENT_SECRET)
            .with(
                "AUTH_OIDC_FOREIGN_SCOPES",
                "openid email profile offline_access",
            );
        options.public_port = Some(public_port);
        let stack = Stack::start(options).await?;

        let mut browser = Browser::new()?;
        let authorize =
            devstack::trail::authorize_address(&mut browser, &stack, "/auth/oidc/foreign").await?;
        let mut landing = through_the_pages(&mut browser, authorize.as_str(), &public_url).await?;
        // It gives offline access only together with `prompt=consent`: auth-svc
        // notices that the refresh token is missing, and asks once more.
        if let Some(again) = landing.location.clone()
            && again.as_str().starts_with(&provider.issuer)
        {
            landing = through_the_pages(&mut browser, again.as_str(), &public_url).await?;
        }
        landing.sent_to().context("the callback was refused")?;

        let account = account(&stack, "foreign", "ada@acme.example").await?;
        let mut tokens = stack.tokens(0).await?;
        let token = get_access_token(&mut tokens, account.id, Duration::from_mins(1)).await?;
        let accepted = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()?
            .get(format!("{}/me", provider.issuer))
            .bearer_auth(&token.access_token)
            .send()
            .await?;
        assert!(accepted.status().is_success(), "{}", accepted.status());
        assert_eq!(provider.refreshes().await?, 0);

        // It rotates refresh tokens and ends the grant on reuse: twice in a row
        // works only where the rotated one was stored.
        let mut newest = token;
        for round in 1..=2 {
            // Callers force one refresh a minute.
            sqlx::query("UPDATE vault.credential SET forced_at = NULL")
                .execute(stack.pool())
                .await?;
            let renewed = refresh_access_token(&mut tokens, account.id, newest.version).await?;
            assert_ne!(renewed.access_token, newest.access_token);
            assert_eq!(provider.refreshes().await?, round);
            newest = renewed;
        }
        Ok(())
    })
}
