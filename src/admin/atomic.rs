//! Slots that move in one moment, by the servers themselves: the source sends them (Valkey 9), or the target fetches them
//! (Redis 8.4, see `import`).
//!
//! Source: [CLUSTER MIGRATESLOTS](https://valkey.io/commands/cluster-migrateslots/),
//! [CLUSTER GETSLOTMIGRATIONS](https://valkey.io/commands/cluster-getslotmigrations/),
//! [CLUSTER CANCELSLOTMIGRATIONS](https://valkey.io/commands/cluster-cancelslotmigrations/).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::import::{can_import, import};
use crate::admin::peer::Peer;
use crate::admin::progress::Reporter;
use crate::admin::slot_move::{heir_of, is_final};
use crate::admin::step::Member;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::from_value::FromValue;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// Slots of one migration: what a stop waits for, and what a failure sends back.
const AT_A_TIME: usize = 512;

/// Between two looks at a migration.
const LOOK: Duration = Duration::from_millis(20);

/// Between two attempts, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Within this time the source knows of a migration whose order was not answered.
const UNSEEN: Duration = Duration::from_secs(2);

/// What the source says of one migration.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Migration {
    name: String,
    target: String,
    /// First and last slots.
    ranges: Vec<(u16, u16)>,
    state: String,
    message: String,
}

/// What a state means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    UnderWay,
    Done,
    Failed,
}

impl Migration {
    fn is_under_way(&self) -> bool {
        self.stage() == Stage::UnderWay
    }

    fn has_any_of(&self, slots: &SlotSet) -> bool {
        slots
            .iter()
            .any(|slot| self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot.get())))
    }

    fn stage(&self) -> Stage {
        match self.state.as_str() {
            "success" => Stage::Done,
            "failed" | "cancelled" | "canceled" => Stage::Failed,
            // Servers to come may have other names for what is between.
            _between => Stage::UnderWay,
        }
    }

    /// The migrations of which this node is the source.
    fn read_all(value: Value) -> Option<Vec<Self>> {
        let Value::Array(entries) = value else { return None };
        let mut read = Vec::new();
        for entry in entries {
            let fields = BTreeMap::<String, Value>::from_value(entry).ok()?;
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            if text("operation")? == "EXPORT" {
                read.push(Self {
                    name: text("name")?,
                    target: text("target_node")?,
                    ranges: text("slot_ranges")?.split(' ').map(range).collect::<Option<_>>()?,
                    state: text("state")?,
                    message: text("message").unwrap_or_default(),
                });
            }
        }
        Some(read)
    }
}

/// `<first>-<last>`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The source: `CLUSTER MIGRATESLOTS`.
    Send,
    /// The target: `CLUSTER MIGRATION IMPORT`.
    Fetch,
}

/// From where slots go, where, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    pub(super) way: Way,
    pub(super) from: &'a Member,
    pub(super) to: &'a Member,
    /// A slot that the target had before: who serves it when the target does not answer has taken its place.
    pub(super) landmark: Option<Slot>,
}

/// How these servers can, if both can: while a cluster is renewed node by node, one of them may be too old.
pub(super) async fn way_of(admin: &Admin, source: &Member, target: &Member) -> Result<Option<Way>> {
    if can_send(admin, source).await? && can_send(admin, target).await? {
        return Ok(Some(Way::Send));
    }
    Ok((can_import(admin, target).await? && can_import(admin, source).await?).then_some(Way::Fetch))
}

async fn can_send(admin: &Admin, node: &Member) -> Result<bool> {
    let command = Command::new("COMMAND INFO").arg("cluster|migrateslots");
    let known = match admin.peer(&node.addr).ask(&command).await? {
        Value::Array(list) => list.first().is_some_and(|entry| *entry != Value::Nil),
        // Not allowed to ask, or too old for subcommands.
        _unknown => false,
    };
    Ok(known)
}

/// Moves the slots, none of which is open; part by part. Told to stop, it cancels the part that is under way, which stays
/// with its source, unless the source has migrations of others too: cancelling is for all of them.
///
/// # Cancel safety
///
/// Dropped, the part that is under way goes on by itself; who asks for the same slots waits for its end.
pub(super) async fn move_atomically(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    slots: &SlotSet,
) -> Result<()> {
    let all: Vec<Slot> = slots.iter().collect();
    for part in all.chunks(AT_A_TIME) {
        let Some(owner) = move_persistently(admin, reporter, course, part).await? else { break };
        // Only to be told of: that it cannot be asked at this moment is no failure of the move.
        let keys = count(admin, &owner, part).await.unwrap_or(0);
        reporter.tell(|progress| {
            progress.slots_done += part.len();
            progress.keys_done += keys;
        });
    }
    Ok(())
}

/// Tries again for as long as the options allow. Returns who has them then; `None` if it was told to stop.
async fn move_persistently(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    part: &[Slot],
) -> Result<Option<Member>> {
    let mut failing_since: Option<Instant> = None;
    let mut pause = FIRST_PAUSE;
    while !reporter.is_stopped() {
        match move_part(admin, reporter, course, part).await {
            Ok(Some(owner)) => return Ok(Some(owner)),
            // A migration has come to its end; who owns what now is looked at anew, and what failed before it is over.
            Ok(None) => {
                failing_since = None;
                pause = FIRST_PAUSE;
                continue;
            }
            // It was cancelled.
            Err(_) if reporter.is_stopped() => return Ok(None),
            Err(error) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if is_final(&error) || since.elapsed() >= admin.options().retry_for {
                    return Err(error);
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    Ok(None)
}

/// The keys that have arrived.
async fn count(admin: &Admin, node: &Member, slots: &[Slot]) -> Result<u64> {
    let asked: Vec<Command> =
        slots.iter().map(|slot| Command::new("CLUSTER COUNTKEYSINSLOT").arg(*slot)).collect();
    Ok(admin.peer(&node.addr).ints(&asked).await?.into_iter().sum())
}

/// Returns the target, or who has taken its place, when that has them all. `None`: one migration has come to its end, and it
/// is to be looked again.
async fn move_part(
    admin: &Admin,
    reporter: &Reporter<'_>,
    course: Course<'_>,
    part: &[Slot],
) -> Result<Option<Member>> {
    let Course { way, from, to, landmark } = course;
    let view = admin.view().await?;
    // By their owners of now: a failover may have come between, and some may have arrived in an attempt before.
    let mut by_owner: BTreeMap<Member, SlotSet> = BTreeMap::new();
    for slot in part {
        let owner = view.owner(*slot).map_or_else(|| from.clone(), Member::from);
        by_owner.entry(owner).or_default().extend([*slot]);
    }
    let heir = part.first().and_then(|slot| heir_of(&view, to, *slot, landmark));
    let target = heir.map_or_else(|| to.clone(), Member::from);
    by_owner.remove(&target);
    match by_owner.first_key_value() {
        None => Ok(Some(target)),
        Some((owner, slots)) => {
            match way {
                Way::Send => migrate(admin, reporter, owner, &target, slots).await?,
                Way::Fetch => import(admin, reporter, &target, slots).await?,
            }
            Ok(None)
        }
    }
}

/// One migration from its order to its end; one of the same slots that is under way already is waited for instead.
async fn migrate(
    admin: &Admin,
    reporter: &Reporter<'_>,
    from: &Member,
    to: &Member,
    slots: &SlotSet,
) -> Result<()> {
    let source = admin.peer(&from.addr);
    let known = migrations(&source).await?;
    if let Some(earlier) = known.iter().find(|it| it.is_under_way() && it.has_any_of(slots)) {
        return follow(reporter, &source, |it| it.name == earlier.name).await;
    }
    let known: BTreeSet<String> = known.into_iter().map(|it| it.name).collect();
    let mut command = Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE");
    for range in slots.ranges() {
        command = command.arg(range.first).arg(range.last);
    }
    let command = command.arg("NODE").arg(&*to.id);
    // If the reply is lost, the source knows whether it has begun.
    match source.order(&command).await {
        Err(error) if error.outcome() != Outcome::MaybeExecuted => return Err(error),
        _begun_or_unknown => {}
    }
    follow(reporter, &source, |it| it.target == *to.id && !known.contains(&it.name) && it.has_any_of(slots))
        .await
}

/// Waits for the end of a migration; cancels it when it is told to stop.
async fn follow(reporter: &Reporter<'_>, source: &Peer, is_mine: impl Fn(&Migration) -> bool) -> Result<()> {
    let failed = |kind, outcome, text: String| {
        Err(Error::new(kind, outcome, text)
            .with_command("CLUSTER MIGRATESLOTS".into())
            .with_node(source.addr().clone()))
    };
    let mut unseen_since: Option<Instant> = None;
    let mut is_cancelled = false;
    loop {
        let current = migrations(source).await?;
        match current.iter().find(|it| is_mine(it)) {
            Some(mine) => match mine.stage() {
                Stage::UnderWay => unseen_since = None,
                Stage::Done => return Ok(()),
                Stage::Failed => {
                    let text = format!("the migration of slots ended as {}: {}", mine.state, mine.message);
                    return failed(ErrorKind::Server, Outcome::Rejected, text);
                }
            },
            None => {
                let since = *unseen_since.get_or_insert_with(Instant::now);
                if since.elapsed() > UNSEEN {
                    let text = "the source does not know of the migration of slots".to_owned();
                    return failed(ErrorKind::Unavailable, Outcome::MaybeExecuted, text);
                }
            }
        }
        let is_alone = current.iter().all(|it| is_mine(it) || !it.is_under_way());
        if reporter.is_stopped() && is_alone && !is_cancelled {
            // Refused if it has ended meanwhile; then the next look tells how.
            is_cancelled = source.ask(&Command::new("CLUSTER CANCELSLOTMIGRATIONS")).await.is_ok();
        }
        sleep(LOOK).await;
    }
}

async fn migrations(source: &Peer) -> Result<Vec<Migration>> {
    let command = Command::new("CLUSTER GETSLOTMIGRATIONS");
    let value = source.read(&command).await?;
    Migration::read_all(value.clone()).ok_or_else(|| source.unexpected(&command, &value))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Migration, Stage};
    use crate::protocol::value::Value;

    fn entry(operation: &'static str, state: &'static str, resp3: bool) -> Value {
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let fields = [
            ("name", bulk("n1")),
            ("operation", bulk(operation)),
            ("slot_ranges", bulk("0-100")),
            ("target_node", bulk("b")),
            ("source_node", bulk("a")),
            ("create_time", Value::Int(1)),
            ("state", bulk(state)),
            ("message", bulk("why")),
        ];
        match resp3 {
            true => Value::Map(fields.into_iter().map(|(name, value)| (bulk(name), value)).collect()),
            false => Value::Array(fields.into_iter().flat_map(|(name, value)| [bulk(name), value]).collect()),
        }
    }

    #[test]
    fn exports_are_read_with_what_their_states_mean() {
        for resp3 in [true, false] {
            for (state, stage) in [
                ("snapshotting", Stage::UnderWay),
                ("success", Stage::Done),
                ("failed", Stage::Failed),
                ("cancelled", Stage::Failed),
            ] {
                let list =
                    Value::Array(vec![entry("IMPORT", "success", resp3), entry("EXPORT", state, resp3)]);
                let read = Migration::read_all(list).unwrap();
                assert_eq!(read.len(), 1);
                assert_eq!(
                    (read[0].stage(), read[0].target.as_str(), read[0].message.as_str()),
                    (stage, "b", "why")
                );
            }
        }
        assert_eq!(Migration::read_all(Value::Nil), None);
    }
}
