//! A front end on another site that may receive hand-over codes.

use serde_json::{Value, json};

use super::TestApp;

/// The origin of the front end.
pub const CRM: &str = "https://crm.example";

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Starts the application with this front end allowed.
pub async fn start_with_front_end() -> TestApp {
    TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", CRM)]).await
}

/// Returns the request body that redeems a code with [`VERIFIER`].
pub fn code_with_verifier(code: &str) -> Value {
    json!({ "grantType": "code", "code": code, "verifier": VERIFIER })
}

/// Redeems a code and returns `true` if the front end gets an access token.
pub async fn redeems(app: &TestApp, code: &str) -> bool {
    let body = code_with_verifier(code);
    let response = app.browser().post_json(CRM, "/auth/token", &body).await;
    response.status == 200
}
