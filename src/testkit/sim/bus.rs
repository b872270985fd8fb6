//! The cluster bus: what happens between nodes, and in time.

use tokio::time::Instant;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::alarms;
use crate::testkit::sim::blocking;
use crate::testkit::sim::channels;
use crate::testkit::sim::copying;
use crate::testkit::sim::dispatch;
use crate::testkit::sim::error::SimError;
use crate::testkit::sim::failover;
use crate::testkit::sim::gossip;
use crate::testkit::sim::imports;
use crate::testkit::sim::presence;
use crate::testkit::sim::script::Step;
use crate::testkit::sim::steps;
use crate::testkit::sim::world::World;

/// Does everything whose time has come.
pub(super) fn catch_up(world: &mut World) {
    while let Some(event) = world.agenda.take_due(Instant::now()) {
        happen(world, event);
        dispatch::settle_others(world);
        world.activity.notify_waiters();
    }
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Wake { session } => {
            if let Some(session) = world.sessions.get(&session) {
                session.wake.notify_one();
            }
        }
        Event::Unblock { session, ticket } => blocking::expire(world, session, ticket),
        Event::CountReplicas { session, ticket } => blocking::count_replicas(world, session, ticket),
        Event::Deliver { node, message } => channels::arrive(world, node, &message),
        Event::Expire { node } => alarms::ring(world, node),
        Event::Resume { node } => world.wake_all(node),
        // A step of a script that is not possible has no one to tell.
        Event::Step(step) => _ = perform(world, &step),
        Event::Hear(news) => gossip::hear(world, &news),
        Event::Meet { node, with } => gossip::meet(world, node, with),
        Event::Forget { from, forgotten } => gossip::forget_by_hearsay(world, from, forgotten),
        Event::Suspect { node, absence } => presence::suspect(world, node, absence),
        Event::Missed { node, absence } => presence::miss(world, node, absence),
        Event::Elect { primary, absence } => failover::elect(world, primary, absence),
        Event::Rejoin { node, absence } => presence::rejoin(world, node, absence),
        Event::Forgive { node, absence } => presence::forgive(world, node, absence),
        Event::Serve { node, absence } => presence::serve(world, node, absence),
        Event::Promote { replica, primary, is_forced } => {
            failover::conclude(world, replica, primary, is_forced);
        }
        Event::EndPause { node, pause } => failover::resume(world, node, pause),
        Event::Import { node, id } => imports::arrive(world, node, &id),
        Event::Follow { replica } => world.refresh(replica),
        Event::Copy { replica, copy } => copying::finish(world, replica, copy),
    }
}

/// Does one step of a script.
pub(super) fn perform(world: &mut World, step: &Step) -> Result<(), SimError> {
    let done = steps::perform(world, step);
    dispatch::settle_others(world);
    world.activity.notify_waiters();
    done
}
