//! The policy as people write it: TOML, nothing left to a default that opens.

use std::str::FromStr;

use latchkey_domain::ScopeSet;
use serde::Deserialize;

use super::{Choice, Method, Pattern, Policy, Rule};

/// What a development stack may write instead of a policy.
const ANY_CERTIFICATE: &str = "any-certificate";

/// Why a text is no policy: one problem, with where it is.
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
    scopes: Names,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"*\" or a list of strings")]
enum Names {
    Word(String),
    List(Vec<String>),
}

impl Names {
    /// Nothing for `"*"`.
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

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == ANY_CERTIFICATE {
            return Ok(Self::any_certificate());
        }
        let file: File = toml::from_str(text)
            .map_err(|error| InvalidPolicy(error.to_string().trim().to_owned()))?;
        let rules = file
            .rule
            .iter()
            .enumerate()
            .map(|(position, entry)| entry.rule(position))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(rules))
    }
}

impl Entry {
    fn rule(&self, position: usize) -> Result<Rule, InvalidPolicy> {
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| format!("#{}", position + 1));
        let wrong = |key: &'static str| {
            let name = name.clone();
            move |problem: String| InvalidPolicy(format!("rule {name:?}: {key} {problem}"))
        };
        if self.callers.is_empty() {
            return Err(wrong("callers")("is empty: nobody could use it".to_owned()));
        }
        let callers = self
            .callers
            .iter()
            .map(|text| text.parse::<Pattern>().map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
            .map_err(wrong("callers"))?;
        let method = |text: &str| {
            Method::named(text).ok_or_else(|| {
                let known: Vec<_> = Method::all().iter().map(|method| method.as_str()).collect();
                format!("is no method; there are {}", known.join(", "))
            })
        };
        let scopes = self
            .scopes
            .list()
            .map_err(wrong("scopes"))?
            .map(|list| list.iter().cloned().collect::<ScopeSet>());
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
}
