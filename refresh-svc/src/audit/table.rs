//! `vault.audit`: many rows in one statement, tried until they are in.

use std::time::Duration;

use latchkey_domain::ProviderName;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BATCH, Record};

/// A batch waits this long for more records: a row alone costs as much as many.
const GATHER: Duration = Duration::from_millis(100);
/// Between two tries while the database does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries when the service is ending.
const LAST_TRIES: usize = 3;

/// Writes what comes until the channel ends.
pub(super) async fn run(pool: PgPool, mut rows: mpsc::Receiver<Record>, stop: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    while rows.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH && !stop.is_cancelled() {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH {
                let Ok(record) = rows.try_recv() else { break };
                batch.push(record);
            }
        }
        // Made once per record, so that a batch that is tried again is no other.
        let ids: Vec<Uuid> = batch.iter().map(|_| Uuid::now_v7()).collect();
        let mut tries = 0;
        while let Err(error) = insert(&pool, &ids, &batch).await {
            tries += 1;
            if tries == 1 {
                tracing::warn!(%error, records = batch.len(), "audit records wait for the database");
            }
            if stop.is_cancelled() && tries >= LAST_TRIES {
                tracing::error!(target: "audit", lost = batch.len(), "audit records did not reach the table");
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        batch.clear();
    }
}

async fn insert(pool: &PgPool, ids: &[Uuid], batch: &[Record]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(batch: &'a [Record], of: impl Fn(&'a Record) -> T) -> Vec<T> {
        batch.iter().map(of).collect()
    }
    let at: Vec<OffsetDateTime> = column(batch, |record| record.at);
    let caller: Vec<&str> = column(batch, |record| record.caller.as_str());
    let peer: Vec<Option<String>> =
        column(batch, |record| record.peer.map(|peer| peer.to_string()));
    let method: Vec<&str> = column(batch, |record| record.method);
    let account: Vec<Option<Uuid>> = column(batch, |record| record.account.map(|id| id.as_uuid()));
    let workspace: Vec<Option<Uuid>> =
        column(batch, |record| record.workspace.map(|id| id.as_uuid()));
    let provider: Vec<Option<&str>> = column(batch, |record| {
        record.provider.as_ref().map(ProviderName::as_str)
    });
    let scopes: Vec<Option<&str>> = column(batch, |record| record.granted_scopes.as_deref());
    let outcome: Vec<&str> = column(batch, |record| record.outcome.as_str());
    let reason: Vec<Option<&str>> = column(batch, |record| record.reason.as_deref());
    let trace_id: Vec<Option<&str>> = column(batch, |record| record.trace_id.as_deref());
    sqlx::query(
        "INSERT INTO vault.audit
             (id, at, caller, peer, method, account_id, workspace_id, provider,
              granted_scopes, outcome, reason, trace_id)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
                              $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[],
                              $11::text[], $12::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .bind(at)
    .bind(caller)
    .bind(peer)
    .bind(method)
    .bind(account)
    .bind(workspace)
    .bind(provider)
    .bind(scopes)
    .bind(outcome)
    .bind(reason)
    .bind(trace_id)
    .execute(pool)
    .await
    .map(drop)
}
