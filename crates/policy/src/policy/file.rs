//! The policy file: TOML. Everything that a rule allows must be written; no default
//! allows anything.

use latchkey_domain::ScopeSet;
use latchkey_service::grpc::Pattern;
use serde::Deserialize;

use super::compiled::Policy;
use super::rule::{Choice, Rule};
use crate::contract::Contract;

/// The text that allows everything, for development.
const ANY_CERTIFICATE: &str = "any-certificate";

/// Why a text is not a policy: the first problem, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPolicy(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    callers: Vec<String>,
    methods: Names,
    providers: Names,
    workspaces: Names,
    scopes: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"*\" or a list of strings")]
enum Names {
    Word(String),
    List(Vec<String>),
}

impl Names {
    /// The list; `None` for `"*"`.
    fn list(&self) -> Result<Option<&[String]>, String> {
        match self {
            Self::Word(word) if word == "*" => Ok(None),
            Self::Word(word) => Err(format!("is {word:?}: write \"*\" or a list")),
            Self::List(list) if list.iter().any(|one| one == "*") => {
                Err("has \"*\" in a list: write \"*\" alone".to_owned())
            }
            Self::List(list) => Ok(Some(list)),
        }
    }

    fn choice<T, E: ToString>(
        &self,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Choice<T>, String>
    where
        T: Eq + std::hash::Hash,
    {
        let Some(list) = self.list()? else {
            return Ok(Choice::Every);
        };
        list.iter()
            .map(|text| read(text).map_err(|error| format!("has {text:?}: {}", error.to_string())))
            .collect::<Result<_, _>>()
            .map(Choice::Only)
    }
}

impl Policy {
    /// Reads the policy of a service.
    ///
    /// # Errors
    /// The text is not a policy, or names a method that the service does not have.
    pub fn parse(text: &str, contract: &Contract) -> Result<Self, InvalidPolicy> {
        if text.trim() == ANY_CERTIFICATE {
            return Ok(Self::any_certificate());
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            // One line, without the text itself.
            let message = error.message().replace('\n', ", ");
            InvalidPolicy(format!(
                "line {}: {message}",
                before.matches('\n').count() + 1
            ))
        })?;
        let rules = file
            .rule
            .iter()
            .enumerate()
            .map(|(position, entry)| entry.rule(position, contract))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(rules))
    }
}

impl Entry {
    fn rule(&self, position: usize, contract: &Contract) -> Result<Rule, InvalidPolicy> {
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| format!("#{}", position + 1));
        let wrong = |key: &'static str| {
            let name = name.clone();
            move |problem: String| InvalidPolicy(format!("rule {name:?}: {key} {problem}"))
        };
        if self.callers.is_empty() {
            return Err(wrong("callers")(
                "is empty: the rule would allow nothing".to_owned(),
            ));
        }
        let callers = self
            .callers
            .iter()
            .map(|text| text.parse::<Pattern>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
            .map_err(wrong("callers"))?;
        let method = |text: &str| {
            contract
                .method(text)
                .ok_or_else(|| format!("is not a method; the methods are {}", contract.known()))
        };
        let scopes = self.scopes(contract).map_err(wrong("scopes"))?;
        Ok(Rule {
            callers,
            methods: self.methods.choice(method).map_err(wrong("methods"))?,
            providers: self
                .providers
                .choice(str::parse)
                .map_err(wrong("providers"))?,
            workspaces: self
                .workspaces
                .choice(str::parse)
                .map_err(wrong("workspaces"))?,
            scopes,
            name,
        })
    }

    /// The scopes that a token may have at most; `None` for all of them, and for a service
    /// that returns no tokens.
    fn scopes(&self, contract: &Contract) -> Result<Option<ScopeSet>, String> {
        let Some(names) = &self.scopes else {
            return if contract.limits_scopes() {
                Err("are missing: write \"*\" or a list".to_owned())
            } else {
                Ok(None)
            };
        };
        let list = names.list()?;
        if list.is_some() && !contract.limits_scopes() {
            return Err(format!(
                "have no effect, because {} returns no token: leave them out",
                contract.service()
            ));
        }
        Ok(list.map(|list| list.iter().cloned().collect()))
    }
}
