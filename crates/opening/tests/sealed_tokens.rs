//! Only the right key opens a token, and only for whom it was sealed (R35).

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_domain::{AccessToken, GrantBinding, RefreshToken};
use latchkey_opening::{OpenError, OpeningKey, OpeningKeys, key_id_of};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

fn binding() -> GrantBinding {
    GrantBinding {
        workspace: Uuid::from_u128(1).into(),
        user: Uuid::from_u128(2).into(),
        provider: "google".parse().unwrap(),
        issuer: "https://accounts.google.com".parse().unwrap(),
        subject: "sub-1".parse().unwrap(),
    }
}

fn keys() -> OpeningKeys {
    OpeningKey::generate().unwrap().into()
}

fn sealed(keys: &OpeningKeys, token: &str) -> Vec<u8> {
    keys.sealing_key()
        .seal_access_token(&AccessToken::new(token), &binding())
        .unwrap()
}

#[test]
fn an_envelope_names_its_key_and_hides_its_token() {
    let keys = keys();
    let envelope = sealed(&keys, "a-token-in-clear");
    assert_eq!(key_id_of(&envelope).unwrap(), *keys.sealing_key().id());
    let shown = String::from_utf8_lossy(&envelope).into_owned();
    assert!(!shown.contains("a-token-in-clear"));
}

#[test]
fn the_same_token_is_never_sealed_the_same_way_twice() {
    let keys = keys();
    assert_ne!(sealed(&keys, "token"), sealed(&keys, "token"));
}

#[test]
fn a_token_sealed_for_another_owner_does_not_open() {
    let keys = keys();
    let envelope = sealed(&keys, "token");
    let right = binding();
    let others = [
        GrantBinding {
            workspace: Uuid::from_u128(9).into(),
            ..right.clone()
        },
        GrantBinding {
            user: Uuid::from_u128(9).into(),
            ..right.clone()
        },
        GrantBinding {
            provider: "microsoft".parse().unwrap(),
            ..right.clone()
        },
        GrantBinding {
            issuer: "https://accounts.google.co".parse().unwrap(),
            // The characters move from the issuer to the subject: the lengths differ.
            subject: "msub-1".parse().unwrap(),
            ..right.clone()
        },
        GrantBinding {
            subject: "sub-2".parse().unwrap(),
            ..right.clone()
        },
    ];
    for other in others {
        assert_eq!(
            keys.open_access_token(&envelope, &other).err(),
            Some(OpenError::Refused),
            "{other:?}"
        );
    }
    assert_eq!(
        keys.open_access_token(&envelope, &right).unwrap().expose(),
        "token"
    );
}

#[test]
fn an_access_token_never_passes_for_a_refresh_token() {
    let keys = keys();
    let access = sealed(&keys, "token");
    assert_eq!(
        keys.open_refresh_token(&access, &binding()).err(),
        Some(OpenError::Refused)
    );
    let refresh = keys
        .sealing_key()
        .seal_refresh_token(&RefreshToken::new("token"), &binding())
        .unwrap();
    assert_eq!(
        keys.open_access_token(&refresh, &binding()).err(),
        Some(OpenError::Refused)
    );
}

#[test]
fn keys_rotate_and_the_old_one_still_opens() {
    let old = OpeningKey::generate().unwrap();
    let before = sealed(&old.clone().into(), "before");
    let new = OpeningKey::generate().unwrap();
    let new_id = new.id().clone();

    let rotated = OpeningKeys::new(new.clone(), vec![old]).unwrap();
    assert_eq!(
        rotated
            .open_access_token(&before, &binding())
            .unwrap()
            .expose(),
        "before"
    );
    assert_eq!(key_id_of(&sealed(&rotated, "after")).unwrap(), new_id);

    let retired = OpeningKeys::from(new);
    assert!(matches!(
        retired.open_access_token(&before, &binding()),
        Err(OpenError::UnknownKey(_))
    ));
}

#[test]
fn a_key_of_the_same_name_opens_nothing_of_another() {
    let one = OpeningKey::generate().unwrap();
    let text = OpeningKey::generate().unwrap().to_secret_text();
    let (_, other) = text.expose_secret().split_once(':').unwrap();
    let impostor: OpeningKeys = format!("{}:{other}", one.id()).parse().unwrap();
    let envelope = sealed(&one.into(), "token");
    assert_eq!(
        impostor.open_access_token(&envelope, &binding()).err(),
        Some(OpenError::Refused)
    );
}

#[test]
fn keys_are_read_from_a_list_and_never_printed() {
    let first = OpeningKey::generate().unwrap();
    let second = OpeningKey::generate().unwrap();
    let list = format!(
        "{},\n{}\n",
        first.to_secret_text().expose_secret(),
        second.to_secret_text().expose_secret()
    );
    let keys: OpeningKeys = list.parse().unwrap();
    assert_eq!(
        keys.ids().collect::<Vec<_>>(),
        [first.id(), second.id()].as_slice()
    );
    assert_eq!(keys.sealing_key(), first.sealing_key());

    let shown = format!("{keys:?} {first:?} {:?}", first.to_secret_text());
    let secret = first.to_secret_text();
    let (_, secret) = secret.expose_secret().split_once(':').unwrap();
    assert!(!shown.contains(secret));
}

// Stored envelopes must open with later versions of the code.
#[test]
fn an_envelope_of_version_1_opens_for_ever() {
    const KEY: &str = "golden:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
    const ENVELOPE: &str = "AQZnb2xkZW7H4a7MVaOaICJYlcDsIH9dP-X430PjKj_1FxBKHam5Qb6nJFjNAQyJO1TgAUQGLLYqYw0y9VWFVOMB5BnAb6i7zlK76A";
    let keys: OpeningKeys = KEY.parse().unwrap();
    assert_eq!(
        keys.sealing_key().to_string(),
        "golden:B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9_AsrhtHHw"
    );
    let envelope = BASE64_URL_SAFE_NO_PAD.decode(ENVELOPE).unwrap();
    let token = keys.open_access_token(&envelope, &binding()).unwrap();
    assert_eq!(token.expose(), "a token of version 1");
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let key = OpeningKey::generate().unwrap();
    let text = key.to_secret_text();
    let text = text.expose_secret();
    assert!(format!("{text},{text}").parse::<OpeningKeys>().is_err());
    assert!("".parse::<OpeningKeys>().is_err());
}

#[test]
fn an_overlong_token_is_refused() {
    let token = AccessToken::new("x".repeat(latchkey_sealing::MAX_TOKEN_BYTES + 1));
    assert!(
        keys()
            .sealing_key()
            .seal_access_token(&token, &binding())
            .is_err()
    );
}

proptest! {
    #[test]
    fn what_is_sealed_opens(token in "\\PC{0,300}") {
        let keys = keys();
        let opened = keys.open_access_token(&sealed(&keys, &token), &binding()).unwrap();
        prop_assert_eq!(opened.expose(), token);
    }

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), by in 1u8..) {
        let keys = keys();
        let mut envelope = sealed(&keys, "token");
        let at = at.index(envelope.len());
        envelope[at] ^= by;
        prop_assert!(keys.open_access_token(&envelope, &binding()).is_err());
    }

    #[test]
    fn a_cut_or_lengthened_envelope_is_refused(cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let keys = keys();
        let mut envelope = sealed(&keys, "token");
        prop_assert!(keys.open_access_token(&envelope[..cut.index(envelope.len())], &binding()).is_err());
        envelope.push(more);
        prop_assert!(keys.open_access_token(&envelope, &binding()).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,90}") {
        let keys = keys();
        prop_assert!(keys.open_access_token(&bytes, &binding()).is_err());
        let _ = text.parse::<OpeningKeys>();
    }
}
