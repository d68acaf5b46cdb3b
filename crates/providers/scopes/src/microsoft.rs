//! Microsoft's scopes.

use std::borrow::Cow;

use latchkey_domain::ProviderName;

use crate::facts::{Facts, Row, Writing};

pub(crate) const FACTS: Facts = Facts {
    provider: ProviderName::MICROSOFT,
    canonical,
    rows: TABLE,
    writing: Writing {
        change_mail: &["mail.readwrite"],
        send_mail: &["mail.send"],
        change_events: &["calendars.readwrite"],
        read_events: &[],
    },
};

/// Hosts of Microsoft Graph in each cloud
/// (<https://learn.microsoft.com/graph/deployments#microsoft-graph-and-graph-explorer-service-root-endpoints>).
const GRAPH: &[&str] = &[
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];

/// The resource and the permission of a scope that begins with a resource.
fn parts(scope: &str) -> Option<(&str, &str)> {
    let (resource, permission) = scope.rsplit_once('/')?;
    let known = ["https://", "api://"].iter().any(|scheme| {
        resource
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    known.then_some((resource, permission))
}

fn is_graph(resource: &str) -> bool {
    let host = resource
        .split_once("://")
        .map_or(resource, |(_, host)| host);
    let host = host.trim_end_matches('/');
    GRAPH.iter().any(|graph| graph.eq_ignore_ascii_case(host))
}

/// The scope without the address of Microsoft Graph.
pub(crate) fn short(scope: &str) -> &str {
    match parts(scope) {
        Some((resource, permission)) if is_graph(resource) => permission,
        _ => scope,
    }
}

/// The resource of a scope. `None` for Microsoft Graph.
pub(crate) fn resource(scope: &str) -> Option<&str> {
    let (resource, _) = parts(scope)?;
    (!is_graph(resource)).then_some(resource)
}

/// The scope in lower case, without the address of Microsoft Graph. A scope without a
/// resource is one of Graph, and Entra ignores the case of scopes
/// (<https://learn.microsoft.com/entra/identity-platform/scopes-oidc>).
fn canonical(scope: &str) -> Cow<'_, str> {
    let short = short(scope);
    if short.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(short.to_ascii_lowercase())
    } else {
        Cow::Borrowed(short)
    }
}

/// The descriptions of permissions say what else each one allows.
const GRAPH_PERMISSIONS: &str = "https://learn.microsoft.com/graph/permissions-reference";
/// Each method documents its least privileged permission and the higher ones.
const MESSAGES: &str = "https://learn.microsoft.com/graph/api/user-list-messages#permissions";
const EVENTS: &str = "https://learn.microsoft.com/graph/api/user-list-events#permissions";
const USER: &str = "https://learn.microsoft.com/graph/api/user-get#permissions";
const FILES: &str = "https://learn.microsoft.com/graph/api/driveitem-get#permissions";
const CONTACTS: &str = "https://learn.microsoft.com/graph/api/user-list-contacts#permissions";
const TASKS: &str = "https://learn.microsoft.com/graph/api/todo-list-lists#permissions";
const SETTINGS: &str = "https://learn.microsoft.com/graph/api/user-get-mailboxsettings#permissions";

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("Mail.ReadWrite", &["Mail.Read"], MESSAGES),
    ("Mail.Read", &["Mail.ReadBasic"], MESSAGES),
    ("Mail.ReadWrite.Shared", &["Mail.Read.Shared", "Mail.ReadWrite"], GRAPH_PERMISSIONS),
    ("Mail.Read.Shared", &["Mail.ReadBasic.Shared", "Mail.Read"], GRAPH_PERMISSIONS),
    ("Mail.ReadBasic.Shared", &["Mail.ReadBasic"], GRAPH_PERMISSIONS),
    ("Mail.Send.Shared", &["Mail.Send"], GRAPH_PERMISSIONS),
    ("MailboxSettings.ReadWrite", &["MailboxSettings.Read"], SETTINGS),
    ("Calendars.ReadWrite", &["Calendars.Read"], EVENTS),
    ("Calendars.Read", &["Calendars.ReadBasic"], EVENTS),
    ("Calendars.ReadWrite.Shared", &["Calendars.Read.Shared", "Calendars.ReadWrite"], GRAPH_PERMISSIONS),
    ("Calendars.Read.Shared", &["Calendars.Read"], GRAPH_PERMISSIONS),
    ("Contacts.ReadWrite", &["Contacts.Read"], CONTACTS),
    ("Contacts.ReadWrite.Shared", &["Contacts.Read.Shared", "Contacts.ReadWrite"], GRAPH_PERMISSIONS),
    ("Contacts.Read.Shared", &["Contacts.Read"], GRAPH_PERMISSIONS),
    ("User.ReadWrite", &["User.Read"], USER),
    ("User.ReadWrite.All", &["User.Read.All", "User.ReadWrite"], USER),
    ("User.Read.All", &["User.ReadBasic.All", "User.Read"], USER),
    ("Files.ReadWrite.All", &["Files.Read.All", "Files.ReadWrite"], FILES),
    ("Files.Read.All", &["Files.Read"], FILES),
    ("Files.ReadWrite", &["Files.Read"], FILES),
    ("Tasks.ReadWrite", &["Tasks.Read"], TASKS),
];
