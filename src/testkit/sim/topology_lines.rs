//! What a node says of the cluster in text: `CLUSTER NODES` and `CLUSTER INFO`.

use std::fmt::Write;

use crate::slot::Slot;
use crate::testkit::sim::addresses::ip;
use crate::testkit::sim::health::is_down;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::topology::told_view;
use crate::testkit::sim::view::{Judgement, NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// From a node's port to the port of its cluster bus.
const BUS: u32 = 10_000;

/// `CLUSTER NODES`.
pub(super) fn nodes(world: &World, teller: NodeIndex) -> String {
    let view = told_view(world, teller);
    let lines = view.members().keys().map(|node| line(world, teller, view, *node) + "\n");
    lines.collect()
}

/// The line of one node, as in `CLUSTER REPLICAS`.
pub(super) fn line(world: &World, teller: NodeIndex, view: &View, of: NodeIndex) -> String {
    let node = world.node(of);
    let is_myself = of == teller;
    let (ip, port) = (ip(world, of), node.addr.port());
    let mut line = format!("{} {ip}:{port}@{}", node.id, u32::from(port) + BUS);
    if let Some(hostname) = node.hostname.as_ref().filter(|_| world.node(teller).profile.since_7_0()) {
        line.push(',');
        line.push_str(hostname);
    }
    let role = view.role(of).unwrap_or(Role::Primary);
    line.push_str(if is_myself { " myself," } else { " " });
    line.push_str(if role == Role::Primary { "master" } else { "slave" });
    let judgement = view.judgement(of);
    line.push_str(match judgement {
        Judgement::Alive => "",
        Judgement::Suspected => ",fail?",
        Judgement::Failed => ",fail",
    });
    let primary = match role {
        Role::Primary => "-",
        Role::ReplicaOf(primary) => &world.node(primary).id,
    };
    let now = world.unix_millis();
    // From 7.2 on a node has no news of itself.
    let pong = if is_myself && world.node(teller).profile.since_7_2() { 0 } else { now };
    let ping = if judgement == Judgement::Alive { 0 } else { now };
    let link = if judgement == Judgement::Alive { "connected" } else { "disconnected" };
    // Writing into a string cannot fail.
    _ = write!(line, " {primary} {ping} {pong} {} {link}", view.epoch_of(of));
    for (first, last) in view.ranges_of(of) {
        _ = if first == last { write!(line, " {first}") } else { write!(line, " {first}-{last}") };
    }
    if is_myself {
        for slot in
            Slot::all().map(Slot::get).filter(|_| !node.migrating.is_empty() || !node.importing.is_empty())
        {
            if let Some(to) = node.migrating.get(&slot) {
                _ = write!(line, " [{slot}->-{}]", world.node(*to).id);
            } else if let Some(from) = node.importing.get(&slot) {
                _ = write!(line, " [{slot}-<-{}]", world.node(*from).id);
            }
        }
    }
    line
}

/// `CLUSTER INFO`.
pub(super) fn info(world: &World, teller: NodeIndex) -> String {
    let view = told_view(world, teller);
    let node = world.node(teller);
    let slots_with = |judgement: Judgement| -> usize {
        let owners = view.owning().filter(|owner| view.judgement(*owner) == judgement);
        owners.map(|owner| view.slots_of(owner)).sum()
    };
    let nodes_with =
        |judgement: Judgement| view.members().values().filter(|member| member.judgement == judgement).count();
    let voting_with =
        |judgement: Judgement| view.owning().filter(|owner| view.judgement(*owner) == judgement).count();
    let (alive, suspected, failed) =
        (slots_with(Judgement::Alive), slots_with(Judgement::Suspected), slots_with(Judgement::Failed));
    let state = if is_down(node, view, &world.settings) { "fail" } else { "ok" };
    let mut fields = vec![
        ("cluster_state", state.to_owned()),
        ("cluster_slots_assigned", (alive + suspected + failed).to_string()),
        ("cluster_slots_ok", alive.to_string()),
        ("cluster_slots_pfail", suspected.to_string()),
        ("cluster_slots_fail", failed.to_string()),
    ];
    if node.profile == Profile::Valkey91 {
        fields.extend([
            ("cluster_nodes_pfail", nodes_with(Judgement::Suspected).to_string()),
            ("cluster_nodes_fail", nodes_with(Judgement::Failed).to_string()),
            ("cluster_voting_nodes_pfail", voting_with(Judgement::Suspected).to_string()),
            ("cluster_voting_nodes_fail", voting_with(Judgement::Failed).to_string()),
        ]);
    }
    fields.extend([
        ("cluster_known_nodes", view.members().len().to_string()),
        ("cluster_size", view.summary().size.to_string()),
        ("cluster_current_epoch", view.current_epoch.to_string()),
        ("cluster_my_epoch", view.epoch_of(teller).to_string()),
        ("cluster_stats_messages_sent", "0".to_owned()),
        ("cluster_stats_messages_received", "0".to_owned()),
    ]);
    if node.profile == Profile::Valkey91 {
        let counts = [
            "cluster_stats_bytes_sent",
            "cluster_stats_bytes_received",
            "cluster_stats_pubsub_bytes_sent",
            "cluster_stats_pubsub_bytes_received",
            "cluster_stats_module_bytes_sent",
            "cluster_stats_module_bytes_received",
        ];
        fields.extend(counts.map(|count| (count, "0".to_owned())));
    }
    if node.profile.since_7_0() {
        fields.push(("total_cluster_links_buffer_limit_exceeded", "0".to_owned()));
    }
    fields.into_iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}
