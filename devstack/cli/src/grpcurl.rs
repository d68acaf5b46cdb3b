//! A ready command line that asks the running stack for a token with `grpcurl`, which lists the
//! services and methods by itself (gRPC reflection).

use std::path::Path;

use uuid::Uuid;

use crate::status::Addresses;

/// The command that asks for the token of `account`; without an account, the one that lists the
/// methods. `None` if the stack has no refresh-svc.
pub fn command(addresses: &Addresses, account: Option<Uuid>) -> Option<String> {
    let tls = &addresses.tls;
    let caller = format!(
        "grpcurl -cacert {} -cert {} -key {}",
        quoted(&tls.authority),
        quoted(&tls.client_certificate),
        quoted(&tls.client_key)
    );
    let address = &addresses.refresh.first()?.address;
    Some(match account {
        Some(account) => format!(
            "{caller} -d '{{\"account\": {{\"account_id\": \"{account}\"}}}}' {address} \
             latchkey.token.v1.TokenService/GetAccessToken"
        ),
        None => format!("{caller} {address} list latchkey.token.v1.TokenService"),
    })
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [
            ("/tmp/ca.pem", "/tmp/ca.pem"),
            ("/tmp/my files/ca.pem", "'/tmp/my files/ca.pem'"),
            ("/tmp/it's/ca.pem", r"'/tmp/it'\''s/ca.pem'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }
}
