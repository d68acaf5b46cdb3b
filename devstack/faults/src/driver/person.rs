//! What a person does: signs in, and then a few random things.

use std::time::Duration;

use anyhow::Context as _;
use devstack::browser::Browser;
use devstack::walkthrough::{Route, authorize_address_at, consent_and_return};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::time::sleep;
use url::Url;
use uuid::Uuid;

use super::Driver;
use crate::history::{Answer, Choice, Moment, Operation, Person, Provider};

/// How often a person tries to sign in.
const ATTEMPTS: usize = 20;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a person waits for the account. If it comes later, the checker sees it nevertheless.
const ACCOUNT_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest pause between two things that a person does.
const THINKING: Duration = Duration::from_millis(800);
/// The most things that a person does after the sign-in.
const DEEDS: usize = 5;

const MESSAGES: [&str; 3] = ["METADATA", "SUBJECT", "SHARE_EVERYTHING"];
const CALENDAR: [&str; 2] = ["METADATA", "SHARE_EVERYTHING"];

/// The page that asks whether to connect. It comes if the sign-in page could not name the workspace
/// because the database failed at that moment. Nothing is connected by that sign-in.
const WELCOME: &str = "/auth/welcome/";

/// Returns the path of a sign-in, and that of a connection.
fn paths(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::Strict => (Route::OIDC.path, "/auth/oidc-apis/demo"),
        Provider::Google => (Route::GOOGLE.path, "/auth/google-apis"),
    }
}

impl Driver {
    /// Signs in, waits for the account, and does a few random things.
    pub(super) async fn live(&self, person: &Person, random: &mut SmallRng) {
        let Some(mut browser) = self.sign_in_until_done(person, random).await else {
            return;
        };
        let Some(account) = self.accounts.wait(person, ACCOUNT_TIMEOUT).await else {
            return;
        };
        for _ in 0..random.random_range(1..=DEEDS) {
            sleep(random.random_range(Duration::ZERO..=THINKING)).await;
            match random.random_range(0..10) {
                0..5 => {
                    self.token(person, account).await;
                }
                5 => {
                    if let Some(version) = self.token(person, account).await {
                        self.force_refresh(person, account, version).await;
                    }
                }
                6 => {
                    if let Some(signed_in) = self.sign_in_until_done(person, random).await {
                        browser = signed_in;
                    }
                }
                7 => self.connect_account(&mut browser, person, random).await,
                8 => {
                    self.disconnect(&mut browser, person, account).await;
                    self.token(person, account).await;
                    if random.random_bool(0.5) {
                        self.connect_account(&mut browser, person, random).await;
                    }
                }
                _ => {
                    self.revoke(person, account).await;
                    self.token(person, account).await;
                }
            }
        }
    }

    /// Returns the browser in which the person is signed in.
    async fn sign_in_until_done(&self, person: &Person, random: &mut SmallRng) -> Option<Browser> {
        let (path, _) = paths(person.provider);
        for _ in 0..ATTEMPTS {
            let mut browser = self.browser.repeating();
            let authorize = authorize_address_at(&mut browser, &self.public_url, path).await;
            let operation = Operation::SignIn {
                person: person.clone(),
            };
            if self.authenticate(&mut browser, operation, authorize).await {
                return Some(browser);
            }
            if self.stopping.is_cancelled() {
                break;
            }
            sleep(random.random_range(Duration::ZERO..=LONGEST_PAUSE)).await;
        }
        None
    }

    /// Connects the account again, deliberately and with choices.
    async fn connect_account(&self, browser: &mut Browser, person: &Person, random: &mut SmallRng) {
        let mut one_of = |values: &[&str]| {
            let position = random.random_range(0..values.len());
            values.get(position).copied().unwrap_or_default().to_owned()
        };
        let choice = Choice {
            messages: one_of(&MESSAGES),
            calendar: one_of(&CALENDAR),
        };
        let (_, path) = paths(person.provider);
        let authorize = self.review(browser, path, &choice).await;
        let operation = Operation::Connect {
            person: person.clone(),
            choice,
        };
        self.authenticate(browser, operation, authorize).await;
    }

    /// Agrees on the review page, and returns where the provider is.
    async fn review(
        &self,
        browser: &mut Browser,
        path: &str,
        choice: &Choice,
    ) -> anyhow::Result<Url> {
        let page = browser
            .follow(format!("{}{path}", self.public_url), |_| false)
            .await?;
        let forms = page.forms();
        let form = forms
            .iter()
            .find(|form| form.action.ends_with("/continue"))
            .with_context(|| format!("{} answered {}", page.url.path(), page.status))?;
        let hidden = form.hidden();
        let mut fields: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        fields.push(("messageVisibility", &choice.messages));
        fields.push(("calendarVisibility", &choice.calendar));
        let target = format!("{}{}", self.public_url, form.action);
        browser.post(target, &fields).await?.refresh_target()
    }

    /// Consents at the provider and opens the callback. Returns whether it was confirmed.
    async fn authenticate(
        &self,
        browser: &mut Browser,
        operation: Operation,
        authorize: anyhow::Result<Url>,
    ) -> bool {
        let mut call = None;
        let returning = || {
            if let Some(earlier) = call {
                let error = "auth-svc asked for consent".to_owned();
                self.history.answered(earlier, Answer::NotSent { error });
            }
            call = Some(self.history.asked(Moment::now(), operation.clone()));
        };
        let name = &operation.person().name;
        let landing = match authorize {
            Ok(url) => consent_and_return(browser, url, &self.provider_url, name, returning).await,
            Err(error) => Err(error),
        };
        let answer = match (&landing, call) {
            (Err(error), None) => Answer::NotSent {
                error: format!("{error:#}"),
            },
            (Err(error), Some(_)) => Answer::Unknown {
                error: format!("{error:#}"),
            },
            (Ok(page), _) => {
                let into_the_app = page.location.as_ref().filter(|url| {
                    let is_signed_in = |name: &&str| name.contains("session");
                    url.as_str().starts_with(&self.public_url)
                        && browser.cookie_names(url).iter().any(is_signed_in)
                });
                if into_the_app.is_some_and(|url| url.path().starts_with(WELCOME)) {
                    Answer::Refused {
                        reason: "the welcome page asks whether to connect".to_owned(),
                    }
                } else if into_the_app.is_some() {
                    Answer::Done
                } else {
                    Answer::Refused {
                        reason: format!("{} answered {}", page.url.path(), page.status),
                    }
                }
            }
        };
        let is_done = answer == Answer::Done;
        let call = call.unwrap_or_else(|| self.history.asked(Moment::now(), operation.clone()));
        self.history.answered(call, answer);
        is_done
    }

    /// Disconnects the account on auth-svc's page.
    async fn disconnect(&self, browser: &mut Browser, person: &Person, account: Uuid) {
        let call = self.history.asked(
            Moment::now(),
            Operation::Disconnect {
                person: person.clone(),
                account,
            },
        );
        let path = format!("/auth/account/connections/{account}/disconnect");
        let page = browser
            .post(format!("{}{path}", self.public_url), &[])
            .await;
        let answer = match page {
            Ok(page) => {
                let location = page.location.as_ref().map(Url::as_str).unwrap_or_default();
                if location.ends_with("done=disconnected") {
                    Answer::Done
                } else {
                    Answer::Refused {
                        reason: format!("the page answered {}", page.status),
                    }
                }
            }
            Err(error) => Answer::Unknown {
                error: format!("{error:#}"),
            },
        };
        self.history.answered(call, answer);
    }
}
