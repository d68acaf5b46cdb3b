//! Faults that are queued and applied to the next requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, Flavour};

/// What happens to the next requests of one kind. Faults are applied in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Endpoint of the requests.
    pub endpoint: Endpoint,
    /// Flavour of the requests; all flavours if absent.
    #[serde(default)]
    pub flavour: Option<Flavour>,
    /// Only token requests with this `grant_type`.
    #[serde(default)]
    pub grant_type: Option<String>,
    /// Number of requests.
    #[serde(default = "once")]
    pub times: u32,
    /// Delay before everything else, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Status of a response that replaces the real one.
    #[serde(default)]
    pub status: Option<u16>,
    /// Headers of that response.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body of that response.
    #[serde(default)]
    pub body: String,
    /// Closes the connection without a response.
    #[serde(default)]
    pub reset: bool,
    /// Handles the request (redeems the code, rotates the token) before the response is
    /// replaced or lost.
    #[serde(default)]
    pub after_work: bool,
}

const fn once() -> u32 {
    1
}

impl Fault {
    /// Creates a fault for one request without any effect yet.
    pub const fn on(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            flavour: None,
            grant_type: None,
            times: 1,
            delay_ms: 0,
            status: None,
            headers: BTreeMap::new(),
            body: String::new(),
            reset: false,
            after_work: false,
        }
    }

    /// Limits the fault to a flavour.
    #[must_use]
    pub const fn of(mut self, flavour: Flavour) -> Self {
        self.flavour = Some(flavour);
        self
    }

    /// Only token requests with this `grant_type`.
    #[must_use]
    pub fn of_grant(mut self, grant_type: &str) -> Self {
        self.grant_type = Some(grant_type.to_owned());
        self
    }

    /// Sets the number of requests.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Delays the response.
    #[must_use]
    pub const fn delayed_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// Replaces the response.
    #[must_use]
    pub fn answering(mut self, status: u16, body: impl Into<String>) -> Self {
        self.status = Some(status);
        self.body = body.into();
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Closes the connection without a response.
    #[must_use]
    pub const fn reset(mut self) -> Self {
        self.reset = true;
        self
    }

    /// Handles the request first, so that its effect is not lost with the response.
    #[must_use]
    pub const fn after_work(mut self) -> Self {
        self.after_work = true;
        self
    }

    fn matches(&self, endpoint: Endpoint, flavour: Flavour, grant_type: Option<&str>) -> bool {
        self.endpoint == endpoint
            && self.flavour.is_none_or(|wanted| wanted == flavour)
            && self
                .grant_type
                .as_deref()
                .is_none_or(|wanted| grant_type == Some(wanted))
    }

    /// Removes one application of the first matching fault from the queue.
    pub(crate) fn take(
        queue: &mut Vec<Self>,
        endpoint: Endpoint,
        flavour: Flavour,
        grant_type: Option<&str>,
    ) -> Option<Self> {
        let position = queue
            .iter()
            .position(|fault| fault.matches(endpoint, flavour, grant_type))?;
        let fault = queue.get_mut(position)?;
        if fault.times > 1 {
            fault.times -= 1;
            return Some(fault.clone());
        }
        Some(queue.remove(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_applied_in_order_and_only_to_matching_requests() {
        let mut queue = vec![
            Fault::on(Endpoint::Token)
                .of(Flavour::Google)
                .times(2)
                .answering(503, ""),
            Fault::on(Endpoint::Token).reset(),
        ];
        let mut take = |flavour| Fault::take(&mut queue, Endpoint::Token, flavour, None);
        assert_eq!(take(Flavour::Google).unwrap().status, Some(503));
        assert!(take(Flavour::Oidc).unwrap().reset);
        assert_eq!(take(Flavour::Google).unwrap().status, Some(503));
        assert_eq!(take(Flavour::Google), None);
    }
}
