//! Slots that a primary fetches from another in one moment (`CLUSTER MIGRATION`, Redis 8.4), by the documentation of the
//! command: no such server was looked at.

use std::time::Duration;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::gossip;
use crate::testkit::sim::import::{Import, State};
use crate::testkit::sim::node::Process;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::slot_moves;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// From the order to the moment in which the slots change hands.
const TIME: Duration = Duration::from_millis(100);

/// Begins one, and returns its id.
pub(super) fn begin(world: &mut World, index: NodeIndex, ranges: Vec<(u16, u16)>) -> Result<String, Refused> {
    slot_moves::only_primaries(world, index)?;
    let node = world.node(index);
    let mut source = None;
    for slot in ranges.iter().flat_map(|(first, last)| *first..=*last) {
        let owner = node.view.owner(slot);
        let owner = owner.ok_or_else(|| Refused::new("ERR slot has no owner"))?;
        if owner == index {
            return Err(Refused::new("ERR this node is already the owner of the slot"));
        }
        if *source.get_or_insert(owner) != owner {
            return Err(Refused::new("ERR slots belong to different source nodes"));
        }
        let mut others = node.imports.iter().filter(|import| import.state == State::InProgress);
        if others.any(|import| import.slots().any(|other| other == slot)) {
            return Err(Refused::new("ERR overlapping import exists"));
        }
    }
    let source = source.ok_or_else(|| Refused::new("ERR no slots"))?;
    let id = format!("{:040x}", world.rng.u128(..));
    let import = Import { id: id.clone(), ranges, source, state: State::InProgress };
    world.node_mut(index).imports.push(import);
    world.later(TIME, Event::Import { node: index, id: id.clone() });
    Ok(id)
}

/// Ends those that are meant and under way; how many.
pub(super) fn cancel(world: &mut World, index: NodeIndex, id: Option<&str>) -> usize {
    let imports = world.node_mut(index).imports.iter_mut();
    let meant =
        imports.filter(|import| import.state == State::InProgress && id.is_none_or(|id| import.id == id));
    meant.map(|import| import.state = State::Canceled).count()
}

/// The moment in which the slots change hands.
pub(super) fn arrive(world: &mut World, index: NodeIndex, id: &str) {
    let Some(import) = world.node(index).imports.iter().find(|import| import.id == id).cloned() else {
        return;
    };
    if import.state != State::InProgress {
        return;
    }
    let source = import.source;
    let runs =
        |index: NodeIndex| world.node(index).process == Process::Running && world.node(index).is_primary();
    let owns = import.slots().all(|slot| world.node(source).view.owner(slot) == Some(source));
    let state = if runs(index) && runs(source) && owns { State::Completed } else { State::Failed };
    for import in world.node_mut(index).imports.iter_mut().filter(|import| import.id == id) {
        import.state = state;
    }
    if state != State::Completed {
        return;
    }
    for slot in import.slots() {
        let keys = slot_moves::first_keys(world, source, slot, usize::MAX);
        slot_moves::move_keys(world, source, index, &keys);
    }
    gossip::revise(world, index, |view| {
        import.slots().for_each(|slot| view.set_owner(slot, Some(index)));
        gossip::bump_epoch(view, index);
    });
    // Both at once, so that nobody asks the source for what has left.
    gossip::revise_quietly(world, source, |view| {
        import.slots().for_each(|slot| view.set_owner(slot, Some(index)));
    });
    gossip::tell(world, index);
}
