//! A front end on another site that may take people over.

use serde_json::{Value, json};

use super::TestApp;

/// Its origin.
pub const CRM: &str = "https://crm.example";

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A deployment that allows it.
pub async fn crm() -> TestApp {
    TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await
}

/// What redeems a code that was handed over.
pub fn code_with_verifier(code: &str) -> Value {
    json!({ "grantType": "code", "code": code, "verifier": VERIFIER })
}

/// Returns `true` if the front end gets a session for its code.
pub async fn redeems(app: &TestApp, code: &str) -> bool {
    let body = code_with_verifier(code);
    let response = app.browser().post_json(CRM, "/auth/token", &body).await;
    response.status == 200
}
