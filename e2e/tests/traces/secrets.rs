//! What leaves a service as telemetry has no token, code, secret, cookie or e-mail address.

use std::collections::BTreeSet;
use std::time::Duration;

use devstack::browser::{Browser, Page};
use devstack::walkthrough::{Route, authorize_address, get_access_token, refresh_access_token};
use devstack::{Options, Stack};
use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour};
use latchkey_e2e::{account, run};
use latchkey_testkit::TraceReceiver;
use url::Url;

use crate::{HANDLE, SERVICES};

/// The addresses of the people who sign in and connect.
const PEOPLE: [&str; 3] = [HANDLE, "linus@globex.example", "eve@mail.example"];

/// Names of variables whose values are secret.
const SECRET_VARIABLES: [&str; 4] = ["_KEYS", "_SECRET", "DATABASE_URL", "AMQP_URL"];

/// A refusal like those of Microsoft, which names the person.
const REFUSAL: &str = r#"{"error":"invalid_grant","error_description":"AADSTS50020: User account 'ada@acme.example' does not exist"}"#;

/// What must not be found, collected as it appears.
#[derive(Debug, Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    /// Values of the cookies that a page sets.
    fn add_cookies(&mut self, page: &Page) {
        for cookie in page.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap_or_default().split(';').next();
            let value = pair.and_then(|pair| pair.split_once('='));
            self.add(value.map_or("", |(_, value)| value));
        }
    }

    /// Values of the cookies that a browser would send.
    fn add_jar(&mut self, browser: &Browser, url: &Url) {
        for name in browser.cookie_names(url) {
            self.add(browser.cookie(url, name).unwrap_or_default());
        }
    }

    /// The parameters of a URL that prove something.
    fn add_parameters(&mut self, url: &Url) {
        for (name, value) in url.query_pairs() {
            if matches!(&*name, "state" | "code" | "nonce" | "code_challenge") {
                self.add(&value);
            }
        }
    }

    /// Values of the variables of all services.
    fn add_variables(&mut self, stack: &Stack) {
        for (_, service) in stack.services() {
            for (name, value) in service.environment() {
                let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
                if !SECRET_VARIABLES.iter().any(|secret| name.ends_with(secret)) {
                    continue;
                }
                match Url::parse(&value) {
                    Ok(url) if url.password().is_some() => {
                        self.add(url.password().unwrap_or_default());
                    }
                    // `id:key`
                    _ => self.add(value.rsplit(':').next().unwrap_or_default()),
                }
            }
        }
    }

    /// Short values, such as those of flags, would be found everywhere.
    fn add(&mut self, secret: &str) {
        if secret.len() >= 16 {
            self.0.insert(secret.to_owned());
        }
    }
}

/// Goes to the provider, decides, and comes back. If auth-svc asks for consent, which it does once
/// (R5), the decision is the same.
async fn flow(
    stack: &Stack,
    browser: &mut Browser,
    authorize: Url,
    decision: &Decision,
    secrets: &mut Secrets,
) -> anyhow::Result<Page> {
    secrets.add_parameters(&authorize);
    let callback = stack.demo().decide(authorize.as_str(), decision).await?;
    secrets.add_parameters(&callback);
    secrets.add_jar(browser, &callback);
    let landing = browser.get(callback).await?;
    secrets.add_cookies(&landing);
    match &landing.location {
        Some(again) if again.as_str().starts_with(stack.demo().base_url()) => {
            let again = again.clone();
            Box::pin(flow(stack, browser, again, decision, secrets)).await
        }
        _ => Ok(landing),
    }
}

/// The authorization URL to which a link that connects an account leads, over a page of auth-svc.
async fn connect_address(browser: &mut Browser, stack: &Stack) -> anyhow::Result<Url> {
    let link = format!("{}/auth/google-apis", stack.public_url());
    let page = browser.follow(link, |_| false).await?;
    let action = "/auth/review/google/continue";
    let fields = page.form(action)?;
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let target = format!("{}{action}", stack.public_url());
    browser.post(target, &fields).await?.refresh_target()
}

// R35, R45, RP16
#[test]
fn no_span_log_line_or_metric_has_a_secret_or_an_address() -> anyhow::Result<()> {
    run(async {
        let receiver = TraceReceiver::start();
        let options = Options::test()
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint())
            .with("RUST_LOG", "debug");
        let mut stack = Stack::start(options).await?;
        let mut secrets = Secrets::default();
        secrets.add_variables(&stack);
        let refuses = || {
            let token = Fault::on(Endpoint::Token).of(Flavour::Google);
            stack.demo().inject(token.answering(400, REFUSAL));
        };

        // Sign-ins that fail, and one that does not.
        for decision in [Decision::deny(), Decision::allow("linus")] {
            let mut browser = Browser::new()?;
            let at = authorize_address(&mut browser, &stack, Route::GOOGLE.path).await?;
            let landing = flow(&stack, &mut browser, at, &decision, &mut secrets).await?;
            assert!(landing.location.is_none(), "{}", landing.body);
        }
        let mut ada = Browser::new()?;
        let at = authorize_address(&mut ada, &stack, Route::GOOGLE.path).await?;
        refuses();
        let allow = Decision::allow("ada");
        let landing = flow(&stack, &mut ada, at, &allow, &mut secrets).await?;
        assert!(landing.location.is_none(), "{}", landing.body);
        let at = authorize_address(&mut ada, &stack, Route::GOOGLE.path).await?;
        let landing = flow(&stack, &mut ada, at, &allow, &mut secrets).await?;
        landing.redirect_target()?;

        // The same with connections of another mailbox.
        let eve = Decision::allow("eve");
        for (decision, succeeds) in [(&Decision::deny(), false), (&eve, true)] {
            let at = connect_address(&mut ada, &stack).await?;
            let landing = flow(&stack, &mut ada, at, decision, &mut secrets).await?;
            assert_eq!(landing.location.is_some(), succeeds, "{}", landing.body);
        }
        let at = connect_address(&mut ada, &stack).await?;
        refuses();
        let landing = flow(&stack, &mut ada, at, &eve, &mut secrets).await?;
        assert!(landing.location.is_none(), "{}", landing.body);

        // And with refreshes. A caller forces one of an account in a minute.
        let google = Route::GOOGLE.provider;
        let refreshed = account(&stack, google, HANDLE).await?;
        let refused = account(&stack, google, "eve@mail.example").await?;
        let mut tokens = stack.tokens(0).await?;
        let life = Duration::from_mins(1);
        let token = get_access_token(&mut tokens, refreshed.id, life).await?;
        refresh_access_token(&mut tokens, refreshed.id, token.version).await?;
        let token = get_access_token(&mut tokens, refused.id, life).await?;
        stack.demo().inject(
            Fault::on(Endpoint::Token)
                .of_grant("refresh_token")
                .answering(400, REFUSAL),
        );
        let refused = refresh_access_token(&mut tokens, refused.id, token.version).await;
        assert!(refused.is_err(), "a refused refresh gave a token");

        let mut places = Vec::new();
        for (_, service) in stack.services() {
            let url = service.ready_url().replace("/readyz", "/metrics");
            let text = reqwest::get(url).await?.text().await?;
            assert!(text.contains("latchkey_"), "{text}");
            places.push((format!("the metrics of {}", service.name()), text));
        }
        for id in SERVICES {
            stack.service(id)?.stop();
        }
        for (_, service) in stack.services() {
            let log = std::fs::read_to_string(service.log())?;
            assert!(
                log.contains("\"DEBUG\""),
                "{} logs too little",
                service.name()
            );
            for line in log.lines() {
                places.push((format!("the log of {}", service.name()), line.to_owned()));
            }
        }
        let spans = receiver.spans();
        for service in ["auth-svc", "sync-svc", "refresh-svc"] {
            let exported = spans.iter().filter(|span| span.service == service);
            assert!(exported.count() > 5, "{service} exported too little");
        }
        let events = spans.iter().flat_map(|span| &span.events);
        assert!(events.count() > 5, "the spans have no events");
        for span in &spans {
            places.push((format!("a span of {}", span.service), format!("{span:?}")));
        }

        let issued = stack.demo().issued();
        assert!(issued.len() >= 8, "{} tokens and codes", issued.len());
        secrets.0.extend(issued.into_iter().map(|one| one.token));
        secrets.0.insert(stack.demo().client_secret().to_owned());
        let addresses = PEOPLE.iter().flat_map(|person| {
            let encoded = person.replace('@', "%40");
            [(*person).to_owned(), encoded]
        });
        secrets.0.extend(addresses);
        assert!(secrets.0.len() > 30, "{} secrets", secrets.0.len());
        // Shows that the search works: the reason of the refusals is in the logs and in the spans.
        for place in ["the log of auth-svc", "a span of auth-svc"] {
            let finds =
                |(name, text): &(String, String)| name == place && text.contains("AADSTS50020");
            assert!(places.iter().any(finds), "nothing was found in {place}");
        }
        let mut found = Vec::new();
        for (place, text) in &places {
            let shown = secrets.0.iter().filter(|secret| text.contains(*secret));
            found.extend(shown.map(|secret| format!("{place} has {secret}: {text}")));
        }
        assert!(found.is_empty(), "{found:#?}");
        Ok(())
    })
}
