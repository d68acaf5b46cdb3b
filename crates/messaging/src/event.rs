//! The events of the published contract and their routing keys.

use latchkey_proto::events;

/// An event of the published contract.
pub trait Event: prost::Message + Default {
    /// Routing key on [`EVENTS_EXCHANGE`](crate::topology::EVENTS_EXCHANGE) and CloudEvents type.
    const ROUTING_KEY: &'static str;
}

impl Event for events::UserAuthenticated {
    const ROUTING_KEY: &'static str = "user.authenticated.v1";
}
impl Event for events::MemberRemoved {
    const ROUTING_KEY: &'static str = "member.removed.v1";
}
impl Event for events::SessionEnded {
    const ROUTING_KEY: &'static str = "session.ended.v1";
}
impl Event for events::AccountConnected {
    const ROUTING_KEY: &'static str = "account.connected.v1";
}
impl Event for events::AccountReauthRequired {
    const ROUTING_KEY: &'static str = "account.reauth_required.v1";
}
impl Event for events::AccountDisconnected {
    const ROUTING_KEY: &'static str = "account.disconnected.v1";
}
impl Event for events::ChannelStatusChanged {
    const ROUTING_KEY: &'static str = "channel.status_changed.v1";
}
