//! The sign-in page, and the overview of who is signed in.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use latchkey_domain::ProviderName;

use super::form::{SEEN, fields_of, seen};
use super::icon::{self, Icon};
use super::layout::{Place, Shell, page};
use super::leaving::leave;
use super::onwards::elsewhere;
use super::provider::{Button, buttons, link};
use super::review::refused;
use super::{not_found, words};
use crate::app::State;
use crate::http::description::Problem;
use crate::http::routes::Routes;
use crate::login::authorize::{
    asks_for_another, is_challenged_by_another, send_home, set_out, to_public_host,
};
use crate::login::deliberate::{Deliberate, Page};
use crate::login::domain_policy::Invitation;
use crate::login::flow::{Context, Purpose};
use crate::login::found;
use crate::login::parameters::context_of;
use crate::login::query::Query;
use crate::login::redirect::Site;
use crate::login::start_parameter::{PROMPT, RECONNECT, RETURN_TO, StartParameters, carried};
use crate::neighbours::NeighbourError;
use crate::session;
use crate::store::session::Session;
use crate::store::workspace::{self, Described};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    workspace: Option<String>,
    invitation: Option<Notice>,
    invited: bool,
    /// The buttons lead to the page that asks: there is something to choose.
    asks: bool,
    connects: bool,
    elsewhere: Option<String>,
    hidden: Vec<(String, String)>,
    providers: Vec<Button>,
}

/// What is to be known of the link that led here.
pub(super) struct Notice {
    /// The link does not work.
    pub(super) bad: bool,
    icon: Icon,
    /// What.
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    connections: &'static str,
    attention: Option<&'static str>,
    connections_icon: Icon,
    sessions_icon: Icon,
}

/// Adds the routes.
pub(super) fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_home, home);
    routes.add(__path_sign_in, sign_in);
    routes.add_slow(__path_go_on, go_on);
    routes.add(__path_overview, overview);
}

/// The start page: how to sign in, or who is.
///
/// Who is signed in and says where to go, goes on there.
#[utoipa::path(get, path = "/", tag = "pages", operation_id = "page_home", params(StartParameters),
    responses((status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn home(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    door(&state, &request).await
}

/// The same where `/` is the app's.
#[utoipa::path(get, path = "/auth/sign-in", tag = "pages", operation_id = "page_sign_in", params(StartParameters), responses(
    (status = 302, description = "On to where the request says, for who is signed in"),
    (status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn sign_in(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    door(&state, &request).await
}

/// On to the provider, by a button of the sign-in page. The page named the
/// workspace and what is connected, so who joins by it is connected at once.
#[utoipa::path(post, path = "/auth/sign-in/{provider}", tag = "pages", operation_id = "page_sign_in_leave", request_body(content = String, content_type = "application/x-www-form-urlencoded"), params(("provider" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The page that goes on to the provider", content_type = "text/html", body = String),
    (status = 400, description = "A parameter is not taken", body = Problem),
    (status = 403, description = "Anything but the page's own form asks", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem),
    (status = 409, description = "Something changed since the page was shown: it is shown again", content_type = "text/html", body = String),
    (status = 503, description = "The provider or the database is away", body = Problem)))]
async fn go_on(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let provider = name
        .parse::<ProviderName>()
        .ok()
        .and_then(|name| state.providers.get(&name));
    let Some(provider) = provider else {
        return not_found(request).await;
    };
    let (fields, context) = match fields_of(&state, &request, &body) {
        Ok(asked) => asked,
        Err(error) => return error.answer(&request),
    };
    // Who sees what, and an invitation, are asked on the review page.
    let mut context = context.without_choices();
    let described = described(&state, &context).await;
    if fields.get(SEEN) != Some(&shown(&state, &context, &described)) {
        return sign_in_page(&state, StatusCode::CONFLICT, &fields, &context, described);
    }
    let named = described.workspace.map(|workspace| workspace.id);
    context.workspace = named.or(context.workspace);
    let started = set_out(
        &state,
        &request,
        &provider,
        Purpose::SignIn,
        context,
        Some(Deliberate::on(Page::SignIn, named, state.clock.now())),
        fields.of(&PROMPT) == Some("consent"),
    )
    .await;
    match started {
        Ok(departure) => leave(provider.label(), &departure.to, departure.cookies),
        Err(error) => refused(&request, &error),
    }
}

async fn door(state: &State, request: &HttpRequest) -> HttpResponse {
    let query = Query::parse(request.query_string()).unwrap_or_default();
    if let Some(there) = to_public_host(state, request, &query) {
        return found(&there).finish();
    }
    let context = context_of(&query, &state.config.returns).unwrap_or_default();
    // Whoever follows an invitation wants in, signed in elsewhere or not.
    if !context.is_invited()
        && let Some(session) = known(state, request).await
    {
        if context.return_to.is_none() && context.code_challenge.is_none() {
            return overview_of(state, &session).await;
        }
        // A front end that sends its people here gets them back, as from a start.
        let another = asks_for_another(&context, &session) || query.of(&PROMPT).is_some();
        if !another && !is_challenged_by_another(state, request, &context) {
            let bearer = session.bearer();
            return send_home(state, &bearer, &context, &session).await.finish();
        }
    }
    let described = described(state, &context).await;
    sign_in_page(state, StatusCode::OK, &query, &context, described)
}

async fn described(state: &State, context: &Context) -> Described {
    match workspace::describe(&state.pool, context).await {
        Ok(described) => described,
        Err(error) => {
            // The buttons are worth showing without the name.
            tracing::warn!(%error, "the workspace was not looked up");
            Described::default()
        }
    }
}

/// What the page shows of where its buttons lead, in short.
fn shown(state: &State, context: &Context, described: &Described) -> String {
    let workspace = described.workspace.as_ref();
    let id = workspace.map(|workspace| workspace.id.to_string());
    let elsewhere = elsewhere(state, context, workspace.map(Site::from));
    seen(&[
        id.as_deref().unwrap_or_default(),
        workspace.map_or("", |workspace| &workspace.name),
        elsewhere.as_deref().unwrap_or_default(),
    ])
}

fn sign_in_page(
    state: &State,
    status: StatusCode,
    query: &Query,
    context: &Context,
    described: Described,
) -> HttpResponse {
    let carried = carried(query);
    let providers = buttons(state.providers.iter(), &carried);
    let mut hidden = carried;
    hidden.push((SEEN.to_owned(), shown(state, context, &described)));
    page(
        status,
        &SignInPage {
            shell: Shell::plain(),
            invited: described.invitation == Invitation::Usable,
            asks: described.invitation == Invitation::Usable
                || context.message_visibility.is_some()
                || context.calendar_visibility.is_some()
                || query.of(&RECONNECT).is_some(),
            invitation: notice(&described, context),
            elsewhere: elsewhere(state, context, described.workspace.as_ref().map(Site::from)),
            workspace: described.workspace.map(|workspace| workspace.name),
            connects: providers.iter().any(|provider| provider.connects),
            hidden,
            providers,
        },
    )
}

/// Who is signed in.
#[utoipa::path(get, path = "/auth/account", tag = "pages", operation_id = "page_account", responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page where nobody is signed in")))]
async fn overview(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match known(&state, &request).await {
        Some(session) => overview_of(&state, &session).await,
        None => to_sign_in(&state, Place::Overview),
    }
}

async fn overview_of(state: &State, session: &Session) -> HttpResponse {
    let (connections, attention) = match state.neighbours.accounts_of(session).await {
        Ok(accounts) => {
            let attention = accounts.iter().any(words::needs_the_person);
            let waiting = accounts
                .iter()
                .any(|account| account.channels.iter().any(words::waits));
            (
                match accounts.len() {
                    0 => "No account is connected yet.",
                    1 => "One account is connected.",
                    _ => "Several accounts are connected.",
                },
                if attention {
                    Some("Needs your attention")
                } else if waiting {
                    Some("Ready to start")
                } else {
                    None
                },
            )
        }
        Err(error) => {
            if !matches!(error, NeighbourError::NotConfigured) {
                tracing::warn!(%error, "the accounts were not read");
            }
            ("Mail and calendar accounts, and how they are doing.", None)
        }
    };
    page(
        StatusCode::OK,
        &OverviewPage {
            shell: Shell::of(state, session, Place::Overview),
            connections,
            attention,
            connections_icon: icon::MAIL,
            sessions_icon: icon::DEVICE,
        },
    )
}

/// The session; none where the database is away.
async fn known(state: &State, request: &HttpRequest) -> Option<Session> {
    match session::current(state, request).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "the session was not looked up");
            None
        }
    }
}

/// To the sign-in page, and from there to a page of this service.
pub(super) fn sign_in_first(state: &State, path: &str) -> HttpResponse {
    let back = format!("{}{path}", state.config.public_origin);
    if state.config.returns.accept(&back).is_err() {
        return to_sign_in(state, Place::Connections);
    }
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link("/auth/sign-in", &[(RETURN_TO.name, back)])))
        .finish()
}

/// To the sign-in page, and back from there.
pub fn to_sign_in(state: &State, place: Place) -> HttpResponse {
    let back = address(state, place);
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link("/auth/sign-in", &[(RETURN_TO.name, back)])))
        .finish()
}

/// Address of an account page, whole: a path alone would be the app's.
pub fn address(state: &State, place: Place) -> String {
    format!("{}{}", state.config.public_origin, place.path())
}

pub(super) fn notice(described: &Described, context: &Context) -> Option<Notice> {
    let bad = |text: &str| {
        Some(Notice {
            bad: true,
            icon: icon::ALERT,
            text: text.to_owned(),
        })
    };
    match described.invitation {
        Invitation::Absent if described.workspace.is_none() => {
            let named = context.workspace.is_some() || context.subdomain.is_some();
            if named {
                bad("There is no workspace at this address. Please check the link.")
            } else {
                None
            }
        }
        Invitation::Absent => None,
        Invitation::Usable => described.invited.as_ref().map(|email| Notice {
            bad: false,
            icon: icon::MAIL,
            text: format!(
                "Your invitation is for {}. Choose that account.",
                words::address(email)
            ),
        }),
        Invitation::Expired => bad("This invitation has expired. Please ask for a new one."),
        Invitation::Used => bad(
            "This invitation was used already. If it was you, just sign in; otherwise ask for a \
             new one.",
        ),
        Invitation::SwitchedOff | Invitation::Revoked | Invitation::ForSomeoneElse => {
            bad("This invitation link does not work any more. Please ask for a new one.")
        }
    }
}
