//! `latchkey policy`: checks and explains a policy that is not in force yet.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use latchkey_config::ConfigError;
use latchkey_domain::{ProviderName, ScopeSet, WorkspaceId};
use latchkey_policy::{AccessRequest, Contract, Pattern, Policy, Scopes};
use serde_json::json;

use crate::answer::Answer;
use crate::failure::Failure;

/// The commands for a policy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check whether a file is a valid policy.
    Check {
        /// The service that the policy is for.
        service: Service,
        /// The policy file.
        file: PathBuf,
    },
    /// Show for each rule of a policy whether it allows a request. The exit code is 1 if the request
    /// is refused.
    Explain(ExplainArguments),
}

/// The services that have a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// refresh-svc: who may ask for which tokens.
    RefreshSvc,
    /// sync-svc: who may ask for accounts and channels.
    SyncSvc,
}

impl Service {
    fn contract(self) -> &'static Contract {
        match self {
            Self::RefreshSvc => Contract::tokens(),
            Self::SyncSvc => Contract::accounts(),
        }
    }
}

/// The request that a policy is checked with.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The service that the policy is for.
    service: Service,
    /// The policy file.
    file: PathBuf,
    /// Name of the caller: a SPIFFE id, a DNS name or
    /// `system:serviceaccount:<namespace>:<name>`. May be repeated for a certificate with
    /// several names.
    #[arg(long, required = true)]
    caller: Vec<String>,
    /// Method, e.g. GetAccessToken.
    #[arg(long)]
    method: String,
    /// Workspace of the account (UUID).
    #[arg(long)]
    workspace: Option<WorkspaceId>,
    /// Provider of the account.
    #[arg(long)]
    provider: Option<ProviderName>,
    /// Scope of the token; may be repeated.
    #[arg(long)]
    scope: Vec<String>,
}

/// Runs a command.
pub(crate) fn run(command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::Check { service, file } => check(file, service.contract()),
        Command::Explain(arguments) => explain(arguments, arguments.service.contract()),
    }
}

fn read(file: &Path, contract: &Contract) -> Result<Policy, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Refused(format!("{}: {error}", file.display())))?;
    Policy::parse(&text, contract)
        .map_err(|error| ConfigError::new(file.display().to_string(), error.to_string()).into())
}

fn check(file: &Path, contract: &Contract) -> Result<Answer, Failure> {
    let policy = read(file, contract)?;
    let mut lines = Vec::new();
    let mut rules = Vec::new();
    for rule in policy.rules() {
        let callers: Vec<_> = rule.callers().iter().map(Pattern::as_str).collect();
        lines.push(format!("rule {}: {}", rule.name(), callers.join(", ")));
        rules.push(json!({ "name": rule.name(), "callers": callers }));
    }
    lines.push(if policy.is_open() {
        "valid policy: every caller with a certificate may call every method (for development)"
            .to_owned()
    } else if rules.is_empty() {
        "valid policy without rules: every call is refused".to_owned()
    } else {
        format!("valid policy with {} rules", rules.len())
    });
    let json = json!({ "valid": true, "open": policy.is_open(), "rules": rules });
    Ok(Answer::new(lines.join("\n"), json))
}

fn explain(arguments: &ExplainArguments, contract: &Contract) -> Result<Answer, Failure> {
    let policy = read(&arguments.file, contract)?;
    let method = contract.method(&arguments.method).ok_or_else(|| {
        Failure::Refused(format!(
            "{} is not a method; the methods are {}",
            arguments.method,
            contract.known()
        ))
    })?;
    let scopes: ScopeSet = arguments.scope.iter().cloned().collect();
    let request = AccessRequest {
        method,
        workspace: arguments.workspace,
        provider: arguments.provider.as_ref(),
        scopes: (!scopes.is_empty()).then_some(Scopes::Granted(&scopes)),
    };
    let (mut lines, mut rules) = (Vec::new(), Vec::new());
    if policy.is_open() {
        lines.push("every caller with a certificate may call every method".to_owned());
    }
    for rule in policy.rules() {
        let is_for_caller = rule
            .callers()
            .iter()
            .any(|pattern| arguments.caller.iter().any(|name| pattern.matches(name)));
        let outcome = match (is_for_caller, rule.first_mismatch(&request)) {
            (false, _) => "is for other callers".to_owned(),
            (true, None) => "allows it".to_owned(),
            (true, Some(what)) => format!("does not allow the {what}"),
        };
        lines.push(format!("rule {}: {outcome}", rule.name()));
        rules.push(json!({ "name": rule.name(), "outcome": outcome }));
    }
    let allowed = policy.allows(arguments.caller.iter().map(String::as_str), &request);
    let open = [
        ("workspace", arguments.workspace.is_none()),
        ("provider", arguments.provider.is_none()),
        ("scope", scopes.is_empty() && contract.limits_scopes()),
    ];
    let left: Vec<_> = open
        .iter()
        .filter(|(_, is_open)| *is_open)
        .map(|(name, _)| format!("--{name}"))
        .collect();
    lines.push(if !allowed {
        "refused: CALLER_NOT_ALLOWED".to_owned()
    } else if left.is_empty() {
        "allowed".to_owned()
    } else {
        format!(
            "allowed without {}, which would be checked as well",
            left.join(", ")
        )
    });
    let json = json!({ "allowed": allowed, "rules": rules, "notChecked": left });
    Ok(Answer::new(lines.join("\n"), json).with_finding(!allowed))
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: Command,
    }

    /// Runs `policy <command> refresh-svc <file> …` and returns what it says and whether it found
    /// something or failed.
    fn run_with(policy: &str, command: &str, rest: &str) -> (String, bool) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), policy).unwrap();
        let path = file.path().to_str().unwrap();
        let line = ["policy", command, "refresh-svc", path].into_iter();
        let arguments = Arguments::parse_from(line.chain(rest.split_whitespace()));
        match run(&arguments.command) {
            Ok(answer) => (answer.print(false), answer.exit_code() != ExitCode::SUCCESS),
            Err(failure) => (failure.to_string(), true),
        }
    }

    const MAIL: &str = r#"
        [[rule]]
        name = "mail"
        callers = ["spiffe://acme.example/mail"]
        methods = ["GetAccessToken"]
        providers = ["google"]
        workspaces = "*"
        scopes = "*"
    "#;

    // R36
    #[test]
    fn an_explanation_says_which_rule_objects_to_what() {
        let explain = |rest: &str| {
            let rest = format!("--caller spiffe://acme.example/{rest}");
            run_with(MAIL, "explain", &rest)
        };
        let (text, refused) = explain("mail --method GetAccessToken --provider google");
        assert!(text.contains("rule mail: allows it") && !refused, "{text}");
        let (text, refused) = explain("mail --method GetAccessToken --provider microsoft");
        assert!(
            text.contains("rule mail: does not allow the provider"),
            "{text}"
        );
        assert!(text.contains("CALLER_NOT_ALLOWED") && refused, "{text}");
        let (text, refused) = explain("other --method GetAccessToken");
        assert!(text.contains("is for other callers") && refused, "{text}");
        let (text, refused) = explain("mail --method GetEverything");
        assert!(text.contains("the methods are") && refused, "{text}");
    }

    // R36
    #[test]
    fn a_check_lists_the_rules_or_says_what_is_wrong() {
        let (text, failed) = run_with(MAIL, "check", "");
        assert!(
            text.contains("valid policy with 1 rules") && !failed,
            "{text}"
        );
        let (text, failed) = run_with("[[rule]]\n", "check", "");
        assert!(text.contains("missing field") && failed, "{text}");
    }
}
