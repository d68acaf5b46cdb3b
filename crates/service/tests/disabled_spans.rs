//! What nobody reads costs nothing. A binary of its own: telemetry is set up once for a process.

use latchkey_config::Environment;
use latchkey_service::telemetry;
use tracing::Level;
use tracing::level_filters::LevelFilter;

// R45
#[test]
fn libraries_make_no_spans_and_events_below_the_level_of_the_log() {
    let environment: Environment = [("RUST_LOG", "info")].into_iter().collect();
    let settings = telemetry::Settings::from_environment(&environment).unwrap();
    let _telemetry = settings.init("test").unwrap();
    assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    assert!(!tracing::enabled!(target: "h2", Level::TRACE));
    assert!(!tracing::enabled!(target: "h2::proto", Level::DEBUG));
    assert!(tracing::enabled!(target: "latchkey", Level::INFO));
}
