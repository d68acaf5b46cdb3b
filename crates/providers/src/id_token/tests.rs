//! Single claims at their limits. `tests/` checks the behaviour of a whole provider.

use latchkey_config::Environment;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::google::Google;
use crate::microsoft::{MICROSOFT, Microsoft};
use crate::quirks::Plain;

const NOW: i64 = 1_800_000_000;
const TENANT: &str = "aaaaaaaa-0000-4000-8000-00000000acce";
/// Access token and hash of OpenID Connect Core, appendix A.3.
const ACCESS: &str = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
const ACCESS_HASH: &str = "77QmUPtjPfzWtF2AnpK9RQ";

fn oidc_definition() -> Definition {
    let environment: Environment = [
        ("AUTH_OIDC_ACME_ISSUER", "https://id.example"),
        ("AUTH_OIDC_ACME_CLIENT_ID", "us"),
    ]
    .into_iter()
    .collect();
    crate::oidc::definitions(&environment).unwrap().remove(0)
}

fn microsoft_definition(more: &[(&str, &str)]) -> Definition {
    let environment: Environment = [
        ("AUTH_MICROSOFT_ENABLED", "true"),
        ("AUTH_MICROSOFT_CLIENT_ID", "us"),
        ("AUTH_MICROSOFT_CLIENT_SECRET", "x"),
    ]
    .iter()
    .chain(more)
    .copied()
    .collect();
    MICROSOFT.definition(&environment).unwrap().unwrap()
}

fn good() -> Value {
    json!({
        "iss": "https://id.example", "aud": "us", "sub": "ada", "nonce": "n",
        "iat": NOW, "exp": NOW + 60,
    })
}

fn microsoft_good() -> Value {
    json!({
        "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "aud": "us",
        "sub": "x", "tid": TENANT, "oid": "o", "nonce": "n", "iat": NOW, "exp": NOW + 60,
    })
}

fn judge(definition: &Definition, claims: &Value) -> Result<VerifiedIdentity, IdTokenError> {
    check(
        &Claims(claims.as_object().cloned().unwrap_or_default()),
        Algorithm::RS256,
        definition,
        Expected::Nonce("n"),
        &AccessToken::new(ACCESS),
        OffsetDateTime::from_unix_timestamp(NOW).unwrap(),
    )
}

fn with(name: &str, value: Value) -> Result<VerifiedIdentity, IdTokenError> {
    let mut claims = good();
    claims[name] = value;
    judge(&oidc_definition(), &claims)
}

fn microsoft_with(name: &str, value: Value) -> Result<VerifiedIdentity, IdTokenError> {
    let mut claims = microsoft_good();
    claims[name] = value;
    judge(&microsoft_definition(&[]), &claims)
}

#[test]
fn the_audience_is_this_client_alone() {
    for good in [json!("us"), json!(["us"]), json!(["us", "us"])] {
        assert!(with("aud", good.clone()).is_ok(), "{good}");
    }
    for bad in [json!([]), json!(["them"]), json!("US"), json!(7), json!({})] {
        assert!(
            matches!(with("aud", bad.clone()), Err(IdTokenError::Audience(_))),
            "{bad}"
        );
    }
    assert!(with("azp", json!("us")).is_ok());
    for bad in [json!("them"), json!(null), json!(["us"])] {
        assert!(
            matches!(
                with("azp", bad.clone()),
                Err(IdTokenError::AuthorizedParty(_))
            ),
            "{bad}"
        );
    }
}

// Zitadel names the project beside the client.
#[test]
fn configured_audiences_are_accepted_beside_the_client() {
    let mut definition = oidc_definition();
    definition.audiences = ["project".to_owned()].into();
    let of = |aud: Value, azp: Value| {
        let mut claims = good();
        claims["aud"] = aud;
        claims["azp"] = azp;
        if claims["azp"].is_null() {
            claims.as_object_mut().unwrap().remove("azp");
        }
        judge(&definition, &claims)
    };
    let both = json!(["project", "us"]);
    assert!(of(both.clone(), json!("us")).is_ok());
    let refused = of(both.clone(), json!(null));
    assert!(matches!(refused, Err(IdTokenError::AuthorizedParty(_))));
    let refused = of(both, json!("project"));
    assert!(matches!(refused, Err(IdTokenError::AuthorizedParty(_))));
    let refused = of(json!(["us", "them"]), json!("us"));
    assert!(matches!(refused, Err(IdTokenError::OtherAudiences(_))));
    let refused = of(json!(["project"]), json!("us"));
    assert!(matches!(refused, Err(IdTokenError::Audience(_))));
}

#[test]
fn address_and_subject_come_from_the_configured_claims() {
    let mut definition = oidc_definition();
    definition.email_claim = "upn".to_owned();
    definition.subject_claim = Some("oid".to_owned());
    let mut claims = good();
    let refused = judge(&definition, &claims);
    assert_eq!(refused, Err(IdTokenError::SubjectClaim("oid".to_owned())));
    claims["oid"] = json!("object");
    claims["upn"] = json!("ada@acme.example");
    let person = judge(&definition, &claims).unwrap();
    assert_eq!(person.subject.as_str(), "object");
    assert_eq!(person.email.unwrap().as_str(), "ada@acme.example");
}

#[test]
fn times_are_numbers_within_a_minute() {
    for good in [json!(NOW - 59), json!(NOW), json!(1_800_000_000.5)] {
        assert!(with("exp", good.clone()).is_ok(), "{good}");
    }
    for bad in [
        json!(NOW - 60),
        json!("1800000100"),
        json!(null),
        json!(-1),
        json!(1e300),
    ] {
        assert!(
            matches!(with("exp", bad.clone()), Err(IdTokenError::Expired(_))),
            "{bad}"
        );
    }
    assert!(with("iat", json!(NOW + 60)).is_ok());
    for bad in [json!(NOW + 61), json!("1800000000"), json!(null)] {
        assert!(
            matches!(with("iat", bad.clone()), Err(IdTokenError::NotYetValid(_))),
            "{bad}"
        );
        assert!(
            matches!(with("nbf", bad.clone()), Err(IdTokenError::NotYetValid(_))),
            "{bad}"
        );
    }
    assert!(with("nbf", json!(NOW + 60)).is_ok());
}

#[test]
fn the_access_token_hash_is_that_of_the_specification() {
    assert!(with("at_hash", json!(ACCESS_HASH)).is_ok());
    for bad in [
        json!(""),
        json!(null),
        json!("77QmUPtjPfzWtF2AnpK9RR"),
        json!(7),
    ] {
        assert_eq!(
            with("at_hash", bad.clone()),
            Err(IdTokenError::AccessTokenHash),
            "{bad}"
        );
    }
}

#[test]
fn the_subject_is_a_text_of_bounded_length() {
    for bad in [
        json!(""),
        json!(7),
        json!(null),
        json!("x".repeat(256)),
        json!("a\nb"),
    ] {
        assert_eq!(
            with("sub", bad.clone()),
            Err(IdTokenError::Subject),
            "{bad}"
        );
    }
}

#[test]
fn a_malformed_name_or_address_does_not_refuse_the_person() {
    assert_eq!(with("email", json!("no address")).unwrap().email, None);
    assert_eq!(with("email", json!(7)).unwrap().email, None);
    let name = with("name", json!("Ada\u{0}\nLovelace")).unwrap().name;
    assert_eq!(name.as_deref(), Some("AdaLovelace"));
}

// R2; nOAuth.
#[test]
fn microsoft_is_tenant_and_object() {
    let subject = microsoft_with("name", json!("Ada")).unwrap().subject;
    assert_eq!(subject.as_str(), format!("{TENANT}/o"));
    for (name, bad) in [
        ("tid", json!("common")),
        ("tid", json!(TENANT.to_uppercase())),
        ("tid", json!("../../evil")),
        ("tid", json!(null)),
        ("oid", json!(null)),
        ("oid", json!("a/b")),
        ("sub", json!(null)),
    ] {
        let judged = microsoft_with(name, bad.clone());
        assert_eq!(judged, Err(IdTokenError::Subject), "{name} {bad}");
    }
    // Another tenant's token under this tenant's issuer.
    let other = "bbbbbbbb-0000-4000-8000-0000000910be";
    let judged = microsoft_with("tid", json!(other));
    assert!(matches!(judged, Err(IdTokenError::Issuer(_))), "{judged:?}");
    for only in [
        ("AUTH_MICROSOFT_ALLOWED_TENANTS", other),
        ("AUTH_MICROSOFT_TENANT_ID", other),
    ] {
        let mut claims = microsoft_good();
        claims["email"] = json!("ada@acme.example");
        let judged = judge(&microsoft_definition(&[only]), &claims);
        let Err(IdTokenError::Tenant(wrong)) = judged else {
            panic!("{judged:?}");
        };
        let text = wrong.to_string();
        assert!(text.contains(other) && text.contains(TENANT), "{text}");
        assert_eq!(wrong.address.unwrap().as_str(), "ada@acme.example");
    }
}

/// The verified address of a token, with one configured tenant.
fn proven(claims: &Value, tenant: (&str, &str)) -> Option<String> {
    let mut all = microsoft_good();
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let person = judge(&microsoft_definition(&[tenant]), &all).unwrap();
    let verified = person.email_verified();
    person.email.filter(|_| verified).map(String::from)
}

// R2 R7
#[test]
fn the_only_tenant_vouches_for_the_principal_names_of_its_own_people() {
    for tenant in [
        ("AUTH_MICROSOFT_TENANT_ID", TENANT),
        ("AUTH_MICROSOFT_ALLOWED_TENANTS", TENANT),
    ] {
        for (claims, address) in [
            (
                json!({"preferred_username": "Ada@acme.example"}),
                "ada@acme.example",
            ),
            (json!({"upn": "ada@acme.example"}), "ada@acme.example"),
            (
                json!({"preferred_username": "ada@acme.example", "email": "a.lovelace@acme.example"}),
                "a.lovelace@acme.example",
            ),
            // The tenant does not vouch for the other domain.
            (
                json!({"preferred_username": "ada@acme.example", "email": "ada@globex.example"}),
                "ada@acme.example",
            ),
            (
                json!({"preferred_username": "ada@acme.example", "email": "ada@globex.example", "xms_edov": "1"}),
                "ada@globex.example",
            ),
            (
                json!({"upn": "ada@acme.example", "acct": 0,
                       "idp": format!("https://sts.windows.net/{TENANT}/")}),
                "ada@acme.example",
            ),
        ] {
            assert_eq!(
                proven(&claims, tenant).as_deref(),
                Some(address),
                "{claims}"
            );
        }
    }
}

// R2 R7; nOAuth.
#[test]
fn a_guest_and_several_tenants_prove_nothing_by_a_principal_name() {
    let only = ("AUTH_MICROSOFT_TENANT_ID", TENANT);
    let other = "bbbbbbbb-0000-4000-8000-0000000910be";
    for guest in [
        json!({"preferred_username": "bo_globex.example#EXT#@acme.example"}),
        json!({"preferred_username": "bo@acme.example", "upn": "bo_globex.example#ext#@acme.example"}),
        json!({"preferred_username": "bo@globex.example",
               "idp": format!("https://sts.windows.net/{other}/")}),
        json!({"preferred_username": "bo@acme.example", "idp": "live.com"}),
        json!({"preferred_username": "bo@acme.example", "idp": "mail"}),
        json!({"preferred_username": "bo@acme.example", "idp": 7}),
        json!({"preferred_username": "bo@acme.example", "acct": 1}),
        json!({"email": "bo@acme.example"}),
        json!({"email": "bo@acme.example", "xms_edov": "0"}),
        json!({"email": "bo@acme.example", "email_verified": true}),
    ] {
        assert_eq!(proven(&guest, only), None, "{guest}");
    }
    let both = format!("{TENANT},{other}");
    let name = json!({"preferred_username": "ada@acme.example"});
    for several in [
        ("AUTH_MICROSOFT_TENANT_ID", "common"),
        ("AUTH_MICROSOFT_TENANT_ID", "organizations"),
        ("AUTH_MICROSOFT_ALLOWED_TENANTS", both.as_str()),
    ] {
        assert_eq!(proven(&name, several), None, "{several:?}");
    }
    // All personal accounts belong to one tenant, which vouches for no domain.
    let personal = crate::microsoft::PERSONAL;
    let claims = json!({
        "preferred_username": "ada@acme.example", "tid": personal,
        "iss": format!("https://login.microsoftonline.com/{personal}/v2.0"),
    });
    for tenant in ["consumers", personal] {
        assert_eq!(proven(&claims, ("AUTH_MICROSOFT_TENANT_ID", tenant)), None);
    }
}

// The error is logged, so it shows both sides of the comparison.
#[test]
fn an_error_shows_the_expected_and_the_actual_value() {
    let long = "x".repeat(3000);
    for (name, value, sides) in [
        (
            "iss",
            json!("https://evil.example"),
            ["https://id.example", "https://evil.example"],
        ),
        ("aud", json!("them"), ["us", "them"]),
        ("aud", json!(["us", "them"]), ["us", "them"]),
        ("azp", json!("them"), ["us", "them"]),
        (
            "exp",
            json!(NOW - 60),
            ["exp after 1799999940", "1799999940"],
        ),
        (
            "iat",
            json!(NOW + 61),
            ["iat at most 1800000060", "1800000061"],
        ),
        (
            "nbf",
            json!(NOW + 61),
            ["nbf at most 1800000060", "1800000061"],
        ),
        ("iss", json!(long), ["https://id.example", "xxxx"]),
        ("aud", json!(long), ["us", "xxxx"]),
        ("iss", json!("a\nb"), ["https://id.example", "a\\nb"]),
    ] {
        let text = with(name, value).unwrap_err().to_string();
        for side in sides {
            assert!(text.contains(side), "{name}: {text}");
        }
        assert!(text.len() < 600 && !text.contains('\n'), "{name}: {text}");
    }
}

#[test]
fn algorithms_are_pinned() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let hmac = names(&["none", "HS256", "ES256", "RS256"]);
    assert_eq!(algorithms(&Google, &hmac), [Algorithm::RS256]);
    assert_eq!(algorithms(&Microsoft, &[]), [Algorithm::RS256]);
    let announced = algorithms(&Plain, &hmac);
    assert_eq!(announced, [Algorithm::RS256, Algorithm::ES256]);
    assert_eq!(algorithms(&Plain, &[]), [Algorithm::RS256]);
    assert_eq!(algorithms(&Plain, &names(&["none"])), []);
}

proptest! {
    // No further claim makes a token of another issuer, client or sign-in valid.
    #[test]
    fn no_further_claim_replaces_a_wrong_one(
        name in "iss|aud|nonce",
        other in "[a-z:/.]{0,20}",
        extra in prop::collection::btree_map("[a-z_]{1,8}", ".{0,8}", 0..4),
    ) {
        let mut claims = good();
        for (key, value) in extra {
            claims[key] = json!(value);
        }
        let right = good()[&name].clone();
        prop_assume!(right != json!(other));
        claims[&name] = json!(other);
        prop_assert!(judge(&oidc_definition(), &claims).is_err());
    }
}
