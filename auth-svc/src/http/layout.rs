//! What every page has around it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::http::assets::{ICON, STYLESHEET};
use crate::http::icon::{self, Icon};
use crate::http::wording;
use crate::login::redirect::Site;
use crate::state::State;
use crate::store::session::Session;

/// A room of the account pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/auth/account`
    Overview,
    /// `/auth/account/connections`
    Connections,
    /// `/auth/account/sessions`
    Sessions,
    /// `/auth/account/members`
    Members,
}

impl Place {
    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/auth/account",
            Self::Connections => "/auth/account/connections",
            Self::Sessions => "/auth/account/sessions",
            Self::Members => "/auth/account/members",
        }
    }
}

/// What every page has around it.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Address of the stylesheet.
    pub stylesheet: &'static str,
    /// Address of the tab's icon.
    pub icon: &'static str,
    /// The product's sign.
    pub brand: Icon,
    /// Who is signed in, on the account pages.
    pub person: Option<Person>,
}

/// Who is signed in, and where they are.
#[derive(Debug, Clone)]
pub struct Person {
    /// Name, or the address where there is none.
    pub name: String,
    /// Address.
    pub email: String,
    /// Workspace.
    pub workspace: String,
    /// Where the app is.
    pub app: String,
    /// Whether the person administers the workspace.
    pub is_admin: bool,
    /// Which room.
    place: Place,
}

impl Person {
    /// For `aria-current` of the navigation.
    pub fn is_at(&self, room: &str) -> bool {
        room == match self.place {
            Place::Overview => "overview",
            Place::Connections => "connections",
            Place::Sessions => "sessions",
            Place::Members => "members",
        }
    }
}

impl Shell {
    /// A page for whoever comes.
    pub fn plain() -> Self {
        Self {
            stylesheet: STYLESHEET.path.as_str(),
            icon: ICON.path.as_str(),
            brand: icon::BRAND,
            person: None,
        }
    }

    /// A page of a person's account.
    pub fn of(state: &State, session: &Session, place: Place) -> Self {
        let named = !session.display_name.trim().is_empty();
        Self {
            person: Some(Person {
                name: if named {
                    session.display_name.clone()
                } else {
                    wording::address(&session.email)
                },
                email: wording::address(&session.email),
                workspace: session.workspace_name.clone(),
                app: state
                    .config
                    .returns
                    .destination(None, Site::from(session))
                    .to_string(),
                is_admin: session.is_admin,
                place,
            }),
            ..Self::plain()
        }
    }
}

/// A rendered page.
pub fn page(status: StatusCode, page: &impl Template) -> HttpResponse {
    render(&mut HttpResponse::build(status), page)
}

/// A rendered page as the body of an answer.
pub fn render(response: &mut HttpResponseBuilder, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => response.content_type("text/html; charset=utf-8").body(html),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}
