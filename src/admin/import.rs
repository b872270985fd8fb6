//! Slots that the new owner fetches in one moment, by the servers themselves (Redis 8.4).
//!
//! Written from the documentation, and tried on the simulated cluster only.
//!
//! Source: [CLUSTER MIGRATION](https://redis.io/docs/latest/commands/cluster-migration/).

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

/// Between two looks at an import.
const LOOK: Duration = Duration::from_millis(20);

/// Within this time the target knows of an import whose order was not answered.
const UNSEEN: Duration = Duration::from_secs(2);

/// What the target says of one import.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Task {
    id: String,
    /// First and last slots.
    ranges: Vec<(u16, u16)>,
    state: String,
    last_error: String,
}

impl Task {
    /// The imports of this node, whatever their state.
    fn read_all(value: Value) -> Option<Vec<Self>> {
        let Value::Array(entries) = value else { return None };
        let mut read = Vec::new();
        for entry in entries {
            let fields = BTreeMap::<String, Value>::from_value(entry).ok()?;
            let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
            // The documentation has `import` and `migrate`.
            if text("operation")?.starts_with("import") {
                let slots = text("slots")?;
                let ranges = slots.split([' ', ',']).filter(|range| !range.is_empty()).map(range);
                read.push(Self {
                    id: text("id")?,
                    ranges: ranges.collect::<Option<_>>()?,
                    state: text("state")?,
                    last_error: text("last_error").unwrap_or_default(),
                });
            }
        }
        Some(read)
    }

    fn is_completed(&self) -> bool {
        self.state == "completed"
    }

    fn has_failed(&self) -> bool {
        // Any other word is one for what is between.
        matches!(self.state.as_str(), "failed" | "canceled" | "cancelled")
    }

    fn is_under_way(&self) -> bool {
        !self.is_completed() && !self.has_failed()
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

/// Whether the server has it.
pub(super) async fn can_import(admin: &Admin, target: &Member) -> Result<bool> {
    let status = Command::new("CLUSTER MIGRATION").arg("STATUS").arg("ALL");
    Ok(matches!(admin.peer(&target.addr).ask(&status).await?, Value::Array(_)))
}

/// One import from its order to its end; one of the same slots that is under way already is waited for instead.
pub(super) async fn import(
    admin: &Admin,
    reporter: &Reporter<'_>,
    to: &Member,
    slots: &SlotSet,
) -> Result<()> {
    let target = admin.peer(&to.addr);
    let known = tasks(&target).await?;
    if let Some(earlier) = known.iter().find(|task| task.is_under_way() && task.has_any_of(slots)) {
        return follow(reporter, &target, |task| task.id == earlier.id).await;
    }
    let known: BTreeSet<String> = known.into_iter().map(|task| task.id).collect();
    let mut command = Command::new("CLUSTER MIGRATION").arg("IMPORT");
    for range in slots.ranges() {
        command = command.arg(range.first).arg(range.last);
    }
    // If the reply is lost, the target knows whether it has begun.
    match target.order(&command).await {
        Err(error) if error.outcome() != Outcome::MaybeExecuted => return Err(error),
        _begun_or_unknown => {}
    }
    follow(reporter, &target, |task| !known.contains(&task.id) && task.has_any_of(slots)).await
}

/// Waits for the end of an import; cancels it when it is told to stop.
async fn follow(reporter: &Reporter<'_>, target: &Peer, is_mine: impl Fn(&Task) -> bool) -> Result<()> {
    let failed = |kind, outcome, text: String| {
        Err(Error::new(kind, outcome, text)
            .with_command("CLUSTER MIGRATION".into())
            .with_node(target.addr().clone()))
    };
    let mut unseen_since: Option<Instant> = None;
    loop {
        match tasks(target).await?.iter().find(|task| is_mine(task)) {
            Some(task) if task.is_completed() => return Ok(()),
            Some(task) if task.has_failed() => {
                // So that it does not try on by itself.
                drop(target.ask(&cancel(task)).await);
                let text = format!("the import of slots ended as {}: {}", task.state, task.last_error);
                return failed(ErrorKind::Server, Outcome::Rejected, text);
            }
            Some(task) => {
                unseen_since = None;
                if reporter.is_stopped() {
                    // None is cancelled if it has ended meanwhile; the next look tells how.
                    drop(target.ask(&cancel(task)).await);
                }
            }
            None => {
                let since = *unseen_since.get_or_insert_with(Instant::now);
                if since.elapsed() > UNSEEN {
                    let text = "the target does not know of the import of slots".to_owned();
                    return failed(ErrorKind::Unavailable, Outcome::MaybeExecuted, text);
                }
            }
        }
        sleep(LOOK).await;
    }
}

fn cancel(task: &Task) -> Command {
    Command::new("CLUSTER MIGRATION").arg("CANCEL").arg("ID").arg(task.id.as_str())
}

async fn tasks(target: &Peer) -> Result<Vec<Task>> {
    let command = Command::new("CLUSTER MIGRATION").arg("STATUS").arg("ALL");
    let value = target.read(&command).await?;
    Task::read_all(value.clone()).ok_or_else(|| target.unexpected(&command, &value))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Task;
    use crate::protocol::value::Value;

    fn entry(operation: &'static str, state: &'static str, resp3: bool) -> Value {
        let bulk = |text: &'static str| Value::Bulk(Bytes::from_static(text.as_bytes()));
        let fields = [
            ("id", bulk("24cf")),
            ("slots", bulk("0-1000 2000-3000")),
            ("source", bulk("a")),
            ("dest", bulk("b")),
            ("operation", bulk(operation)),
            ("state", bulk(state)),
            ("last_error", bulk("why")),
            ("retries", Value::Int(0)),
        ];
        match resp3 {
            true => Value::Map(fields.into_iter().map(|(name, value)| (bulk(name), value)).collect()),
            false => Value::Array(fields.into_iter().flat_map(|(name, value)| [bulk(name), value]).collect()),
        }
    }

    #[test]
    fn imports_are_read_with_what_their_states_mean() {
        for resp3 in [true, false] {
            for (state, ended) in
                [("in_progress", [false, false]), ("completed", [true, false]), ("canceled", [false, true])]
            {
                let list = vec![entry("migrate", "completed", resp3), entry("import", state, resp3)];
                let read = Task::read_all(Value::Array(list)).unwrap();
                assert_eq!(read.len(), 1);
                assert_eq!([read[0].is_completed(), read[0].has_failed()], ended);
                assert_eq!(read[0].ranges, [(0, 1000), (2000, 3000)]);
            }
        }
        assert_eq!(Task::read_all(Value::Nil), None);
    }
}
