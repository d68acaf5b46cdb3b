use std::sync::Arc;

use foldhash::HashSet;
use latchkey_domain::{ProviderName, ScopeSet, WorkspaceId};
use latchkey_service::grpc::Pattern;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use super::*;
use crate::contract::{Contract, Method};

const CALLERS: [&str; 6] = [
    "spiffe://acme.example/ns/sync/sa/mail",
    "spiffe://acme.example/ns/sync/sa/calendar",
    "mail-sync.internal",
    "mail-sync",
    "system:serviceaccount:sync:mail",
    "system:serviceaccount:other:mail",
];
const PATTERNS: [&str; 4] = [
    "spiffe://acme.example/ns/sync/sa/*",
    "*.internal",
    "system:serviceaccount:sync:*",
    "system:serviceaccount:*:*",
];
const METHODS: [&str; 3] = ["GetAccessToken", "RefreshAccessToken", "RevokeAccount"];
const PROVIDERS: [&str; 3] = ["google", "microsoft", "demo"];
const SCOPES: [&str; 3] = ["mail.read", "mail.send", "calendar.read"];

fn tokens(text: &str) -> Result<Policy, InvalidPolicy> {
    Policy::parse(text, Contract::tokens())
}

fn method(name: &str) -> Method {
    Contract::tokens().method(name).unwrap()
}

fn workspace(number: u8) -> WorkspaceId {
    Uuid::from_u128(u128::from(number)).into()
}

fn list(list: Option<&[String]>) -> String {
    list.map_or_else(|| "\"*\"".to_owned(), |list| format!("{list:?}"))
}

/// A rule, as text and as a plain reading of it.
#[derive(Debug, Clone)]
struct Written {
    callers: Vec<String>,
    methods: Option<Vec<String>>,
    providers: Option<Vec<String>>,
    workspaces: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
}

impl Written {
    fn text(&self) -> String {
        format!(
            "[[rule]]\ncallers = {:?}\nmethods = {}\nproviders = {}\nworkspaces = {}\nscopes = {}\n",
            self.callers,
            list(self.methods.as_deref()),
            list(self.providers.as_deref()),
            list(self.workspaces.as_deref()),
            list(self.scopes.as_deref()),
        )
    }

    /// Whether the text allows the request, evaluated without the compiled tables and patterns.
    fn allows(&self, name: &str, asked: &Asked) -> bool {
        let speaks_of = |pattern: &String| match pattern.as_str() {
            "spiffe://acme.example/ns/sync/sa/*" => {
                name.starts_with("spiffe://acme.example/ns/sync/sa/")
            }
            "*.internal" => name.ends_with(".internal"),
            "system:serviceaccount:sync:*" => name.starts_with("system:serviceaccount:sync:"),
            "system:serviceaccount:*:*" => name.starts_with("system:serviceaccount:"),
            whole => whole == name,
        };
        let has = |list: &Option<Vec<String>>, one: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|entry| entry == one))
        };
        self.callers.iter().any(speaks_of)
            && has(&self.methods, asked.method)
            && has(&self.providers, asked.provider)
            && has(&self.workspaces, &workspace(asked.workspace).to_string())
            && asked.scopes.iter().all(|scope| has(&self.scopes, scope))
    }
}

#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    provider: &'static str,
    workspace: u8,
    scopes: Vec<&'static str>,
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let words = subsequence(words, 0..=words.len());
    proptest::option::of(words.prop_map(|words| words.into_iter().map(str::to_owned).collect()))
}

prop_compose! {
    fn written()(
        exact in subsequence(&CALLERS[..], 1..=CALLERS.len()),
        wild in subsequence(&PATTERNS[..], 0..=PATTERNS.len()),
        methods in some_of(&METHODS),
        providers in some_of(&PROVIDERS),
        workspaces in proptest::option::of(subsequence(vec![1_u8, 2, 3], 0..=3)),
        scopes in some_of(&SCOPES),
    ) -> Written {
        let workspaces = workspaces
            .map(|list| list.into_iter().map(|number| workspace(number).to_string()).collect());
        let callers = exact.into_iter().chain(wild).map(str::to_owned).collect();
        Written { callers, methods, providers, workspaces, scopes }
    }
}

prop_compose! {
    fn asked()(
        method in select(&METHODS[..]),
        provider in select(&PROVIDERS[..]),
        workspace in 1_u8..4,
        scopes in subsequence(&SCOPES[..], 0..=SCOPES.len()),
    ) -> Asked {
        Asked { method, provider, workspace, scopes }
    }
}

fn is_allowed(policy: &Policy, name: &str, asked: &Asked) -> bool {
    let provider: ProviderName = asked.provider.parse().unwrap();
    let scopes: ScopeSet = asked.scopes.iter().copied().collect();
    let whole = AccessRequest {
        method: method(asked.method),
        workspace: Some(workspace(asked.workspace)),
        provider: Some(&provider),
        scopes: Some(Scopes::Requested(&scopes)),
    };
    policy.allows([name], &whole)
}

fn policy(rules: &[Written]) -> Policy {
    let text: String = rules.iter().map(Written::text).collect();
    tokens(&text).unwrap()
}

proptest! {
    // R36
    #[test]
    fn a_policy_allows_what_the_words_of_one_rule_allow(
        rules in proptest::collection::vec(written(), 0..4),
        name in select(&CALLERS[..]),
        asked in asked(),
    ) {
        let expected = rules.iter().any(|rule| rule.allows(name, &asked));
        prop_assert_eq!(is_allowed(&policy(&rules), name, &asked), expected);
    }

    // R36: if a whole request is allowed, each part of it is allowed.
    #[test]
    fn an_early_check_never_refuses_what_a_later_one_allows(
        rules in proptest::collection::vec(written(), 0..4),
        name in select(&CALLERS[..]),
        asked in asked(),
    ) {
        let policy = Arc::new(policy(&rules));
        let method = method(asked.method);
        if is_allowed(&policy, name, &asked) {
            prop_assert!(policy.allows([name], &AccessRequest::method(method)));
        }
        let rules = CallRules::find(&policy, [name], method);
        let every_account = rules.is_some_and(|rules| rules.allow_every_account());
        prop_assert!(!every_account || is_allowed(&policy, name, &asked));
    }

    // R36
    #[test]
    fn no_text_panics(text in "(?s).{0,200}", name in ".{0,60}") {
        let _ = tokens(&text);
        if let Ok(pattern) = name.parse::<Pattern>() {
            prop_assert_eq!(pattern.matches(pattern.as_str()), true);
        }
    }

    // R36: a wildcard does not cross a separator and does not match half a part.
    #[test]
    fn a_wildcard_stands_for_one_whole_part(part in "[a-z0-9-]{1,12}", more in "[a-z]{1,5}") {
        let pattern: Pattern = "spiffe://acme.example/ns/*/sa/mail".parse().unwrap();
        let name = format!("spiffe://acme.example/ns/{part}/sa/mail");
        prop_assert!(pattern.matches(&name));
        for other in [
            format!("spiffe://acme.example/ns/{part}/{more}/sa/mail"),
            format!("spiffe://acme.example/ns/{part}/sa/mail/{more}"),
            format!("spiffe://{more}.example/ns/{part}/sa/mail"),
            "spiffe://acme.example/ns//sa/mail".to_owned(),
        ] {
            prop_assert!(!pattern.matches(&other));
        }
    }
}

// R36
#[test]
fn kinds_of_names_are_not_taken_for_one_another() {
    let pattern = |text: &str| text.parse::<Pattern>().unwrap();
    assert!(!pattern("*.internal").matches("spiffe://a.internal"));
    assert!(!pattern("system:serviceaccount:*:*").matches("system.serviceaccount.a.b"));
    assert!(pattern("Mail.Internal").matches("mail.internal"));
}

// R36
#[test]
fn a_text_that_is_not_a_caller_is_refused() {
    for wrong in [
        "",
        "*",
        "a.*",
        "spiffe://",
        "spiffe://*",
        "spiffe://*/a",
        "spiffe://A.example/x",
        "spiffe://a/",
        "spiffe://a//b",
        "spiffe://a/../b",
        "spiffe://a/b*",
        "mail sync",
        "system:serviceaccount:",
        "system:serviceaccount:a",
        "system:serviceaccount:a:b:c",
        "https://a/b",
        "a..b",
    ] {
        assert!(wrong.parse::<Pattern>().is_err(), "{wrong:?}");
    }
}

// R36
#[test]
fn a_wrong_policy_names_the_rule_and_the_key() {
    let rule = |change: (&str, &str)| {
        let text = "[[rule]]\nname = \"mail\"\ncallers = [\"a\"]\nmethods = \"*\"\nproviders = \"*\"\n\
                    workspaces = \"*\"\nscopes = \"*\"\n";
        tokens(&text.replace(change.0, change.1))
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(rule(("x", "x")), Ok(()));
    for (from, to, words) in [
        (
            "methods = \"*\"",
            "methods = [\"GetToken\"]",
            "rule \"mail\": methods has \"GetToken\": is not a method; the methods are GetAccessToken",
        ),
        (
            "providers = \"*\"",
            "providers = \"google\"",
            "providers is \"google\": write \"*\" or a list",
        ),
        (
            "providers = \"*\"",
            "providers = [\"*\"]",
            "write \"*\" alone",
        ),
        (
            "workspaces = \"*\"",
            "workspaces = [\"acme\"]",
            "workspaces has \"acme\"",
        ),
        ("callers = [\"a\"]", "callers = []", "callers is empty"),
        (
            "callers = [\"a\"]",
            "callers = [\"a b\"]",
            "is not a caller",
        ),
        ("scopes = \"*\"\n", "", "rule \"mail\": scopes are missing"),
        ("scopes", "scope", "unknown field `scope`"),
    ] {
        let error = rule((from, to)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

// R36
#[test]
fn the_policies_in_the_documentation_are_policies() {
    let manual = include_str!("../../../../docs/policy.md");
    let examples: Vec<&str> = manual
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"))
        .map(|(example, _)| example)
        .collect();
    assert_eq!(tokens(examples[0]).unwrap().rules().len(), 2);
    let accounts = |text| Policy::parse(text, Contract::accounts());
    assert_eq!(accounts(examples[1]).unwrap().rules().len(), 2);
    let compose = include_str!("../../../../deploy/policy/accounts.toml");
    assert_eq!(accounts(compose).unwrap().rules().len(), 2);
    let compose = include_str!("../../../../deploy/policy/policy.toml");
    assert_eq!(tokens(compose).unwrap().rules().len(), 2);
}

// R36
#[test]
fn an_empty_policy_allows_nothing() {
    let method = method("GetAccessToken");
    let policy: Policy = tokens("").unwrap();
    assert!(!policy.allows(["a"], &AccessRequest::method(method)));
    let open: Policy = tokens("any-certificate\n").unwrap();
    assert!(open.allows([], &AccessRequest::method(method)));
}

// R36: the same file format; a key without effect is refused.
#[test]
fn a_policy_of_accounts_has_no_scopes_and_only_methods_of_accounts() {
    let rule = |rest: &str| {
        let text = format!(
            "[[rule]]\nname = \"sync\"\ncallers = [\"a\"]\nproviders = \"*\"\n\
             workspaces = \"*\"\n{rest}\n"
        );
        Policy::parse(&text, Contract::accounts())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(rule("methods = [\"ListAccounts\"]"), Ok(()));
    assert_eq!(rule("methods = \"*\"\nscopes = \"*\""), Ok(()));
    let error = rule("methods = [\"GetAccessToken\"]").unwrap_err();
    assert!(error.contains("the methods are GetAccount"), "{error}");
    let error = rule("methods = \"*\"\nscopes = [\"Mail.Read\"]").unwrap_err();
    assert!(error.contains("returns no token"), "{error}");
}

// R36: the list of a workspace shows the accounts of these providers.
#[test]
fn the_providers_of_a_workspace_are_those_of_every_rule_that_allows_it() {
    let (one, two) = (workspace(1), workspace(2));
    let text = format!(
        "[[rule]]\ncallers = [\"a\"]\nmethods = [\"ListAccounts\"]\nproviders = [\"google\"]\n\
         workspaces = [\"{one}\"]\n\
         [[rule]]\ncallers = [\"*.internal\"]\nmethods = \"*\"\nproviders = [\"microsoft\"]\n\
         workspaces = \"*\"\n"
    );
    let policy = Arc::new(Policy::parse(&text, Contract::accounts()).unwrap());
    let list = Contract::accounts().method("ListAccounts").unwrap();
    let of = |names: &[&str], workspace| {
        let rules = CallRules::find(&policy, names.iter().copied(), list);
        let these = match rules.map(|rules| rules.providers(workspace)) {
            Some(Choice::Only(these)) => these,
            None => HashSet::default(),
            Some(Choice::Every) => panic!("not everything"),
        };
        let mut these: Vec<_> = these.iter().map(ToString::to_string).collect();
        these.sort();
        these
    };
    assert_eq!(of(&["a"], one), ["google"]);
    assert_eq!(of(&["a"], two), [""; 0]);
    assert_eq!(of(&["a", "b.internal"], one), ["google", "microsoft"]);
    assert_eq!(of(&["c"], one), [""; 0]);
}
