use latchkey_domain::EventId;
use latchkey_messaging::topology::{CALENDAR_JOBS_QUEUE, MESSAGING_JOBS_QUEUE};
use latchkey_proto::events::{AccountConnected, CalendarVisibility, MessageVisibility};
use prost::Message as _;

use crate::support::person::{Person, applied, channels, count, published};
use crate::support::service::TestService;

const MESSAGE_PENDING: (&str, &str) = ("ONGOING", "MESSAGE_LIST_FETCH_PENDING");
const CALENDAR_PENDING: (&str, &str) = ("ONGOING", "CALENDAR_EVENT_LIST_FETCH_PENDING");

// R20, R24, R26
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_becomes_an_account_with_both_channels_and_their_first_jobs() {
    let mut service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;

    let account = person.account(&service).await;
    assert_eq!(account.refresh.as_deref(), Some("refresh-0"));
    let found = channels(&service, account.id).await;
    assert_eq!(found[0].shows(), MESSAGE_PENDING);
    assert_eq!(found[1].shows(), CALENDAR_PENDING);

    published(&service).await;
    for (queue, channel) in [
        (MESSAGING_JOBS_QUEUE, &found[0]),
        (CALENDAR_JOBS_QUEUE, &found[1]),
    ] {
        let jobs = service.jobs(queue).await;
        assert_eq!(jobs.len(), 1, "{queue}");
        assert_eq!(jobs[0].channel_id, channel.id.to_string());
        assert_eq!(jobs[0].account_id, account.id.to_string());
        assert_eq!(jobs[0].handle, "tim@apple.dev");
    }
    let observed = service.observed().await;
    let types: Vec<&str> = observed.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        types,
        [
            "account.connected.v1",
            "channel.status_changed.v1",
            "channel.status_changed.v1"
        ]
    );
    let connected = AccountConnected::decode(observed[0].1.as_slice()).unwrap();
    assert_eq!(connected.message_channel_id, found[0].id.to_string());
    assert_eq!(connected.calendar_channel_id, found[1].id.to_string());
    assert!(!connected.reconnected);
    service.stop_replicas().await;
}

// R25
#[tokio::test(flavor = "multi_thread")]
async fn the_queries_of_the_troubleshooting_guide_run_as_they_stand() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    let (id, handle, provider, held): (uuid::Uuid, String, String, bool) = sqlx::query_as(
        r#"SELECT id, handle, provider, "accessToken" IS NOT NULL FROM "connectedAccount" WHERE handle = $1"#,
    )
    .bind("tim@apple.dev")
    .fetch_one(service.database.pool())
    .await
    .unwrap();
    assert_eq!(
        (handle.as_str(), provider.as_str(), held),
        ("tim@apple.dev", "google", true)
    );
    let status: String = sqlx::query_scalar(
        r#"SELECT "syncStatus"::text FROM (SELECT id, "syncStatus" FROM "messageChannel" WHERE "connectedAccountId" = $1) AS q"#,
    )
    .bind(id)
    .fetch_one(service.database.pool())
    .await
    .unwrap();
    assert_eq!(status, "ONGOING");
}

// R21, WP8
#[tokio::test(flavor = "multi_thread")]
async fn one_event_delivered_100_times_to_two_consumers_with_older_ones_mixed_in_makes_one_of_everything()
 {
    let mut service = TestService::start_with(2, &[]).await;
    let person = Person::new();
    let newest = EventId::generate();
    let event = person.sign_in(500);
    let mut ids = vec![newest];
    for round in 0..100 {
        service.publish(newest, &event).await;
        if round % 4 == 0 {
            let older = EventId::generate();
            service.publish(older, &person.sign_in(round)).await;
            ids.push(older);
        }
    }
    for id in ids {
        applied(&service, id).await;
    }
    // Copies that are still queued change nothing either.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;

    let account = person.account(&service).await;
    assert_eq!(account.access.as_deref(), Some("access-500"));
    assert_eq!(account.refresh.as_deref(), Some("refresh-500"));
    let found = channels(&service, account.id).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].shows(), MESSAGE_PENDING);
    assert_eq!(found[1].shows(), CALENDAR_PENDING);
    published(&service).await;
    assert_eq!(service.jobs(MESSAGING_JOBS_QUEUE).await.len(), 1);
    assert_eq!(service.jobs(CALENDAR_JOBS_QUEUE).await.len(), 1);
    service.stop_replicas().await;
}

// R21; the replaced system had no unique key: two concurrent events made two accounts.
#[tokio::test(flavor = "multi_thread")]
async fn many_sign_ins_at_once_make_one_account_with_the_newest_grant() {
    let service = TestService::start_with(2, &[]).await;
    let person = Person::new();
    let mut ids = Vec::new();
    for turn in 0..60_i64 {
        let id = EventId::generate();
        // 7 and 60 have no common factor: each second occurs once, and not in order.
        service.publish(id, &person.sign_in(turn * 7 % 60)).await;
        ids.push(id);
    }
    for id in ids {
        applied(&service, id).await;
    }
    let account = person.account(&service).await;
    assert_eq!(account.access.as_deref(), Some("access-59"));
    let found = channels(&service, account.id).await;
    assert!(found.iter().all(|channel| channel.jobs == 1), "{found:?}");
}

// R21, WP5; the replaced system stored the narrow scopes of every sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_sign_in_leaves_a_living_mailbox_grant_alone_in_either_order() {
    let service = TestService::start().await;
    for narrow_first in [false, true] {
        let person = Person::new();
        let mut events = [person.sign_in(0), person.plain(10)];
        if narrow_first {
            events.reverse();
        }
        for event in events {
            person.applies(&service, event).await;
        }
        let account = person.account(&service).await;
        assert_eq!(account.access.as_deref(), Some("access-0"));
        assert_eq!(account.scopes.len(), 4);
        let found = channels(&service, account.id).await;
        assert_eq!(found[0].shows(), MESSAGE_PENDING);
        assert_eq!(found[1].shows(), CALENDAR_PENDING);
        assert!(found.iter().all(|channel| channel.jobs == 1));
    }
}

// R5, R31
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_without_refresh_token_never_loses_the_stored_one_in_either_order() {
    let service = TestService::start().await;
    for late in [false, true] {
        let person = Person::new();
        let mut events = [person.sign_in(0), person.without_refresh_token(10)];
        if late {
            events.reverse();
        }
        for event in events {
            person.applies(&service, event).await;
        }
        let account = person.account(&service).await;
        assert_eq!(account.access.as_deref(), Some("access-10"));
        assert_eq!(account.refresh.as_deref(), Some("refresh-0"));
        assert_eq!(account.version, 2);
    }
}

// R33: a refresh in progress may hold the only living refresh token.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_alone_never_moves_the_version_under_a_refresh() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.sign_in(0)).await;
    crate::support::person::execute(
        &service,
        "UPDATE vault.credential SET lease_holder = gen_random_uuid(), lease_until = now() + interval '1 min'",
    )
    .await;
    person
        .applies(&service, person.without_refresh_token(10))
        .await;
    let account = person.account(&service).await;
    assert_eq!(
        (account.access.as_deref(), account.version),
        (Some("access-0"), 1)
    );
}

// R23
#[tokio::test(flavor = "multi_thread")]
async fn partial_consent_is_shown_and_a_wider_grant_repairs_it() {
    let service = TestService::start().await;
    let person = Person::new();
    person.applies(&service, person.partial(0)).await;
    let account = person.account(&service).await;
    let found = channels(&service, account.id).await;
    assert_eq!(found[0].shows(), MESSAGE_PENDING);
    assert_eq!(
        found[1].shows(),
        ("FAILED_INSUFFICIENT_PERMISSIONS", "FAILED")
    );
    assert_eq!((found[0].jobs, found[1].jobs), (1, 0));

    person.applies(&service, person.sign_in(10)).await;
    let found = channels(&service, account.id).await;
    assert_eq!(found[1].shows(), CALENDAR_PENDING);
    // The message channel was not restarted: no second job.
    assert_eq!((found[0].jobs, found[1].jobs), (1, 1));
}

// R13
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_without_connection_creates_nothing() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut event = person.sign_in(0);
    event.connection = None;
    service.publish(EventId::generate(), &event).await;
    let other = Person::new();
    other.applies(&service, other.sign_in(0)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(
        count(&service, "SELECT count(*) FROM sync.connected_account").await,
        1
    );
}

// R16: each choice reaches its own channel.
#[tokio::test(flavor = "multi_thread")]
async fn the_choice_of_the_calendars_visibility_reaches_the_calendar_channel_alone() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut event = person.connects(0);
    let connection = event.connection.as_mut().unwrap();
    connection.calendar_visibility = CalendarVisibility::Metadata.into();
    person.applies(&service, event).await;
    let chosen = async || {
        sqlx::query_as::<_, (String, String)>(
            r#"SELECT m.visibility, c.visibility FROM "messageChannel" m, "calendarChannel" c"#,
        )
        .fetch_one(service.database.pool())
        .await
        .unwrap()
    };
    let both = |message: &str, calendar: &str| (message.to_owned(), calendar.to_owned());
    assert_eq!(chosen().await, both("SHARE_EVERYTHING", "METADATA"));

    // An older choice that arrives late changes nothing; a newer one does.
    for (second, visibility, expected) in [
        (-5, CalendarVisibility::ShareEverything, "METADATA"),
        (5, CalendarVisibility::ShareEverything, "SHARE_EVERYTHING"),
    ] {
        let mut event = person.connects(second);
        event.connection.as_mut().unwrap().calendar_visibility = visibility.into();
        person.applies(&service, event).await;
        assert_eq!(chosen().await, both("SHARE_EVERYTHING", expected));
    }
}

// R16
#[tokio::test(flavor = "multi_thread")]
async fn the_choice_of_visibility_reaches_the_channel_and_the_rest_keeps_its_defaults() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut event = person.connects(0);
    event.connection.as_mut().unwrap().message_visibility = MessageVisibility::Subject.into();
    person.applies(&service, event).await;
    let row: (String, String, String, bool, bool) = sqlx::query_as(
        r#"SELECT visibility, "contactAutoCreationPolicy", "messageFolderImportPolicy",
                  "excludeNonProfessionalEmails", "excludeGroupEmails" FROM "messageChannel""#,
    )
    .fetch_one(service.database.pool())
    .await
    .unwrap();
    assert_eq!(
        row,
        (
            "SUBJECT".into(),
            "SENT".into(),
            "ALL_FOLDERS".into(),
            true,
            true
        )
    );
    // A later sign-in without a choice does not change it.
    person.applies(&service, person.sign_in(10)).await;
    let visibility: String = sqlx::query_scalar(r#"SELECT visibility FROM "messageChannel""#)
        .fetch_one(service.database.pool())
        .await
        .unwrap();
    assert_eq!(visibility, "SUBJECT");
}

async fn visibility(service: &TestService, account: uuid::Uuid) -> String {
    sqlx::query_scalar(
        "SELECT visibility FROM sync.channel WHERE account_id = $1 AND kind = 'MESSAGE'",
    )
    .bind(account)
    .fetch_one(service.database.pool())
    .await
    .unwrap()
}

// R27: the choice was lost if an event without a choice overtook it, or if its grant
// was not stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_visibility_is_ordered_by_its_own_time_whatever_becomes_of_its_grant() {
    let service = TestService::start().await;
    let person = Person::new();
    let chooses = |second, visibility: MessageVisibility| {
        let mut event = person.connects(second);
        event.connection.as_mut().unwrap().message_visibility = visibility.into();
        event
    };
    person.applies(&service, person.sign_in(10)).await;
    let account = person.account(&service).await.id;
    person
        .applies(&service, chooses(5, MessageVisibility::Metadata))
        .await;
    assert_eq!(visibility(&service, account).await, "METADATA");
    assert_eq!(
        person.account(&service).await.access.as_deref(),
        Some("access-10")
    );
    person
        .applies(&service, chooses(4, MessageVisibility::Subject))
        .await;
    assert_eq!(visibility(&service, account).await, "METADATA");
    person.applies(&service, person.connects(20)).await;
    assert_eq!(visibility(&service, account).await, "METADATA");
    person
        .applies(&service, chooses(30, MessageVisibility::Subject))
        .await;
    assert_eq!(visibility(&service, account).await, "SUBJECT");
}

// R27: a plain sign-in carries no choice, even if its event has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_sign_in_never_changes_who_sees_a_mailbox() {
    let service = TestService::start().await;
    let person = Person::new();
    let mut chosen = person.connects(0);
    chosen.connection.as_mut().unwrap().message_visibility = MessageVisibility::Metadata.into();
    person.applies(&service, chosen).await;
    let account = person.account(&service).await.id;
    let mut event = person.sign_in(10);
    event.connection.as_mut().unwrap().message_visibility =
        MessageVisibility::ShareEverything.into();
    person.applies(&service, event).await;
    assert_eq!(visibility(&service, account).await, "METADATA");
    assert_eq!(
        person.account(&service).await.access.as_deref(),
        Some("access-10"),
        "the grant itself is renewed"
    );
}

// R21, R5: a narrower grant does not replace a wider one, and its refresh token is kept
// if the wider one has none, in either order.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_refresh_token_is_kept_beside_a_wider_access_token_in_either_order() {
    let service = TestService::start().await;
    for late in [false, true] {
        let person = Person::new();
        let mut events = [person.without_refresh_token(0), person.partial(10)];
        if late {
            events.reverse();
        }
        for event in events {
            person.applies(&service, event).await;
        }
        let account = person.account(&service).await;
        assert_eq!(account.access.as_deref(), Some("access-0"));
        assert_eq!(account.refresh.as_deref(), Some("refresh-10"));
        assert_eq!(account.scopes.len(), 4);
        let found = channels(&service, account.id).await;
        assert!(found.iter().all(|channel| channel.status == "ONGOING"));
    }
}
