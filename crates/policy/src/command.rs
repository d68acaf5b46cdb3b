//! The commands `policy check` and `policy explain` of a service, for a policy that is
//! not in force yet.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use latchkey_config::ConfigError;
use latchkey_domain::{ProviderName, ScopeSet, WorkspaceId};
use latchkey_service::StartError;
use latchkey_service::grpc::Pattern;

use crate::contract::Contract;
use crate::policy::{AccessRequest, Policy, Scopes};

/// The commands for a policy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check whether a file is a valid policy.
    Check {
        /// The policy file.
        file: PathBuf,
    },
    /// Show for each rule of a policy whether it allows a request.
    Explain(ExplainArguments),
}

/// The request that a policy is checked with.
#[derive(Debug, Args)]
pub struct ExplainArguments {
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
///
/// # Errors
/// The file is not a policy, or the policy does not allow the request.
pub fn run(command: &Command, contract: &Contract, out: &mut impl Write) -> Result<(), StartError> {
    match command {
        Command::Check { file } => check(file, contract, out),
        Command::Explain(arguments) => explain(arguments, contract, out),
    }
}

fn read(file: &Path, contract: &Contract) -> Result<Policy, StartError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| StartError::io(file.display().to_string(), error))?;
    Policy::parse(&text, contract)
        .map_err(|error| ConfigError::new(file.display().to_string(), error.to_string()).into())
}

fn written(error: std::io::Error) -> StartError {
    StartError::io("cannot write the result", error)
}

fn check(file: &Path, contract: &Contract, out: &mut impl Write) -> Result<(), StartError> {
    let policy = read(file, contract)?;
    if policy.is_open() {
        return writeln!(
            out,
            "valid policy: every caller with a certificate may call every method (for development)"
        )
        .map_err(written);
    }
    if policy.rules().is_empty() {
        return writeln!(out, "valid policy without rules: every call is refused").map_err(written);
    }
    for rule in policy.rules() {
        let callers: Vec<_> = rule.callers().iter().map(Pattern::as_str).collect();
        writeln!(out, "rule {}: {}", rule.name(), callers.join(", ")).map_err(written)?;
    }
    writeln!(out, "valid policy with {} rules", policy.rules().len()).map_err(written)
}

fn explain(
    arguments: &ExplainArguments,
    contract: &Contract,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let policy = read(&arguments.file, contract)?;
    let method = contract.method(&arguments.method).ok_or_else(|| {
        StartError::Other(format!(
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
    if policy.is_open() {
        writeln!(out, "every caller with a certificate may call every method").map_err(written)?;
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
        writeln!(out, "rule {}: {outcome}", rule.name()).map_err(written)?;
    }
    if !policy.allows(arguments.caller.iter().map(String::as_str), &request) {
        return Err(StartError::Other("refused: CALLER_NOT_ALLOWED".to_owned()));
    }
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
    if left.is_empty() {
        writeln!(out, "allowed").map_err(written)
    } else {
        writeln!(
            out,
            "allowed without {}, which would be checked as well",
            left.join(", ")
        )
        .map_err(written)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(subcommand)]
        command: Command,
    }

    fn run_with(policy: &str, arguments: &str) -> (String, Option<String>) {
        let directory = std::env::temp_dir().join(uuid::Uuid::now_v7().to_string());
        std::fs::write(&directory, policy).unwrap();
        let line = arguments.replace("FILE", directory.to_str().unwrap());
        let arguments = Arguments::parse_from(std::iter::once("policy").chain(line.split(' ')));
        let mut out = Vec::new();
        let outcome = run(&arguments.command, Contract::tokens(), &mut out);
        std::fs::remove_file(&directory).unwrap();
        let error = outcome.err().map(|error| error.to_string());
        (String::from_utf8(out).unwrap(), error)
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
            run_with(
                MAIL,
                &format!("explain FILE --caller spiffe://acme.example/{rest}"),
            )
        };
        let (out, error) = explain("mail --method GetAccessToken --provider google");
        assert!(
            out.contains("rule mail: allows it") && error.is_none(),
            "{out}"
        );
        let (out, error) = explain("mail --method GetAccessToken --provider microsoft");
        assert!(
            out.contains("rule mail: does not allow the provider"),
            "{out}"
        );
        assert!(error.unwrap().contains("CALLER_NOT_ALLOWED"));
        let (out, error) = explain("other --method GetAccessToken");
        assert!(
            out.contains("is for other callers") && error.is_some(),
            "{out}"
        );
    }

    // R36
    #[test]
    fn a_check_lists_the_rules_or_says_what_is_wrong() {
        let (out, error) = run_with(MAIL, "check FILE");
        assert!(
            out.contains("valid policy with 1 rules") && error.is_none(),
            "{out}"
        );
        let (_, error) = run_with("[[rule]]\n", "check FILE");
        assert!(error.unwrap().contains("missing field"));
    }
}
