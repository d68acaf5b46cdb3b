//! The state of a demo provider.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::held_answer::HeldAnswer;
use crate::keys::{KeyError, SigningKey};
use crate::people::People;
use crate::tokens::Tokens;
use crate::{Endpoint, Fault, Flavour, Misbehaviour, SampleResponse, Settings};

/// A code or token that was issued. Tests search for its bytes in places where it must not be.
#[derive(Debug, Clone, Serialize)]
pub struct Issued {
    /// Flavour that issued it.
    pub flavour: Flavour,
    /// `code`, `access_token`, `refresh_token` or `id_token`.
    pub kind: &'static str,
    /// The token in clear.
    pub token: String,
    /// Short name of the person.
    pub person: String,
}

/// A session that a client ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndedSession {
    /// Flavour that ended it.
    pub flavour: Flavour,
    /// Short name of the person of the `id_token_hint`; `None` if there was no hint.
    pub person: Option<String>,
}

/// What the ID token says because the authorization request asked for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requested {
    pub nonce: Option<String>,
    /// The first one of `acr_values`.
    pub acr: Option<String>,
    /// The time of the decision, if the request has `max_age`.
    pub auth_time: Option<i64>,
}

/// A pushed authorization request.
#[derive(Debug, Clone)]
pub(crate) struct PushedRequest {
    pub flavour: Flavour,
    pub parameters: Vec<(String, String)>,
    pub expires_at: i64,
}

/// A refresh token that a client presented to the token endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct PresentedRefreshToken {
    /// Flavour to which it was presented.
    pub flavour: Flavour,
    /// The token in clear.
    pub token: String,
    /// When it was presented, by the provider's clock.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Whether it was accepted: it is known, not revoked, and at the strict provider not used before.
    pub accepted: bool,
}

/// An authorization code.
#[derive(Debug, Clone)]
pub(crate) struct AuthorizationCode {
    pub flavour: Flavour,
    pub person: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub requested: Requested,
    pub scopes: BTreeSet<String>,
    pub refresh_token: bool,
    pub expires_at: i64,
    pub redeemed_by: Option<String>,
}

/// The state of a demo provider.
pub(crate) struct State {
    pub settings: Settings,
    pub people: People,
    /// Pushed requests that were not used, by their `request_uri`.
    pub pushed_requests: HashMap<String, PushedRequest>,
    pub codes: HashMap<String, AuthorizationCode>,
    pub tokens: Tokens,
    /// Scopes to which each person has consented.
    pub consents: BTreeMap<(Flavour, String), BTreeSet<String>>,
    /// Keys by flavour. The first one signs.
    keys: BTreeMap<Flavour, Vec<SigningKey>>,
    pub faults: Vec<Fault>,
    pub held_answers: Vec<HeldAnswer>,
    /// Sample responses by the refresh token to which they respond.
    pub sample_responses: HashMap<String, &'static SampleResponse>,
    /// The keys of the client, as they were last fetched from its address.
    pub client_keys: Option<Value>,
    /// `jti` of the accepted client assertions.
    pub assertions: BTreeSet<String>,
    pub misbehaviours: BTreeMap<Flavour, Misbehaviour>,
    pub counters: BTreeMap<String, u64>,
    pub issued: Vec<Issued>,
    /// Sessions that a client ended, the oldest first.
    pub ended_sessions: Vec<EndedSession>,
    pub presented: Vec<PresentedRefreshToken>,
}

impl State {
    pub(crate) fn new(settings: Settings) -> Result<Self, KeyError> {
        let keys = BTreeMap::from([
            (Flavour::Google, vec![SigningKey::shared_rsa(0)?]),
            (Flavour::Microsoft, vec![SigningKey::shared_rsa(1)?]),
            (Flavour::Oidc, vec![SigningKey::ec()?]),
        ]);
        Ok(Self {
            settings,
            people: People::demo(),
            pushed_requests: HashMap::new(),
            codes: HashMap::new(),
            tokens: Tokens::default(),
            consents: BTreeMap::new(),
            keys,
            faults: Vec::new(),
            held_answers: Vec::new(),
            sample_responses: HashMap::new(),
            client_keys: None,
            assertions: BTreeSet::new(),
            misbehaviours: BTreeMap::new(),
            counters: BTreeMap::new(),
            issued: Vec::new(),
            ended_sessions: Vec::new(),
            presented: Vec::new(),
        })
    }

    pub(crate) fn keys(&self, flavour: Flavour) -> &[SigningKey] {
        self.keys.get(&flavour).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn rotate_keys(&mut self, flavour: Flavour, keep_old: bool) -> Result<(), KeyError> {
        let new = match flavour {
            Flavour::Google | Flavour::Microsoft => SigningKey::rsa()?,
            Flavour::Oidc => SigningKey::ec()?,
        };
        let keys = self.keys.entry(flavour).or_default();
        if !keep_old {
            keys.clear();
        }
        keys.insert(0, new);
        Ok(())
    }

    /// Replaces the signing key by a new one with the same id.
    pub(crate) fn replace_key(&mut self, flavour: Flavour) -> Result<(), KeyError> {
        let id = self.keys(flavour).first().map(|key| key.id.clone());
        self.rotate_keys(flavour, false)?;
        let signing = self
            .keys
            .get_mut(&flavour)
            .and_then(|keys| keys.first_mut());
        if let (Some(id), Some(key)) = (id, signing) {
            key.id = id;
        }
        Ok(())
    }

    pub(crate) fn misbehaves(&self, flavour: Flavour, how: Misbehaviour) -> bool {
        self.misbehaviours.get(&flavour) == Some(&how)
    }

    pub(crate) fn count(&mut self, flavour: Flavour, endpoint: Endpoint, detail: Option<&str>) {
        let name = format!("{}.{}", flavour.name(), endpoint.name());
        if let Some(detail) = detail {
            *self.counters.entry(format!("{name}.{detail}")).or_default() += 1;
        }
        *self.counters.entry(name).or_default() += 1;
    }

    pub(crate) fn record_issued(
        &mut self,
        flavour: Flavour,
        kind: &'static str,
        token: &str,
        person: &str,
    ) {
        self.issued.push(Issued {
            flavour,
            kind,
            token: token.to_owned(),
            person: person.to_owned(),
        });
    }

    /// Revokes every token and consent of a person, as the person can do on their account page.
    pub(crate) fn revoke_person(&mut self, person: &str, flavour: Option<Flavour>) {
        for of in Flavour::ALL {
            if flavour.is_none_or(|flavour| flavour == of) {
                self.tokens.revoke_of(person, |grant| grant.flavour == of);
                self.consents.remove(&(of, person.to_owned()));
            }
        }
    }
}
