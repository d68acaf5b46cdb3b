//! Misbehaviours of a provider.

use serde::{Deserialize, Serialize};

/// What is wrong with the ID tokens, keys or discovery document of a flavour, until it is
/// changed. "Allowed" means that a relying party must accept it.
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
    /// `nonce` is that of another request.
    WrongNonce,
    /// No `nonce`.
    NoNonce,
    /// `iss` is another issuer.
    WrongIssuer,
    /// `alg: none`, no signature.
    AlgNone,
    /// HMAC with the public key as the secret.
    Hs256,
    /// The right key with an algorithm that was not announced: a valid RS512 signature of an
    /// RSA key, or an EC key with the name RS256.
    OtherAlgorithm,
    /// The signature has a flipped bit.
    BadSignature,
    /// Signed with a key that is not published, under its own `kid`.
    UnknownKey,
    /// Signed with a key that is not published, under the `kid` of one that is.
    OtherKeySameKid,
    /// The header has no `kid` (allowed if there is a single key).
    NoKid,
    /// The header contains its own key in `jwk`, with which the token is signed.
    JwkInHeader,
    /// The header contains the URL of its key (`jku`), with which the token is signed.
    JkuInHeader,
    /// The header contains the URL of its certificate (`x5u`).
    X5uInHeader,
    /// The header has an unknown critical extension.
    CriticalExtension,
    /// `exp` was an hour ago.
    Expired,
    /// No `exp`.
    NoExpiry,
    /// `iat` is in an hour.
    IssuedInFuture,
    /// No `iat`.
    NoIssuedAt,
    /// No `sub`, no `oid`.
    NoSubject,
    /// `sub` and `oid` are those of another person (relevant after a refresh).
    OtherSubject,
    /// `tid` and `iss` are those of a tenant to which the person does not belong.
    OtherTenant,
    /// `iss` and `tid` are those of different tenants.
    TenantAndIssuerDiffer,
    /// `at_hash` is the hash of another token.
    WrongAccessTokenHash,
    /// No `at_hash` (allowed in the code flow).
    NoAccessTokenHash,
    /// The address is not verified.
    UnverifiedEmail,
    /// Address and name are only at the userinfo endpoint (allowed).
    ClaimsAtUserinfo,
    /// As [`Misbehaviour::ClaimsAtUserinfo`], but the userinfo is that of another person.
    OtherUserinfoSubject,
    /// As [`Misbehaviour::ClaimsAtUserinfo`], and the userinfo is a signed JWT
    /// (allowed).
    SignedUserinfo,
    /// As [`Misbehaviour::SignedUserinfo`], but signed with a key that is not published.
    ForgedUserinfo,
    /// As [`Misbehaviour::SignedUserinfo`], but issued for another client.
    UserinfoOfAnotherClient,
    /// The token response has no ID token.
    NoIdToken,
    /// The key set also has a key that cannot be parsed (allowed).
    JunkInJwks,
    /// The key set has an older key with the same `kid` before the right one (allowed).
    DuplicateKidInJwks,
    /// The keys of the key set have no `kid`, and there are two (allowed).
    KeysWithoutIds,
    /// The ID token is encrypted.
    EncryptedIdToken,
    /// The ID token is padded to 100 KiB (allowed).
    LargeIdToken,
    /// The discovery document names another issuer.
    WrongDiscoveryIssuer,
    /// Codes are issued and redeemed without PKCE.
    IgnoresPkce,
    /// A code can be redeemed any number of times.
    ReusableCodes,
    /// The discovery document announces PKCE with `plain` only.
    AnnouncesPlainPkce,
    /// The callback has the `iss` of another provider (RFC 9207).
    WrongResponseIssuer,
    /// The callback has no `iss`, although it is announced.
    NoResponseIssuer,
}
