//! Slots that move in one moment, by the servers themselves (Valkey 9).
//!
//! Source: [CLUSTER MIGRATESLOTS](https://valkey.io/commands/cluster-migrateslots/),
//! [CLUSTER GETSLOTMIGRATIONS](https://valkey.io/commands/cluster-getslotmigrations/).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::handle::Admin;
use crate::admin::peer::Peer;
use crate::admin::progress::Reporter;
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

/// How often the same slots are tried.
const TRIES: u32 = 5;

/// What the source says of one migration.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Migration {
    name: String,
    target: String,
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
                    state: text("state")?,
                    message: text("message").unwrap_or_default(),
                });
            }
        }
        Some(read)
    }
}

/// Whether the servers have it.
pub(super) async fn can_move_atomically(admin: &Admin, source: &Member) -> Result<bool> {
    let command = Command::new("COMMAND INFO").arg("cluster|migrateslots");
    let known = match admin.peer(&source.addr).ask(&command).await? {
        Value::Array(list) => list.first().is_some_and(|entry| *entry != Value::Nil),
        // Not allowed to ask, or too old for subcommands.
        _unknown => false,
    };
    Ok(known)
}

/// Moves the slots, none of which is open; part by part.
///
/// # Cancel safety
///
/// Dropped, the part that is under way goes on by itself.
pub(super) async fn move_atomically(
    admin: &Admin,
    reporter: &Reporter<'_>,
    from: &Member,
    to: &Member,
    slots: &SlotSet,
) -> Result<()> {
    let all: Vec<Slot> = slots.iter().collect();
    for part in all.chunks(AT_A_TIME) {
        if reporter.is_stopped() {
            break;
        }
        let mut tries = 0;
        while let Err(error) = move_part(admin, from, to, part).await {
            tries += 1;
            let is_final = matches!(error.kind(), ErrorKind::Auth | ErrorKind::Protocol);
            if is_final || tries >= TRIES {
                return Err(error);
            }
            sleep(Duration::from_millis(200) * tries).await;
        }
        let keys = count(admin, to, part).await?;
        reporter.tell(|progress| {
            progress.slots_done += part.len();
            progress.keys_done += keys;
        });
    }
    Ok(())
}

/// The keys that have arrived.
async fn count(admin: &Admin, node: &Member, slots: &[Slot]) -> Result<u64> {
    let asked: Vec<Command> =
        slots.iter().map(|slot| Command::new("CLUSTER COUNTKEYSINSLOT").arg(*slot)).collect();
    Ok(admin.peer(&node.addr).ints(&asked).await?.into_iter().sum())
}

async fn move_part(admin: &Admin, from: &Member, to: &Member, part: &[Slot]) -> Result<()> {
    let view = admin.view().await?;
    // By their owners of now: a failover may have come between, and some may have arrived in an attempt before.
    let mut by_owner: BTreeMap<Member, SlotSet> = BTreeMap::new();
    for slot in part {
        let owner = view.owner(*slot).map_or_else(|| from.clone(), Member::from);
        by_owner.entry(owner).or_default().extend([*slot]);
    }
    // One that does not answer stays the target: the owner of a slot on its way to it is the source.
    let answers = view.node(&to.id).is_some();
    let successor = part.first().filter(|_| answers).and_then(|slot| view.successor(&to.id, *slot));
    let target = successor.map_or_else(|| to.clone(), Member::from);
    by_owner.remove(&target);
    for (owner, slots) in by_owner {
        migrate(admin, &owner, &target, &slots).await?;
    }
    Ok(())
}

/// One migration from its order to its end.
async fn migrate(admin: &Admin, from: &Member, to: &Member, slots: &SlotSet) -> Result<()> {
    let source = admin.peer(&from.addr);
    let known: BTreeSet<String> = migrations(&source).await?.into_iter().map(|it| it.name).collect();
    let mut command = Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE");
    for range in slots.ranges() {
        command = command.arg(range.first).arg(range.last);
    }
    let command = command.arg("NODE").arg(&*to.id);
    // If the reply is lost, the source knows whether it has begun.
    let ordered = source.order(&command).await;
    if let Err(error) = &ordered
        && error.outcome() != Outcome::MaybeExecuted
    {
        return ordered.map(drop);
    }
    let mut unseen_since: Option<Instant> = None;
    loop {
        let current = migrations(&source).await?;
        let mine = current.into_iter().find(|it| it.target == *to.id && !known.contains(&it.name));
        match mine {
            Some(mine) => match mine.stage() {
                Stage::UnderWay => unseen_since = None,
                Stage::Done => return Ok(()),
                Stage::Failed => {
                    let text =
                        format!("the migration of slots {slots} ended as {}: {}", mine.state, mine.message);
                    return Err(Error::new(ErrorKind::Server, Outcome::Rejected, text)
                        .with_command(command.shared_name())
                        .with_node(from.addr.clone()));
                }
            },
            None => {
                let since = *unseen_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_secs(2) {
                    let text = format!("the source does not know of the migration of slots {slots}");
                    return Err(Error::new(ErrorKind::Unavailable, Outcome::MaybeExecuted, text)
                        .with_command(command.shared_name())
                        .with_node(from.addr.clone()));
                }
            }
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
