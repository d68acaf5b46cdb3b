//! The people with an account at the demo provider.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// Tenant of acme.example.
pub const ACME_TENANT: &str = "aaaaaaaa-0000-4000-8000-00000000acce";
/// Tenant of globex.example.
pub const GLOBEX_TENANT: &str = "bbbbbbbb-0000-4000-8000-0000000910be";
/// Tenant of people who must not be trusted.
pub const STRANGER_TENANT: &str = "cccccccc-0000-4000-8000-0000000badad";
/// Microsoft's tenant of personal accounts.
pub const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// A person, who is the same in all three flavours.
#[derive(Debug, Clone)]
pub struct Person {
    /// Short name, such as `ada`.
    pub id: String,
    /// Mail address.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Whether the provider has verified the address.
    pub verified: bool,
    /// Google's hosted domain.
    pub hosted_domain: Option<String>,
    /// Microsoft's tenant.
    pub tenant: String,
    /// Number from which subject and object id are derived.
    pub number: u32,
    /// Claims that replace or extend those that are derived from the fields above. `null`
    /// removes a claim.
    pub claims: Map<String, Value>,
}

impl Person {
    /// Returns `sub` at Google and at the strict provider.
    pub fn subject(&self) -> String {
        format!("1000000000000000{:05}", self.number)
    }

    /// Returns Microsoft's `oid`.
    pub fn object_id(&self) -> String {
        format!("dddddddd-0000-4000-8000-{:012}", self.number)
    }

    /// Returns the first letter of the name.
    pub fn initial(&self) -> char {
        self.name.chars().next().unwrap_or('?')
    }

    fn of(number: u32, id: &str, name: &str, email: &str, tenant: &str) -> Self {
        let domain = email.split_once('@').map_or("", |(_, domain)| domain);
        Self {
            id: id.to_owned(),
            email: email.to_owned(),
            name: name.to_owned(),
            verified: true,
            hosted_domain: (tenant != PERSONAL_TENANT).then(|| domain.to_owned()),
            tenant: tenant.to_owned(),
            number,
            claims: Map::new(),
        }
    }

    /// Returns a person of acme.example whose address is that of the short name.
    pub(crate) fn of_acme(number: u32, id: &str) -> Self {
        Self::of(number, id, id, &format!("{id}@acme.example"), ACME_TENANT)
    }

    /// Returns the people of a new demo provider.
    pub fn demo() -> Vec<Self> {
        let mut mallory = Self::of(
            5,
            "mallory",
            "Mallory Unverified",
            "mallory@acme.example",
            STRANGER_TENANT,
        );
        mallory.verified = false;
        mallory.hosted_domain = None;
        vec![
            Self::of(1, "ada", "Ada Lovelace", "ada@acme.example", ACME_TENANT),
            Self::of(
                2,
                "grace",
                "Grace Hopper",
                "grace@acme.example",
                ACME_TENANT,
            ),
            Self::of(
                3,
                "linus",
                "Linus Globex",
                "linus@globex.example",
                GLOBEX_TENANT,
            ),
            Self::of(4, "eve", "Eve Private", "eve@mail.example", PERSONAL_TENANT),
            mallory,
            Self::of(
                6,
                "noor",
                "Noor Branch",
                "noor@berlin.acme.example",
                ACME_TENANT,
            ),
        ]
    }

    /// Returns the claims of Google.
    pub fn google_claims(&self) -> Map<String, Value> {
        let mut claims = self.oidc_claims();
        if let Some(domain) = &self.hosted_domain {
            claims.insert("hd".into(), json!(domain));
        }
        claims
    }

    /// Returns the claims of Microsoft, which do not include `email_verified`.
    pub fn microsoft_claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), json!(format!("pairwise-{}", self.subject())));
        claims.insert("oid".into(), json!(self.object_id()));
        claims.insert("tid".into(), json!(self.tenant));
        claims.insert("ver".into(), json!("2.0"));
        claims.insert("name".into(), json!(self.name));
        claims.insert("email".into(), json!(self.email));
        claims.insert("preferred_username".into(), json!(self.email));
        if self.verified {
            claims.insert("xms_edov".into(), json!(true));
        }
        claims
    }

    /// Returns the claims of a plain OpenID provider.
    pub fn oidc_claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), json!(self.subject()));
        claims.insert("name".into(), json!(self.name));
        claims.insert("email".into(), json!(self.email));
        claims.insert("email_verified".into(), json!(self.verified));
        claims
    }
}

/// Every person of a demo provider. A load test adds them by the thousand, so that one is found
/// without a look at the others.
pub(crate) struct People {
    all: Vec<Person>,
    /// Positions by short name and by mail address.
    positions: HashMap<String, usize>,
}

impl People {
    /// Returns the people of a new demo provider.
    pub(crate) fn demo() -> Self {
        let mut people = Self {
            all: Vec::new(),
            positions: HashMap::new(),
        };
        for person in Person::demo() {
            people.push(person);
        }
        people
    }

    fn push(&mut self, person: Person) {
        let position = self.all.len();
        self.positions.insert(person.id.clone(), position);
        self.positions.insert(person.email.clone(), position);
        self.all.push(person);
    }

    /// Adds people of acme.example with these short names. Those who exist stay as they are.
    pub(crate) fn add(&mut self, names: &[String]) {
        for name in names {
            if self.get(name).is_some() {
                continue;
            }
            let number = u32::try_from(self.all.len() + 1).unwrap_or(u32::MAX);
            self.push(Person::of_acme(number, name));
        }
    }

    /// Returns all of them, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.all.iter()
    }

    /// Returns a person by short name or mail address.
    pub(crate) fn get(&self, who: &str) -> Option<&Person> {
        self.all.get(*self.positions.get(who)?)
    }

    /// As [`Self::get`]. Neither the short name nor the address may change.
    pub(crate) fn get_mut(&mut self, who: &str) -> Option<&mut Person> {
        self.all.get_mut(*self.positions.get(who)?)
    }
}
