use indexmap::IndexMap;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, ORIGIN, REFRESH, SET_COOKIE,
};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::Value;

/// An HTTP client that keeps cookies (also `Secure` ones) and does not follow redirects.
#[derive(Clone)]
pub struct Browser {
    base: String,
    client: Client,
    /// Cookies in the order of their creation, as browsers send them (RFC 6265 section 5.4).
    pub cookies: IndexMap<String, String>,
    /// Headers of all further requests.
    pub headers: Vec<(&'static str, String)>,
}

/// A form of a page, with its hidden fields and default choices.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: String,
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// Changes the value of a field.
    pub fn choose(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the fields, encoded as a request body.
    pub fn body(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.fields)
            .finish()
    }
}

/// An HTTP response.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Response {
    /// Returns `Location` without the hand-over code.
    pub fn location(&self) -> String {
        let location = self.full_location();
        match location
            .rfind("code=")
            .filter(|_| self.handover_code().is_some())
        {
            Some(start) => location[..start - 1].to_owned(),
            None => location,
        }
    }

    /// Returns `Location` unchanged.
    pub fn full_location(&self) -> String {
        let location = self.headers.get(LOCATION);
        location
            .unwrap_or_else(|| panic!("no Location: {} {}", self.status, self.body))
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Returns the hand-over code at the end of the fragment.
    pub fn handover_code(&self) -> Option<String> {
        let location = self.full_location();
        let (_, fragment) = location.split_once('#')?;
        let last = fragment.rsplit('&').next()?;
        last.strip_prefix("code=").map(str::to_owned)
    }

    /// Returns the form of this page that is sent to `action`.
    pub fn form(&self, action: &str) -> Form {
        let start = self
            .body
            .find(&format!("action=\"{action}\""))
            .unwrap_or_else(|| panic!("no form for {action}: {} {}", self.status, self.body));
        let form = self.body[start..].split("</form>").next().unwrap();
        let fields = form
            .split("<input ")
            .skip(1)
            .map(|input| input.split('>').next().unwrap())
            .filter(|input| input.contains("\"hidden\"") || input.ends_with(" checked"))
            .map(|input| (attribute(input, "name"), attribute(input, "value")))
            .collect();
        Form {
            action: action.to_owned(),
            fields,
        }
    }

    /// Returns the URL in the `Refresh` header, which the page opens by itself.
    pub fn refresh_url(&self) -> String {
        let refresh = self
            .headers
            .get(REFRESH)
            .unwrap_or_else(|| panic!("no Refresh header: {} {}", self.status, self.body));
        let to = refresh.to_str().unwrap().strip_prefix("0; url=").unwrap();
        to.to_owned()
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.body))
    }

    /// Returns a query parameter of `Location`.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&self.location()).unwrap();
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns the error code of a JSON error response.
    pub fn code(&self) -> String {
        let json: Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|_| panic!("not an error response: {} {}", self.status, self.body));
        json["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Returns the headers and the body as one text.
    pub fn headers_and_body(&self) -> String {
        format!("{:?}\n{}", self.headers, self.body)
    }

    /// Returns the values of all `Set-Cookie` headers.
    pub fn set_cookies(&self) -> Vec<String> {
        self.headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }
}

/// Returns an attribute of a tag, unescaped.
fn attribute(tag: &str, name: &str) -> String {
    let (_, rest) = tag.split_once(&format!("{name}=\"")).unwrap();
    let value = rest.split('"').next().unwrap();
    [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ]
    .into_iter()
    .fold(value.to_owned(), |text, (entity, plain)| {
        text.replace(entity, plain)
    })
}

/// The parameters that need the review page.
const CHOICES: [&str; 5] = [
    "workspaceInviteHash",
    "workspacePersonalInviteToken",
    "messageVisibility",
    "calendarVisibility",
    "reconnect",
];

impl Browser {
    pub fn new(base: String) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            base,
            client,
            cookies: IndexMap::new(),
            headers: Vec::new(),
        }
    }

    /// Asks for JSON in all further requests.
    pub fn json(mut self) -> Self {
        self.headers
            .push((ACCEPT.as_str(), "application/json".to_owned()));
        self
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    pub async fn post(&mut self, path: &str) -> Response {
        self.send(Method::POST, path).await
    }

    /// Sends all further requests to another replica.
    pub fn at(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// Sends JSON without an `Origin`, as a program does.
    pub async fn send_json(&mut self, method: Method, path: &str, body: &Value) -> Response {
        let request = self.request(method, path).json(body);
        self.send_request(request).await
    }

    /// Sends a body of any type without an `Origin`.
    pub async fn send_body(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Response {
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, kind)
            .body(body);
        self.send_request(request).await
    }

    /// Sends a form without an `Origin`.
    pub async fn post_form(&mut self, path: &str, body: String) -> Response {
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.send_request(request).await
    }

    /// Submits a form as a page of this service does.
    pub async fn submit(&mut self, form: &Form) -> Response {
        let request = self
            .request(Method::POST, &form.action)
            .header(ORIGIN, super::PUBLIC)
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.body());
        self.send_request(request).await
    }

    /// Opens the page before a start at `path`, such as `/auth/google?…`, and returns its
    /// form: that of the review page if a person has to choose something, else that of
    /// the sign-in page.
    pub async fn form_at(&mut self, path: &str) -> Form {
        let (start, query) = path.split_once('?').unwrap_or((path, ""));
        let chooses = url::form_urlencoded::parse(query.as_bytes())
            .any(|(name, _)| CHOICES.contains(&name.as_ref()));
        let asks = start.contains("-apis") || chooses;
        let provider = start.rsplit('/').next().unwrap().replace("-apis", "");
        if asks {
            let led = self.get(path).await.location();
            let review = led.strip_prefix(super::PUBLIC).unwrap();
            assert!(review.starts_with("/auth/review/"), "{review}");
            let page = self.get(review).await;
            return page.form(&format!("/auth/review/{provider}/continue"));
        }
        // A person who is signed in sees no buttons, so another browser opens the page.
        let mut stranger = Self::new(self.base.clone());
        let page = stranger.get(&format!("/auth/sign-in?{query}")).await;
        page.form(&format!("/auth/sign-in/{provider}"))
    }

    /// Submits the form before a start at `path` and returns the provider's URL.
    pub async fn start_through_page(&mut self, path: &str) -> String {
        let form = self.form_at(path).await;
        self.submit(&form).await.refresh_url()
    }

    /// Sends JSON as a page of `origin` does.
    pub async fn post_json(&mut self, origin: &str, path: &str, body: &Value) -> Response {
        let request = self
            .request(Method::POST, path)
            .header(ORIGIN, origin)
            .json(body);
        self.send_request(request).await
    }

    pub async fn send(&mut self, method: Method, path: &str) -> Response {
        let request = self.request(method, path);
        self.send_request(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        request
    }

    async fn send_request(&mut self, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        let response = Response {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.unwrap(),
        };
        for line in response.set_cookies() {
            self.store_cookie(&line);
        }
        response
    }

    fn store_cookie(&mut self, line: &str) {
        let (name, rest) = line.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        if line.contains("Max-Age=0") {
            self.cookies.shift_remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Counts the flow cookies.
    pub fn flows(&self) -> usize {
        self.cookies
            .keys()
            .filter(|name| name.contains("-flow-"))
            .count()
    }

    /// Returns the value of the session cookie.
    pub fn session(&self) -> Option<&str> {
        self.cookies
            .get("__Host-latchkey-session")
            .map(String::as_str)
    }

    /// Returns an access token of the browser's session, as a front end gets it.
    pub async fn access_token(&mut self) -> String {
        let request = serde_json::json!({ "grantType": "cookie" });
        let response = self.post_json(super::PUBLIC, "/auth/token", &request).await;
        let token = response.json()["accessToken"]["token"].clone();
        token.as_str().unwrap().to_owned()
    }

    /// Returns who is signed in, from `/auth/me`.
    pub async fn me(&mut self) -> Option<Value> {
        let response = self.get("/auth/me").await;
        (response.status == 200).then(|| serde_json::from_str(&response.body).unwrap())
    }
}
