//! The links of error pages. They keep the parameters of the request or the flow
//! (workspace, invitation, return location, code challenge, choices), so that a person who
//! came from an application on another origin can return to it.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::links::link;
use crate::http::problem::{Link, NextStep, ProblemDetails, response};
use crate::http::query::Query;
use crate::login::context::Context;
use crate::login::parameters::context_of;
use crate::login::redirect::Site;
use crate::login::start_parameter::{CODE_CHALLENGE, RETURN_TO, carried};
use crate::state::State;
use crate::store::session::Session;

/// The person who is signed in.
#[derive(Debug)]
struct Person {
    email: String,
    workspace: String,
}

/// The links of an error page.
#[derive(Debug, Default)]
pub struct NextSteps {
    parameters: Vec<(String, String)>,
    again: Option<String>,
    app: Option<String>,
    person: Option<Person>,
}

impl NextSteps {
    /// Builds the links from the query of a request. Without `again`, "Try again" repeats
    /// the request if it is a page or a start.
    pub fn of_request(request: &HttpRequest, again: Option<&str>) -> Self {
        let Some(state) = request.app_data::<web::Data<State>>() else {
            return Self {
                again: again.map(str::to_owned),
                ..Self::default()
            };
        };
        // An invalid parameter is dropped, and the others are kept.
        let mut context = Context::default();
        let query = Query::parse(request.query_string()).unwrap_or_default();
        let mut parameters = carried(&query);
        parameters.retain(|(name, value)| {
            let one = context_of(&Query::single(name, value), &state.config.returns);
            let good = one.is_ok();
            if let Some(location) = one.ok().and_then(|one| one.return_to) {
                context.return_to = Some(location);
            }
            good
        });
        let callback = query.any(&["code", "state", "error"]).is_some();
        let mut ways = Self::to_app(state, &context, parameters);
        ways.again = match again {
            Some(again) => Some(again.to_owned()),
            None if callback || !request.method().is_safe() => None,
            // Other paths come from the client and do not become links.
            None if request.path().starts_with("/auth/") => Some(
                request
                    .uri()
                    .path_and_query()
                    .map_or_else(|| request.path().to_owned(), ToString::to_string),
            ),
            None => None,
        };
        ways
    }

    /// Builds the links of a start at `path` from its query.
    pub fn of_start(request: &HttpRequest, path: &str) -> Self {
        let mut ways = Self::of_request(request, None);
        ways.again = Some(link(path, &ways.parameters));
        ways
    }

    /// Builds the links of a flow that was started at `path` with this context. `more` adds
    /// parameters to "Try again".
    pub fn of_context(state: &State, context: &Context, path: &str, more: &[(&str, &str)]) -> Self {
        let parameters = context.parameters();
        let mut again = parameters.clone();
        again.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Self {
            again: Some(link(path, &again)),
            ..Self::to_app(state, context, parameters)
        }
    }

    fn to_app(state: &State, context: &Context, parameters: Vec<(String, String)>) -> Self {
        let config = &state.config;
        let site = Site::from(context.subdomain.as_deref());
        let app = config.returns.destination(context.return_to.as_ref(), site);
        // The start page of this service is not an application.
        let is_app = app.path() != "/" || !config.public_origin.holds(&app);
        Self {
            parameters,
            app: is_app.then(|| app.to_string()),
            ..Self::default()
        }
    }

    /// Adds the person who is signed in.
    #[must_use]
    pub fn signed_in(mut self, session: Option<&Session>) -> Self {
        self.person = session.map(|session| Person {
            email: session.email.clone(),
            workspace: session.workspace_name.clone(),
        });
        self
    }

    /// Returns the mail address of the person who is signed in.
    fn email(&self) -> Option<&str> {
        self.person.as_ref().map(|person| person.email.as_str())
    }

    /// Returns the links, the most useful one first.
    fn links(&self, explanation: &ProblemDetails) -> Vec<Link> {
        let way = |to: String, label: &str| Link {
            to,
            label: label.to_owned(),
        };
        let again = self
            .again
            .clone()
            .filter(|_| explanation.next == NextStep::Again)
            .map(|to| way(to, "Try again"));
        let account = match explanation.next {
            NextStep::Home | NextStep::Again => None,
            NextStep::Account => Some(way("/auth/account".to_owned(), "Go to your account")),
            NextStep::Connections => Some(way(
                "/auth/account/connections".to_owned(),
                "Go to your connections",
            )),
            NextStep::Members => Some(way("/auth/account/members".to_owned(), "Go to the members")),
        };
        let handed: Vec<_> = self
            .parameters
            .iter()
            .filter(|(name, _)| *name == RETURN_TO.name || *name == CODE_CHALLENGE.name)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let app = match &self.person {
            // `/auth/open` adds the hand-over that the application waits for.
            Some(person) => Some(way(
                link("/auth/open", &handed),
                &format!("Open {}", person.workspace),
            )),
            None => self
                .app
                .clone()
                .map(|to| way(to, "Back to the application")),
        };
        let sign_in = account.is_none().then(|| {
            way(
                link("/auth/sign-in", &self.parameters),
                "Go to the sign-in page",
            )
        });
        let mut links: Vec<Link> = if self.person.is_some() {
            [again, account, app, sign_in]
                .into_iter()
                .flatten()
                .collect()
        } else {
            [again, account, sign_in, app]
                .into_iter()
                .flatten()
                .collect()
        };
        links.dedup();
        links
    }
}

/// Builds an error response. `again` is the URL of "Try again".
pub fn problem(
    request: &HttpRequest,
    explanation: &ProblemDetails,
    again: Option<&str>,
) -> HttpResponse {
    problem_with(request, explanation, &NextSteps::of_request(request, again))
}

/// Builds an error response with these links.
pub fn problem_with(
    request: &HttpRequest,
    explanation: &ProblemDetails,
    ways: &NextSteps,
) -> HttpResponse {
    response(request, explanation, ways.email(), ways.links(explanation))
}
