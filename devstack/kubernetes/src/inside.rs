//! The process in the namespaces: it starts everything, and does what the goal of the session is.

use std::time::Duration;

use anyhow::Context as _;
use latchkey_servers::Progress;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::forward::Target;
use crate::session::{Goal, Session};
use crate::stack::{Stack, explain};
use crate::{sign_in, test};

/// Runs the session and returns the exit code.
///
/// # Errors
/// The cluster or a service does not start, or a step of the sign-in fails.
pub async fn run(session: &Session, progress: &Progress) -> anyhow::Result<i32> {
    let start = test::start_commands(&session.goal);
    let mut stack = Stack::start(session, start, progress).await?;
    if let Goal::Test {
        words,
        previous,
        rates,
    } = &session.goal
    {
        return test::run(session, &stack, words, previous, *rates, progress).await;
    }
    progress("one sign-in with the demo provider");
    let signed_in = sign_in::run(&stack.services, &stack.pool, progress).await;
    explain(signed_in, &stack.cluster, progress).await?;
    progress("every step succeeded");
    if session.goal == Goal::Once {
        return Ok(0);
    }
    let mut forwarding = JoinSet::new();
    for forward in &session.forwards {
        let address = stack.services.address(forward.target)?;
        forward.lead_to(address, &mut forwarding)?;
    }
    invite(session, &stack.cluster, progress)?;
    watch(&mut stack.cluster).await
}

fn invite(session: &Session, cluster: &Cluster, progress: &Progress) -> anyhow::Result<()> {
    let port = |target: Target| {
        let mut forwards = session.forwards.iter();
        let forward = forwards.find(|forward| forward.target == target);
        forward
            .map(|forward| forward.port)
            .context("a port is missing")
    };
    let kubeconfig = cluster
        .identities
        .write_kubeconfig("host", "admin", port(Target::Api)?)?;
    let kubectl = session.programs.directory("kubernetes")?.join("kubectl");
    let (auth, demo) = (port(Target::Auth)?, port(Target::DemoProvider)?);
    progress("running; on this machine:");
    progress(&format!("    http://localhost:{auth}/auth/google"));
    progress(&format!(
        "    https://demo-provider:{demo} (in /etc/hosts: 127.0.0.1 demo-provider)"
    ));
    progress(&format!(
        "    refresh-svc: localhost:{}",
        port(Target::Refresh)?
    ));
    progress(&format!("    sync-svc: localhost:{}", port(Target::Sync)?));
    progress(&format!("    export KUBECONFIG={}", kubeconfig.display()));
    progress(&format!(
        "    {} get pods --all-namespaces",
        kubectl.display()
    ));
    if (auth, demo) != (8080, 8443) {
        progress("    the ports 8080 and 8443 are in use: a browser cannot sign in");
    }
    let client = session.site().join("latchkey-secrets/client");
    progress(&format!("certificates of a client: {}", client.display()));
    progress(&format!("logs: {}", session.logs().display()));
    progress("Ctrl-C stops everything");
    Ok(())
}

/// Returns an error if a component of the cluster ends by itself.
async fn watch(cluster: &mut Cluster) -> anyhow::Result<i32> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some((name, log)) = cluster.ended() {
            anyhow::bail!("{name} has ended; its log is {}", log.display());
        }
    }
}
