//! The sessions of people at Keycloak, as an administrator sees and ends them.

use reqwest::Method;
use serde_json::Value;

use super::{Keycloak, SessionKind};

impl Keycloak {
    /// Returns the ids of the person's sessions.
    pub(in crate::providers) async fn sessions(
        &self,
        login: &str,
        kind: SessionKind,
    ) -> anyhow::Result<Vec<String>> {
        let person = self.person(login).await?;
        let path = match kind {
            SessionKind::Online => self.path(&format!("/users/{person}/sessions")),
            SessionKind::Offline => {
                let client = self.client_uuid().await?;
                self.path(&format!("/users/{person}/offline-sessions/{client}"))
            }
        };
        let sessions: Vec<Value> = self.admin(Method::GET, &path, None).await?.json().await?;
        let ids = sessions.iter().filter_map(|session| session.get("id"));
        Ok(ids.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Signs the person out as an administrator does on the person's page.
    pub(in crate::providers) async fn sign_out(&self, login: &str) -> anyhow::Result<()> {
        let person = self.person(login).await?;
        let path = self.path(&format!("/users/{person}/logout"));
        self.admin(Method::POST, &path, None).await?;
        Ok(())
    }

    /// Ends one session as an administrator.
    pub(in crate::providers) async fn end_session(
        &self,
        session: &str,
        kind: SessionKind,
    ) -> anyhow::Result<()> {
        let is_offline = kind == SessionKind::Offline;
        let path = self.path(&format!("/sessions/{session}?isOffline={is_offline}"));
        self.admin(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Ends every session of the person as an administrator.
    pub(in crate::providers) async fn log_out(&self, login: &str) -> anyhow::Result<()> {
        self.sign_out(login).await?;
        for session in self.sessions(login, SessionKind::Offline).await? {
            self.end_session(&session, SessionKind::Offline).await?;
        }
        Ok(())
    }
}
