//! How a node names another: in redirects, and in what it says of the cluster.

use crate::testkit::sim::node::Endpoint;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// What a client is told to connect to, as the node that tells it prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name<'a> {
    Host(&'a str),
    /// A host name is preferred, and none is announced.
    NoHostname,
    /// The client shall take the host that it is connected to.
    Unstated,
}

impl<'a> Name<'a> {
    /// As it stands in a redirect and in `CLUSTER SHARDS`.
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Host(host) => host,
            Self::NoHostname => "?",
            Self::Unstated => "",
        }
    }
}

/// A node's IP address as `teller` knows it: one that never met another does not know its own.
pub(super) fn ip(world: &World, of: NodeIndex) -> &str {
    if world.nodes.len() == 1 { "" } else { world.node(of).addr.host() }
}

/// How `teller` names a node to clients.
pub(super) fn preferred(world: &World, teller: NodeIndex, of: NodeIndex) -> Name<'_> {
    let teller = world.node(teller);
    match teller.endpoint {
        Endpoint::Hostname if teller.profile.since_7_0() => {
            world.node(of).hostname.as_deref().map_or(Name::NoHostname, Name::Host)
        }
        Endpoint::Unknown if teller.profile.since_7_0() => Name::Unstated,
        Endpoint::Ip | Endpoint::Hostname | Endpoint::Unknown => Name::Host(ip(world, of)),
    }
}

fn redirect(verb: &str, world: &World, teller: NodeIndex, slot: u16, to: NodeIndex) -> Refused {
    let host = preferred(world, teller, to).text();
    Refused::new(format!("{verb} {slot} {host}:{}", world.node(to).addr.port()))
}

/// `-MOVED`: the slot is served elsewhere.
pub(super) fn moved(world: &World, teller: NodeIndex, slot: u16, to: NodeIndex) -> Refused {
    redirect("MOVED", world, teller, slot, to)
}

/// `-ASK`: this one command is served elsewhere.
pub(super) fn ask(world: &World, teller: NodeIndex, slot: u16, to: NodeIndex) -> Refused {
    redirect("ASK", world, teller, slot, to)
}
