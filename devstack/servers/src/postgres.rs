//! A private PostgreSQL.

mod disks;
mod failover;
mod small_disk;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::User;
use tempfile::TempDir;
use uuid::Uuid;

use crate::ServerError;
use crate::child::{Child, ChildSpec, OnCrash};
use crate::command::run_to_end;
use crate::packages::{Package, postgres_programs};
use crate::port::with_free_ports;
use crate::run_directory::EXTERNAL_DIRECTORY;
use small_disk::SmallDisk;
pub use small_disk::Volume;

/// Settings of a server whose data is deleted after the run.
const FAST: [&str; 4] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
];
/// Settings of a server that is measured.
const DURABLE: [&str; 4] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=256MB",
];

/// A running PostgreSQL on its own port. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct Postgres {
    child: Option<Child>,
    spec: ChildSpec,
    data: PathBuf,
    programs: PathBuf,
    port: u16,
    password: String,
    /// What [`Postgres::set`] changed.
    settings: Vec<String>,
    /// Unmounted before the directory is removed.
    disks: BTreeMap<Volume, SmallDisk>,
    /// Replaces the run's directory if PostgreSQL's user cannot access it.
    _elsewhere: Option<TempDir>,
}

impl Postgres {
    /// Creates a cluster in `directory` and starts it. Data is not flushed to disk, because it
    /// is deleted after the run.
    ///
    /// # Errors
    /// PostgreSQL is missing, or does not start.
    pub async fn start(directory: &Path) -> Result<Self, ServerError> {
        Self::create(directory, None, &[&FAST]).await
    }

    /// Does the same for tests, which create hundreds of databases with a few rows each. Autovacuum
    /// would visit one after the other, without end.
    ///
    /// # Errors
    /// PostgreSQL is missing, or does not start.
    pub async fn start_for_tests(directory: &Path) -> Result<Self, ServerError> {
        Self::create(directory, None, &[&FAST, &["autovacuum=off"]]).await
    }

    /// Creates a cluster in `directory` and starts it with the durability of production, for
    /// measurements: each commit waits until it is flushed to disk.
    ///
    /// # Errors
    /// PostgreSQL is missing, or does not start.
    pub async fn start_durable(directory: &Path) -> Result<Self, ServerError> {
        Self::create(directory, None, &[&DURABLE]).await
    }

    /// Creates a cluster in `directory` and starts it for other hosts: it listens on `address`
    /// too, and accepts every client that knows a password. Its log says which statements are slow,
    /// and what they wait for.
    ///
    /// # Errors
    /// PostgreSQL is missing, or does not start.
    pub async fn start_at(directory: &Path, address: SocketAddrV4) -> Result<Self, ServerError> {
        let verbose = ["log_min_duration_statement=1s", "log_lock_waits=on"];
        Self::create(directory, Some(address), &[&FAST, &verbose]).await
    }

    async fn create(
        directory: &Path,
        address: Option<SocketAddrV4>,
        settings: &[&[&str]],
    ) -> Result<Self, ServerError> {
        let programs = postgres_programs().ok_or_else(|| Package::Postgres.missing())?;
        let user = unprivileged_user()?;
        let (home, external) = create_home(directory, user)?;
        let data = home.join("data");
        let password = Uuid::new_v4().simple().to_string();
        initialise(&programs, &home, &data, user, &password)?;
        if address.is_some() {
            admit_other_hosts(&data)?;
        }
        let home = (home, external);
        Self::start_in(directory, programs, home, user, password, address, settings).await
    }

    /// Starts a standby of this server with a copy of its data. It replicates this server and
    /// refuses writes until [`Postgres::promote`].
    ///
    /// # Errors
    /// The copy fails, or the standby does not start.
    pub async fn standby(&self, directory: &Path) -> Result<Self, ServerError> {
        let user = unprivileged_user()?;
        let (home, external) = create_home(directory, user)?;
        let mut copy = Command::new(self.programs.join("pg_basebackup"));
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg(format!("--dbname={}", self.url("replication")))
            .arg("--pgdata")
            .arg(home.join("data"))
            .current_dir(&home)
            .stdin(Stdio::null());
        if let Some((uid, gid)) = user {
            copy.uid(uid).gid(gid);
        }
        run_to_end("pg_basebackup", &mut copy)?;
        let (programs, password) = (self.programs.clone(), self.password.clone());
        let home = (home, external);
        let changed: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let settings: [&[&str]; 2] = [&FAST, &changed];
        let mut standby =
            Self::start_in(directory, programs, home, user, password, None, &settings).await?;
        standby.settings.clone_from(&self.settings);
        Ok(standby)
    }

    /// Promotes a standby to primary.
    ///
    /// # Errors
    /// The server is not a standby, or does not become the primary in time.
    pub fn promote(&self) -> Result<(), ServerError> {
        let mut promote = Command::new(self.programs.join("pg_ctl"));
        promote
            .args(["promote", "--wait", "--pgdata"])
            .arg(&self.data)
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some((uid, gid)) = unprivileged_user()? {
            promote.uid(uid).gid(gid);
        }
        run_to_end("pg_ctl", &mut promote)
    }

    /// Starts a server on the data directory in its home directory.
    async fn start_in(
        directory: &Path,
        programs: PathBuf,
        (home, external): (PathBuf, Option<TempDir>),
        user: Option<(u32, u32)>,
        password: String,
        address: Option<SocketAddrV4>,
        settings: &[&[&str]],
    ) -> Result<Self, ServerError> {
        let data = home.join("data");
        let log = directory.join("postgres.log");
        let mut spec = ChildSpec::new("PostgreSQL", programs.join("postgres"), &home, &log);
        spec.user = user;
        spec.on_crash = OnCrash::Quit;
        let mut spec = spec.arg("-D").arg(&data);
        let addresses = address.map_or_else(String::new, |address| format!(",{}", address.ip()));
        spec = spec
            .arg("-c")
            .arg(format!("listen_addresses=127.0.0.1{addresses}"));
        let common = [
            "unix_socket_directories=",
            "max_connections=400",
            "log_min_messages=warning",
        ];
        for setting in common.iter().chain(settings.iter().copied().flatten()) {
            spec = spec.arg("-c").arg(*setting);
        }
        let (port, spec, child) = with_free_ports(|[port]: [u16; 1]| {
            let port = address.map_or(port, |address| address.port());
            let spec = spec.clone().arg("-c").arg(format!("port={port}"));
            let programs = &programs;
            async move {
                let child = run(&spec, programs, port).await?;
                Ok((port, spec, child))
            }
        })
        .await?;
        Ok(Self {
            child: Some(child),
            spec,
            data,
            programs,
            port,
            password,
            settings: Vec::new(),
            disks: BTreeMap::new(),
            _elsewhere: external,
        })
    }

    /// Changes a setting (`name=value`) for the next start, and for standbys that are copied later.
    pub fn set(&mut self, setting: &str) {
        self.spec.arguments.push("-c".into());
        self.spec.arguments.push(setting.into());
        self.settings.push(setting.to_owned());
    }

    /// Returns `true` while it is running: a server that cannot write its log ends by itself.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.exited().is_none())
    }

    /// Restarts the server after [`Postgres::stop`] or [`Postgres::kill`] with the same port
    /// and data.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn resume(&mut self) -> Result<(), ServerError> {
        self.child = Some(run(&self.spec, &self.programs, self.port).await?);
        Ok(())
    }

    /// Stops it and closes its connections.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGINT asks the postmaster for a fast shutdown.
            child.stop(Signal::SIGINT, Duration::from_secs(10));
        }
    }

    /// Kills all of its processes at once. Committed transactions survive a
    /// [`Postgres::resume`] if `synchronous_commit` was on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.stop(Signal::SIGKILL, Duration::ZERO);
        }
    }

    /// Returns the URL of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", &self.password, database)
    }

    /// Returns the URL of a database for another role.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        format!(
            "postgres://{role}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Returns the path of one of its programs, such as `psql`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The data directory.
    pub fn data_directory(&self) -> &Path {
        &self.data
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id of the postmaster, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Processes that stand still would outlive the postmaster.
        self.unpause();
        // An immediate shutdown is enough, because the data is deleted.
        self.child = None;
    }
}

/// Starts the server and waits until it answers.
async fn run(spec: &ChildSpec, programs: &Path, port: u16) -> Result<Child, ServerError> {
    let mut child = Child::start(spec.clone())?;
    let probe = programs.join("pg_isready");
    let port = port.to_string();
    child
        .wait_until(Duration::from_secs(30), || async {
            tokio::process::Command::new(&probe)
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()
                .await
                .is_ok_and(|status| status.success())
        })
        .await?;
    Ok(child)
}

/// Returns the user and group for PostgreSQL if this process is root.
fn unprivileged_user() -> Result<Option<(u32, u32)>, ServerError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Some((user.uid.as_raw(), user.gid.as_raw())))
        .ok_or(ServerError::NoUser)
}

/// Creates a directory that `user` owns: in the run's directory, or in the directory for
/// temporary files if `user` cannot access the run's (for instance in a clone below /root).
fn create_home(
    directory: &Path,
    user: Option<(u32, u32)>,
) -> Result<(PathBuf, Option<TempDir>), ServerError> {
    let home = directory.join("postgres");
    fs::create_dir_all(&home).map_err(ServerError::file(&home))?;
    let Some((uid, gid)) = user else {
        return Ok((home, None));
    };
    let own = |path: &Path| {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
            .map_err(ServerError::file(path))
    };
    own(&home)?;
    let reachable = Command::new("test")
        .arg("-w")
        .arg(&home)
        .current_dir("/")
        .uid(uid)
        .gid(gid)
        .status()
        .is_ok_and(|status| status.success());
    if reachable {
        return Ok((home, None));
    }
    let external = tempfile::Builder::new()
        .prefix("latchkey-postgres-")
        .tempdir()
        .map_err(ServerError::file(std::env::temp_dir()))?;
    own(external.path())?;
    // With this link the next run finds the directory after a crash.
    let link = directory.join(EXTERNAL_DIRECTORY);
    std::os::unix::fs::symlink(external.path(), &link).map_err(ServerError::file(&link))?;
    Ok((external.path().to_owned(), Some(external)))
}

fn initialise(
    programs: &Path,
    home: &Path,
    data: &Path,
    user: Option<(u32, u32)>,
    password: &str,
) -> Result<(), ServerError> {
    let password_file = home.join("password");
    fs::write(&password_file, password).map_err(ServerError::file(&password_file))?;
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&password_file, mode).map_err(ServerError::file(&password_file))?;
    let mut command = Command::new(programs.join("initdb"));
    command
        .args([
            "--auth=scram-sha-256",
            "--username=postgres",
            "--encoding=UTF8",
        ])
        .args(["--locale=C", "--no-sync", "--no-instructions"])
        .arg("--pwfile")
        .arg(&password_file)
        .arg("-D")
        .arg(data)
        .current_dir(home)
        .stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(&password_file, Some(uid), Some(gid))
            .map_err(ServerError::file(&password_file))?;
        command.uid(uid).gid(gid);
    }
    let made = run_to_end("initdb", &mut command);
    let _ = fs::remove_file(&password_file);
    made
}

/// Lets clients of every address log in with a password.
fn admit_other_hosts(data: &Path) -> Result<(), ServerError> {
    let file = data.join("pg_hba.conf");
    let mut text = fs::read_to_string(&file).map_err(ServerError::file(&file))?;
    text.push_str("host all all all scram-sha-256\n");
    fs::write(&file, text).map_err(ServerError::file(&file))
}
