//! Programs of the system, and the packages that install them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Progress, ServerError};

/// A program that the development stack needs, with its Debian packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// PostgreSQL's server programs.
    Postgres,
    /// RabbitMQ with its management plugin.
    RabbitMq,
    /// Node.js with npm, for third-party identity providers.
    Node,
    /// Python with virtual environments, for third-party identity providers.
    Python,
    /// curl, which operators use.
    Curl,
    /// Chromium, for tests that need a real browser.
    Chromium,
    /// Prometheus with promtool, for tests of metrics.
    Prometheus,
    /// What a Kubernetes node and its operator call.
    KubernetesNode,
    /// The library that gives a process another time.
    Clock,
    /// valgrind, for counts of instructions.
    Valgrind,
}

/// The programs of [`Package::KubernetesNode`].
const NODE_PROGRAMS: [&str; 6] = ["runc", "iptables", "ipset", "conntrack", "ip", "openssl"];

impl Package {
    fn program(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL's server",
            Self::RabbitMq => "RabbitMQ's server",
            Self::Node => "Node.js with npm",
            Self::Python => "Python 3 with venv",
            Self::Curl => "curl",
            Self::Chromium => "Chromium",
            Self::Prometheus => "Prometheus with promtool",
            Self::KubernetesNode => "runc, iptables, ipset, conntrack, ip or openssl",
            Self::Clock => "libfaketime",
            Self::Valgrind => "valgrind",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::RabbitMq => "rabbitmq-server",
            Self::Node => "nodejs npm",
            Self::Python => "python3 python3-venv",
            Self::Curl => "curl",
            // Without a font, a page shows boxes instead of letters.
            Self::Chromium => "chromium fonts-dejavu-core",
            Self::Prometheus => "prometheus",
            Self::KubernetesNode => "runc iptables ipset conntrack iproute2 openssl",
            Self::Clock => "libfaketime",
            Self::Valgrind => "valgrind",
        }
    }

    fn is_installed(self) -> bool {
        match self {
            Self::Postgres => postgres_programs().is_some(),
            Self::RabbitMq => rabbitmq_script().is_some() && on_path("epmd").is_some(),
            Self::Node => on_path("node").is_some() && on_path("npm").is_some(),
            Self::Python => python_has_environments(),
            Self::Curl => on_path("curl").is_some(),
            Self::Chromium => on_path("chromium").is_some(),
            Self::Prometheus => on_path("prometheus").is_some() && on_path("promtool").is_some(),
            Self::KubernetesNode => NODE_PROGRAMS.iter().all(|name| on_path(name).is_some()),
            Self::Clock => clock_library().is_some(),
            Self::Valgrind => on_path("valgrind").is_some(),
        }
    }

    /// The links with which systemd starts the daemons of a package at the next boot, although it
    /// was only installed for its programs.
    fn starts_at_boot(self) -> &'static [&'static str] {
        match self {
            Self::Prometheus => &["/etc/systemd/system/multi-user.target.wants/prometheus.service"],
            _ => &[],
        }
    }

    pub(crate) fn missing(self) -> ServerError {
        ServerError::Missing {
            what: self.program(),
            package: self.package(),
        }
    }
}

/// Installs missing packages with apt-get if this process is root. The services of the packages
/// are not started, and that of Prometheus is not started at the next boot either.
///
/// # Errors
/// A program is missing and this process may not install it, or apt-get fails.
pub fn ensure_installed(packages: &[Package], progress: &Progress) -> Result<(), ServerError> {
    let missing: Vec<Package> = packages
        .iter()
        .copied()
        .filter(|package| !package.is_installed())
        .collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    if !nix::unistd::geteuid().is_root() || on_path("apt-get").is_none() {
        return Err(first.missing());
    }
    // If two runs install at once, the second one waits and then finds everything installed.
    let lock_path = std::env::temp_dir().join("latchkey-apt-get.lock");
    let lock = File::create(&lock_path).map_err(ServerError::file(&lock_path))?;
    lock.lock().map_err(ServerError::file(&lock_path))?;
    let missing: Vec<Package> = missing
        .into_iter()
        .filter(|package| !package.is_installed())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|package| package.package().split(' '))
        .collect();
    progress(&format!("installing {} with apt-get", packages.join(", ")));
    let _policy = NoServiceStart::put();
    apt_get(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)?;
    for link in missing.iter().flat_map(|package| package.starts_at_boot()) {
        // A machine without systemd has no such link.
        let _ = fs::remove_file(link);
    }
    match missing.into_iter().find(|package| !package.is_installed()) {
        Some(package) => Err(package.missing()),
        None => Ok(()),
    }
}

fn apt_get(arguments: &[&str]) -> Result<(), ServerError> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=600"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServerError::Spawn {
            program: "apt-get".to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(ServerError::Failed {
        program: format!("apt-get {}", arguments.join(" ")),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Debian's `policy-rc.d`, which keeps packages from starting their services, for the lifetime
/// of this value. An existing file is not changed.
struct NoServiceStart(Option<PathBuf>);

impl NoServiceStart {
    fn put() -> Self {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Self(None);
        }
        let written = fs::write(&path, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        Self(written.is_ok().then_some(path))
    }
}

impl Drop for NoServiceStart {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Debian packages `venv` and `ensurepip` apart from Python.
fn python_has_environments() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the path of a program that is on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let mut directories: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    directories.push("/usr/sbin".into());
    directories
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Returns the directory with `initdb` and `postgres`: that of Debian's newest version, or else
/// that of the program on `PATH`.
pub(crate) fn postgres_programs() -> Option<PathBuf> {
    let complete = |directory: &Path| {
        ["initdb", "postgres", "pg_isready"]
            .iter()
            .all(|program| directory.join(program).is_file())
    };
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| complete(directory))
        .collect();
    versions.sort();
    versions.pop().map(|(_, directory)| directory).or_else(|| {
        let program = on_path("postgres")?.canonicalize().ok()?;
        let directory = program.parent()?.to_owned();
        complete(&directory).then_some(directory)
    })
}

/// Returns the path of libfaketime for programs with threads, in Debian's directory of this
/// machine's architecture.
pub fn clock_library() -> Option<PathBuf> {
    let directories = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    directories
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

/// Returns the path of RabbitMQ's own start script. Debian's wrapper of the same name on `PATH`
/// is not used, because it switches to the user rabbitmq.
pub(crate) fn rabbitmq_script() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if debian.exists() {
        return Some(debian);
    }
    on_path("rabbitmq-server").filter(|path| {
        fs::read_to_string(path).is_ok_and(|script| script.contains("start_rabbitmq_server"))
    })
}
