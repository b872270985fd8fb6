//! `CLUSTER`: what a node says of the cluster, of itself and of its slots.

use crate::slot::Slot;
use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::commands::cluster_migration;
use crate::testkit::sim::commands::cluster_nodes;
use crate::testkit::sim::commands::cluster_slots;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::spec::{Keys, Since, Spec};
use crate::testkit::sim::topology;
use crate::testkit::sim::topology_lines;
use crate::testkit::sim::view::Judgement;

const ASKS: &str = "loading stale";
const ADMIN: &str = "admin stale no_async_loading";

const fn asks(name: &'static str, arity: isize, run: fn(&mut Call<'_>) -> Answered) -> Spec {
    Spec::world(name, arity, ASKS, Keys::None, run)
}

const fn admin(name: &'static str, arity: isize, run: fn(&mut Call<'_>) -> Answered) -> Spec {
    Spec::world(name, arity, ADMIN, Keys::None, run)
}

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    asks("cluster|slots", 2, slots),
    asks("cluster|shards", 2, shards).since(Since::Redis70),
    asks("cluster|nodes", 2, nodes),
    asks("cluster|info", 2, info),
    asks("cluster|myid", 2, myid),
    asks("cluster|myshardid", 2, myshardid).since(Since::Redis72),
    Spec::world("cluster|keyslot", 3, "stale", Keys::None, keyslot),
    Spec::world("cluster|countkeysinslot", 3, "stale", Keys::None, countkeysinslot),
    Spec::world("cluster|getkeysinslot", 4, "stale", Keys::None, getkeysinslot),
    Spec::world("cluster|links", 2, "stale", Keys::None, links).since(Since::Redis70),
    asks("cluster|help", 2, help),
    Spec::world("cluster|count-failure-reports", 3, "admin stale", Keys::None, count_failure_reports),
    Spec::world("cluster|replicas", 3, "admin stale", Keys::None, replicas),
    Spec::world("cluster|slaves", 3, "admin stale", Keys::None, replicas),
    admin("cluster|saveconfig", 2, saveconfig),
    admin("cluster|setslot", -4, cluster_slots::setslot),
    admin("cluster|addslots", -3, cluster_slots::addslots),
    admin("cluster|addslotsrange", -4, cluster_slots::addslotsrange).since(Since::Redis70),
    admin("cluster|delslots", -3, cluster_slots::delslots),
    admin("cluster|delslotsrange", -4, cluster_slots::delslotsrange).since(Since::Redis70),
    admin("cluster|flushslots", 2, cluster_slots::flushslots),
    admin("cluster|bumpepoch", 2, cluster_slots::bumpepoch),
    admin("cluster|set-config-epoch", 3, cluster_slots::set_config_epoch),
    admin("cluster|meet", -4, cluster_nodes::meet),
    admin("cluster|migration", -4, cluster_migration::migration).since(Since::Redis84),
    admin("cluster|forget", 3, cluster_nodes::forget),
    admin("cluster|replicate", 3, cluster_nodes::replicate),
    admin("cluster|failover", -2, cluster_nodes::failover),
    Spec::world("cluster|reset", -2, "admin stale noscript", Keys::None, cluster_nodes::reset),
];

fn slots(call: &mut Call<'_>) -> Answered {
    reply(topology::slots(call.world, call.node))
}

fn shards(call: &mut Call<'_>) -> Answered {
    reply(topology::shards(call.world, call.node))
}

fn nodes(call: &mut Call<'_>) -> Answered {
    reply(Reply::Verbatim(topology_lines::nodes(call.world, call.node)))
}

fn info(call: &mut Call<'_>) -> Answered {
    reply(Reply::Verbatim(topology_lines::info(call.world, call.node)))
}

fn myid(call: &mut Call<'_>) -> Answered {
    reply(Reply::bulk(&call.world.node(call.node).id))
}

fn myshardid(call: &mut Call<'_>) -> Answered {
    reply(Reply::bulk(&call.world.node(call.node).shard_id))
}

fn keyslot(call: &mut Call<'_>) -> Answered {
    reply(Reply::Int(Slot::of_key(call.arg(2)).get().into()))
}

fn countkeysinslot(call: &mut Call<'_>) -> Answered {
    let slot = u16::try_from(int(&call.arg(2))?).ok().and_then(Slot::new);
    let slot = slot.ok_or_else(|| Refused::new("ERR Invalid slot"))?;
    reply(Reply::int(call.world.node(call.node).keys.keys_in(slot.get()).count()))
}

fn getkeysinslot(call: &mut Call<'_>) -> Answered {
    let (slot, most) = (int(&call.arg(2))?, int(&call.arg(3))?);
    let slot = u16::try_from(slot).ok().and_then(Slot::new);
    let (Some(slot), Ok(most)) = (slot, usize::try_from(most)) else {
        return Err(Refused::new("ERR Invalid slot or number of keys"));
    };
    let keys = call.world.node(call.node).keys.keys_in(slot.get()).take(most);
    reply(Reply::Array(keys.cloned().map(Reply::Bulk).collect()))
}

/// Two links to each other node: one that it made, and one that the other made.
fn links(call: &mut Call<'_>) -> Answered {
    let node = call.world.node(call.node);
    let now = i64::try_from(node.keys.now()).unwrap_or(i64::MAX);
    let others = node.view.members().iter();
    let others =
        others.filter(|(other, member)| **other != call.node && member.judgement == Judgement::Alive);
    let links = others.flat_map(|(other, _)| ["to", "from"].map(|direction| (*other, direction)));
    let links = links.map(|(other, direction)| {
        Reply::Map(vec![
            (Reply::bulk("direction"), Reply::bulk(direction)),
            (Reply::bulk("node"), Reply::bulk(&call.world.node(other).id)),
            (Reply::bulk("create-time"), Reply::Int(now)),
            (Reply::bulk("events"), Reply::bulk("r")),
            (Reply::bulk("send-buffer-allocated"), Reply::Int(0)),
            (Reply::bulk("send-buffer-used"), Reply::Int(0)),
        ])
    });
    reply(Reply::Array(links.collect()))
}

fn count_failure_reports(call: &mut Call<'_>) -> Answered {
    let of = cluster_nodes::known(call, 2)?;
    let view = &call.world.node(call.node).view;
    let reporting = view.owning().filter(|owner| *owner != of && call.world.node(*owner).is_on_bus());
    reply(match view.judgement(of) {
        Judgement::Alive => Reply::Int(0),
        Judgement::Suspected | Judgement::Failed => Reply::int(reporting.count()),
    })
}

fn replicas(call: &mut Call<'_>) -> Answered {
    let of = cluster_nodes::known(call, 2)?;
    let view = topology::told_view(call.world, call.node);
    if view.primary_of(of) != of {
        return Err(Refused::new("ERR The specified node is not a master"));
    }
    let lines = view.replicas_of(of).map(|node| topology_lines::line(call.world, call.node, view, node));
    reply(Reply::Array(lines.map(Reply::bulk).collect()))
}

fn saveconfig(_: &mut Call<'_>) -> Answered {
    reply(Reply::Ok)
}

fn help(call: &mut Call<'_>) -> Answered {
    let profile = call.world.node(call.node).profile;
    let names = COMMANDS.iter().filter(|spec| spec.since.has(profile));
    let names = names.filter_map(|spec| Some(spec.name.split_once('|')?.1.to_ascii_uppercase()));
    let first = "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:".to_owned();
    let lines = std::iter::once(first).chain(names);
    reply(Reply::Array(lines.map(|line| Reply::Simple(line.into())).collect()))
}
