//! The contents of the review page, which are determined for the page and again for its
//! button.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use latchkey_domain::{SessionId, WorkspaceId};
use latchkey_providers::{Access, Provider, Purpose};

use crate::http::icon::{self, Icon};
use crate::http::layout::{AccountPage, Layout, page};
use crate::http::links::link;
use crate::http::query::Query;
use crate::http::wording::{self, Permission};
use crate::login::context::{CalendarVisibility, Context, MessageVisibility};
use crate::login::described_workspace::{Described, describe};
use crate::login::destination::other_origin;
use crate::login::domain_policy::Invitation;
use crate::login::form::{SEEN, digest_of, error_response};
use crate::login::notice::notice;
use crate::login::parameters::context_of;
use crate::login::redirect::{ReturnLocation, ReturnRefused, Site};
use crate::login::sign_in_link::{address, sign_in_first};
use crate::login::start::StartError;
use crate::login::start_parameter::{
    CALENDAR_VISIBILITY, CODE_CHALLENGE, MESSAGE_VISIBILITY, PURPOSE, RECONNECT, RETURN_TO, carried,
};
use crate::session::lookup;
use crate::state::State;
use crate::store::session::Session;
use crate::store::workspace::Workspace;

/// The situation in which the page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    /// The person wants to connect an account or to join.
    Review,
    /// The person has just signed in by a link, and nothing is connected yet.
    Welcome {
        /// Whether the person became a member by this sign-in.
        joined: bool,
    },
}

/// What the person is asked to agree to.
pub(crate) struct Review {
    pub(crate) provider: Arc<Provider>,
    purpose: Purpose,
    pub(crate) session: Option<Session>,
    kind: PageKind,
    context: Context,
    described: Described,
    carried: Vec<(String, String)>,
    reconnect: bool,
    elsewhere: Option<String>,
    shell: Layout,
    back: &'static str,
}

#[derive(Template)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one part of the page, there or not"
)]
#[template(path = "review.html")]
struct ReviewPage<'a> {
    shell: Layout,
    mail_icon: Icon,
    calendar_icon: Icon,
    person_icon: Icon,
    shield_icon: Icon,
    alert_icon: Icon,
    label: &'a str,
    connect: bool,
    welcome: bool,
    joined: bool,
    invited: bool,
    changed: bool,
    workspace: Option<&'a str>,
    signed_in: Option<&'a str>,
    elsewhere_workspace: Option<&'a str>,
    account: Option<&'a str>,
    notice: Option<String>,
    elsewhere: Option<&'a str>,
    permissions: Vec<Permission>,
    by_domain: bool,
    scopes: Vec<String>,
    action: String,
    hidden: Vec<(String, String)>,
    hand_over: Vec<(String, String)>,
    mail: bool,
    calendar: bool,
    keep: bool,
    message_visibility: &'static str,
    calendar_visibility: &'static str,
    back: &'static str,
    may_continue: bool,
}

/// Returns the purpose in a query or form.
fn purpose_of(query: &Query) -> Purpose {
    if query.of(&PURPOSE) == Some("connect") {
        Purpose::Connect
    } else {
        Purpose::SignIn
    }
}

impl Review {
    /// Determines what a query or form asks for.
    ///
    /// # Errors
    /// Returns an error response if a parameter is invalid, or a redirect to the sign-in
    /// page if connecting needs a session.
    pub(crate) async fn of(
        state: &State,
        request: &HttpRequest,
        provider: Arc<Provider>,
        query: &Query,
        kind: PageKind,
    ) -> Result<Self, HttpResponse> {
        let refuse = |error: StartError| error_response(request, &error);
        let mut context =
            context_of(query, &state.config.returns).map_err(|error| refuse(error.into()))?;
        let session = lookup::current(state, request)
            .await
            .map_err(|error| refuse(error.into()))?;
        let purpose = if kind == PageKind::Review {
            purpose_of(query)
        } else {
            Purpose::Connect
        };
        let mut carried = carried(query);
        let (described, shell) = match (purpose, &session) {
            (Purpose::Connect, None) => {
                carried.push((PURPOSE.name.to_owned(), "connect".to_owned()));
                let here = link(&format!("/auth/review/{}", provider.name()), &carried);
                return Err(sign_in_first(state, &here));
            }
            (Purpose::Connect, Some(session)) => {
                // Connecting always uses this session, whatever the link says.
                context = Context {
                    return_to: context.return_to,
                    login_hint: context.login_hint,
                    hosted_domain: context.hosted_domain,
                    locale: context.locale,
                    code_challenge: context.code_challenge,
                    message_visibility: context.message_visibility,
                    calendar_visibility: context.calendar_visibility,
                    workspace: Some(session.workspace),
                    ..Context::default()
                };
                let shell = match kind {
                    PageKind::Review => Layout::of(state, session, AccountPage::Connections),
                    PageKind::Welcome { .. } => Layout::plain(),
                };
                (Described::default(), shell)
            }
            (Purpose::SignIn, _) => {
                let unnamed = context.workspace.is_none()
                    && context.subdomain.is_none()
                    && !context.is_invited();
                if let Some(session) = session.as_ref().filter(|_| unnamed) {
                    // A person who is signed in stays in their workspace.
                    context.workspace = Some(session.workspace);
                }
                let described = describe(&state.pool, &context)
                    .await
                    .map_err(|error| refuse(error.into()))?;
                if let Some(workspace) = &described.workspace {
                    // The sign-in uses the workspace that the page names.
                    context.workspace = Some(workspace.id);
                }
                (described, Layout::plain())
            }
        };
        if purpose == Purpose::Connect
            && context.return_to.is_none()
            && let Ok(back) = back(state, kind, session.as_ref())
        {
            carried.push((RETURN_TO.name.to_owned(), back.to_string()));
            context.return_to = Some(back);
        }
        let site = match (purpose, &session) {
            (Purpose::Connect, Some(session)) => Some(Site::from(session)),
            _ => described.workspace.as_ref().map(Site::from),
        };
        Ok(Self {
            elsewhere: other_origin(state, &context, site),
            provider,
            purpose,
            kind,
            described,
            carried,
            reconnect: query.of(&RECONNECT).is_some(),
            shell,
            back: if purpose == Purpose::Connect {
                "/auth/account/connections"
            } else {
                "/auth/sign-in"
            },
            context,
            session,
        })
    }

    /// Returns a digest of what the page shows and its button starts.
    pub(crate) fn digest(&self) -> String {
        let session = self.session.as_ref().map(|session| session.id.to_string());
        let workspace = self.workspace_id().map(|id| id.to_string());
        let context = &self.context;
        digest_of(&[
            if self.connects() {
                "connect"
            } else {
                "sign in"
            },
            self.provider.name().as_str(),
            session.as_deref().unwrap_or_default(),
            workspace.as_deref().unwrap_or_default(),
            self.workspace_name().unwrap_or_default(),
            context.login_hint.as_deref().unwrap_or_default(),
            self.described.invited.as_deref().unwrap_or_default(),
            self.elsewhere.as_deref().unwrap_or_default(),
            if self.may_continue() {
                "open"
            } else {
                "closed"
            },
        ])
    }

    /// Returns `true` if the person can continue: an invitation has to be valid, and a named
    /// workspace has to exist.
    pub(super) fn may_continue(&self) -> bool {
        let named = self.context.workspace.is_some() || self.context.subdomain.is_some();
        match self.described.invitation {
            Invitation::Usable => true,
            Invitation::Absent => self.connects() || !named || self.workspace().is_some(),
            _ => false,
        }
    }

    fn connects(&self) -> bool {
        self.purpose == Purpose::Connect
    }

    fn workspace(&self) -> Option<&Workspace> {
        self.described.workspace.as_ref()
    }

    /// Returns the workspace that the page names.
    pub(super) fn workspace_id(&self) -> Option<WorkspaceId> {
        match (&self.session, self.purpose) {
            (Some(session), Purpose::Connect) => Some(session.workspace),
            _ => self.workspace().map(|workspace| workspace.id),
        }
    }

    fn workspace_name(&self) -> Option<&str> {
        match (&self.session, self.purpose) {
            (Some(session), Purpose::Connect) => Some(&session.workspace_name),
            _ => self.workspace().map(|workspace| workspace.name.as_str()),
        }
    }

    /// Returns the session that the account is connected for, or `None` for a sign-in.
    pub(super) fn connects_for(&self) -> Option<SessionId> {
        match (self.purpose, &self.session) {
            (Purpose::Connect, Some(session)) => Some(session.id),
            _ => None,
        }
    }

    /// Returns the context of the flow.
    pub(super) fn into_context(self) -> Context {
        self.context
    }

    /// Returns the fields of the form that hands the session over to the return location.
    fn hand_over(&self) -> Vec<(String, String)> {
        let Some(session) = &self.session else {
            return Vec::new();
        };
        let mut fields = self.carried.clone();
        fields.retain(|(name, _)| [RETURN_TO.name, CODE_CHALLENGE.name].contains(&name.as_str()));
        fields.push((SEEN.to_owned(), digest_of(&[&session.id.to_string()])));
        fields
    }

    /// Renders the page. `changed` tells the person that something changed since the last
    /// time.
    pub(crate) fn page(&self, status: StatusCode, changed: bool) -> HttpResponse {
        let connect = self.connects();
        let scopes = self.provider.wanted_scopes(self.purpose);
        let data = self.provider.asks_for_data(self.purpose);
        let access = self.provider.access(&scopes);
        let mail = data && access.messages != Access::NotWanted;
        let calendar = data && access.calendar != Access::NotWanted;
        // Visibilities can be chosen only if the workspace is known.
        let chooses = self.workspace_id().is_some();
        let mut hidden = self.carried.clone();
        hidden.retain(|(name, _)| {
            ![MESSAGE_VISIBILITY.name, CALENDAR_VISIBILITY.name].contains(&name.as_str())
        });
        if connect {
            hidden.push((PURPOSE.name.to_owned(), "connect".to_owned()));
        }
        hidden.push((SEEN.to_owned(), self.digest()));
        let welcome = matches!(self.kind, PageKind::Welcome { .. });
        let invited = self.described.invitation == Invitation::Usable;
        // The visibility of an account that may be connected already has no default.
        let keep = !welcome && (self.reconnect || (connect && self.context.login_hint.is_some()));
        let unchosen = if keep { "" } else { "SHARE_EVERYTHING" };
        let person = self.session.as_ref();
        page(
            status,
            &ReviewPage {
                mail_icon: icon::MAIL,
                calendar_icon: icon::CALENDAR,
                person_icon: icon::PERSON,
                shield_icon: icon::SHIELD,
                alert_icon: icon::ALERT,
                label: self.provider.label(),
                connect,
                welcome,
                joined: self.kind == PageKind::Welcome { joined: true },
                invited,
                changed,
                workspace: self.workspace_name(),
                signed_in: person.map(|session| session.email.as_str()),
                elsewhere_workspace: person
                    .filter(|session| Some(session.workspace) != self.workspace_id())
                    .map(|session| session.workspace_name.as_str()),
                account: self
                    .described
                    .invited
                    .as_deref()
                    .or(self.context.login_hint.as_deref()),
                // The notice is about the workspace of a link; connecting uses the session's.
                notice: notice(&self.described, &self.context)
                    .filter(|notice| notice.bad && !connect)
                    .map(|notice| notice.text),
                elsewhere: self.elsewhere.as_deref(),
                permissions: wording::permissions(&scopes, mail, calendar),
                by_domain: data && !connect && !connects_everybody(&self.provider),
                scopes: scopes.iter().map(str::to_owned).collect(),
                action: format!("/auth/review/{}/continue", self.provider.name()),
                hidden,
                hand_over: if welcome {
                    self.hand_over()
                } else {
                    Vec::new()
                },
                mail: mail && chooses,
                calendar: calendar && chooses,
                keep,
                message_visibility: match self.context.message_visibility {
                    Some(MessageVisibility::Metadata) => "METADATA",
                    Some(MessageVisibility::Subject) => "SUBJECT",
                    Some(MessageVisibility::ShareEverything) => "SHARE_EVERYTHING",
                    None => unchosen,
                },
                calendar_visibility: match self.context.calendar_visibility {
                    Some(CalendarVisibility::Metadata) => "METADATA",
                    Some(CalendarVisibility::ShareEverything) => "SHARE_EVERYTHING",
                    None => unchosen,
                },
                back: self.back,
                may_continue: self.may_continue(),
                shell: self.shell.clone(),
            },
        )
    }
}

/// Returns the default return location after connecting: the list of connections, or the
/// application if the person has just joined.
fn back(
    state: &State,
    kind: PageKind,
    session: Option<&Session>,
) -> Result<ReturnLocation, ReturnRefused> {
    let returns = &state.config.returns;
    match (kind, session) {
        (PageKind::Welcome { .. }, Some(session)) => {
            returns.accept(returns.destination(None, session).as_str())
        }
        _ => returns.accept(&address(state, AccountPage::Connections)),
    }
}

/// Returns `true` if the connection does not depend on the person's domain (R13).
fn connects_everybody(provider: &Provider) -> bool {
    // A domain that nobody can have is connected only if all domains are.
    provider.auto_connect("nobody.invalid")
}
