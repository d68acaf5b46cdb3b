//! The statements of the services, recorded with their parameters, and the same statements by plain
//! sqlx: the limit of what the services can reach with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use devstack::ServiceId;
use latchkey_testkit::{Parameter, Statement, StatementRecorder};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, PgPool, Postgres, Type};
use tokio::task::JoinSet;

use super::callbacks;
use super::people;
use super::testbed::{CONNECTIONS, DATABASE_URL, LoginTestbed};
use crate::machine::processor_time;

/// Callbacks at the same time while statements are recorded.
const AT_ONCE: usize = 8;
/// Time that the last transactions of a recording have to end.
const SETTLE: Duration = Duration::from_secs(2);

/// What the services send for each sign-in.
pub struct Recorded {
    /// auth-svc: the transaction, and before it the look whether the flow was used.
    pub sign_ins: Vec<Vec<Statement>>,
    /// sync-svc: the transaction.
    pub connections: Vec<Vec<Statement>>,
}

/// The same statements by plain sqlx.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// Transactions per second.
    pub rate: f64,
    /// Processor time of the client for each transaction.
    pub processor: Duration,
}

/// Records the statements of `count` sign-ins of new people.
pub async fn record(testbed: &mut LoginTestbed, count: usize) -> anyhow::Result<Recorded> {
    let mut recorders = Vec::new();
    for id in [ServiceId::Auth, ServiceId::Sync] {
        let service = testbed.stack.service(id)?;
        let url = service.variable(DATABASE_URL)?.to_owned();
        let recorder = StatementRecorder::start(&url).await;
        let before = testbed
            .restart_with(id, DATABASE_URL, &recorder.url(&url))
            .await?;
        recorders.push((id, recorder, before));
    }
    let (people, _) = people::begin(testbed, "recorded", count).await?;
    for (_, recorder, _) in &recorders {
        recorder.take("");
    }
    callbacks::closed(&callbacks::client()?, people, AT_ONCE).await?;
    testbed.committed("recorded", count).await?;
    tokio::time::sleep(SETTLE).await;
    let [sign_ins, connections] =
        ["INSERT INTO auth.session", "INSERT INTO sync.inbox"].map(|part| {
            let transactions = recorders
                .iter()
                .flat_map(|(_, recorder, _)| recorder.transactions(part));
            transactions.collect::<Vec<_>>()
        });
    let looks = recorders
        .iter()
        .flat_map(|(_, recorder, _)| recorder.take("auth.spent_flow"))
        .filter(|statement| statement.text.starts_with("SELECT"));
    let sign_ins: Vec<Vec<Statement>> = looks
        .zip(sign_ins)
        .map(|(look, transaction)| std::iter::once(look).chain(transaction).collect())
        .collect();
    for (service, recorded) in [("auth-svc", &sign_ins), ("sync-svc", &connections)] {
        anyhow::ensure!(
            recorded.len() == count,
            "{} of {count} transactions of {service} were recorded",
            recorded.len()
        );
    }
    for (id, _, before) in recorders {
        testbed.restart_with(id, DATABASE_URL, &before).await?;
    }
    Ok(Recorded {
        sign_ins,
        connections,
    })
}

/// A statement that is sent again.
struct Ready {
    text: &'static str,
    parameters: Vec<Recurring>,
}

/// What is sent again for one sign-in.
struct Work {
    /// Before the transaction.
    looks: Vec<Ready>,
    transaction: Vec<Ready>,
}

/// Sends the statements again in their transactions, with as many connections as a service has.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
pub async fn replay(pool: &PgPool, recorded: Vec<Vec<Statement>>) -> anyhow::Result<Plain> {
    let mut texts = HashMap::new();
    let work: Vec<Work> = recorded
        .into_iter()
        .map(|statements| prepare(statements, &mut texts))
        .collect();
    let count = work.len().max(1);
    let work = Arc::new(work);
    let next = Arc::new(AtomicUsize::new(0));
    let before = processor_time(std::process::id())?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (pool, work, next) = (pool.clone(), Arc::clone(&work), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some(one) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                repeat(&pool, one).await?;
            }
            Ok::<_, sqlx::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let processor = processor_time(std::process::id())?.saturating_sub(before);
    Ok(Plain {
        rate,
        processor: processor.div_f64(count as f64),
    })
}

async fn repeat(pool: &PgPool, work: &Work) -> Result<(), sqlx::Error> {
    for look in &work.looks {
        look.query().fetch_all(pool).await?;
    }
    let mut transaction = pool.begin().await?;
    for statement in &work.transaction {
        statement.query().fetch_all(&mut *transaction).await?;
    }
    transaction.commit().await
}

impl Ready {
    fn query(&self) -> sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments> {
        let mut query = sqlx::query::<Postgres>(self.text);
        for parameter in &self.parameters {
            query = query.bind(parameter);
        }
        query
    }
}

/// `texts` has each text once, as a constant would be in a program.
fn prepare(statements: Vec<Statement>, texts: &mut HashMap<String, &'static str>) -> Work {
    let mut work = Work {
        looks: Vec::new(),
        transaction: Vec::new(),
    };
    let mut begun = false;
    for statement in statements {
        match statement.text.as_str() {
            "BEGIN" => begun = true,
            "COMMIT" => {}
            text => {
                let text = *texts
                    .entry(text.to_owned())
                    .or_insert_with_key(|text| text.clone().leak());
                let parameters = statement.parameters.into_iter().map(Recurring).collect();
                let ready = Ready { text, parameters };
                if begun {
                    work.transaction.push(ready);
                } else {
                    work.looks.push(ready);
                }
            }
        }
    }
    work
}

/// A recorded parameter as a value of sqlx.
struct Recurring(Parameter);

impl Type<Postgres> for Recurring {
    fn type_info() -> PgTypeInfo {
        // Each value has a type of its own.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Recurring {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.0.value {
            Some(value) => {
                buffer.extend_from_slice(value);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.type_id)))
    }

    fn size_hint(&self) -> usize {
        self.0.value.as_ref().map_or(0, Vec::len)
    }
}
