//! A worker that is absent for days, and what people and other services see meanwhile
//! (R28).

use std::collections::{HashMap, HashSet};

use latchkey_messaging::topology::{CALENDAR_JOBS_QUEUE, MESSAGING_JOBS_QUEUE};
use latchkey_proto::account::SyncStatus;
use latchkey_proto::account::report_sync_request::{Completed, Report, StageEntered};
use latchkey_proto::account::{ReportSyncRequest, StartChannelSyncRequest};
use latchkey_proto::events::SyncJob;
use serde_json::json;
use time::Duration;

use crate::support::operator::latchkey;
use crate::support::person::{Person, channels, execute, published};
use crate::support::service::TestService;
use crate::sweep::now;

/// Works as the contract requires of a worker: reports its stages and the completion.
async fn completes(service: &TestService, job: &SyncJob, stages: [&str; 2]) {
    let mut client = service.client().await;
    let mut reports: Vec<Report> = stages
        .into_iter()
        .map(|stage| {
            Report::StageEntered(StageEntered {
                sync_stage: stage.to_owned(),
            })
        })
        .collect();
    reports.push(Report::Completed(Completed {
        sync_cursor: "cursor".to_owned(),
    }));
    for report in reports {
        client
            .report_sync(ReportSyncRequest {
                channel_id: job.channel_id.clone(),
                job_id: job.job_id.clone(),
                generation: job.generation,
                report: Some(report),
            })
            .await
            .unwrap();
    }
}

// R28
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_after_three_days_finishes_every_first_sync() {
    let service = TestService::start().await;
    let people: Vec<Person> = (0..2).map(|_| Person::new()).collect();
    let mut accounts = Vec::new();
    for person in &people {
        person.applies(&service, person.sign_in(0)).await;
        accounts.push(person.account(&service).await.id);
    }
    let mut again = 0;
    for half_hour in 1..=3 * 48 {
        let then = now() + Duration::minutes(30 * half_hour);
        again += sync_svc::sweep::run_once(service.database.pool(), then)
            .await
            .unwrap();
        if half_hour % 24 != 0 {
            continue;
        }
        for account in &accounts {
            for channel in service.account(*account).await.channels {
                assert_eq!(channel.sync_status(), SyncStatus::Ongoing);
                assert!(channel.sync_stage.ends_with("LIST_FETCH_PENDING"));
                assert_eq!((channel.generation, channel.throttle_failure_count), (1, 0));
                // The time since which it waits.
                let since = latchkey_proto::time_of(&channel.sync_stage_started_at.unwrap());
                assert!(since.unwrap() < now());
            }
        }
    }
    // After 1, 3, 7, 15, 31 and 55 hours, and never with another id.
    assert_eq!(again, 4 * 6);
    published(&service).await;

    for (queue, stages) in [
        (
            MESSAGING_JOBS_QUEUE,
            ["MESSAGE_LIST_FETCH_ONGOING", "MESSAGES_IMPORT_ONGOING"],
        ),
        (
            CALENDAR_JOBS_QUEUE,
            [
                "CALENDAR_EVENT_LIST_FETCH_ONGOING",
                "CALENDAR_EVENTS_IMPORT_ONGOING",
            ],
        ),
    ] {
        let jobs = service.jobs(queue).await;
        let mut ids: HashMap<String, HashSet<String>> = HashMap::new();
        for job in &jobs {
            let ids = ids.entry(job.channel_id.clone()).or_default();
            ids.insert(job.job_id.clone());
        }
        assert_eq!(ids.len(), people.len());
        assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
        // Each delivery is completed, including the repeated ones.
        for job in &jobs {
            completes(&service, job, stages).await;
        }
    }
    for account in &accounts {
        for channel in channels(&service, *account).await {
            assert_eq!(channel.status, "ACTIVE");
            assert_eq!((channel.generation, channel.jobs), (1, 1));
        }
    }
    // A channel that is up to date has no job that waits.
    let later = now() + Duration::days(9);
    let moved = sync_svc::sweep::run_once(service.database.pool(), later).await;
    assert_eq!(moved.unwrap(), 0);
}

// R28: an earlier version failed such channels, and the sweep does after eight workers.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_the_present_start_revives_what_the_sweep_failed() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    published(&service).await;
    execute(
        &service,
        "UPDATE sync.channel SET sync_status = 'FAILED_UNKNOWN', sync_stage = 'FAILED',
             throttle_failure_count = 8, last_failure = 'no worker reported progress'
         WHERE kind = 'MESSAGE'",
    )
    .await;
    let job = service.jobs(MESSAGING_JOBS_QUEUE).await.remove(0);
    let stages = ["MESSAGE_LIST_FETCH_ONGOING", "MESSAGES_IMPORT_ONGOING"];
    completes(&service, &job, stages).await;
    let found = channels(&service, account).await;
    assert_eq!(found[0].shows(), ("ACTIVE", "MESSAGE_LIST_FETCH_PENDING"));
}

// R28
#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_an_operator_restart_what_failed() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let account = person.account(&service).await.id;
    published(&service).await;
    service.jobs(MESSAGING_JOBS_QUEUE).await;
    let fail = "UPDATE sync.channel SET sync_status = 'FAILED_UNKNOWN', sync_stage = 'FAILED',
         throttle_failure_count = 1, last_failure = 'mailbox is gone' WHERE kind = 'MESSAGE'";

    // The person, with the button of the page.
    execute(&service, fail).await;
    let request = StartChannelSyncRequest {
        account_id: account.to_string(),
    };
    let mut client = service.client().await;
    let answer = client.start_channel_sync(request).await.unwrap();
    let started = &answer.into_inner().channels[0];
    assert_eq!(started.sync_status(), SyncStatus::Ongoing);
    assert_eq!((started.generation, started.throttle_failure_count), (2, 0));

    // The operator, with the command.
    execute(&service, fail).await;
    let failed = ["channels", "failed"];
    let listed = latchkey(&service, &failed, None).await;
    assert_eq!(listed.out.lines().count(), 1, "{listed:?}");
    assert!(listed.out.contains(&account.to_string()), "{listed:?}");
    assert!(
        listed.out.trim_end().ends_with("mailbox is gone"),
        "{listed:?}"
    );
    let restarted = latchkey(&service, &["channels", "restart", "--all"], None).await;
    assert_eq!(
        restarted.out,
        format!("{account}: restarted\n"),
        "{restarted:?}"
    );
    let none = latchkey(&service, &["channels", "failed", "--json"], None).await;
    assert_eq!(none.json(), json!([]));
    let unknown = uuid::Uuid::nil().to_string();
    let refused = latchkey(&service, &["channels", "restart", &unknown], None).await;
    assert!(
        !refused.succeeded
            && refused
                .out
                .contains("not restarted: there is no such account"),
        "{refused:?}"
    );
    let found = channels(&service, account).await;
    assert_eq!(found[0].shows(), ("ONGOING", "MESSAGE_LIST_FETCH_PENDING"));
    // The calendar channel, which runs, was not changed.
    assert_eq!((found[0].generation, found[1].generation), (3, 1));
    published(&service).await;
    assert_eq!(service.jobs(MESSAGING_JOBS_QUEUE).await.len(), 2);
}
