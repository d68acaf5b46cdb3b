use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

fn running() -> Channel {
    Channel::new(NOW).after(Input::Start, NOW).unwrap()
}

fn retryable(asked: Option<Duration>) -> Input {
    Input::Failed(Failure::Retryable(asked, "429".to_owned()))
}

fn any_input() -> impl Strategy<Value = Input> {
    let detail = "[a-z]{0,8}";
    prop_oneof![
        Just(Input::Start),
        Just(Input::AwaitConfirmation),
        Just(Input::Denied),
        detail.prop_map(Input::GrantDied),
        Just(Input::Disconnected),
        prop::sample::select(&Stage::ALL).prop_map(Input::StageEntered),
        detail.prop_map(Input::Completed),
        detail.prop_map(|text| Input::Failed(Failure::Retryable(None, text))),
        detail.prop_map(|text| Input::Failed(Failure::InsufficientPermissions(text))),
        detail.prop_map(|text| Input::Failed(Failure::CursorExpired(text))),
        detail.prop_map(|text| Input::Failed(Failure::Unknown(text))),
        Just(Input::RetryDue),
        Just(Input::Stuck),
    ]
}

// R24
#[test]
fn after_the_connection_a_channel_is_ongoing() {
    let channel = running();
    assert_eq!(channel.status, SyncStatus::Ongoing);
    assert_eq!(channel.stage, Stage::ListFetchPending);
    assert_eq!(channel.generation, 1);
}

// R26
#[test]
fn a_completed_sync_makes_a_channel_active_and_keeps_its_cursor() {
    let channel = running()
        .after(Input::StageEntered(Stage::ListFetchOngoing), NOW)
        .and_then(|channel| channel.after(Input::StageEntered(Stage::ImportOngoing), NOW))
        .and_then(|channel| channel.after(Input::Completed("c1".to_owned()), NOW))
        .unwrap();
    assert_eq!(channel.status, SyncStatus::Active);
    assert_eq!(channel.cursor, "c1");
    assert_eq!(channel.synced_at, Some(NOW));
}

#[test]
fn waits_double_are_bounded_and_end_in_a_failure() {
    let mut channel = running();
    let mut waits = Vec::new();
    while channel.is_running() {
        channel = channel.after(retryable(None), NOW).unwrap();
        waits.extend(channel.throttle_until.map(|until| until - NOW));
    }
    let minutes: Vec<i64> = waits.iter().map(|wait| wait.whole_minutes()).collect();
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64]);
    assert_eq!(channel.status, SyncStatus::FailedUnknown);
    assert_eq!(channel.last_failure.as_deref(), Some("429"));
}

#[test]
fn the_wait_that_a_worker_asks_for_is_kept_within_bounds() {
    let until = |asked| {
        running()
            .after(retryable(Some(asked)), NOW)
            .unwrap()
            .throttle_until
    };
    assert_eq!(
        until(Duration::minutes(7)),
        Some(NOW + Duration::minutes(7))
    );
    assert_eq!(until(Duration::days(9)), Some(NOW + THROTTLE_MAX));
    assert_eq!(until(Duration::seconds(-1)), Some(NOW + THROTTLE_MIN));
}

#[test]
fn an_expired_cursor_begins_anew_with_a_new_job_and_not_for_ever() {
    let mut channel = running()
        .after(Input::Completed("c1".to_owned()), NOW)
        .unwrap();
    let expired = || Input::Failed(Failure::CursorExpired("410".to_owned()));
    channel = channel.after(expired(), NOW).unwrap();
    assert_eq!((channel.cursor.as_str(), channel.generation), ("", 2));
    assert_eq!(channel.stage, Stage::ListFetchPending);
    for _ in 0..THROTTLE_LIMIT {
        channel = channel.after(expired(), NOW).unwrap_or(channel);
    }
    assert_eq!(channel.status, SyncStatus::FailedUnknown);
}

// No channel stays ONGOING for ever.
#[test]
fn a_stuck_channel_gets_new_jobs_and_fails_in_the_end() {
    let mut channel = running();
    let mut jobs = 0;
    while channel.is_running() {
        let next = channel.after(Input::Stuck, NOW).unwrap();
        jobs += next.generation - channel.generation;
        channel = next;
    }
    assert_eq!(jobs, THROTTLE_LIMIT - 1);
    assert_eq!(channel.status, SyncStatus::FailedUnknown);
}

#[test]
fn a_list_must_be_fetched_before_it_is_imported() {
    let import = Input::StageEntered(Stage::ImportOngoing);
    assert!(running().after(import, NOW).is_err());
}

// R37
#[test]
fn a_disconnected_channel_takes_no_report() {
    let channel = running().after(Input::Disconnected, NOW).unwrap();
    assert!(channel.after(Input::Completed(String::new()), NOW).is_err());
    assert!(channel.after(retryable(None), NOW).is_err());
    assert!(channel.after(Input::Stuck, NOW).is_err());
}

proptest! {
    // R22: whatever happened, a start brings a channel back.
    #[test]
    fn a_start_always_repairs_and_keeps_the_cursor(inputs in prop::collection::vec(any_input(), 0..20)) {
        let mut channel = Channel::new(NOW);
        for input in inputs {
            channel = channel.after(input, NOW).unwrap_or(channel);
        }
        let started = channel.after(Input::Start, NOW).unwrap();
        prop_assert_eq!(started.status, SyncStatus::Ongoing);
        prop_assert_eq!(started.generation, channel.generation + 1);
        prop_assert_eq!(started.cursor, channel.cursor);
    }

    #[test]
    fn status_and_stage_never_contradict_each_other(inputs in prop::collection::vec(any_input(), 0..20)) {
        let mut channel = Channel::new(NOW);
        for input in inputs {
            let before = channel.clone();
            channel = channel.after(input, NOW).unwrap_or(channel);
            let stage = match channel.status {
                SyncStatus::NotSynced => channel.stage == Stage::PendingConfiguration,
                SyncStatus::Ongoing | SyncStatus::Active =>
                    !matches!(channel.stage, Stage::PendingConfiguration | Stage::Failed),
                SyncStatus::FailedInsufficientPermissions | SyncStatus::FailedUnknown =>
                    channel.stage == Stage::Failed,
            };
            prop_assert!(stage, "{channel:?}");
            prop_assert!(channel.generation == before.generation || channel.generation == before.generation + 1);
            prop_assert!(channel.throttle_failures <= THROTTLE_LIMIT);
            prop_assert!(channel.throttle_until.is_none() || channel.is_running());
        }
    }
}
