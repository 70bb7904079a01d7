//! Who may do what.
//!
//! Over the control socket its owner and root may do everything. Over TCP health and readiness are open, status and metrics are so on
//! loopback, and the rest needs a token. A request that a browser made for another site is refused whatever it brings.

mod gate;
mod guesses;
mod site;
mod tokens;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub(crate) use gate::{Gate, Refused};
pub(crate) use site::Site;
pub(crate) use tokens::Tokens;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this machine, by the control socket.
    Unix {
        /// The user it runs as, as the kernel says.
        uid: u32,
    },
    /// Anyone.
    Tcp {
        /// Their address.
        remote: SocketAddr,
        /// The address of ours that they used.
        local: SocketAddr,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Unix { .. } => f.write_str("control socket"),
            Peer::Tcp { remote, .. } => remote.fmt(f),
        }
    }
}

/// What a caller is trusted with. Ordered: who may operate may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// To look at everything.
    Read,
    /// To change things, too.
    Operate,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
        }
    }
}

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// To be on this machine, or a role.
    Nearby,
    /// A role.
    Role(Role),
}

/// Who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Where from.
    pub(crate) peer: Peer,
    /// Trusted with what.
    pub(crate) role: Option<Role>,
    /// Whether the request began on this machine.
    pub(crate) nearby: bool,
    /// The name for the audit and for revisions.
    pub(crate) actor: String,
}

impl Caller {
    /// Whether it meets a need.
    pub(crate) fn meets(&self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Nearby => self.nearby || self.role.is_some(),
            Need::Role(role) => self.role >= Some(role),
        }
    }
}

/// Why an address is not listened on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "listening on {0} lets other machines in, and needs a token of your own\n  help: name one in config.yaml, \
     `http: {{ token: secret://file/token }}`, or listen on 127.0.0.1"
)]
pub struct ListenError(pub IpAddr);

/// Whether an address may be listened on: beyond loopback only with a token that `config.yaml` names.
///
/// # Errors
/// It is beyond loopback, and there is no such token.
pub fn check_listen(address: IpAddr, has_own_token: bool) -> Result<(), ListenError> {
    if address.to_canonical().is_loopback() || has_own_token {
        Ok(())
    } else {
        Err(ListenError(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_is_listened_on_only_with_a_token_of_ones_own() {
        for (address, own, fine) in [
            ("127.0.0.1", false, true),
            ("127.8.9.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("192.168.1.5", false, false),
            ("::ffff:192.168.1.5", false, false),
            ("0.0.0.0", true, true),
        ] {
            assert_eq!(check_listen(address.parse().unwrap(), own).is_ok(), fine, "{address}");
        }
    }

    #[test]
    fn who_may_operate_may_read_and_who_may_read_may_not_operate() {
        let peer = Peer::Unix { uid: 1 };
        let caller = |role, nearby| Caller { peer, role, nearby, actor: String::new() };
        let needs =
            [Need::Nothing, Need::Nearby, Need::Role(Role::Read), Need::Role(Role::Operate)];
        for (caller, met) in [
            (caller(None, false), [true, false, false, false]),
            (caller(None, true), [true, true, false, false]),
            (caller(Some(Role::Read), false), [true, true, true, false]),
            (caller(Some(Role::Operate), false), [true, true, true, true]),
        ] {
            assert_eq!(needs.map(|need| caller.meets(need)), met, "{caller:?}");
        }
    }
}
