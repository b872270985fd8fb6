//! `CLUSTER` subcommands by which nodes come to know each other and change their roles.

use std::net::IpAddr;

use crate::node::NodeAddr;
use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::failover::{self, Manner};
use crate::testkit::sim::gossip;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::view::{Judgement, NodeIndex, Role, View};

/// The node whose id is the argument, if this one knows it.
pub(super) fn known(call: &Call<'_>, place: usize) -> Result<NodeIndex, Refused> {
    let id = call.arg(place);
    let view = &call.world.node(call.node).view;
    let known = call.world.node_with_id(&id).filter(|node| view.member(*node).is_some());
    known.ok_or_else(|| Refused::new(format!("ERR Unknown node {}", String::from_utf8_lossy(&id))))
}

pub(super) fn meet(call: &mut Call<'_>) -> Answered {
    let profile = call.world.node(call.node).profile;
    let (host, port) = (call.arg(2), call.arg(3));
    let (host, written) = (String::from_utf8_lossy(&host), String::from_utf8_lossy(&port));
    let tcp = if profile.since_7_2() { "" } else { "TCP " };
    let base =
        int(&port).map_err(|_| Refused::new(format!("ERR Invalid {tcp}base port specified: {written}")))?;
    if call.args.len() > 4 && int(&call.arg(4)).is_err() {
        let bus = String::from_utf8_lossy(&call.arg(4)).into_owned();
        return Err(Refused::new(format!("ERR Invalid {tcp}bus port specified: {bus}")));
    }
    let port = u16::try_from(base).ok().filter(|port| *port > 0);
    let Some(port) = port.filter(|_| host.parse::<IpAddr>().is_ok()) else {
        return Err(match port {
            None if profile == Profile::Valkey91 => Refused::new("ERR Port number is out of range"),
            None | Some(_) => Refused::new(format!("ERR Invalid node address specified: {host}:{written}")),
        });
    };
    // A handshake that nobody answers is forgotten again.
    if let Some(with) = call.world.node_at(&NodeAddr::new(host, port)) {
        let delay = call.world.settings.gossip_delay;
        call.world.later(delay, Event::Meet { node: call.node, with });
    }
    reply(Reply::Ok)
}

pub(super) fn forget(call: &mut Call<'_>) -> Answered {
    let whom = known(call, 2)?;
    let node = call.world.node(call.node);
    if whom == call.node {
        return Err(Refused::new("ERR I tried hard but I can't forget myself..."));
    }
    if node.view.primary_of(call.node) == whom {
        return Err(Refused::new("ERR Can't forget my master!"));
    }
    // From 7.2 on it is passed on.
    let passes_on = node.profile.since_7_2() && node.is_on_bus();
    gossip::forget(call.world, call.node, whom);
    if passes_on {
        let delay = call.world.settings.gossip_delay;
        call.world.later(delay, Event::Forget { from: call.node, forgotten: whom });
    }
    reply(Reply::Ok)
}

pub(super) fn replicate(call: &mut Call<'_>) -> Answered {
    let primary = known(call, 2)?;
    let node = call.world.node(call.node);
    if primary == call.node {
        return Err(Refused::new("ERR Can't replicate myself"));
    }
    if node.view.role(primary) != Some(Role::Primary) {
        return Err(Refused::new("ERR I can only replicate a master, not a replica."));
    }
    if node.is_primary() && (node.view.slots_of(call.node) > 0 || node.keys.len() > 0) {
        return Err(Refused::new("ERR To set a master the node must be empty and without assigned slots."));
    }
    if node.view.role(call.node) != Some(Role::ReplicaOf(primary)) {
        let view = std::sync::Arc::clone(&node.view);
        gossip::follow(call.world, call.node, &view, primary);
        gossip::tell(call.world, call.node);
    }
    reply(Reply::Ok)
}

pub(super) fn failover(call: &mut Call<'_>) -> Answered {
    let node = call.world.node(call.node);
    if call.args.len() > 3 {
        return Err(match node.profile {
            Profile::Redis62 => unknown_failover("Unknown"),
            Profile::Redis70 | Profile::Redis82 | Profile::Redis84 => unknown_failover("unknown"),
            Profile::Valkey81 | Profile::Valkey91 => Refused::syntax(),
        });
    }
    let manner = match call.args.len() {
        2 => Manner::Agreed,
        _ if call.is(2, "FORCE") => Manner::Forced,
        _ if call.is(2, "TAKEOVER") => Manner::Takeover,
        _ => return Err(Refused::syntax()),
    };
    let Some(Role::ReplicaOf(primary)) = node.view.role(call.node) else {
        return Err(Refused::new("ERR You should send CLUSTER FAILOVER to a replica"));
    };
    let is_lost = node.view.judgement(primary) == Judgement::Failed
        || call.world.node(primary).process == Process::Dead;
    if manner == Manner::Agreed && is_lost {
        return Err(Refused::new("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"));
    }
    failover::request(call.world, call.node, manner);
    reply(Reply::Ok)
}

fn unknown_failover(word: &str) -> Refused {
    Refused::new(format!(
        "ERR {word} subcommand or wrong number of arguments for 'FAILOVER'. Try CLUSTER HELP."
    ))
}

/// The node forgets the cluster; the others do not forget it.
pub(super) fn reset(call: &mut Call<'_>) -> Answered {
    let is_hard = call.is(2, "HARD");
    if call.args.len() > 3 || (call.args.len() == 3 && !is_hard && !call.is(2, "SOFT")) {
        return Err(Refused::syntax());
    }
    let index = call.node;
    let node = call.world.node_mut(index);
    if node.is_primary() && node.keys.len() > 0 {
        return Err(Refused::new("ERR CLUSTER RESET can't be called with master nodes containing keys"));
    }
    if !node.is_primary() {
        node.keys.clear();
    }
    node.migrating.clear();
    node.importing.clear();
    node.pending.clear();
    node.is_copying = false;
    let (version, epoch) =
        (node.view.member(index).map_or(0, |member| member.version), node.view.epoch_of(index));
    let current = node.view.current_epoch;
    let mut view = View::alone(index);
    // Its word is newer than what the others know of it.
    (0..version).for_each(|_| view.declare(index, Role::Primary, 0));
    view.declare(index, Role::Primary, if is_hard { 0 } else { epoch });
    if !is_hard {
        view.current_epoch = current;
    }
    gossip::revise_quietly(call.world, index, |known| *known = view);
    reply(Reply::Ok)
}
