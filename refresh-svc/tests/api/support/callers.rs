//! Callers of the service.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use latchkey_proto::token::account_selector::Selector;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use latchkey_proto::token::{
    AccessToken, AccessTokenResult, AccountSelector, BatchGetAccessTokensRequest, ErrorStatus,
    GetAccessTokenRequest, RefreshAccessTokenRequest, RevokeAccountRequest, WatchAccountRequest,
    WatchAccountResponse,
};
use latchkey_testkit::{PATIENCE, TestCertificates};
use prost::Message as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::eventually;

#[derive(Clone)]
pub struct Client(pub TokenServiceClient<Channel>);

pub fn by_id(account: String) -> AccountSelector {
    AccountSelector {
        selector: Some(Selector::AccountId(account)),
    }
}

/// A request for any token of an account.
pub fn asking(account: &(impl ToString + ?Sized)) -> GetAccessTokenRequest {
    GetAccessTokenRequest {
        account: Some(by_id(account.to_string())),
        ..GetAccessTokenRequest::default()
    }
}

/// The next item of a stream.
pub async fn next(stream: &mut Streaming<WatchAccountResponse>) -> WatchAccountResponse {
    tokio::time::timeout(PATIENCE, stream.message())
        .await
        .expect("nothing came")
        .unwrap()
        .expect("the stream ended")
}

/// The reason of an error within a batch.
pub fn reason(error: &ErrorStatus) -> String {
    // A `google.rpc.Status`, field by field.
    let details = error.encode_to_vec().into();
    let status = Status::with_details(Code::from(error.code), error.message.clone(), details);
    status.get_details_error_info().unwrap().reason
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// TLS settings of a caller.
pub fn tls(certificates: &TestCertificates) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(read(&certificates.authority)))
}

pub fn identity(certificates: &TestCertificates) -> Identity {
    let client = &certificates.client;
    Identity::from_pem(read(&client.certificate), read(&client.key))
}

pub fn endpoint(address: SocketAddr, tls: ClientTlsConfig) -> Endpoint {
    Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
}

impl Client {
    pub async fn connect(address: SocketAddr, certificates: &TestCertificates) -> Self {
        let tls = tls(certificates).identity(identity(certificates));
        let channel = endpoint(address, tls).connect().await.unwrap();
        Self(TokenServiceClient::new(channel))
    }

    pub async fn get(&self, account: impl ToString) -> Result<AccessToken, Status> {
        self.ask(asking(&account)).await
    }

    /// Asks again while the database does not answer in time, as callers do. On a busy machine a burst
    /// of callers waits longer for a connection than the service lets them.
    pub async fn get_when_the_store_answers(&self, account: impl ToString) -> AccessToken {
        let account = account.to_string();
        eventually(async || match self.get(&account).await {
            Ok(token) => Some(token),
            refused => {
                assert_eq!(refusal(refused).reason, "STORE_UNAVAILABLE");
                None
            }
        })
        .await
    }

    pub async fn get_with_life(
        &self,
        account: impl ToString,
        seconds: i64,
    ) -> Result<AccessToken, Status> {
        self.ask(GetAccessTokenRequest {
            min_remaining: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..asking(&account)
        })
        .await
    }

    pub async fn ask(&self, request: GetAccessTokenRequest) -> Result<AccessToken, Status> {
        let answer = self.0.clone().get_access_token(request).await?;
        Ok(answer.into_inner().token.unwrap())
    }

    pub async fn ask_within(
        &self,
        account: impl ToString,
        limit: Duration,
    ) -> Result<AccessToken, Status> {
        let mut request = tonic::Request::new(asking(&account));
        request.set_timeout(limit);
        let answer = self.0.clone().get_access_token(request).await?;
        Ok(answer.into_inner().token.unwrap())
    }

    /// How a call is refused that waits for `limit` in vain. A busy machine can deliver the answer
    /// after the deadline; the call is then repeated.
    pub async fn refusal_within(&self, account: impl ToString, limit: Duration) -> Refusal {
        for _ in 0..5 {
            let answer = self.ask_within(account.to_string(), limit).await;
            // The code of tonic's client for its own deadline. The service has no such answer.
            if !matches!(&answer, Err(status) if status.code() == Code::Cancelled) {
                return refusal(answer);
            }
        }
        panic!("no answer before the deadline");
    }

    pub async fn refused(
        &self,
        account: impl ToString,
        version: i64,
    ) -> Result<AccessToken, Status> {
        let request = RefreshAccessTokenRequest {
            account: Some(by_id(account.to_string())),
            refused_version: version,
            claims: String::new(),
        };
        let answer = self.0.clone().refresh_access_token(request).await?;
        Ok(answer.into_inner().token.unwrap())
    }

    /// Reports a token as refused with a claims challenge.
    pub async fn challenged(
        &self,
        account: impl ToString,
        version: i64,
        claims: &str,
    ) -> Result<AccessToken, Status> {
        let request = RefreshAccessTokenRequest {
            account: Some(by_id(account.to_string())),
            refused_version: version,
            claims: claims.to_owned(),
        };
        let answer = self.0.clone().refresh_access_token(request).await?;
        Ok(answer.into_inner().token.unwrap())
    }

    pub async fn batch(
        &self,
        requests: Vec<GetAccessTokenRequest>,
    ) -> Result<Vec<AccessTokenResult>, Status> {
        let request = BatchGetAccessTokensRequest { requests };
        let answer = self.0.clone().batch_get_access_tokens(request).await?;
        Ok(answer.into_inner().results)
    }

    pub async fn watch(
        &self,
        account: impl ToString,
    ) -> Result<Streaming<WatchAccountResponse>, Status> {
        let request = WatchAccountRequest {
            account: Some(by_id(account.to_string())),
        };
        let answer = self.0.clone().watch_account(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn revoke_within(
        &self,
        account: impl ToString,
        limit: Duration,
    ) -> Result<bool, Status> {
        let mut request = tonic::Request::new(RevokeAccountRequest {
            account: Some(by_id(account.to_string())),
        });
        request.set_timeout(limit);
        let answer = self.0.clone().revoke_account(request).await?;
        Ok(answer.into_inner().revoked_at_provider)
    }

    pub async fn revoke(&self, account: impl ToString) -> Result<bool, Status> {
        let request = RevokeAccountRequest {
            account: Some(by_id(account.to_string())),
        };
        let answer = self.0.clone().revoke_account(request).await?;
        Ok(answer.into_inner().revoked_at_provider)
    }
}

/// The machine-readable part of an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
    pub retry_after: Option<Duration>,
}

pub fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    let status = answer.unwrap_err();
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "latchkey");
    Refusal {
        code: status.code(),
        reason: info.reason,
        retry_after: status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay),
    }
}
