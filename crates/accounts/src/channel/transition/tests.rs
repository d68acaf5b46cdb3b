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
        Just(Input::WorkerSilent),
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
    assert_eq!(
        channel.last_failure,
        Some(LastFailure::Reported("429".to_owned()))
    );
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

fn taken_up(channel: &Channel) -> Channel {
    channel
        .after(Input::StageEntered(Stage::ListFetchOngoing), NOW)
        .unwrap()
}

/// A channel that the sweep gave up: workers took the job eight times and reported
/// nothing.
fn given_up_by_the_sweep() -> Channel {
    let mut channel = running();
    while channel.is_running() {
        channel = taken_up(&channel).after(Input::WorkerSilent, NOW).unwrap();
    }
    channel
}

// A channel whose jobs workers take does not stay ONGOING for ever.
#[test]
fn a_channel_whose_workers_fall_silent_gets_new_jobs_and_fails_in_the_end() {
    let channel = given_up_by_the_sweep();
    assert_eq!(channel.generation - 1, THROTTLE_LIMIT - 1);
    assert_eq!(channel.status, SyncStatus::FailedUnknown);
    assert_eq!(channel.last_failure, Some(LastFailure::WorkerSilent));
}

// R28
#[test]
fn waiting_for_a_worker_is_not_a_failure_at_any_stage_and_for_any_time() {
    let years = NOW + Duration::weeks(200);
    for stage in Stage::WAITING {
        let waiting = Channel { stage, ..running() };
        assert!(!waiting.is_worker_silent(years), "{waiting:?}");
        assert!(waiting.awaits_worker(), "{waiting:?}");
        assert!(
            waiting.after(Input::WorkerSilent, years).is_err(),
            "{waiting:?}"
        );
    }
    for stage in Stage::AT_WORK {
        let at_work = Channel { stage, ..running() };
        assert!(at_work.is_worker_silent(years), "{at_work:?}");
        assert!(!at_work.awaits_worker(), "{at_work:?}");
    }
    let up_to_date = running()
        .after(Input::Completed("c".to_owned()), NOW)
        .unwrap();
    assert!(!up_to_date.awaits_worker() && !up_to_date.is_worker_silent(years));
}

// R28
#[test]
fn a_report_resumes_a_channel_that_the_sweep_gave_up_but_not_one_that_a_worker_failed() {
    let given_up = given_up_by_the_sweep();
    let at_work = given_up
        .after(Input::StageEntered(Stage::ImportOngoing), NOW)
        .unwrap();
    assert_eq!(at_work.status, SyncStatus::Ongoing);
    assert_eq!(at_work.stage, Stage::ImportOngoing);
    assert_eq!(at_work.generation, given_up.generation);
    assert_eq!(
        (at_work.throttle_failures, &at_work.last_failure),
        (0, &None)
    );
    let done = given_up
        .after(Input::Completed("c".to_owned()), NOW)
        .unwrap();
    assert_eq!(done.status, SyncStatus::Active);
    let throttled = given_up.after(retryable(None), NOW).unwrap();
    assert_eq!(throttled.throttle_failures, 1);
    assert!(throttled.throttle_until.is_some() && throttled.is_running());

    let ended = running()
        .after(Input::Failed(Failure::Unknown("x".to_owned())), NOW)
        .unwrap();
    for late in [
        Input::StageEntered(Stage::ImportOngoing),
        Input::Completed(String::new()),
        retryable(None),
    ] {
        assert!(ended.after(late, NOW).is_err());
    }
}

// R28: a newer version runs beside this one.
#[test]
fn the_stage_of_a_newer_version_is_kept_unchanged() {
    for kind in [
        crate::channel::Kind::Message,
        crate::channel::Kind::Calendar,
    ] {
        let stage = Stage::stored(kind, "MESSAGES_SORTED".to_owned());
        assert_eq!(stage.name(kind), "MESSAGES_SORTED");
        let newer = Channel { stage, ..running() };
        assert!(!newer.is_worker_silent(NOW + Duration::weeks(9)) && !newer.awaits_worker());
        assert!(newer.after(Input::WorkerSilent, NOW).is_err());
        assert!(newer.after(Input::Start, NOW).is_ok());
        assert_eq!(taken_up(&newer).stage, Stage::ListFetchOngoing);
    }
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
    assert!(channel.after(Input::WorkerSilent, NOW).is_err());
}

proptest! {
    // R22: a start resumes a channel from every state.
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
                SyncStatus::Other(_) => false,
            };
            prop_assert!(stage, "{channel:?}");
            prop_assert!(channel.generation == before.generation || channel.generation == before.generation + 1);
            prop_assert!(channel.throttle_failures <= THROTTLE_LIMIT);
            prop_assert!(channel.throttle_until.is_none() || channel.is_running());
        }
    }
}
