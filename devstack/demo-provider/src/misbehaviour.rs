//! Ways to be a bad provider.

use serde::{Deserialize, Serialize};

/// What is wrong with the ID tokens, keys or discovery document of a flavour,
/// until it is set again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misbehaviour {
    /// `aud` is another client.
    WrongAudience,
    /// `aud` has a second client.
    ExtraAudience,
    /// No `aud`.
    NoAudience,
    /// `azp` is another client.
    WrongAuthorizedParty,
    /// `nonce` is another's.
    WrongNonce,
    /// No `nonce`.
    NoNonce,
    /// `iss` is another's.
    WrongIssuer,
    /// `alg: none`, no signature.
    AlgNone,
    /// HMAC with the public key as the secret.
    Hs256,
    /// The right key and an algorithm that nobody agreed on: a good RS512 signature
    /// of an RSA key, an EC key under the name RS256.
    OtherAlgorithm,
    /// The signature has a flipped bit.
    BadSignature,
    /// Signed with a key that is not published, under its own `kid`.
    UnknownKey,
    /// Signed with a key that is not published, under the `kid` of one that is.
    OtherKeySameKid,
    /// The header names no key (allowed where there is a single one).
    NoKid,
    /// The header brings its own key in `jwk`, and is signed with it.
    JwkInHeader,
    /// The header says where its key is to be fetched (`jku`), and is signed with it.
    JkuInHeader,
    /// The header says where its certificate is to be fetched (`x5u`).
    X5uInHeader,
    /// The header names an unknown critical extension.
    CriticalExtension,
    /// `exp` is an hour ago.
    Expired,
    /// No `exp`.
    NoExpiry,
    /// `iat` is in an hour.
    IssuedInFuture,
    /// No `iat`.
    NoIssuedAt,
    /// No `sub`, no `oid`.
    NoSubject,
    /// `sub` and `oid` are another person's (matters after a refresh).
    OtherSubject,
    /// `tid` and `iss` are of a tenant that the person is not in.
    OtherTenant,
    /// `iss` is of another tenant than `tid`.
    TenantAndIssuerDiffer,
    /// `at_hash` is of another token.
    WrongAccessTokenHash,
    /// No `at_hash` (allowed in the code flow).
    NoAccessTokenHash,
    /// The address is not vouched for.
    UnverifiedEmail,
    /// Address and name stand at the userinfo endpoint only (allowed).
    ClaimsAtUserinfo,
    /// As before, and the userinfo is another person's.
    OtherUserinfoSubject,
    /// As [`Misbehaviour::ClaimsAtUserinfo`], and the userinfo is a signed JWT
    /// (allowed).
    SignedUserinfo,
    /// The same with a signature of a key that nobody published.
    ForgedUserinfo,
    /// The same, signed rightly for another client.
    UserinfoOfAnotherClient,
    /// The token answer has no ID token.
    NoIdToken,
    /// The key set has a key that cannot be parsed beside the right one (allowed).
    JunkInJwks,
    /// The key set has an older key of the same `kid` before the right one (allowed).
    DuplicateKidInJwks,
    /// The keys of the key set have no `kid`, and there are two (allowed).
    KeysWithoutIds,
    /// The ID token is encrypted.
    EncryptedIdToken,
    /// The ID token is padded to 100 KiB (allowed).
    LargeIdToken,
    /// The discovery document names another issuer.
    WrongDiscoveryIssuer,
    /// Codes are given and taken without PKCE.
    IgnoresPkce,
    /// A code is good any number of times.
    ReusableCodes,
    /// The discovery document announces PKCE with `plain` only.
    AnnouncesPlainPkce,
    /// The callback has another's `iss` (RFC 9207).
    WrongResponseIssuer,
    /// The callback has no `iss` although it is announced.
    NoResponseIssuer,
}
