//! How what one node believes reaches the others, and what it does to them. Nodes that believe the same share one
//! [`View`], so that news cost one comparison for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::testkit::sim::agenda::{Event, News};
use crate::testkit::sim::copying;
use crate::testkit::sim::merge::{Imports, Listener, merge, winner};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::upheaval;
use crate::testkit::sim::view::{NodeIndex, Role, View};
use crate::testkit::sim::world::World;

/// For how long a forgotten node is not learned of again.
const BAN: Duration = Duration::from_secs(60);

/// The node tells all others what it believes; they hear of it a little later.
pub(super) fn tell(world: &mut World, index: NodeIndex) {
    speak(world, index, false);
}

/// As [`tell`], also to those who do not know it.
pub(super) fn introduce(world: &mut World, index: NodeIndex) {
    speak(world, index, true);
}

fn speak(world: &mut World, from: NodeIndex, is_introduction: bool) {
    let delay = world.settings.gossip_delay;
    let node = world.node_mut(from);
    if !node.is_on_bus() {
        return;
    }
    let view = Arc::clone(&node.view);
    let before = std::mem::replace(&mut node.told, Arc::clone(&view));
    world.later(delay, Event::Hear(News { from, before, view, is_introduction }));
}

/// Changes what one node believes; [`tell`] follows.
pub(super) fn revise(world: &mut World, index: NodeIndex, change: impl FnOnce(&mut View)) {
    let mut view = (*world.node(index).view).clone();
    change(&mut view);
    adopt(world, index, Arc::new(view));
}

/// Changes what one node believes, and never tells.
pub(super) fn revise_quietly(world: &mut World, index: NodeIndex, change: impl FnOnce(&mut View)) {
    revise(world, index, change);
    // Nobody else believes this, so what it tells next is not taken as it is.
    let node = world.node_mut(index);
    node.told = Arc::clone(&node.view);
}

/// Changes what several nodes believe in the same way, at once; those who shared a view share the new one.
pub(super) fn revise_all(world: &mut World, nodes: &[NodeIndex], change: impl Fn(&mut View)) {
    let mut revised = Shared::default();
    for index in nodes {
        let node = world.node(*index);
        let (mine, told) = (Arc::clone(&node.view), Arc::clone(&node.told));
        let view = revised.get(&mine, || {
            let mut view = (*mine).clone();
            change(&mut view);
            Arc::new(view)
        });
        if Arc::ptr_eq(&mine, &told) {
            world.node_mut(*index).told = Arc::clone(&view);
        }
        adopt(world, *index, view);
    }
}

/// What became of each view, by its address.
#[derive(Default)]
struct Shared(Vec<(Arc<View>, Arc<View>)>);

impl Shared {
    fn get(&mut self, of: &Arc<View>, make: impl FnOnce() -> Arc<View>) -> Arc<View> {
        if let Some((_, made)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, of)) {
            return Arc::clone(made);
        }
        let made = make();
        self.0.push((Arc::clone(of), Arc::clone(&made)));
        made
    }
}

/// Everyone on the bus hears the news.
pub(super) fn hear(world: &mut World, news: &News) {
    let mut merged = Shared::default();
    for place in 0..world.nodes.len() {
        let index = NodeIndex(place);
        let node = world.node(index);
        let knows = node.view.member(news.from).is_some();
        if index == news.from || !node.is_on_bus() || !(knows || news.is_introduction) {
            continue;
        }
        if !is_banned(world, index, news.from) {
            listen(world, index, news, &mut merged);
        }
    }
}

fn is_banned(world: &World, index: NodeIndex, whom: NodeIndex) -> bool {
    world.node(index).banned.get(&whom).is_some_and(|until| *until > Instant::now())
}

fn listen(world: &mut World, index: NodeIndex, news: &News, merged: &mut Shared) {
    let node = world.node(index);
    let mine = Arc::clone(&node.view);
    if Arc::ptr_eq(&mine, &news.view) {
        return;
    }
    let is_plain = node.importing.is_empty() && node.banned.is_empty();
    let shared = is_plain.then(|| match Arc::ptr_eq(&mine, &news.before) {
        true => Arc::clone(&news.view),
        false => merged.get(&mine, || {
            let nobody = BTreeSet::new();
            combine(&mine, news, listener(world, index, None, &nobody))
        }),
    });
    // Nobody becomes an owner by hearsay, and what a node says of itself is what it knows best.
    let is_wrong =
        |view: &View| view.slots_of(index) > mine.slots_of(index) || view.member(index) != mine.member(index);
    let view = match shared {
        Some(view) if !is_wrong(&view) => view,
        Some(_) | None => {
            let now = Instant::now();
            world.node_mut(index).banned.retain(|_, until| *until > now);
            let banned = world.node(index).banned.keys().copied().collect();
            combine(&mine, news, listener(world, index, Some(index), &banned))
        }
    };
    // The others are about to believe this too.
    world.node_mut(index).told = Arc::clone(&view);
    learn(world, index, &view);
}

/// [`merge`]; one of the two as it is if that says the same, so that it stays shared.
fn combine(mine: &Arc<View>, news: &News, listener: Listener<'_>) -> Arc<View> {
    let merged = merge(mine, &news.view, listener);
    let same = [&news.view, mine].into_iter().find(|known| ***known == merged);
    same.map_or_else(|| Arc::new(merged), Arc::clone)
}

fn listener<'a>(
    world: &'a World,
    index: NodeIndex,
    node: Option<NodeIndex>,
    banned: &'a BTreeSet<NodeIndex>,
) -> Listener<'a> {
    static NONE: BTreeMap<u16, NodeIndex> = BTreeMap::new();
    let listens = world.node(index);
    let imports = match listens.profile {
        Profile::Redis62 | Profile::Redis70 => Imports::Orphaned,
        Profile::Redis82 | Profile::Redis84 => Imports::Kept,
        Profile::Valkey81 | Profile::Valkey91 => Imports::Followed,
    };
    Listener { node, importing: node.map_or(&NONE, |_| &listens.importing), banned, imports }
}

/// Takes over what was learned. Who has lost its last slot by that follows the winner, and says so.
fn learn(world: &mut World, index: NodeIndex, view: &Arc<View>) {
    let before = Arc::clone(&world.node(index).view);
    if Arc::ptr_eq(&before, view) {
        return;
    }
    match winner(&before, view, index) {
        None => adopt(world, index, Arc::clone(view)),
        Some(winner) => {
            follow(world, index, view, winner);
            tell(world, index);
        }
    }
}

/// The node becomes a replica, in its own view.
pub(super) fn follow(world: &mut World, index: NodeIndex, view: &View, primary: NodeIndex) {
    let mut view = view.clone();
    let epoch = view.epoch_of(primary);
    view.declare(index, Role::ReplicaOf(primary), epoch);
    let view = Arc::new(view);
    adopt(world, index, view);
}

/// The node believes this from now on; what it means for its data and its clients follows.
pub(super) fn adopt(world: &mut World, index: NodeIndex, view: Arc<View>) {
    let node = world.node_mut(index);
    let before = std::mem::replace(&mut node.view, view);
    let after = Arc::clone(&node.view);
    let (was, is) = (before.role(index), after.role(index));
    let shard = |view: &View| view.primary_of(index);
    let follows_another = was != is && is != Some(Role::Primary);
    if follows_another {
        // As a real server closes all its slots when it is made a replica.
        node.migrating.clear();
        node.importing.clear();
        node.is_joining = false;
        if was == Some(Role::Primary) {
            upheaval::dismiss(world, index);
        }
        copying::begin(world, index);
    }
    if world.node(index).profile.is_valkey() {
        track_open_slots(world, index, &before, &after);
    }
    let lost = before.slots_of(shard(&before)) > after.slots_of(shard(&before));
    if lost && is == Some(Role::Primary) {
        upheaval::drop_lost_slots(world, index, &before);
    }
    upheaval::redirect_waiting(world, index);
    upheaval::end_subscriptions(world, index, &before, &after);
}

/// Valkey keeps the marks of open slots true: they follow a failover of the other side, and go with the slot.
fn track_open_slots(world: &mut World, index: NodeIndex, before: &View, after: &View) {
    let node = world.node(index);
    if node.migrating.is_empty() && node.importing.is_empty() {
        return;
    }
    let successor = |other: NodeIndex| match after.role(other) {
        Some(Role::ReplicaOf(primary)) => primary,
        Some(Role::Primary) | None => winner(before, after, other).unwrap_or(other),
    };
    let mine = after.primary_of(index);
    let migrating = node
        .migrating
        .iter()
        .filter(|(slot, _)| after.owner(**slot) == Some(mine))
        .map(|(slot, to)| (*slot, successor(*to)))
        .collect();
    let importing = node
        .importing
        .iter()
        .filter(|(slot, _)| after.owner(**slot) != Some(mine))
        .map(|(slot, from)| (*slot, successor(*from)))
        .collect();
    let node = world.node_mut(index);
    (node.migrating, node.importing) = (migrating, importing);
}

/// One node learns what another believes.
pub(super) fn hear_one(world: &mut World, index: NodeIndex, other: NodeIndex) {
    let view = Arc::clone(&world.node(other).view);
    let news = News { from: other, before: Arc::clone(&view), view, is_introduction: true };
    listen(world, index, &news, &mut Shared::default());
}

/// The two know each other from now on, and tell everyone.
pub(super) fn meet(world: &mut World, node: NodeIndex, with: NodeIndex) {
    if !world.node(node).is_on_bus() || !world.node(with).is_on_bus() {
        return;
    }
    for (index, other) in [(node, with), (with, node)] {
        if !is_banned(world, index, other) {
            hear_one(world, index, other);
        }
    }
    introduce(world, node);
    introduce(world, with);
}

/// The node does not know `whom` any more, and does not learn of it for a while.
pub(super) fn forget(world: &mut World, index: NodeIndex, whom: NodeIndex) {
    revise_quietly(world, index, |view| view.forget(whom));
    world.node_mut(index).banned.insert(whom, Instant::now() + BAN);
}

/// The others forget it too, except for itself and for who follows it.
pub(super) fn forget_by_hearsay(world: &mut World, from: NodeIndex, whom: NodeIndex) {
    let may_forget = |index: NodeIndex| {
        let node = world.node(index);
        let knows = node.view.member(from).is_some() && node.view.member(whom).is_some();
        index != whom && node.is_on_bus() && knows && node.view.primary_of(index) != whom
    };
    let all: Vec<NodeIndex> =
        (0..world.nodes.len()).map(NodeIndex).filter(|index| may_forget(*index)).collect();
    revise_all(world, &all, |view| view.forget(whom));
    let until = Instant::now() + BAN;
    for index in all {
        world.node_mut(index).banned.insert(whom, until);
    }
}

/// A new configuration epoch without anybody's consent, unless the node has the newest already.
pub(super) fn bump_epoch(view: &mut View, index: NodeIndex) -> bool {
    let newest =
        view.members().values().map(|member| member.epoch).max().unwrap_or(0).max(view.current_epoch);
    let mine = view.epoch_of(index);
    if mine != 0 && mine == newest {
        return false;
    }
    let role = view.role(index).unwrap_or(Role::Primary);
    view.declare(index, role, newest + 1);
    true
}
