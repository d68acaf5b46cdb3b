//! A minimal browser: it has cookies, runs no scripts, and follows a redirect only on request.

mod form;

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, REFRESH, SET_COOKIE};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use url::Url;

pub use form::{Field, FieldKind, Form, Person};

/// Maximum number of forms that a provider shows before it redirects the browser back.
const FORMS: usize = 5;

/// A cookie of one host. The ports of a host share cookies (RFC 6265 section 8.5).
#[derive(Debug, Clone)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// A response. Its redirect has not been followed.
#[derive(Debug)]
pub struct Page {
    /// URL of the request.
    pub url: Url,
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Target of the redirect, if the response is one.
    pub location: Option<Url>,
    /// Body of the response as text.
    pub body: String,
}

impl Page {
    /// Target of the redirect, if the response is one.
    ///
    /// # Errors
    /// The response is not a redirect.
    pub fn redirect_target(&self) -> anyhow::Result<&Url> {
        self.location.as_ref().with_context(|| {
            format!(
                "{} answered {} instead of a redirect: {}",
                self.url.path(),
                self.status,
                self.text()
            )
        })
    }

    /// Returns the hidden fields of the form that is sent to `action`.
    ///
    /// # Errors
    /// The page has no such form.
    pub fn form(&self, action: &str) -> anyhow::Result<Vec<(String, String)>> {
        self.forms()
            .into_iter()
            .find(|form| form.action == action)
            .map(|form| form.hidden())
            .with_context(|| format!("{} has no form for {action}", self.url.path()))
    }

    /// Returns the forms of this page.
    pub fn forms(&self) -> Vec<Form> {
        Form::all(&self.body)
    }

    /// Returns the target of the `Refresh` header, to which a browser goes after it has shown
    /// the page.
    ///
    /// # Errors
    /// The response has no such header.
    pub fn refresh_target(&self) -> anyhow::Result<Url> {
        self.headers
            .get(REFRESH)
            .and_then(|value| value.to_str().ok()?.strip_prefix("0; url="))
            .and_then(|url| self.url.join(url).ok())
            .with_context(|| {
                format!(
                    "{} answered {}: {}",
                    self.url.path(),
                    self.status,
                    self.text()
                )
            })
    }

    /// Returns what a person reads on the page, in one line of bounded length.
    fn text(&self) -> String {
        let start = self.body.find("<h1").unwrap_or_default();
        let mut text = String::new();
        for part in self.body[start..].split('<') {
            // What stands before `>` is a tag.
            text.extend([part.split_once('>').map_or(part, |(_, after)| after), " "]);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(500).collect()
    }
}

/// A browser with its own cookie jar.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    cookies: Vec<Cookie>,
    repeats: bool,
    repeated: usize,
    submitted: usize,
}

impl Browser {
    /// Creates a browser without cookies.
    ///
    /// # Errors
    /// This machine has no TLS root certificates.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(Client::builder())
    }

    /// Creates a browser without cookies from a client that knows certificates or addresses.
    ///
    /// # Errors
    /// This machine has no TLS root certificates.
    pub fn with(client: ClientBuilder) -> anyhow::Result<Self> {
        let client = client
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            cookies: Vec::new(),
            repeats: false,
            repeated: 0,
            submitted: 0,
        })
    }

    /// Creates a browser without cookies that shares the connections of this one. It repeats a
    /// request once if the server ends the connection instead of answering, as browsers do with
    /// a connection that was kept open (RFC 9112, section 9.3.1).
    #[must_use]
    pub fn repeating(&self) -> Self {
        Self {
            client: self.client.clone(),
            cookies: Vec::new(),
            repeats: true,
            repeated: 0,
            submitted: 0,
        }
    }

    /// Returns the number of requests that were repeated.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Returns the number of forms that [`submit_forms`](Self::submit_forms) has submitted.
    pub fn submitted(&self) -> usize {
        self.submitted
    }

    /// Opens a URL.
    ///
    /// # Errors
    /// There is no response.
    pub async fn get(&mut self, url: impl AsRef<str>) -> anyhow::Result<Page> {
        self.send(Method::GET, url.as_ref(), |request| request)
            .await
    }

    /// Submits a form.
    ///
    /// # Errors
    /// There is no response.
    pub async fn post(
        &mut self,
        url: impl AsRef<str>,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Page> {
        let url = url.as_ref();
        let origin = Url::parse(url)?.origin().ascii_serialization();
        self.send(Method::POST, url, |request| {
            request.header("Origin", &origin).form(fields)
        })
        .await
    }

    /// Submits the form of `page` that is sent to `action`, with its hidden fields.
    ///
    /// # Errors
    /// The page has no such form, or there is no response.
    pub async fn submit(&mut self, page: &Page, action: &str) -> anyhow::Result<Page> {
        let fields = page.form(action)?;
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(page.url.join(action)?, &fields).await
    }

    /// Opens a URL and follows redirects until a response is not a redirect or `stop` returns
    /// `true` for its target.
    ///
    /// # Errors
    /// There is no response, or there are more than ten redirects.
    pub async fn follow(
        &mut self,
        url: impl AsRef<str>,
        stop: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Page> {
        let mut page = self.get(url).await?;
        for _ in 0..10 {
            match &page.location {
                Some(next) if !stop(next) => page = self.get(next.clone()).await?,
                _ => return Ok(page),
            }
        }
        anyhow::bail!(
            "more than ten redirects, the last one to {:?}",
            page.location
        )
    }

    /// Fills in and submits the forms of a provider's pages until a redirect has a target for
    /// which `arrived` returns `true`. Returns the response with that redirect.
    ///
    /// # Errors
    /// There is no response, a page has no form, or there are too many forms.
    pub async fn submit_forms(
        &mut self,
        authorize: &Url,
        person: Person<'_>,
        arrived: impl Fn(&Url) -> bool,
    ) -> anyhow::Result<Page> {
        let mut page = self.follow(authorize, &arrived).await?;
        for _ in 0..FORMS {
            if page.location.as_ref().is_some_and(&arrived) {
                return Ok(page);
            }
            let forms = page.forms();
            let form = forms
                .iter()
                .find(|form| form.names(person) && !form.fields.is_empty())
                .or_else(|| forms.first());
            let target = form.and_then(|form| Some((form, form.target(&page.url)?)));
            let Some((form, target)) = target else {
                break;
            };
            page = self.post(target, &form.filled(person)).await?;
            self.submitted += 1;
            if let Some(next) = page.location.clone().filter(|next| !arrived(next)) {
                page = self.follow(next, &arrived).await?;
            }
        }
        let text: String = page.body.chars().take(2_000).collect();
        anyhow::bail!(
            "the provider's pages do not lead back: {} answered {}: {text}",
            page.url,
            page.status
        )
    }

    async fn send(
        &mut self,
        method: Method,
        url: &str,
        finish: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> anyhow::Result<Page> {
        let url = Url::parse(url).with_context(|| format!("{url} is not a URL"))?;
        let cookies = self.cookies_for(&url);
        let request = || {
            let mut request = self.client.request(method.clone(), url.clone());
            if !cookies.is_empty() {
                request = request.header(COOKIE, &cookies);
            }
            finish(request)
        };
        let mut answer = request().send().await;
        if self.repeats && answer.as_ref().is_err_and(connection_ended) {
            answer = request().send().await;
            self.repeated += 1;
        }
        let answer = answer
            .with_context(|| format!("no response from {}", url.origin().ascii_serialization()))?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        for cookie in headers.get_all(SET_COOKIE) {
            if let Ok(text) = cookie.to_str() {
                self.store(&url, text);
            }
        }
        let location = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| url.join(value).ok());
        Ok(Page {
            status,
            headers,
            location,
            body: answer.text().await?,
            url,
        })
    }

    /// Returns the value of a cookie that would be sent to `url`.
    pub fn cookie(&self, url: &Url, name: &str) -> Option<&str> {
        self.matching(url)
            .find(|cookie| cookie.name == name)
            .map(|cookie| cookie.value.as_str())
    }

    /// Returns the names of the cookies that would be sent to `url`.
    pub fn cookie_names(&self, url: &Url) -> Vec<&str> {
        self.matching(url)
            .map(|cookie| cookie.name.as_str())
            .collect()
    }

    fn matching(&self, url: &Url) -> impl Iterator<Item = &Cookie> {
        self.cookies.iter().filter(|cookie| {
            Some(cookie.host.as_str()) == url.host_str() && url.path().starts_with(&cookie.path)
        })
    }

    fn cookies_for(&self, url: &Url) -> String {
        let pairs: Vec<String> = self
            .matching(url)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        pairs.join("; ")
    }

    fn store(&mut self, url: &Url, text: &str) {
        let mut parts = text.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let (mut path, mut expired) = ("/".to_owned(), value.is_empty());
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            if key.eq_ignore_ascii_case("path") {
                value.clone_into(&mut path);
            } else if key.eq_ignore_ascii_case("max-age") {
                expired |= value.parse().is_ok_and(|seconds: i64| seconds <= 0);
            }
        }
        self.cookies
            .retain(|cookie| cookie.host != host || cookie.name != name || cookie.path != path);
        if !expired {
            self.cookies.push(Cookie {
                host,
                path,
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
    }
}

/// Returns `true` if the server ended the connection before it answered.
fn connection_ended(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.to_string() == "connection closed before message completed" {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns a URL with long values shortened, for people to read.
pub fn readable(url: &Url) -> String {
    let mut short = url.clone();
    if url.query().is_some() {
        short
            .query_pairs_mut()
            .clear()
            .extend_pairs(url.query_pairs().map(
                |(name, value)| match value.char_indices().nth(16) {
                    Some((end, _))
                        if matches!(&*name, "state" | "nonce" | "code" | "code_challenge") =>
                    {
                        (
                            name,
                            format!("{}…", value.get(..end).unwrap_or_default()).into(),
                        )
                    }
                    _ => (name, value),
                },
            ));
    }
    short.to_string().replace("%E2%80%A6", "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_sent_to_its_host_until_it_expires() {
        let mut browser = Browser::new().unwrap();
        let url = Url::parse("http://localhost:8080/auth/google").unwrap();
        browser.store(&url, "__Host-flow=x; Path=/; Secure; HttpOnly; Max-Age=600");
        assert_eq!(browser.cookie(&url, "__Host-flow"), Some("x"));
        let other = Url::parse("http://127.0.0.1:8080/").unwrap();
        assert_eq!(browser.cookie(&other, "__Host-flow"), None);
        browser.store(&url, "__Host-flow=; Path=/; Max-Age=0");
        assert_eq!(browser.cookie(&url, "__Host-flow"), None);
    }

    #[test]
    fn a_readable_url_does_not_show_the_complete_code() {
        let url = Url::parse("http://a/b?code=0123456789abcdefXYZ&iss=http%3A%2F%2Fp").unwrap();
        assert_eq!(
            readable(&url),
            "http://a/b?code=0123456789abcdef…&iss=http%3A%2F%2Fp"
        );
    }
}
