//! Configuration (R3, R6, R7, R13, R40).

use std::collections::BTreeSet;

use latchkey_domain::{ScopeSet, SystemClock};

use super::*;
use crate::{Access, Rotation};

const GOOGLE: [(&str, &str); 3] = [
    ("AUTH_GOOGLE_ENABLED", "true"),
    ("AUTH_GOOGLE_CLIENT_ID", "g"),
    ("AUTH_GOOGLE_CLIENT_SECRET", "s3cret"),
];
const MICROSOFT: [(&str, &str); 3] = [
    ("AUTH_MICROSOFT_ENABLED", "true"),
    ("AUTH_MICROSOFT_CLIENT_ID", "m"),
    ("AUTH_MICROSOFT_CLIENT_SECRET", "s3cret"),
];
const ACME: [(&str, &str); 2] = [
    ("AUTH_OIDC_ACME_ISSUER", "https://id.acme.example"),
    ("AUTH_OIDC_ACME_CLIENT_ID", "a"),
];
const TENANT: &str = "aaaaaaaa-0000-4000-8000-00000000acce";

fn read(sets: &[&[(&str, &str)]]) -> Result<Registry, ConfigErrors> {
    let environment: Environment = sets.iter().copied().flatten().copied().collect();
    Registry::from_environment(&environment, Arc::new(SystemClock))
}

fn provider(name: &str, sets: &[&[(&str, &str)]]) -> Arc<Provider> {
    read(sets).unwrap().get(&name.parse().unwrap()).unwrap()
}

/// Name of the variable that stops the start.
fn culprit(sets: &[&[(&str, &str)]]) -> String {
    let errors = read(sets).unwrap_err();
    assert!(!errors.to_string().contains("s3cret"), "{errors}");
    first(&errors).name.clone()
}

fn first(errors: &ConfigErrors) -> &ConfigError {
    errors.iter().next().unwrap()
}

// R40
#[test]
fn a_disabled_provider_needs_nothing() {
    assert_eq!(read(&[]).unwrap().iter().count(), 0);
    let off = [
        ("AUTH_GOOGLE_ENABLED", "false"),
        ("AUTH_GOOGLE_CLIENT_ID", "g"),
    ];
    assert_eq!(read(&[&off]).unwrap().iter().count(), 0);
    let off = [
        ("AUTH_OIDC_ACME_ENABLED", "false"),
        ("AUTH_OIDC_ACME_ROTATION", "sometimes"),
    ];
    assert_eq!(read(&[&ACME, &off]).unwrap().iter().count(), 0);
}

// R40
#[test]
fn a_switch_of_a_disabled_provider_means_nothing() {
    let switches = [
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
        ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true"),
        ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true"),
        ("CALENDAR_PROVIDER_MICROSOFT_ENABLED", "perhaps"),
        ("AUTH_MICROSOFT_ENABLED", "false"),
    ];
    assert_eq!(read(&[&switches]).unwrap().iter().count(), 0);
    assert_eq!(read(&[&GOOGLE, &switches]).unwrap().iter().count(), 1);
    // Whoever switches the provider on is told of a wrong switch.
    assert_eq!(
        culprit(&[&switches[..4], &MICROSOFT]),
        "CALENDAR_PROVIDER_MICROSOFT_ENABLED"
    );
}

// R40
#[test]
fn all_faults_of_all_providers_are_reported_at_once() {
    let wrong = [
        ("AUTH_MICROSOFT_TENANT_ID", "acme.onmicrosoft.com"),
        ("AUTH_MICROSOFT_SELECT_ACCOUNT", "perhaps"),
        ("AUTH_OIDC_ACME_ROTATION", "sometimes"),
        ("AUTH_OIDC_ACME_TOKEN_AUTH_METHOD", "basic"),
    ];
    let errors = read(&[&GOOGLE[..1], &MICROSOFT, &ACME, &wrong]).unwrap_err();
    let names: BTreeSet<_> = errors.iter().map(|error| error.name.as_str()).collect();
    let expected = wrong.map(|(name, _)| name).into_iter();
    let expected = expected.chain(["AUTH_GOOGLE_CLIENT_ID", "AUTH_GOOGLE_CLIENT_SECRET"]);
    assert_eq!(names, expected.collect::<BTreeSet<_>>());
}

// R50
#[test]
fn a_sign_out_is_local_unless_it_is_configured() {
    let public = [("PUBLIC_URL", "https://auth.example")];
    let local = [("AUTH_OIDC_ACME_SIGN_OUT", "local")];
    for more in [&[][..], &local] {
        let acme = provider("acme", &[&public, &ACME, more]);
        assert!(!acme.signs_out_at_provider());
        assert_eq!(acme.post_logout_redirect_uri(), None);
    }
    let at_provider = [
        ("AUTH_OIDC_ACME_SIGN_OUT", "provider"),
        ("AUTH_MICROSOFT_SIGN_OUT", "provider"),
        (
            "AUTH_MICROSOFT_CALLBACK_URL",
            "https://proxy.example/prefix/auth/microsoft/redirect",
        ),
        (
            "AUTH_OIDC_ACME_CALLBACK_URL",
            "https://proxy.example/acme/done",
        ),
    ];
    let sets = [&public[..], &ACME, &MICROSOFT, &at_provider];
    for (name, uri) in [
        (
            "microsoft",
            "https://proxy.example/prefix/auth/microsoft/signed-out",
        ),
        ("acme", "https://proxy.example/auth/oidc/acme/signed-out"),
    ] {
        let provider = provider(name, &sets);
        assert!(provider.signs_out_at_provider());
        let registered = provider.post_logout_redirect_uri().unwrap();
        assert_eq!(registered.as_str(), uri);
        // No discovery document is known, and none is fetched.
        assert!(!provider.uses_id_token_hint());
    }
    let wrong = [("AUTH_GOOGLE_SIGN_OUT", "front-channel")];
    assert_eq!(culprit(&[&GOOGLE, &wrong]), "AUTH_GOOGLE_SIGN_OUT");
}

// R40
#[test]
fn an_enabled_provider_without_its_client_stops_the_start() {
    assert_eq!(culprit(&[&GOOGLE[..1]]), "AUTH_GOOGLE_CLIENT_ID");
    assert_eq!(culprit(&[&GOOGLE[..2]]), "AUTH_GOOGLE_CLIENT_SECRET");
    assert_eq!(culprit(&[&MICROSOFT[..1]]), "AUTH_MICROSOFT_CLIENT_ID");
    assert_eq!(culprit(&[&MICROSOFT[..2]]), "AUTH_MICROSOFT_CLIENT_SECRET");
    assert_eq!(culprit(&[&ACME[..1]]), "AUTH_OIDC_ACME_CLIENT_ID");
    assert_eq!(culprit(&[&ACME[1..]]), "AUTH_OIDC_ACME_ISSUER");
}

// R40
#[test]
fn settings_that_contradict_each_other_are_named() {
    let domains = [
        ("AUTH_GOOGLE_AUTO_CONNECT", "false"),
        ("AUTH_GOOGLE_AUTO_CONNECT_DOMAINS", "acme.example"),
    ];
    assert_eq!(
        culprit(&[&GOOGLE, &domains]),
        "AUTH_GOOGLE_AUTO_CONNECT_DOMAINS"
    );
    let tenants = [
        ("AUTH_MICROSOFT_TENANT_ID", TENANT),
        ("AUTH_MICROSOFT_ALLOWED_TENANTS", TENANT),
    ];
    assert_eq!(
        culprit(&[&MICROSOFT, &tenants]),
        "AUTH_MICROSOFT_ALLOWED_TENANTS"
    );
    let twice = [
        ("AUTH_OIDC_ACME_ACR_VALUES", "gold"),
        ("AUTH_OIDC_ACME_AUTHORIZE_PARAMETERS", "acr_values=silver"),
    ];
    assert_eq!(
        culprit(&[&ACME, &twice]),
        "AUTH_OIDC_ACME_AUTHORIZE_PARAMETERS"
    );
    assert!(read(&[&ACME, &twice[1..]]).is_ok());
    let shared = [
        ("AUTH_GOOGLE_CALLBACK_URL", "https://crm.example/callback"),
        (
            "AUTH_MICROSOFT_CALLBACK_URL",
            "https://crm.example/callback",
        ),
    ];
    assert_eq!(
        culprit(&[&GOOGLE, &MICROSOFT, &shared]),
        "AUTH_MICROSOFT_CALLBACK_URL"
    );
}

// R40
#[test]
fn a_wrong_value_is_named() {
    for (name, value) in [
        ("AUTH_GOOGLE_ENABLED", "maybe"),
        ("AUTH_GOOGLE_ISSUER", "accounts.google.com"),
        ("AUTH_GOOGLE_ISSUER", "http://accounts.google.com"),
        ("AUTH_GOOGLE_ISSUER", "https://accounts.google.com?x=1"),
        ("AUTH_GOOGLE_CALLBACK_URL", "/auth/google/redirect"),
        ("AUTH_GOOGLE_APIS_CALLBACK_URL", "javascript:alert(1)"),
        ("AUTH_GOOGLE_SCOPES", "email profile"),
        ("AUTH_GOOGLE_AUTO_CONNECT_DOMAINS", "acme"),
        ("AUTH_MICROSOFT_TENANT_ID", "acme.onmicrosoft.com"),
        ("AUTH_MICROSOFT_ALLOWED_TENANTS", "acme"),
        (
            "AUTH_MICROSOFT_AUTHORITY",
            "http://login.microsoftonline.com",
        ),
        ("AUTH_OIDC_ACME_ROTATION", "sometimes"),
        ("AUTH_OIDC_ACME_ISSUER", "ftp://id.acme.example"),
        ("AUTH_OIDC_ACME_MAX_AGE", "3600"),
        ("AUTH_OIDC_ACME_MAX_AGE", "59s"),
        ("AUTH_OIDC_ACME_MAX_AGE", "366d"),
        ("AUTH_MICROSOFT_MAX_AGE", "soon"),
        ("AUTH_OIDC_ACME_PUSHED_AUTHORIZATION_REQUESTS", "sometimes"),
        // These say neither how nor when a person authenticated.
        ("AUTH_GOOGLE_ACR_VALUES", "gold"),
        ("AUTH_GOOGLE_MAX_AGE", "1h"),
        ("AUTH_MICROSOFT_ACR_VALUES", "gold"),
    ] {
        let mut all: BTreeMap<_, _> = [&GOOGLE[..], &MICROSOFT, &ACME]
            .concat()
            .into_iter()
            .collect();
        all.insert(name, value);
        let all: Vec<_> = all.into_iter().collect();
        assert_eq!(culprit(&[&all]), name, "{value}");
    }
    assert_eq!(
        culprit(&[&GOOGLE, &[("PUBLIC_URL", "crm.example")]]),
        "PUBLIC_URL"
    );
    let taken = [("AUTH_OIDC_GOOGLE_ISSUER", "https://x.example")];
    assert_eq!(culprit(&[&taken]), "AUTH_OIDC_GOOGLE_ISSUER");
}

// R3
#[test]
fn a_new_provider_is_a_definition() {
    let more = [
        ("AUTH_OIDC_ACME_LABEL", "Acme staff"),
        ("AUTH_OIDC_ACME_MESSAGING_SCOPES", "mail.read"),
        ("PUBLIC_URL", "https://crm.example/"),
    ];
    let acme = provider("acme", &[&ACME, &more]);
    assert_eq!((acme.is_built_in(), acme.label()), (false, "Acme staff"));
    assert_eq!(acme.rotation(), Rotation::Strict);
    let uri = |purpose| acme.redirect_uri(purpose).unwrap().as_str();
    assert_eq!(
        uri(Purpose::SignIn),
        "https://crm.example/auth/oidc/acme/redirect"
    );
    assert_eq!(
        uri(Purpose::Connect),
        "https://crm.example/auth/oidc-apis/acme/get-access-token"
    );
    let scopes = acme.wanted_scopes(Purpose::SignIn).to_string();
    assert_eq!(scopes, "email mail.read offline_access openid profile");
}

// R40
#[test]
fn only_a_process_that_redirects_browsers_needs_callback_urls() {
    let registry = read(&[&GOOGLE]).unwrap();
    let errors = registry.require_callbacks().unwrap_err();
    let names: Vec<_> = errors.iter().map(|error| error.name.as_str()).collect();
    assert_eq!(
        names,
        ["AUTH_GOOGLE_CALLBACK_URL", "AUTH_GOOGLE_APIS_CALLBACK_URL"]
    );
    let public = [("PUBLIC_URL", "https://crm.example")];
    read(&[&GOOGLE, &MICROSOFT, &ACME, &public])
        .unwrap()
        .require_callbacks()
        .unwrap();
}

// R6
#[test]
fn scopes_depend_on_the_switched_on_data() {
    let scopes = |sets: &[&[(&str, &str)]], name| {
        provider(name, sets)
            .wanted_scopes(Purpose::SignIn)
            .to_string()
    };
    assert_eq!(scopes(&[&GOOGLE], "google"), "email openid profile");
    assert_eq!(scopes(&[&MICROSOFT], "microsoft"), "email openid profile");
    let mail = scopes(
        &[&GOOGLE, &[("MESSAGING_PROVIDER_GMAIL_ENABLED", "true")]],
        "google",
    );
    assert!(mail.contains("gmail.readonly") && !mail.contains("calendar"));
    let calendar = scopes(
        &[&GOOGLE, &[("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true")]],
        "google",
    );
    assert!(calendar.contains("calendar.events") && !calendar.contains("gmail"));
    let both = [
        ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true"),
        ("CALENDAR_PROVIDER_MICROSOFT_ENABLED", "true"),
    ];
    let both = scopes(&[&MICROSOFT, &both], "microsoft");
    for scope in ["Mail.ReadWrite", "Calendars.Read", "offline_access"] {
        assert!(both.split(' ').any(|one| one == scope), "{scope}");
    }
    let own = [
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
        ("AUTH_GOOGLE_MESSAGING_SCOPES", "https://mail.google.com/"),
        ("AUTH_GOOGLE_SCOPES", "openid,email"),
    ];
    let own = scopes(&[&GOOGLE, &own], "google");
    assert_eq!(own, "email https://mail.google.com/ openid");
}

// R13
#[test]
fn accounts_are_connected_only_where_it_is_configured() {
    let mail = [("MESSAGING_PROVIDER_GMAIL_ENABLED", "true")];
    let off = [("AUTH_GOOGLE_AUTO_CONNECT", "false")];
    let google = provider("google", &[&GOOGLE, &mail, &off]);
    assert!(!google.auto_connect("acme.example"));
    // The sign-in requests no data; connecting an account still works.
    let sign_in = google.wanted_scopes(Purpose::SignIn).to_string();
    assert_eq!(sign_in, "email openid profile");
    let connect = google.wanted_scopes(Purpose::Connect).to_string();
    assert!(connect.contains("gmail.readonly"));
    let some = [("AUTH_GOOGLE_AUTO_CONNECT_DOMAINS", "Acme.example, acme.co")];
    let google = provider("google", &[&GOOGLE, &some]);
    assert!(google.auto_connect("ACME.example") && google.auto_connect("acme.co"));
    assert!(!google.auto_connect("berlin.acme.example") && !google.auto_connect("evil.example"));
}

// R13
#[test]
fn an_international_domain_has_two_equal_forms() {
    for written in ["Bücher.example", "xn--bcher-kva.example"] {
        let some = [("AUTH_GOOGLE_AUTO_CONNECT_DOMAINS", written)];
        let google = provider("google", &[&GOOGLE, &some]);
        assert!(google.auto_connect("xn--bcher-kva.example"), "{written}");
        assert!(google.auto_connect("bücher.example"), "{written}");
    }
}

// R7
#[test]
fn a_provider_is_trusted_only_for_configured_domains() {
    let trust = [("AUTH_OIDC_ACME_TRUST_EMAIL", "true")];
    assert_eq!(culprit(&[&ACME, &trust]), "AUTH_OIDC_ACME_TRUST_EMAIL");
    let error = read(&[&ACME, &trust]).unwrap_err().to_string();
    assert!(error.contains("AUTH_OIDC_ACME_EMAIL_DOMAINS"), "{error}");
    for wrong in ["acme", "*.acme.example", "@acme.example"] {
        let domains = [("AUTH_OIDC_ACME_EMAIL_DOMAINS", wrong)];
        assert_eq!(culprit(&[&ACME, &domains]), "AUTH_OIDC_ACME_EMAIL_DOMAINS");
    }
    let domains = [(
        "AUTH_OIDC_ACME_EMAIL_DOMAINS",
        "acme.example, Bücher.example",
    )];
    read(&[&ACME, &trust, &domains]).unwrap();
}

// R7
#[test]
fn every_definition_needs_domains_if_there_are_several_workspaces() {
    let registry = read(&[&GOOGLE, &MICROSOFT, &ACME]).unwrap();
    let errors = registry.require_email_domains().unwrap_err();
    assert_eq!(first(&errors).name, "AUTH_OIDC_ACME_EMAIL_DOMAINS");
    let domains = [("AUTH_OIDC_ACME_EMAIL_DOMAINS", "acme.example")];
    let registry = read(&[&GOOGLE, &MICROSOFT, &ACME, &domains]).unwrap();
    registry.require_email_domains().unwrap();
}

// R23
#[test]
fn granted_scopes_decide_which_channels_run() {
    let both = [
        ("MESSAGING_PROVIDER_GMAIL_ENABLED", "true"),
        ("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true"),
    ];
    let google = provider("google", &[&GOOGLE, &both]);
    let access = |scopes: &str| {
        let access = google.access(&latchkey_domain::ScopeSet::parse(scopes));
        (access.messages, access.calendar)
    };
    let base = "https://www.googleapis.com/auth";
    assert_eq!(access("openid"), (Access::Denied, Access::Denied));
    // Sending was not allowed: the mailbox can still be read.
    assert_eq!(
        access(&format!("{base}/gmail.readonly")),
        (Access::Granted, Access::Denied)
    );
    assert_eq!(
        access(&format!("{base}/gmail.send")),
        (Access::Denied, Access::Denied)
    );
    assert_eq!(
        access(&format!("{base}/calendar")),
        (Access::Denied, Access::Granted)
    );
    let nothing = provider("google", &[&GOOGLE]);
    let access = nothing.access(&latchkey_domain::ScopeSet::parse(base));
    assert_eq!(access.messages, Access::NotWanted);
}

// R23
#[test]
fn microsoft_writes_scopes_in_several_ways() {
    let mail = [("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true")];
    let microsoft = provider("microsoft", &[&MICROSOFT, &mail]);
    for (scopes, expected) in [
        ("Mail.Read", Access::Granted),
        ("mail.readwrite", Access::Granted),
        ("https://graph.microsoft.com/Mail.Read", Access::Granted),
        ("Mail.ReadBasic", Access::Denied),
        ("https://evil.example/Mail.Read", Access::Denied),
    ] {
        let granted = latchkey_domain::ScopeSet::parse(scopes);
        assert_eq!(microsoft.access(&granted).messages, expected, "{scopes}");
    }
}

// R35
#[test]
fn a_secret_is_not_printed() {
    let registry = read(&[&GOOGLE]).unwrap();
    assert!(!format!("{registry:?}").contains("s3cret"));
}

// R23
#[test]
fn a_wider_scope_opens_the_channel_of_a_narrower_one() {
    let microsoft = provider(
        "microsoft",
        &[
            &MICROSOFT,
            &[("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true")],
        ],
    );
    let google = provider(
        "google",
        &[&GOOGLE, &[("CALENDAR_PROVIDER_GOOGLE_ENABLED", "true")]],
    );
    let messages = |scope| microsoft.access(&ScopeSet::parse(scope)).messages;
    assert_eq!(messages("Mail.ReadWrite.Shared"), Access::Granted);
    assert_eq!(
        messages("https://graph.microsoft.com/mail.readwrite"),
        Access::Granted
    );
    assert_eq!(messages("Mail.Send"), Access::Denied);
    let calendar = |scope| google.access(&ScopeSet::parse(scope)).calendar;
    assert_eq!(
        calendar("https://www.googleapis.com/auth/calendar"),
        Access::Granted
    );
    assert_eq!(
        calendar("https://www.googleapis.com/auth/calendar.settings.readonly"),
        Access::Denied
    );
}

// A token of Microsoft is valid for one resource.
#[test]
fn microsoft_scopes_of_two_resources_are_refused() {
    let both: &[(&str, &str)] = &[
        ("MESSAGING_PROVIDER_MICROSOFT_ENABLED", "true"),
        ("CALENDAR_PROVIDER_MICROSOFT_ENABLED", "true"),
        (
            "AUTH_MICROSOFT_MESSAGING_SCOPES",
            "https://outlook.office.com/IMAP.AccessAsUser.All",
        ),
    ];
    let errors = read(&[&MICROSOFT, both]).unwrap_err();
    assert_eq!(first(&errors).name, "AUTH_MICROSOFT_CALENDAR_SCOPES");
    assert!(errors.to_string().contains("Calendars.Read"), "{errors}");
    // Scopes of one resource are accepted, whichever it is.
    let one = [both[0], both[2]];
    assert!(read(&[&MICROSOFT, &one]).is_ok());
}

// R40
#[test]
fn the_method_of_client_authentication_is_checked() {
    const METHOD: &str = "AUTH_OIDC_ACME_TOKEN_AUTH_METHOD";
    const SECRET: (&str, &str) = ("AUTH_OIDC_ACME_CLIENT_SECRET", "s3cret");
    let culprit_of = |more: &[(&str, &str)]| culprit(&[&ACME, more]);
    assert_eq!(culprit_of(&[SECRET, (METHOD, "basic")]), METHOD);
    for method in ["client_secret_basic", "client_secret_post"] {
        assert_eq!(culprit_of(&[(METHOD, method)]), SECRET.0);
        assert!(read(&[&ACME, &[SECRET, (METHOD, method)]]).is_ok());
    }
    assert_eq!(culprit_of(&[SECRET, (METHOD, "none")]), SECRET.0);
    assert!(read(&[&ACME, &[(METHOD, "none")]]).is_ok());
    let key = "AUTH_OIDC_ACME_PRIVATE_KEY";
    let by_key = (METHOD, "private_key_jwt");
    assert_eq!(culprit_of(&[by_key]), key);
    assert_eq!(culprit_of(&[by_key, (key, "s3cret")]), key);
    assert_eq!(culprit_of(&[SECRET, (key, "s3cret")]), key);
    // The key of a MAC is as long as its hash.
    let mac = (METHOD, "client_secret_jwt");
    assert_eq!(culprit_of(&[SECRET, mac]), SECRET.0);
    assert_eq!(culprit_of(&[mac]), SECRET.0);
    let long = (SECRET.0, "s3cret-s3cret-s3cret-s3cret-s3cret");
    assert!(read(&[&ACME, &[long, mac]]).is_ok());
    // What is signed with which algorithm and for whom is only asked where something is signed.
    for (name, value) in [
        ("AUTH_OIDC_ACME_TOKEN_AUTH_SIGNING_ALG", "ES256"),
        ("AUTH_OIDC_ACME_TOKEN_AUTH_SIGNING_ALG", "s3cret"),
        ("AUTH_OIDC_ACME_TOKEN_AUTH_AUDIENCE", "issuer"),
        ("AUTH_OIDC_ACME_TOKEN_AUTH_AUDIENCE", "s3cret"),
    ] {
        assert_eq!(culprit_of(&[SECRET, (name, value)]), name);
    }
    // A token in a variable would expire in it.
    let assertion = ("AUTH_OIDC_ACME_CLIENT_ASSERTION", "s3.cr.et");
    assert_eq!(culprit_of(&[assertion]), assertion.0);
}

// R51
#[test]
fn a_built_in_provider_needs_a_secret_or_another_method() {
    assert_eq!(culprit(&[&GOOGLE[..2]]), "AUTH_GOOGLE_CLIENT_SECRET");
    let key = latchkey_signing_keys::generate(jsonwebtoken::Algorithm::ES256, Some("k")).unwrap();
    let by_key = [
        ("AUTH_MICROSOFT_TOKEN_AUTH_METHOD", "private_key_jwt"),
        ("AUTH_MICROSOFT_PRIVATE_KEY", key.as_str()),
    ];
    assert!(read(&[&MICROSOFT[..2], &by_key]).is_ok());
    assert_eq!(culprit(&[&MICROSOFT, &by_key]), MICROSOFT[2].0);
    // Each tenant has an issuer of its own.
    let issuer = ("AUTH_MICROSOFT_TOKEN_AUTH_AUDIENCE", "issuer");
    assert_eq!(culprit(&[&MICROSOFT[..2], &by_key, &[issuer]]), issuer.0);
    let tenant = ("AUTH_MICROSOFT_TENANT_ID", TENANT);
    assert!(read(&[&MICROSOFT[..2], &by_key, &[issuer, tenant]]).is_ok());
}

// R51
#[test]
fn an_unusable_key_of_a_client_is_told_in_words() {
    const KEY: &str = "AUTH_OIDC_ACME_PRIVATE_KEY";
    const METHOD: (&str, &str) = ("AUTH_OIDC_ACME_TOKEN_AUTH_METHOD", "private_key_jwt");
    let small = include_str!("../../../signing-keys/src/rsa-1024.pem");
    let public = "-----BEGIN PUBLIC KEY-----\ns3cret\n-----END PUBLIC KEY-----";
    for (value, word) in [
        (small, "fewer than 2048 bits"),
        (public, "is a public key"),
        ("s3cret", "PEM of PKCS #8"),
    ] {
        let errors = read(&[&ACME, &[METHOD, (KEY, value)]]).unwrap_err();
        let error = first(&errors);
        assert_eq!(error.name, KEY);
        assert!(error.problem.contains(word), "{error}");
    }
    let missing = ("AUTH_OIDC_ACME_PRIVATE_KEY_FILE", "/nowhere/s3cret.pem");
    assert_eq!(culprit(&[&ACME, &[METHOD, missing]]), missing.0);
    let key = latchkey_signing_keys::generate(jsonwebtoken::Algorithm::ES256, Some("k")).unwrap();
    let with = |more: (&'static str, &'static str)| {
        culprit(&[&ACME, &[METHOD, (KEY, key.as_str()), more]])
    };
    // An elliptic key cannot sign with RSA, and one key has one id.
    let algorithm = ("AUTH_OIDC_ACME_TOKEN_AUTH_SIGNING_ALG", "PS256");
    assert_eq!(with(algorithm), algorithm.0);
    let ids = ("AUTH_OIDC_ACME_PRIVATE_KEY_ID", "new,old");
    assert_eq!(with(ids), ids.0);
}

// R40
#[test]
fn parameters_of_the_sign_in_itself_are_refused() {
    const NAME: &str = "AUTH_OIDC_ACME_AUTHORIZE_PARAMETERS";
    for (value, word) in [
        ("redirect_uri=https%3A%2F%2Fevil.example", "redirect_uri"),
        ("resource=a&prompt=none", "prompt"),
        ("code_challenge_method=plain", "code_challenge_method"),
        ("resource=a&resource=b", "resource"),
        ("resource", "name=value"),
    ] {
        let errors = read(&[&ACME, &[(NAME, value)]]).unwrap_err();
        let error = first(&errors);
        assert_eq!(error.name, NAME);
        assert!(error.problem.contains(word), "{error}");
    }
    assert!(read(&[&ACME, &[(NAME, "resource=a&max_age=60")]]).is_ok());
}

// R40
#[test]
fn a_claim_about_the_token_cannot_be_the_subject() {
    for name in ["AUTH_OIDC_ACME_SUBJECT_CLAIM", "AUTH_OIDC_ACME_EMAIL_CLAIM"] {
        for wrong in ["aud", "nonce", "two words"] {
            assert_eq!(culprit(&[&ACME, &[(name, wrong)]]), name);
        }
        assert!(read(&[&ACME, &[(name, "upn")]]).is_ok());
    }
}

// A provider for sign-in alone has nothing to connect.
#[test]
fn requested_scopes_decide_whether_an_account_is_connected() {
    let beyond = |more: &[(&str, &str)]| {
        provider("acme", &[&ACME, more]).asks_beyond_identity(Purpose::SignIn)
    };
    assert!(!beyond(&[]));
    assert!(!beyond(&[("AUTH_OIDC_ACME_OFFLINE", "true")]));
    assert!(beyond(&[("AUTH_OIDC_ACME_MESSAGING_SCOPES", "mail.read")]));
    let offline = ("AUTH_OIDC_ACME_SCOPES", "openid offline_access");
    assert!(beyond(&[offline]));
}

#[test]
fn offline_access_is_requested_with_the_sign_in_or_afterwards() {
    let afterwards = |value: &str| {
        let variable = [("AUTH_OIDC_ACME_OFFLINE", value)];
        provider("acme", &[&ACME, &variable]).requests_offline_access_afterwards()
    };
    assert!(afterwards("afterwards"));
    assert!(!afterwards("true"));
    assert!(!afterwards(""));
    let error = read(&[&ACME, &[("AUTH_OIDC_ACME_OFFLINE", "later")]]).unwrap_err();
    let expected = "must be true, false or afterwards";
    assert!(error.to_string().contains(expected), "{error}");
}
