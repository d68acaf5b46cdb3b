//! Faults that are queued and hit the next requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, Flavour};

/// What happens to the next requests of one kind, in the order of queueing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    pub endpoint: Endpoint,
    /// Only this flavour's; all where absent.
    #[serde(default)]
    pub flavour: Option<Flavour>,
    /// Only token requests of this `grant_type`.
    #[serde(default)]
    pub grant_type: Option<String>,
    /// How many requests.
    #[serde(default = "once")]
    pub times: u32,
    /// Waits this many milliseconds first.
    #[serde(default)]
    pub delay_ms: u64,
    /// Answers this status instead of the real answer.
    #[serde(default)]
    pub status: Option<u16>,
    /// Headers of that answer.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body of that answer.
    #[serde(default)]
    pub body: String,
    /// Closes the connection without an answer.
    #[serde(default)]
    pub reset: bool,
    /// Does the work (spends the code, rotates the token) before the answer is
    /// replaced or lost.
    #[serde(default)]
    pub after_work: bool,
}

const fn once() -> u32 {
    1
}

impl Fault {
    /// One request that goes through after all.
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

    /// Only of this flavour.
    #[must_use]
    pub const fn of(mut self, flavour: Flavour) -> Self {
        self.flavour = Some(flavour);
        self
    }

    /// Only token requests of this `grant_type`.
    #[must_use]
    pub fn of_grant(mut self, grant_type: &str) -> Self {
        self.grant_type = Some(grant_type.to_owned());
        self
    }

    /// Hits this many requests.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Waits first.
    #[must_use]
    pub const fn delayed_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// Answers this.
    #[must_use]
    pub fn answering(mut self, status: u16, body: impl Into<String>) -> Self {
        self.status = Some(status);
        self.body = body.into();
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Closes the connection without an answer.
    #[must_use]
    pub const fn reset(mut self) -> Self {
        self.reset = true;
        self
    }

    /// Does the work first: the answer is lost, its effect is not.
    #[must_use]
    pub const fn after_work(mut self) -> Self {
        self.after_work = true;
        self
    }

    fn fits(&self, endpoint: Endpoint, flavour: Flavour, grant_type: Option<&str>) -> bool {
        self.endpoint == endpoint
            && self.flavour.is_none_or(|wanted| wanted == flavour)
            && self
                .grant_type
                .as_deref()
                .is_none_or(|wanted| grant_type == Some(wanted))
    }

    /// Takes one hit of the first fault in the queue that fits.
    pub(crate) fn take(
        queue: &mut Vec<Self>,
        endpoint: Endpoint,
        flavour: Flavour,
        grant_type: Option<&str>,
    ) -> Option<Self> {
        let position = queue
            .iter()
            .position(|fault| fault.fits(endpoint, flavour, grant_type))?;
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
    fn faults_hit_in_order_and_only_what_they_are_for() {
        let mut queue = vec![
            Fault::on(Endpoint::Token)
                .of(Flavour::Google)
                .times(2)
                .answering(503, ""),
            Fault::on(Endpoint::Token).reset(),
        ];
        let mut hit = |flavour| Fault::take(&mut queue, Endpoint::Token, flavour, None);
        assert_eq!(hit(Flavour::Google).unwrap().status, Some(503));
        assert!(hit(Flavour::Oidc).unwrap().reset);
        assert_eq!(hit(Flavour::Google).unwrap().status, Some(503));
        assert_eq!(hit(Flavour::Google), None);
    }
}
