//! Which callers may call which methods (R36): `POLICY_FILE`, and for one more version
//! `GRPC_CALLERS`, which it replaced.

use latchkey_config::{ConfigError, Environment};
use latchkey_policy::{Contract, LivePolicy, Policy};

const POLICY: &str = "POLICY";
const CALLERS: &str = "GRPC_CALLERS";
/// Allows every caller with a certificate of the authority; for development.
const ANY_CERTIFICATE: &str = "any-certificate";

/// The policy of `POLICY_FILE` (or `POLICY`), or of `GRPC_CALLERS` if neither is set.
///
/// # Errors
/// None of them is set, or the text is not a policy.
pub fn policy(environment: &Environment) -> Result<LivePolicy, ConfigError> {
    let contract = Contract::accounts();
    let callers = environment.list(CALLERS)?;
    if callers.is_empty() || environment.optional(POLICY)?.is_some() {
        if !callers.is_empty() {
            tracing::warn!("GRPC_CALLERS is ignored because POLICY_FILE is set");
        }
        return LivePolicy::from_environment(environment, contract);
    }
    tracing::warn!(
        "GRPC_CALLERS is deprecated and will be removed in the next version: it gives each of its \
         callers access to every workspace. Write a policy and set POLICY_FILE (docs/policy.md)"
    );
    let policy = Policy::parse(&text(&callers), contract)
        .map_err(|error| ConfigError::new(CALLERS, format!("is wrong: {error}")))?;
    Ok(LivePolicy::fixed(policy, contract))
}

/// The text of the policy for a list of callers, each with or without its methods:
/// `auth-svc=ListAccounts+GetAccount`.
fn text(callers: &[String]) -> String {
    if callers == [ANY_CERTIFICATE] {
        return ANY_CERTIFICATE.to_owned();
    }
    let rules: Vec<_> = callers.iter().map(|entry| rule(entry)).collect();
    rules.concat()
}

fn rule(entry: &str) -> String {
    let (caller, methods) = match entry.split_once('=') {
        None => (entry, "\"*\"".to_owned()),
        Some((caller, methods)) => {
            let methods: Vec<_> = methods.split('+').collect();
            (caller, format!("{methods:?}"))
        }
    };
    format!(
        "[[rule]]\nname = {entry:?}\ncallers = [{caller:?}]\nmethods = {methods}\n\
         providers = \"*\"\nworkspaces = \"*\"\n"
    )
}

#[cfg(test)]
mod tests {
    use latchkey_policy::AccessRequest;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<LivePolicy, ConfigError> {
        policy(&variables.iter().copied().collect())
    }

    // R36
    #[test]
    fn a_caller_may_call_the_methods_after_its_name_or_all_if_none_is_given() {
        let list = "auth-svc=ListAccounts+GetAccount, spiffe://a.example/*/mail";
        let policy = read(&[(CALLERS, list)]).unwrap().current();
        let allow = |name, method| {
            let method = Contract::accounts().method(method).unwrap();
            policy.allows([name], &AccessRequest::method(method))
        };
        assert!(allow("auth-svc", "GetAccount"));
        assert!(!allow("auth-svc", "ReportSync"));
        assert!(allow("spiffe://a.example/sync/mail", "ReportSync"));
        assert!(!allow("mail", "GetAccount"));
    }

    // R36, R40
    #[test]
    fn a_missing_policy_and_a_wrong_list_name_the_variable() {
        let error = read(&[]).unwrap_err();
        assert_eq!(error.name, POLICY);
        assert!(
            error.problem.contains("latchkey policy check sync-svc"),
            "{error}"
        );
        for (wrong, words) in [
            ("*", "is not a caller"),
            ("auth-svc=Everything", "GetAccount"),
            ("auth-svc=", "is not a method"),
            ("any-certificate=GetAccount+", "is not a method"),
        ] {
            let error = read(&[(CALLERS, wrong)]).unwrap_err();
            assert_eq!(error.name, CALLERS);
            assert!(error.problem.contains(words), "{wrong}: {error}");
        }
    }

    // R36: if a policy is given, the old list has no effect.
    #[test]
    fn a_policy_replaces_the_old_list() {
        let policy = read(&[(CALLERS, "auth-svc"), (POLICY, "# nobody\n")]);
        assert!(policy.unwrap().current().rules().is_empty());
    }
}
