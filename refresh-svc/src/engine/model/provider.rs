//! A strict OpenID provider that follows a script.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How the provider handles a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Handles it normally.
    Serve,
    /// Handles it, and the answer is lost.
    ServeAndLoseAnswer,
    /// Handles it, and the answer is unreadable.
    ServeUnreadably,
    /// Does nothing, and a proxy answers unreadably.
    AnswerUnreadably,
    /// Does nothing: the request is lost.
    Lose,
    /// Does nothing: it is down.
    BeDown,
    /// The person revokes the grant.
    TakeBack,
}

pub(super) fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        12 => Just(Behaviour::Serve),
        2 => Just(Behaviour::ServeAndLoseAnswer),
        1 => Just(Behaviour::ServeUnreadably),
        1 => Just(Behaviour::AnswerUnreadably),
        2 => Just(Behaviour::Lose),
        2 => Just(Behaviour::BeDown),
        1 => Just(Behaviour::TakeBack),
    ]
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// New tokens were sent to the process.
    Issued,
    /// The process cannot know what happened.
    Unknown,
    /// Answered with success but without tokens.
    Unreadable,
    /// Nothing was issued, and the answer says so.
    Refused,
}

#[derive(Debug)]
struct Request {
    /// The process that sent it.
    process: String,
    end: Option<End>,
}

#[derive(Debug, Default)]
struct Family {
    /// The only valid token.
    newest: String,
    alive: bool,
    /// Tokens were issued that no living process received.
    lost: bool,
}

#[derive(Debug)]
enum Asked {
    Refresh { token: String, number: usize },
    Revoke { token: String },
}

#[derive(Debug)]
struct Pending {
    asked: Asked,
    answer: oneshot::Sender<Option<(u16, String)>>,
}

#[derive(Debug, Default)]
struct State {
    families: HashMap<Uuid, Family>,
    /// Family of each issued token.
    of: HashMap<String, Uuid>,
    requests: HashMap<String, Vec<Request>>,
    pending: VecDeque<Pending>,
    /// Killed processes.
    dead: HashSet<String>,
    violations: Vec<String>,
    refreshes: u64,
    revocations: u64,
}

/// The provider.
#[derive(Debug, Clone)]
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Scripted {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let serving = scripted.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(socket).await });
            }
        });
        scripted
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a grant and returns its first refresh token.
    pub(super) fn sign_in(&self) -> String {
        let mut state = self.state();
        let (family, token) = (Uuid::now_v7(), format!("refresh-{}", Uuid::now_v7()));
        state.of.insert(token.clone(), family);
        let newest = Family {
            newest: token.clone(),
            alive: true,
            lost: false,
        };
        state.families.insert(family, newest);
        token
    }

    /// Records that a process was killed. If the provider's newest token is not the
    /// stored one, it is lost.
    pub(super) fn killed(&self, process: &str, stored: Option<&str>) {
        let mut state = self.state();
        let state = &mut *state;
        state.dead.insert(process.to_owned());
        if let Some(stored) = stored
            && let Some(family) = state.families.get_mut(&state.of[stored])
        {
            family.lost |= family.newest != stored;
        }
    }

    /// Handles the request that waits longest.
    pub(super) fn act(&self, behaviour: Behaviour) -> bool {
        let mut state = self.state();
        let Some(Pending { asked, answer }) = state.pending.pop_front() else {
            return false;
        };
        let reply = match asked {
            Asked::Refresh { token, number } => state.refresh(&token, number, behaviour),
            Asked::Revoke { token } => state.revoke(&token, behaviour),
        };
        drop(state);
        // The process may have been killed.
        let _ = answer.send(reply);
        true
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().pending.is_empty()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.refreshes, state.revocations)
    }

    /// Returns `true` if this token is valid.
    pub(super) fn works(&self, token: &str) -> bool {
        let state = self.state();
        let family = &state.families[&state.of[token]];
        family.alive && family.newest == token
    }

    /// Returns `true` if the grant of this token is alive.
    pub(super) fn lives(&self, token: &str) -> bool {
        let state = self.state();
        state.families[&state.of[token]].alive
    }

    /// Returns `true` if tokens of the same grant were issued and lost.
    pub(super) fn lost(&self, token: &str) -> bool {
        let state = self.state();
        state.families[&state.of[token]].lost
    }

    /// Returns `true` if the token was answered twice with success but without tokens.
    /// It may have been used up, and it is not sent a third time (decision 0010).
    pub(super) fn given_up(&self, token: &str) -> bool {
        let state = self.state();
        let requests = state.requests.get(token).into_iter().flatten();
        let unreadable = requests.filter(|request| request.end == Some(End::Unreadable));
        unreadable.count() > 1
    }

    /// Returns `true` if both tokens belong to one grant.
    pub(super) fn same_grant(&self, one: &str, other: &str) -> bool {
        let state = self.state();
        state.of[one] == state.of[other]
    }

    async fn serve(&self, mut socket: TcpStream) {
        let Some((path, form)) = read(&mut socket).await else {
            return;
        };
        let reply = match path.as_str() {
            "/token" | "/revoke" => {
                let (answer, answered) = oneshot::channel();
                self.ask(&path, &form, answer);
                answered.await.ok().flatten()
            }
            _ => Some((200, self.discovery())),
        };
        if let Some((status, body)) = reply {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = socket.write_all(text.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    }

    fn ask(
        &self,
        path: &str,
        form: &HashMap<String, String>,
        answer: oneshot::Sender<Option<(u16, String)>>,
    ) {
        let mut state = self.state();
        let process = form.get("client_id").cloned().unwrap_or_default();
        let asked = if path == "/token" {
            let token = form["refresh_token"].clone();
            let number = state.arrived(&token, process);
            Asked::Refresh { token, number }
        } else {
            state.revocations += 1;
            let token = form["token"].clone();
            Asked::Revoke { token }
        };
        state.pending.push_back(Pending { asked, answer });
    }

    fn discovery(&self) -> String {
        let issuer = self.issuer();
        serde_json::json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "revocation_endpoint": format!("{issuer}/revoke"),
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        })
        .to_string()
    }
}

impl State {
    /// Checks the invariant: a refresh token is sent twice only if the outcome of the
    /// earlier request is unknown.
    fn arrived(&mut self, token: &str, process: String) -> usize {
        self.refreshes += 1;
        let dead = &self.dead;
        let earlier = self.requests.entry(token.to_owned()).or_default();
        let unreadable = earlier
            .iter()
            // A killed process may not have stored that the answer was unreadable.
            .filter(|request| request.end == Some(End::Unreadable))
            .filter(|request| !dead.contains(&request.process))
            .count();
        let known = earlier.iter().any(|request| {
            let at_large = matches!(request.end, None | Some(End::Issued));
            at_large && !dead.contains(&request.process)
        });
        if known || unreadable > 1 {
            self.violations.push(format!(
                "{token} came again, from {process}, after {earlier:?}"
            ));
        }
        earlier.push(Request { process, end: None });
        earlier.len() - 1
    }

    fn refresh(
        &mut self,
        token: &str,
        number: usize,
        behaviour: Behaviour,
    ) -> Option<(u16, String)> {
        let id = self.of[token];
        let asker_is_dead = self.requests.get(token).is_some_and(|requests| {
            requests
                .get(number)
                .is_some_and(|request| self.dead.contains(&request.process))
        });
        let serves = matches!(
            behaviour,
            Behaviour::Serve | Behaviour::ServeAndLoseAnswer | Behaviour::ServeUnreadably
        );
        let next = format!("refresh-{}", Uuid::now_v7());
        let mut issued = false;
        if let Some(family) = self.families.get_mut(&id) {
            if behaviour == Behaviour::TakeBack {
                family.alive = false;
            }
            if serves && family.alive && family.newest == token {
                family.newest.clone_from(&next);
                issued = true;
                family.lost |= behaviour != Behaviour::Serve || asker_is_dead;
            } else if serves {
                // A second use ends the grant.
                family.alive = false;
            }
        }
        if issued {
            self.of.insert(next.clone(), id);
        }
        let tokens = serde_json::json!({
            "access_token": format!("access-{}", Uuid::now_v7()), "token_type": "Bearer",
            "expires_in": 3600, "refresh_token": next,
        });
        let refused = || (400, r#"{"error":"invalid_grant"}"#.to_owned());
        let unreadable = || (200, "<html>".to_owned());
        let (end, reply) = match behaviour {
            Behaviour::Serve if issued => (End::Issued, Some((200, tokens.to_string()))),
            Behaviour::Serve | Behaviour::TakeBack => (End::Refused, Some(refused())),
            Behaviour::ServeAndLoseAnswer | Behaviour::Lose => (End::Unknown, None),
            Behaviour::ServeUnreadably | Behaviour::AnswerUnreadably => {
                (End::Unreadable, Some(unreadable()))
            }
            Behaviour::BeDown => (End::Refused, Some((503, String::new()))),
        };
        if let Some(request) = self
            .requests
            .get_mut(token)
            .and_then(|requests| requests.get_mut(number))
        {
            request.end = Some(end);
        }
        reply
    }

    fn revoke(&mut self, token: &str, behaviour: Behaviour) -> Option<(u16, String)> {
        let confirmed = (200, "{}".to_owned());
        let id = self.of[token];
        let serves = !matches!(
            behaviour,
            Behaviour::Lose | Behaviour::BeDown | Behaviour::AnswerUnreadably
        );
        if serves && let Some(family) = self.families.get_mut(&id) {
            family.alive = false;
        }
        match behaviour {
            Behaviour::Lose | Behaviour::ServeAndLoseAnswer => None,
            Behaviour::BeDown | Behaviour::AnswerUnreadably => Some((503, String::new())),
            Behaviour::Serve | Behaviour::ServeUnreadably | Behaviour::TakeBack => Some(confirmed),
        }
    }
}

/// Reads the path and the form of a request.
async fn read(socket: &mut TcpStream) -> Option<(String, HashMap<String, String>)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = socket
            .read(&mut buffer)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            let path = head.split(' ').nth(1)?.to_owned();
            let form = url::form_urlencoded::parse(body.as_bytes());
            return Some((path, form.into_owned().collect()));
        }
    }
}
