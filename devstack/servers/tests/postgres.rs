//! What the fault suite needs of PostgreSQL: full disks, and a fail-over after which the old primary
//! follows the new one.

#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use latchkey_servers::{Postgres, RunDirectory, Volume, print_left_out};

const GROUP: &str = "servers-test";
/// Time limit of everything that a server does later.
const LONG: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);

fn psql(server: &Postgres, statement: &str) -> Command {
    let mut psql = Command::new(server.program("psql"));
    psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement])
        .arg(server.url("postgres"))
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    psql
}

/// Executes a statement as superuser, and returns its output or its error.
fn execute(server: &Postgres, statement: &str) -> Result<String, String> {
    let output = psql(server, statement).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_primary_confirms_nothing_after_a_fail_over_and_then_follows_the_new_one() {
    let directory = RunDirectory::create(GROUP).unwrap();
    let other = RunDirectory::create(GROUP).unwrap();
    let mut old = Postgres::start(directory.path()).await.unwrap();
    old.set("synchronous_commit=on");
    old.allow_rewind().await.unwrap();
    let new = old.standby(other.path()).await.unwrap();
    execute(&old, "ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    execute(&old, "SELECT pg_reload_conf()").unwrap();
    execute(&old, "CREATE TABLE written (x int)").unwrap();
    let begun = Instant::now();
    while execute(&new, "SELECT count(*) FROM written").as_deref() != Ok("0") {
        assert!(begun.elapsed() < LONG, "the standby does not follow");
        tokio::time::sleep(PAUSE).await;
    }

    old.pause();
    new.promote().unwrap();
    old.unpause();
    execute(&new, "CHECKPOINT").unwrap();
    execute(&new, "INSERT INTO written VALUES (1)").unwrap();
    let mut second = psql(&old, "INSERT INTO written VALUES (2)")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(second.try_wait().unwrap().is_none(), "it was confirmed");
    second.kill().unwrap();
    second.wait().unwrap();

    old.kill();
    let begun = Instant::now();
    // Its processes may still be ending.
    while let Err(error) = old.rewind(&new) {
        assert!(begun.elapsed() < LONG, "{error}");
        tokio::time::sleep(PAUSE).await;
    }
    old.resume().await.unwrap();
    let begun = Instant::now();
    while execute(&old, "SELECT string_agg(x::text, ',') FROM written").as_deref() != Ok("1") {
        assert!(begun.elapsed() < LONG, "the old primary does not follow");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_statements_and_a_full_log_ends_the_server_and_nothing_is_lost() {
    let directory = RunDirectory::create(GROUP).unwrap();
    let mut server = Postgres::start(directory.path()).await.unwrap();
    server.set("synchronous_commit=on");
    if let Err(error) = server.move_to_small_disks().await {
        let test = "a_full_disk_refuses_statements_and_a_full_log_ends_the_server";
        print_left_out(test, &error.to_string());
        return;
    }
    execute(&server, "CREATE TABLE written (x text)").unwrap();
    let many = "INSERT INTO written SELECT repeat('x', 100) FROM generate_series(1, 100000)";
    server.fill(Volume::Data).unwrap();
    let refused = execute(&server, many).unwrap_err();
    assert!(refused.contains("No space left"), "{refused}");
    server.free(Volume::Data).unwrap();
    execute(&server, "INSERT INTO written VALUES ('y')").unwrap();

    server.fill(Volume::WriteAheadLog).unwrap();
    let next = "SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()";
    assert!((0..40).any(|_| execute(&server, next).is_err()));
    server.free(Volume::WriteAheadLog).unwrap();
    let begun = Instant::now();
    while execute(&server, "SELECT count(*) FROM written").as_deref() != Ok("1") {
        assert!(begun.elapsed() < LONG, "the server does not come back");
        if server.is_running() {
            tokio::time::sleep(PAUSE).await;
        } else {
            server.kill();
            let _ = server.resume().await;
        }
    }
}
