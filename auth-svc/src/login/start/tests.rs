use latchkey_domain::{Clock as _, SessionId, SystemClock, UserId, WorkspaceId};
use latchkey_providers::AuthenticationContext;

use super::*;

fn session(subdomain: Option<&str>) -> Session {
    Session {
        id: SessionId::generate(),
        user: UserId::generate(),
        workspace: WorkspaceId::generate(),
        subdomain: subdomain.map(str::to_owned),
        custom_domain: None,
        workspace_name: "Acme".to_owned(),
        email: "ada@acme.example".to_owned(),
        display_name: "Ada".to_owned(),
        is_admin: false,
        expires_at: SystemClock.now(),
        authentication: AuthenticationContext::default(),
    }
}

// R8
#[test]
fn a_start_that_names_another_workspace_or_person_in_any_way_asks_for_another() {
    // Each is left out, names the session's own, or names another's.
    let ways = [None, Some(true), Some(false)];
    for subdomain in [None, Some("acme")] {
        let session = session(subdomain);
        for workspace in ways {
            for label in ways {
                for person in ways {
                    if label == Some(true) && subdomain.is_none() {
                        continue;
                    }
                    let other = WorkspaceId::generate();
                    let named = |own: bool, text: &str| {
                        let text = if own { text } else { "other" };
                        text.to_owned()
                    };
                    let context = Context {
                        workspace: workspace.map(|own| if own { session.workspace } else { other }),
                        subdomain: label.map(|own| named(own, "acme")),
                        login_hint: person.map(|own| named(own, "ada@acme.example")),
                        ..Context::default()
                    };
                    assert_eq!(
                        asks_for_another(&context, &session),
                        [workspace, label, person].contains(&Some(false)),
                        "{workspace:?} {label:?} {person:?}"
                    );
                }
            }
        }
    }
}
