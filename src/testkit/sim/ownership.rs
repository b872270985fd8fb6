//! Whether a node may execute a command: `MOVED`, `ASK`, `TRYAGAIN`, `CROSSSLOT`, `CLUSTERDOWN`.

use bytes::Bytes;

use crate::slot::Slot;
use crate::testkit::sim::addresses::{ask, moved};
use crate::testkit::sim::health::{down, is_down, unserved};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::session::Session;
use crate::testkit::sim::spec::Spec;
use crate::testkit::sim::view::{NodeIndex, Role};
use crate::testkit::sim::world::World;

/// What a request brings with it apart from its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Asker {
    /// Sent behind `ASKING`.
    pub(super) asking: bool,
    /// The connection has sent `READONLY`.
    pub(super) readonly: bool,
    /// It is queued, not executed.
    pub(super) queued: bool,
}

/// Judges a command, or all commands of a transaction as one.
pub(super) fn check(
    world: &World,
    node: NodeIndex,
    session: &Session,
    commands: &[(&Spec, &[Bytes])],
) -> Result<(), Refused> {
    let asker =
        Asker { asking: session.asking, readonly: session.readonly, queued: session.transaction.is_some() };
    judge(world, node, asker, commands)
}

/// Whether the node may take up a command of this connection: [`check`], and a replica writes nothing.
pub(super) fn admit(
    world: &World,
    node: NodeIndex,
    session: &Session,
    spec: &Spec,
    args: &[Bytes],
) -> Result<(), Refused> {
    check(world, node, session, &[(spec, args)])?;
    if spec.is("write") && !world.node(node).is_primary() {
        return Err(Refused::new("READONLY You can't write against a read only replica."));
    }
    Ok(())
}

/// Judges commands in the order of a real server: keys of one slot, an owner, a cluster that is up, an open slot, and
/// at last who the owner is.
pub(super) fn judge(
    world: &World,
    index: NodeIndex,
    asker: Asker,
    commands: &[(&Spec, &[Bytes])],
) -> Result<(), Refused> {
    let keys: Vec<Bytes> = commands.iter().flat_map(|(spec, args)| spec.keys.of(args)).collect();
    let Some(first) = keys.first() else { return Ok(()) };
    let slot = Slot::of_key(first).get();
    if keys.iter().skip(1).any(|key| Slot::of_key(key).get() != slot) {
        return Err(Refused::new("CROSSSLOT Keys in request don't hash to the same slot"));
    }
    let node = world.node(index);
    let owner = node.view.owner(slot).ok_or_else(unserved)?;
    let is = |flag: &str| commands.iter().any(|(spec, _)| spec.is(flag));
    let is_shard_message = commands.iter().any(|(spec, _)| is_shard_message(spec));
    if !is_shard_message && is_down(node, &node.view, &world.settings) {
        return Err(match world.settings.allows_reads_when_down {
            false => down(),
            true if is("write") => {
                Refused::new("CLUSTERDOWN The cluster is down and only accepts read commands")
            }
            true => return redirect_if_elsewhere(world, index, asker, slot, owner, commands),
        });
    }
    let is_migrate = commands.iter().any(|(spec, _)| spec.name == "migrate");
    if is_migrate && (node.migrating.contains_key(&slot) || node.importing.contains_key(&slot)) {
        return Ok(());
    }
    let leaving = node.migrating.get(&slot).filter(|_| {
        owner == index || node.profile.is_valkey() && asker.readonly && owner == node.view.primary_of(index)
    });
    let is_too_early = asker.queued && node.profile == Profile::Valkey91;
    let looks = !is_shard_message && !is_too_early;
    let missing = || looks && keys.iter().any(|key| !node.keys.contains(key));
    if let Some(target) = leaving
        && missing()
    {
        let knows_partly = node.profile.since_7_0() && keys.iter().any(|key| node.keys.contains(key));
        return Err(if knows_partly { try_again() } else { ask(world, index, slot, *target) });
    }
    if asker.asking
        && leaving.is_none()
        && node.importing.contains_key(&slot)
        && may_import(world, index, asker)
    {
        let several = keys.iter().any(|key| key != first);
        return if several && missing() { Err(try_again()) } else { Ok(()) };
    }
    redirect_if_elsewhere(world, index, asker, slot, owner, commands)
}

fn try_again() -> Refused {
    Refused::new("TRYAGAIN Multiple keys request during rehashing of slot")
}

/// A primary, and on Valkey a replica too, for it knows what its primary imports.
fn may_import(world: &World, index: NodeIndex, asker: Asker) -> bool {
    let node = world.node(index);
    node.is_primary() || node.profile.is_valkey() && asker.readonly
}

fn is_shard_message(spec: &Spec) -> bool {
    matches!(spec.name, "spublish" | "ssubscribe" | "sunsubscribe")
}

/// Who owns the slot serves it; so do its replicas, if they may.
fn redirect_if_elsewhere(
    world: &World,
    index: NodeIndex,
    asker: Asker,
    slot: u16,
    owner: NodeIndex,
    commands: &[(&Spec, &[Bytes])],
) -> Result<(), Refused> {
    let view = &world.node(index).view;
    let reads = asker.readonly && !commands.iter().any(|(spec, _)| spec.is("write"));
    let is_message = commands.iter().any(|(spec, _)| is_shard_message(spec));
    let serves =
        owner == index || ((reads || is_message) && view.role(index) == Some(Role::ReplicaOf(owner)));
    if serves { Ok(()) } else { Err(moved(world, index, slot, owner)) }
}
