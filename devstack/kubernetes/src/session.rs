//! What the process on the host passes on to the one in the namespaces.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::forward::Forward;
use crate::programs::Programs;
use crate::rates::Rates;

/// What is done with the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Sign in once, and run until Ctrl-C.
    Stay,
    /// Sign in once, and end.
    Once,
    /// Run the tests whose name contains one of the words, or all.
    Test {
        /// The words.
        words: Vec<String>,
        /// The previous release.
        previous: Previous,
        /// The load.
        rates: Rates,
    },
}

/// The previous release of a run of the tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Previous {
    /// No test needs it.
    Unneeded,
    /// There is no tag before this commit, and none was named.
    Missing,
    /// It cannot be built: why.
    Failed(String),
    /// Its images and manifests are in the directory of the run.
    Built {
        /// The images, as archives.
        images: Vec<PathBuf>,
    },
}

/// One run of `cargo dev kubernetes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    /// What is done with the cluster.
    pub goal: Goal,
    /// Directory of the run, which is removed at its end.
    pub directory: PathBuf,
    /// The programs of the cluster.
    pub programs: Programs,
    /// Files with definitions of custom resources.
    pub definitions: Vec<PathBuf>,
    /// The images, as archives.
    pub images: Vec<PathBuf>,
    /// Parent of the pods' cgroups.
    pub cgroup: String,
    /// Ports of the host that lead into the cluster.
    pub forwards: Vec<Forward>,
}

impl Session {
    /// Reads a session from JSON.
    ///
    /// # Errors
    /// The text is not a session.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("this command is for `cargo dev kubernetes` itself")
    }

    /// Returns the directory of the logs of the cluster's programs.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Returns the directory of the cluster's certificates.
    pub fn certificates(&self) -> PathBuf {
        self.directory.join("certificates")
    }

    /// Returns the kubeconfig of an administrator in the namespaces.
    pub fn kubeconfig(&self) -> PathBuf {
        self.certificates().join("admin.conf")
    }

    /// Returns the copy of `deploy/kubernetes` in which the site is entered.
    pub fn site(&self) -> PathBuf {
        site(&self.directory)
    }
}

/// Returns [`Session::site`] of the run with this directory.
pub fn site(run: &Path) -> PathBuf {
    run.join("site")
}

/// Returns the root directory of the workspace.
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}
