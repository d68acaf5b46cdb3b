//! The layout of all pages.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;

use crate::http::assets::{ICON, STYLESHEET};
use crate::http::icon::{self, Icon};
use crate::http::wording;
use crate::login::redirect::Site;
use crate::state::State;
use crate::store::session::Session;

/// One of the account pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountPage {
    /// `/auth/account`
    Overview,
    /// `/auth/account/connections`
    Connections,
    /// `/auth/account/sessions`
    Sessions,
    /// `/auth/account/members`
    Members,
}

impl AccountPage {
    /// Path of the page.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/auth/account",
            Self::Connections => "/auth/account/connections",
            Self::Sessions => "/auth/account/sessions",
            Self::Members => "/auth/account/members",
        }
    }
}

/// The data that the layout of every page needs.
#[derive(Debug, Clone)]
pub struct Layout {
    /// URL of the stylesheet.
    pub stylesheet: &'static str,
    /// URL of the icon.
    pub icon: &'static str,
    /// Logo of the product.
    pub brand: Icon,
    /// The person who is signed in, on the account pages.
    pub person: Option<Person>,
}

/// The person who is signed in, and the current page.
#[derive(Debug, Clone)]
pub struct Person {
    /// Display name, or the mail address if the person has no display name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Name of the workspace.
    pub workspace: String,
    /// URL of the application.
    pub app: String,
    /// Whether the person is an administrator of the workspace.
    pub is_admin: bool,
    /// The current page.
    place: AccountPage,
}

impl Person {
    /// Returns `true` for the current page, which the navigation marks.
    pub fn is_at(&self, page: &str) -> bool {
        page == match self.place {
            AccountPage::Overview => "overview",
            AccountPage::Connections => "connections",
            AccountPage::Sessions => "sessions",
            AccountPage::Members => "members",
        }
    }
}

impl Layout {
    /// Returns the layout of a page without a signed-in person.
    pub fn plain() -> Self {
        Self {
            stylesheet: STYLESHEET.path.as_str(),
            icon: ICON.path.as_str(),
            brand: icon::BRAND,
            person: None,
        }
    }

    /// Returns the layout of an account page.
    pub fn of(state: &State, session: &Session, place: AccountPage) -> Self {
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

/// Renders a page.
pub fn page(status: StatusCode, page: &impl Template) -> HttpResponse {
    render(&mut HttpResponse::build(status), page)
}

/// Renders a page as the body of a response that already has headers.
pub fn render(response: &mut HttpResponseBuilder, page: &impl Template) -> HttpResponse {
    match page.render() {
        Ok(html) => response.content_type("text/html; charset=utf-8").body(html),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}
