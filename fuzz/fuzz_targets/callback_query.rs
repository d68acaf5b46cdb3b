//! The query of the callback: no input causes a panic, and an accepted query has every
//! parameter at most once.
#![no_main]

use auth_svc::login::flow_cookie::name_of;
use auth_svc::login::provider_answer::{AnswerCode, ProviderAnswer};
use auth_svc::login::query::Query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &str| {
    let Ok(query) = Query::parse(raw) else {
        return;
    };
    let mut names: Vec<String> = url::form_urlencoded::parse(raw.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    if let Some(state) = query.get("state") {
        assert!(name_of(state).len() < 64);
    }
    if let Some(error) = query.get("error") {
        let _ = ProviderAnswer::of(error);
        let code = AnswerCode::of(error, None).to_string();
        assert!(code.len() <= 64 && code.bytes().all(|b| b.is_ascii_graphic()));
        let text = AnswerCode::of(error, query.get("error_description")).to_string();
        assert!(text.chars().count() <= 64 + 204 && !text.contains(char::is_control));
    }
});
