//! One migration of slots that the servers do by themselves: the source sends them (Valkey 9), or the target fetches them
//! (Redis 8.4; written from the documentation, and tried on the simulated cluster only).
//!
//! Source: [CLUSTER MIGRATESLOTS](https://valkey.io/commands/cluster-migrateslots/),
//! [CLUSTER GETSLOTMIGRATIONS](https://valkey.io/commands/cluster-getslotmigrations/),
//! [CLUSTER CANCELSLOTMIGRATIONS](https://valkey.io/commands/cluster-cancelslotmigrations/),
//! [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/).

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
use crate::topology::slot_set::SlotSet;

/// Between two looks at a migration.
const LOOK: Duration = Duration::from_millis(20);

/// Within this time a node knows of a migration whose order was not answered.
const UNSEEN: Duration = Duration::from_secs(2);

/// Who does it, and is told and asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The source: `CLUSTER MIGRATESLOTS`.
    Send,
    /// The target: `CLUSTER MIGRATION IMPORT`.
    Fetch,
}

/// What a node says of one migration that it does.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Transit {
    id: String,
    /// Who gets the slots; `None` where it is who tells.
    target: Option<String>,
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

impl Transit {
    fn stage(&self) -> Stage {
        match self.state.as_str() {
            "success" | "completed" => Stage::Done,
            "failed" | "cancelled" | "canceled" => Stage::Failed,
            // Servers to come may have other names for what is between.
            _between => Stage::UnderWay,
        }
    }

    fn is_under_way(&self) -> bool {
        self.stage() == Stage::UnderWay
    }

    fn has_any_of(&self, slots: &SlotSet) -> bool {
        slots
            .iter()
            .any(|slot| self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot.get())))
    }
}

/// `<first>-<last>`, or one slot.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl Way {
    /// Whether the node has it.
    pub(super) async fn is_known_to(self, admin: &Admin, node: &Member) -> Result<bool> {
        let command = match self {
            Self::Send => Command::new("COMMAND INFO").arg("cluster|migrateslots"),
            Self::Fetch => self.list(),
        };
        Ok(match (self, admin.peer(&node.addr).ask(&command).await?) {
            (Self::Send, Value::Array(list)) => list.first().is_some_and(|entry| *entry != Value::Nil),
            (Self::Fetch, Value::Array(_)) => true,
            // Not allowed to ask, or too old for subcommands.
            (Self::Send | Self::Fetch, _unknown) => false,
        })
    }

    /// Asks for all that the node has done and does.
    fn list(self) -> Command {
        match self {
            Self::Send => Command::new("CLUSTER GETSLOTMIGRATIONS"),
            Self::Fetch => Command::new("CLUSTER MIGRATION").arg("STATUS").arg("ALL"),
        }
    }

    fn order(self, slots: &SlotSet, to: &Member) -> Command {
        let order = match self {
            Self::Send => Command::new("CLUSTER MIGRATESLOTS").arg("SLOTSRANGE"),
            Self::Fetch => Command::new("CLUSTER MIGRATION").arg("IMPORT"),
        };
        let order =
            slots.ranges().into_iter().fold(order, |order, range| order.arg(range.first).arg(range.last));
        match self {
            Self::Send => order.arg("NODE").arg(&*to.id),
            Self::Fetch => order,
        }
    }

    /// Of `mine` where one can be cancelled by itself, else of all that the node does.
    fn cancel(self, mine: &Transit) -> Command {
        match self {
            Self::Send => Command::new("CLUSTER CANCELSLOTMIGRATIONS"),
            Self::Fetch => Command::new("CLUSTER MIGRATION").arg("CANCEL").arg("ID").arg(mine.id.as_str()),
        }
    }

    /// Whether cancelling this one leaves those of others alone.
    fn can_cancel(self, mine: &Transit, all: &[Transit]) -> bool {
        match self {
            Self::Send => all.iter().all(|it| it.id == mine.id || !it.is_under_way()),
            Self::Fetch => true,
        }
    }

    /// The migrations that are done by the node that has answered so, whatever their state.
    fn read_all(self, value: Value) -> Option<Vec<Transit>> {
        let Value::Array(entries) = value else { return None };
        let mut read = Vec::new();
        for entry in entries {
            let fields = BTreeMap::<String, Value>::from_value(entry).ok()?;
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            let operation = text("operation")?;
            let (is_done_here, id, target, ranges, message) = match self {
                Self::Send => (operation == "EXPORT", "name", Some("target_node"), "slot_ranges", "message"),
                // The documentation has `import` and `migrate`.
                Self::Fetch => (operation.starts_with("import"), "id", None, "slots", "last_error"),
            };
            if is_done_here {
                let ranges = text(ranges)?;
                let ranges = ranges.split([' ', ',']).filter(|range| !range.is_empty()).map(range);
                read.push(Transit {
                    id: text(id)?,
                    target: match target {
                        Some(target) => Some(text(target)?),
                        None => None,
                    },
                    ranges: ranges.collect::<Option<_>>()?,
                    state: text("state")?,
                    message: text(message).unwrap_or_default(),
                });
            }
        }
        Some(read)
    }
}

/// One migration from its order to its end; one of the same slots that is under way already is waited for instead.
pub(super) async fn migrate(
    admin: &Admin,
    reporter: &Reporter<'_>,
    way: Way,
    from: &Member,
    to: &Member,
    slots: &SlotSet,
) -> Result<()> {
    let doer = match way {
        Way::Send => admin.peer(&from.addr),
        Way::Fetch => admin.peer(&to.addr),
    };
    let known = transits(way, &doer).await?;
    if let Some(earlier) = known.iter().find(|it| it.is_under_way() && it.has_any_of(slots)) {
        return follow(reporter, way, &doer, |it| it.id == earlier.id).await;
    }
    let known: BTreeSet<String> = known.into_iter().map(|it| it.id).collect();
    // If the reply is lost, the node knows whether it has begun.
    match doer.order(&way.order(slots, to)).await {
        Err(error) if error.outcome() != Outcome::MaybeExecuted => return Err(error),
        _begun_or_unknown => {}
    }
    let is_mine = |it: &Transit| {
        it.target.as_ref().is_none_or(|target| **target == *to.id)
            && !known.contains(&it.id)
            && it.has_any_of(slots)
    };
    follow(reporter, way, &doer, is_mine).await
}

/// Waits for the end of a migration; cancels it when it is told to stop.
async fn follow(
    reporter: &Reporter<'_>,
    way: Way,
    doer: &Peer,
    is_mine: impl Fn(&Transit) -> bool,
) -> Result<()> {
    let failed = |kind, outcome, text: String| {
        let name = match way {
            Way::Send => "CLUSTER MIGRATESLOTS",
            Way::Fetch => "CLUSTER MIGRATION",
        };
        Err(Error::new(kind, outcome, text).with_command(name.into()).with_node(doer.addr().clone()))
    };
    let mut unseen_since: Option<Instant> = None;
    let mut is_cancelled = false;
    loop {
        let current = transits(way, doer).await?;
        match current.iter().find(|it| is_mine(it)) {
            Some(mine) => match mine.stage() {
                Stage::Done => return Ok(()),
                Stage::Failed => {
                    match way {
                        Way::Send => {}
                        // So that it does not try on by itself.
                        Way::Fetch => drop(doer.ask(&way.cancel(mine)).await),
                    }
                    let text = format!("the migration of slots ended as {}: {}", mine.state, mine.message);
                    return failed(ErrorKind::Server, Outcome::Rejected, text);
                }
                Stage::UnderWay => {
                    unseen_since = None;
                    if reporter.is_stopped() && !is_cancelled && way.can_cancel(mine, &current) {
                        // Refused if it has ended meanwhile; then the next look tells how.
                        is_cancelled = doer.ask(&way.cancel(mine)).await.is_ok();
                    }
                }
            },
            None => {
                let since = *unseen_since.get_or_insert_with(Instant::now);
                if since.elapsed() > UNSEEN {
                    let text = "the node does not know of the migration of slots".to_owned();
                    return failed(ErrorKind::Unavailable, Outcome::MaybeExecuted, text);
                }
            }
        }
        sleep(LOOK).await;
    }
}

async fn transits(way: Way, doer: &Peer) -> Result<Vec<Transit>> {
    let command = way.list();
    let value = doer.read(&command).await?;
    way.read_all(value.clone()).ok_or_else(|| doer.unexpected(&command, &value))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Stage, Way};
    use crate::protocol::value::Value;

    fn entry(names: [&'static str; 4], operation: &'static str, state: &'static str, resp3: bool) -> Value {
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let [id, target, slots, message] = names;
        let fields = [
            (id, bulk("n1")),
            ("operation", bulk(operation)),
            (slots, bulk("0-1000 2000")),
            (target, bulk("b")),
            ("create_time", Value::Int(1)),
            ("state", bulk(state)),
            (message, bulk("why")),
        ];
        match resp3 {
            true => Value::Map(fields.into_iter().map(|(name, value)| (bulk(name), value)).collect()),
            false => Value::Array(fields.into_iter().flat_map(|(name, value)| [bulk(name), value]).collect()),
        }
    }

    #[track_caller]
    fn assert_read(
        way: Way,
        names: [&'static str; 4],
        operations: [&'static str; 2],
        state: &'static str,
        stage: Stage,
    ) {
        for resp3 in [true, false] {
            let [other, own] = operations;
            let list = vec![entry(names, other, "success", resp3), entry(names, own, state, resp3)];
            let read = way.read_all(Value::Array(list)).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!(
                (read[0].id.as_str(), read[0].stage(), read[0].message.as_str()),
                ("n1", stage, "why")
            );
            assert_eq!(read[0].ranges, [(0, 1000), (2000, 2000)]);
            assert_eq!(read[0].target.as_deref(), (way == Way::Send).then_some("b"));
        }
        assert_eq!(way.read_all(Value::Nil), None);
    }

    #[test]
    fn what_a_source_sends_is_read_with_what_its_states_mean() {
        let names = ["name", "target_node", "slot_ranges", "message"];
        for (state, stage) in [
            ("snapshotting", Stage::UnderWay),
            ("success", Stage::Done),
            ("failed", Stage::Failed),
            ("cancelled", Stage::Failed),
        ] {
            assert_read(Way::Send, names, ["IMPORT", "EXPORT"], state, stage);
        }
    }

    #[test]
    fn what_a_target_fetches_is_read_with_what_its_states_mean() {
        let names = ["id", "dest", "slots", "last_error"];
        for (state, stage) in
            [("in_progress", Stage::UnderWay), ("completed", Stage::Done), ("canceled", Stage::Failed)]
        {
            assert_read(Way::Fetch, names, ["migrate", "import"], state, stage);
        }
    }
}
