//! How a replica takes the place of its primary: elected when that has failed, or told to by `CLUSTER FAILOVER`.

use std::time::Duration;

use tokio::time::Instant;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::gossip;
use crate::testkit::sim::node::{History, Process};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::view::{Judgement, NodeIndex, Role};
use crate::testkit::sim::world::World;

/// How a replica was told to take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Hand in hand with the primary, which lets writes wait until the replica has all of them.
    Agreed,
    /// `FORCE`: without the primary, with the votes of a majority.
    Forced,
    /// `TAKEOVER`: without anyone.
    Takeover,
}

/// From the request to the promotion, as measured.
const AGREED: Duration = Duration::from_millis(15);
const FORCED: Duration = Duration::from_millis(110);
const TAKEOVER: Duration = Duration::from_millis(5);

/// From the promotion to the end of the old primary's pause.
const HANDOVER: Duration = Duration::from_millis(30);

/// Whether those primaries that have slots, and that the node can reach, are a majority of all.
pub(super) fn has_majority(world: &World, index: NodeIndex) -> bool {
    let node = world.node(index);
    let reached = node.view.owning().filter(|owner| world.node(*owner).is_on_bus()).count();
    node.is_on_bus() && reached > node.view.summary().size / 2
}

/// The replicas of a failed primary prepare for an election, if it has slots and they may.
pub(super) fn call_election(world: &mut World, primary: NodeIndex, absence: u64) {
    if !world.settings.fails_over {
        return;
    }
    let chance = world.rng.f64();
    let wait = |from: u64, to: u64| {
        Duration::from_millis(from).mul_f64(1.0 + chance * (to as f64 / from as f64 - 1.0))
    };
    let delay = match world.node(primary).profile {
        Profile::Redis62 => wait(600, 700),
        Profile::Redis70 => wait(650, 1100),
        Profile::Redis82 | Profile::Redis84 | Profile::Valkey81 => wait(750, 1050),
        Profile::Valkey91 => wait(40, 55),
    };
    world.later(delay, Event::Elect { primary, absence });
}

/// The replica with the newest data is elected, if there is one and a majority can vote.
pub(super) fn elect(world: &mut World, primary: NodeIndex, absence: u64) {
    let node = world.node(primary);
    if node.absences != absence || node.is_on_bus() {
        return;
    }
    let stands = |index: &NodeIndex| {
        let node = world.node(*index);
        node.view.role(*index) == Some(Role::ReplicaOf(primary))
            && node.view.slots_of(primary) > 0
            && node.view.judgement(primary) == Judgement::Failed
            && node.offset > 0
            && has_majority(world, *index)
    };
    let candidates: Vec<NodeIndex> = (0..world.nodes.len()).map(NodeIndex).filter(stands).collect();
    for candidate in &candidates {
        world.refresh(*candidate);
    }
    // Of equals the first, so that the same run has the same winner.
    let newest = candidates.into_iter().rev().max_by_key(|index| world.node(*index).offset);
    if let Some(winner) = newest {
        promote(world, winner, primary);
    }
}

/// The replica is a primary from now on, with the slots of the other, and says so.
pub(super) fn promote(world: &mut World, replica: NodeIndex, primary: NodeIndex) {
    world.refresh(replica);
    let node = world.node_mut(replica);
    let epoch = node.view.current_epoch + 1;
    node.pending.clear();
    node.is_copying = false;
    node.history = History { id: (replica, epoch), goes_on: Some((node.history.id, node.offset)) };
    // A copy that never came leaves it with what it had.
    node.offset = node.offset.max(1);
    gossip::revise(world, replica, |view| {
        view.declare(replica, Role::Primary, epoch);
        for (first, last) in view.ranges_of(primary).to_vec() {
            (first..=last).for_each(|slot| view.set_owner(slot, Some(replica)));
        }
    });
    gossip::tell(world, replica);
    world.node_mut(primary).outvoted_at = Some(Instant::now());
}

/// `CLUSTER FAILOVER` at a replica. What comes of it shows later.
pub(super) fn request(world: &mut World, replica: NodeIndex, manner: Manner) {
    let primary = world.node(replica).view.primary_of(replica);
    let promotion = |is_forced| Event::Promote { replica, primary, is_forced };
    match manner {
        Manner::Takeover => world.later(TAKEOVER, promotion(true)),
        Manner::Forced => {
            if has_majority(world, replica) {
                world.later(FORCED, promotion(true));
            }
        }
        Manner::Agreed => {
            if !world.node(replica).is_on_bus() || !world.node(primary).is_on_bus() {
                return;
            }
            pause(world, primary);
            if has_majority(world, replica) && !is_refused_votes(world, primary) {
                world.later(AGREED, promotion(false));
            }
        }
    }
}

/// Others than Valkey do not vote twice within this time about the same primary.
fn is_refused_votes(world: &World, primary: NodeIndex) -> bool {
    let node = world.node(primary);
    let recently = |at: Instant| at.elapsed() < world.settings.node_timeout * 2;
    !node.profile.is_valkey() && node.outvoted_at.is_some_and(recently)
}

/// For how long a primary lets writes wait, if nobody takes its place.
fn longest_pause(profile: Profile) -> Duration {
    Duration::from_secs(if profile == Profile::Redis62 { 10 } else { 5 })
}

fn pause(world: &mut World, primary: NodeIndex) {
    let node = world.node_mut(primary);
    node.is_paused = true;
    node.pauses += 1;
    let (pause, longest) = (node.pauses, longest_pause(node.profile));
    world.later(longest, Event::EndPause { node: primary, pause });
}

/// Writes that waited are taken up.
pub(super) fn resume(world: &mut World, index: NodeIndex, pause: u64) {
    let node = world.node_mut(index);
    if node.pauses == pause {
        node.is_paused = false;
        world.wake_all(index);
    }
}

/// A manual failover comes to its end: as soon as the replica has every write.
pub(super) fn conclude(world: &mut World, replica: NodeIndex, primary: NodeIndex, is_forced: bool) {
    let runs = world.node(replica).process == Process::Running;
    if !runs || world.node(replica).view.role(replica) != Some(Role::ReplicaOf(primary)) {
        return;
    }
    if !is_forced {
        if !world.node(primary).is_paused || !world.node(primary).is_on_bus() || !has_majority(world, replica)
        {
            return;
        }
        world.refresh(replica);
        if let Some(last) = world.node(replica).pending.back() {
            let delay = last.due.saturating_duration_since(Instant::now());
            world.later(delay, Event::Promote { replica, primary, is_forced });
            return;
        }
    }
    promote(world, replica, primary);
    if !is_forced {
        hand_over(world, primary);
    }
}

/// The old primary's pause ends soon. Redis 6.2 forgets those who wait already until its longest pause is over.
fn hand_over(world: &mut World, primary: NodeIndex) {
    let node = world.node(primary);
    let pause = node.pauses;
    if node.profile == Profile::Redis62 {
        let until = Instant::now() + longest_pause(node.profile) - AGREED;
        for session in world.sessions.values_mut().filter(|session| session.node == primary) {
            if session.was_held && session.held_until.is_none_or(|held| held < Instant::now()) {
                session.held_until = Some(until);
            }
        }
        // Those who wait are woken when the pause would have ended.
        world.later(until - Instant::now(), Event::EndPause { node: primary, pause });
    }
    world.later(HANDOVER, Event::EndPause { node: primary, pause });
}
