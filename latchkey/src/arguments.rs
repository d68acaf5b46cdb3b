//! The tree of commands.

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::{audit, channels, keys, migrations, needs, policy, waiting_messages, workspace};

const EXIT_CODES: &str = "Exit codes: 0 done; 1 there is no such thing, a check found something, or \
     a server refused; 2 wrong arguments; 78 a variable is missing or faulty.\n\
     Variables come from the environment; each may come from the file that <NAME>_FILE names. \
     `--help` of a command says which it needs, and with which role of the database.";

/// The commands for operators of Latchkey.
#[derive(Debug, Parser)]
#[command(name = crate::program::NAME, version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create workspaces and decide who may join them.
    #[command(subcommand)]
    Workspace(workspace::Command),
    /// Show what was changed in a workspace, and delete old records.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Handle the messages that sync-svc could not handle.
    #[command(subcommand)]
    Parked(waiting_messages::Command),
    /// Handle the events that no queue was bound for.
    #[command(subcommand)]
    Unrouted(waiting_messages::Command),
    /// List and restart channels that failed.
    #[command(subcommand)]
    Channels(channels::Command),
    /// Check and explain a policy: who may call which methods.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Generate keys that sign access tokens. The keys that seal grants are made by refresh-svc.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Print the redirect URIs and origins to register at each provider.
    RedirectUris,
    /// Print the public keys with which Latchkey authenticates at providers, as a JWK set.
    ClientKeys,
    /// Bring the database's schema up to date.
    #[command(subcommand)]
    Migrations(migrations::Command),
    /// Find out why a deployment, or one person's sign-in or mailbox, does not work.
    Doctor(Box<latchkey_doctor::Doctor>),
    /// Print a script that completes these commands in a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// Returns the commands with what each of them needs in its help.
pub fn command() -> clap::Command {
    needs::describe(Cli::command())
}

/// Reads the arguments, of which the first one is the program.
///
/// # Errors
/// They are no command; or they ask for help or the version, which the error prints.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}
