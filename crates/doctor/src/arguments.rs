//! The command line.

use clap::Args;
use latchkey_domain::Handle;
use url::Url;

use crate::environment_source::EnvironmentSource;
use crate::service::OperatorPort;

/// Finds out why a deployment, or one person's sign-in or mailbox, does not work.
///
/// Reads the variables of the services from this environment, or from files (--env), and looks
/// at everything that they name: database, broker, providers, certificates. Changes nothing.
/// DATABASE_URL needs a login role in latchkey_operator. The first line names the most probable
/// cause. Exit code 0: no finding; 1: findings; 78: the files of --env or the variables of doctor
/// itself cannot be read.
#[derive(Debug, Clone, Default, Args)]
pub struct Doctor {
    /// Says also for one person whether a sign-in would be let in and by which rule, and what is
    /// wrong with their accounts, grants and channels.
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<Handle>,
    /// The workspace that the person signs in to: its id, host label or name. Without it, all.
    #[arg(long, value_name = "WORKSPACE", requires = "email")]
    pub workspace: Option<String>,
    /// Checks the configuration of a version that is to be deployed against the running world:
    /// migrations may be missing, and what runs is not looked at.
    #[arg(long, conflicts_with = "after_deploy")]
    pub before_deploy: bool,
    /// Checks what was deployed, which browsers reach at this URL: the services must run the
    /// build of this program.
    #[arg(long, value_name = "URL")]
    pub after_deploy: Option<Url>,
    /// A service and the file with its variables, NAME=value on each line; without a file those
    /// of this environment. May be repeated. Without it, this environment is that of auth-svc if
    /// it has PUBLIC_URL and a key of auth-svc.
    #[arg(long, value_name = "SERVICE[=FILE]")]
    pub env: Vec<EnvironmentSource>,
    /// Where the operator's port of a service is reached (HEALTH_LISTEN), such as
    /// auth-svc=http://127.0.0.1:8083. May be repeated.
    #[arg(long, value_name = "SERVICE=URL")]
    pub operator_port: Vec<OperatorPort>,
    /// Where auth-svc is reached, if this is not PUBLIC_URL from here. A query is that of your front
    /// end's link, such as ?hd=acme.example.
    #[arg(long, value_name = "URL", conflicts_with = "after_deploy")]
    pub entry_point: Option<Url>,
    /// The commit that was deployed, or its beginning.
    #[arg(long, value_name = "COMMIT")]
    pub deployed: Option<String>,
}
