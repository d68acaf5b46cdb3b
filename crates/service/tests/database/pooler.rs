//! Against a real pgbouncer, if it is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use latchkey_config::Environment;
use latchkey_service::database::{is_pooled_by_transaction, refuse_transaction_pooling};
use latchkey_testkit::{PATIENCE, Role, TestDatabase};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

/// Stopped when it is dropped.
struct Pooler {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

impl Pooler {
    async fn start(program: &Path, database: &TestDatabase, mode: &str) -> Self {
        let directory = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let url: PgConnectOptions = database.url(Role::Auth).parse().unwrap();
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let file = directory.path().join("pgbouncer.ini");
        let (host, at) = (url.get_host(), url.get_port());
        let configuration = format!(
            "[databases]\n* = host={host} port={at} user=auth_svc password=auth_svc\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = {mode}\n"
        );
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        // pgbouncer does not run as root.
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pooler = Self {
            child,
            port,
            _directory: directory,
        };
        let options: PgConnectOptions = pooler.url(database).parse().unwrap();
        let options = options.extra_float_digits(None);
        let limit = tokio::time::Instant::now() + PATIENCE;
        while let Err(error) = options.connect().await {
            assert!(tokio::time::Instant::now() < limit, "{error}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        pooler
    }

    fn url(&self, database: &TestDatabase) -> String {
        let url = database.url(Role::Auth);
        let (before, rest) = url.rsplit_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{before}@127.0.0.1:{}/{database}", self.port)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_sessions_up_is_refused_and_one_that_keeps_them_is_not() {
    let database = TestDatabase::create().await;
    let options = |url: &str| {
        let options: PgConnectOptions = url.parse().unwrap();
        options.extra_float_digits(None)
    };
    let direct = options(&database.url(Role::Auth));
    assert!(!is_pooled_by_transaction(&direct).await.unwrap());

    let Some(program) = program() else {
        #[expect(clippy::print_stderr, reason = "what a test run did not prove")]
        {
            eprintln!("pgbouncer is not installed: poolers were not looked at");
        }
        return;
    };
    let pooler = Pooler::start(&program, &database, "session").await;
    let kept = options(&pooler.url(&database));
    assert!(!is_pooled_by_transaction(&kept).await.unwrap());

    let pooler = Pooler::start(&program, &database, "transaction").await;
    let url = pooler.url(&database);
    assert!(is_pooled_by_transaction(&options(&url)).await.unwrap());
    let environment: Environment = [("DATABASE_URL", url)].into_iter().collect();
    let refusal = refuse_transaction_pooling(&environment).await.to_string();
    assert!(
        refusal.starts_with("DATABASE_URL:") && refusal.contains("pool_mode=session"),
        "{refusal}"
    );
}
