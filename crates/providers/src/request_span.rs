//! The span of a request to a provider (semantic conventions of OpenTelemetry for HTTP clients).
//! The provider does not receive the trace context.

use http::{Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;
use url::Url;

/// The span of one request.
#[derive(Debug)]
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    /// The span of a request to `url`, without the query and the credentials of the URL.
    pub(crate) fn of(method: &Method, url: &Url) -> Self {
        Self(tracing::info_span!(
            "http.client",
            otel.name = method.as_str(),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = method.as_str(),
            http.response.status_code = Empty,
            server.address = url.host_str().unwrap_or_default(),
            server.port = url.port_or_known_default().map(i64::from),
            url.full = without_query(url).as_str(),
            "error.type" = Empty,
        ))
    }

    /// The span, to send the request in.
    pub(crate) fn span(&self) -> Span {
        self.0.clone()
    }

    /// Records the status of the response.
    pub(crate) fn answered(self, status: StatusCode) {
        let Self(span) = self;
        span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_client_error() || status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
    }

    /// Records that there is no response. `kind` is one of few texts.
    pub(crate) fn failed(self, kind: &'static str) {
        let Self(span) = self;
        span.record("error.type", kind);
        span.record("otel.status_code", "ERROR");
    }
}

fn without_query(url: &Url) -> Url {
    let mut short = url.clone();
    short.set_query(None);
    short.set_fragment(None);
    // Both fail only for URLs that cannot have credentials.
    let _ = short.set_username("");
    let _ = short.set_password(None);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_left_out() {
        let url = Url::parse("https://user:secret@provider.example:8443/token?code=1#x").unwrap();
        assert_eq!(
            without_query(&url).as_str(),
            "https://provider.example:8443/token"
        );
    }
}
