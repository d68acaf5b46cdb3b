//! The process that a person starts: it builds what is missing, starts this program in the
//! namespaces, and leads ports of the host into them.

use latchkey_servers::{Package, Progress, RunDirectory, ensure_installed};
use tokio::task::JoinSet;

use crate::cgroup::Cgroup;
use crate::forward::Forward;
use crate::programs::Programs;
use crate::rates::Rates;
use crate::session::{Goal, Previous, Session};
use crate::{definitions, image, namespaces, previous, test};

/// Programs of the system.
const PACKAGES: [Package; 3] = [
    Package::KubernetesNode,
    Package::Postgres,
    Package::RabbitMq,
];

/// What a person asks for.
#[derive(Debug)]
pub enum Wanted {
    /// Sign in once, and run until Ctrl-C.
    Stay,
    /// Sign in once, and end.
    Once,
    /// Run the tests whose name contains one of the words, or all.
    Test {
        /// The words.
        words: Vec<String>,
        /// Commit or tag of the previous release.
        previous: Option<String>,
        /// The load.
        rates: Rates,
    },
}

/// Runs a cluster for what a person asks for and returns the exit code.
///
/// # Errors
/// Something is missing, or the cluster cannot be started.
pub async fn run(wanted: &Wanted, progress: &Progress) -> anyhow::Result<i32> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "a node needs namespaces and cgroups of its own: run this as root"
    );
    let installer = progress.clone();
    tokio::task::spawn_blocking(move || ensure_installed(&PACKAGES, &installer)).await??;
    let programs = Programs::build(progress).await?;
    let definitions = definitions::download().await?;

    let directory = RunDirectory::create("kubernetes")?;
    let path = directory.path().to_owned();
    progress("packing images");
    let images = path.join("images");
    let report = progress.clone();
    let (programs, mut images) = tokio::task::spawn_blocking(move || {
        let packed = image::pack_all(&programs, &images, &report);
        packed.map(|images| (programs, images))
    })
    .await??;
    let goal = match wanted {
        Wanted::Stay => Goal::Stay,
        Wanted::Once => Goal::Once,
        Wanted::Test {
            words,
            previous,
            rates,
        } => Goal::Test {
            words: words.clone(),
            previous: if test::needs_previous(words) {
                previous::prepare(previous.as_deref(), &path, progress).await
            } else {
                Previous::Unneeded
            },
            rates: *rates,
        },
    };
    if let Goal::Test {
        previous: Previous::Built { images: more },
        ..
    } = &goal
    {
        images.extend_from_slice(more);
    }
    let cgroup = Cgroup::create(&path)?;
    let session = Session {
        goal,
        programs,
        definitions,
        images,
        cgroup: cgroup.path(),
        forwards: Forward::all(&path)?,
        directory: path,
    };
    let mut forwarding = JoinSet::new();
    for forward in &session.forwards {
        forward.listen_on_host(&mut forwarding).await?;
    }
    let mut cluster = namespaces::enter(&session)?;
    let status = cluster.wait().await;
    let code = status.and_then(|status| status.code()).unwrap_or(1);
    if code != 0 {
        directory.keep();
        progress(&format!("logs: {}", session.logs().display()));
    }
    Ok(code)
}
