//! A node that joins the cluster.

use std::sync::Arc;

use crate::node::NodeAddr;
use crate::testkit::sim::form;
use crate::testkit::sim::gossip;
use crate::testkit::sim::view::{Member, NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// A new primary without slots. It knows the cluster at once, and the others hear of it.
pub(super) fn add_node(world: &mut World, addr: NodeAddr) -> NodeIndex {
    let index = NodeIndex(world.nodes.len());
    let mut view = form::newest_view(world).map_or_else(|| View::alone(index), |view| (*view).clone());
    view.set_member(index, Member::new(Role::Primary, 0));
    let profile = world.nodes.first().map(|first| first.profile).unwrap_or_default();
    let mut node = form::node(index, addr, profile, world.settings.seed, Arc::new(view), index);
    form::furnish(&mut node, &world.settings);
    if let Some(first) = world.nodes.first() {
        node.endpoint = first.endpoint;
        node.hostname.clone_from(&first.hostname);
    }
    world.nodes.push(node);
    gossip::introduce(world, index);
    index
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::add_node;
    use crate::node::NodeAddr;
    use crate::testkit::sim::bus;
    use crate::testkit::sim::form;
    use crate::testkit::sim::profile::Profile;
    use crate::testkit::sim::settings::Settings;
    use crate::testkit::sim::view::NodeIndex;
    use crate::testkit::sim::world::World;

    #[tokio::test(start_paused = true)]
    async fn a_new_node_is_known_to_all_by_gossip() {
        let addr = |port: u16| NodeAddr::new("127.0.0.1", port);
        let nodes = form::cluster((7000..7003).map(addr).collect(), 3, Profile::Redis82, 0);
        let mut world = World::new(Settings::default(), nodes);
        let new = add_node(&mut world, addr(7003));
        let knows = |world: &World, index: usize| world.node(NodeIndex(index)).view.member(new).is_some();
        assert!(!knows(&world, 0) && knows(&world, 3));
        advance(Duration::from_millis(3)).await;
        bus::catch_up(&mut world);
        assert!((0..4).all(|index| knows(&world, index)));
        assert!(world.node(new).is_primary() && world.node(new).view.slots_of(new) == 0);
    }
}
