//! The parameters of a sign-in, for the description of the surface. They are
//! read by `parameters.rs` and `query.rs`, which take no parameter twice.

#![expect(dead_code, reason = "described, not read")]

use utoipa::IntoParams;
use uuid::Uuid;

/// What a sign-in or a connection may be started with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
pub(crate) struct StartParameters {
    /// Workspace by its id.
    workspace_id: Option<Uuid>,
    /// Workspace by the first label of its host.
    workspace_subdomain: Option<String>,
    /// Token of a public invitation.
    workspace_invite_hash: Option<String>,
    /// Token of a personal invitation.
    workspace_personal_invite_token: Option<String>,
    /// Where to go afterwards: a path of the app, or a URL on a known origin.
    return_to: Option<String>,
    /// The same, by the name that connections know it.
    redirect_location: Option<String>,
    /// Domain that the person is expected to choose.
    hosted_domain: Option<String>,
    /// Address that the person is expected to choose.
    login_hint: Option<String>,
    /// Language tag.
    locale: Option<String>,
    /// `consent` asks for consent again; any value goes round also where somebody is signed in.
    prompt: Option<String>,
    /// METADATA, SUBJECT or SHARE_EVERYTHING.
    message_visibility: Option<String>,
    /// METADATA or SHARE_EVERYTHING.
    calendar_visibility: Option<String>,
}

/// What a provider answers with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackParameters {
    /// Names the flow, whose cookie this browser has to have.
    state: Option<String>,
    /// Code to exchange.
    code: Option<String>,
    /// Issuer of the answer (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}
