//! How many statements the transaction of a sign-in takes, with `BEGIN` and `COMMIT`.
//! docs/performance.md has the numbers.

use latchkey_demo_provider::Decision;
use latchkey_testkit::{Role, StatementRecorder};
use tokio_util::sync::CancellationToken;

use crate::support::TestApp;

/// Bound for the first sign-in of a person, who joins the workspace.
const FIRST: usize = 14;
/// Bound for a later one, in another browser.
const LATER: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn the_transaction_of_a_sign_in_takes_a_bounded_number_of_statements() {
    let app = TestApp::start().await;
    let url = app.database.url(Role::Auth);
    let recorder = StatementRecorder::start(&url).await;
    let recorded = recorder.url(&url);
    let stop = CancellationToken::new();
    let (base, _, _) = app.replica_until(&[("DATABASE_URL", recorded.as_str())], &stop);
    let _ends = stop.drop_guard();
    for (what, most) in [("the first", FIRST), ("a later one", LATER)] {
        let mut browser = app.browser().at(&base);
        recorder.take("");
        let answered = app
            .run_flow(&mut browser, "/auth/microsoft", &Decision::allow("ada"))
            .await;
        assert_eq!(answered.status, 302, "{}", answered.body);
        let sent = recorder.transactions("INSERT INTO auth.session");
        assert_eq!(sent.len(), 1, "{what}: {sent:#?}");
        let sent = &sent[0];
        assert!(sent.len() <= most, "{what}: {}, {sent:#?}", sent.len());
    }
}
