//! Why a text is not a list of signing keys, in words for the operator.

use aws_lc_rs::rsa;

use crate::{BEGIN, END, decode};

/// What a file may contain in place of a private key of PKCS #8, by a part of its PEM line.
const OTHER_FORMS: [(&str, &str); 5] = [
    (
        "BEGIN ENCRYPTED PRIVATE KEY",
        "is encrypted with a passphrase: write it in clear with \
         `openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem`",
    ),
    (
        "BEGIN RSA PRIVATE KEY",
        "is in the form PKCS #1: convert it with \
         `openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem`",
    ),
    (
        "BEGIN EC PRIVATE KEY",
        "is in the form SEC 1: convert it with \
         `openssl pkcs8 -topk8 -nocrypt -in old.pem -out new.pem`",
    ),
    (
        "PUBLIC KEY-----",
        "is a public key: it must be the private key that belongs to it",
    ),
    (
        "BEGIN CERTIFICATE",
        "has a certificate without its private key: add the key",
    ),
];

/// Returns why a text is not a list of signing keys. It never repeats a part of the text.
pub fn problem_of(text: &str) -> &'static str {
    if !text.contains(BEGIN) {
        let form = OTHER_FORMS.iter().find(|(line, _)| text.contains(line));
        return form.map_or(
            "must be a private key in PEM of PKCS #8, with the line -----BEGIN PRIVATE KEY-----",
            |(_, problem)| problem,
        );
    }
    let mut small = false;
    for rest in text.split(BEGIN).skip(1) {
        let Some((body, _)) = rest.split_once(END) else {
            return "has the beginning of a private key without its end";
        };
        let body: String = body.split_whitespace().collect();
        let Ok(der) = decode(&body) else {
            return "has a private key that is not base64";
        };
        small |= rsa::KeyPair::from_pkcs8(&der).is_err_and(|e| e.to_string() == "TooSmall");
    }
    if small {
        "has an RSA key of fewer than 2048 bits: generate one of 2048 to 8192 bits"
    } else {
        "must have different private keys, each RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKeys;

    #[test]
    fn each_wrong_kind_of_key_is_told_in_words() {
        let pem = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
        for (text, word) in [
            ("s3cret".to_owned(), "PEM of PKCS #8"),
            (pem("ENCRYPTED PRIVATE KEY"), "passphrase"),
            (pem("RSA PRIVATE KEY"), "PKCS #1"),
            (pem("EC PRIVATE KEY"), "SEC 1"),
            (pem("PUBLIC KEY"), "public key"),
            (pem("CERTIFICATE"), "certificate without"),
            (pem("PRIVATE KEY"), "different private keys"),
            (BEGIN.to_owned(), "without its end"),
            (format!("{BEGIN}\n%\n{END}"), "not base64"),
            (include_str!("rsa-1024.pem").to_owned(), "fewer than 2048"),
        ] {
            assert!(text.parse::<SigningKeys>().is_err(), "{word}");
            assert!(problem_of(&text).contains(word), "{}", problem_of(&text));
        }
    }
}
