//! The loop of attempts: the only place where a command is sent again. Single commands, parts of a split, pipelines
//! and transactions all go through it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::cluster::core::Core;
use crate::cluster::job::{Aftermath, Deadline, Job, Unit};
use crate::command::Command;
use crate::config::OverloadPolicy;
use crate::connection::link::{Link, Refusal};
use crate::connection::loss::{Loss, LossCause};
use crate::connection::pool::NodePool;
use crate::connection::unit::{Piece, UnitReply};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::command_spec::Access;
use crate::protocol::value::Value;
use crate::routing::gather::Merge;
use crate::routing::plan::{Part, Place, Plan, plan};

/// The first attempt of a command, made outside (the fast path), that was not the last.
#[derive(Debug)]
pub(crate) struct FirstAttempt {
    pub(crate) node: NodeAddr,
    pub(crate) place: Place,
    pub(crate) reply: Result<Value, Loss>,
}

/// Executes one command; `first` is what has become of it so far.
pub(crate) async fn execute(
    core: &Core,
    command: &Command,
    first: Option<FirstAttempt>,
    deadline: Deadline,
) -> Result<Value> {
    if let Some(first) = first {
        let mut job = Job::new(Unit::Command(command), first.place);
        let aftermath = match first.reply {
            Ok(value) => job.answered(&first.node, vec![value], core.config.max_redirects),
            Err(loss) => {
                let sent = loss.written >= command.body().wire_length();
                job.lost(&first.node, &loss, sent, deadline)
            }
        };
        settle(core, aftermath);
        let mut jobs = [job];
        run(core, &mut jobs, deadline).await;
        let [job] = jobs;
        return job.into_result();
    }
    let mut results = execute_all(core, std::slice::from_ref(command), deadline).await;
    results.pop().unwrap_or_else(|| Err(Error::closed()))
}

/// Executes commands side by side; each gets its own result, in order.
pub(crate) async fn execute_all(core: &Core, commands: &[Command], deadline: Deadline) -> Vec<Result<Value>> {
    let map = Arc::clone(core.routes().map());
    let plans: Vec<Result<Plan>> = commands.iter().map(|command| plan(command, &map)).collect();
    let mut jobs = Vec::with_capacity(commands.len());
    for (command, plan) in commands.iter().zip(&plans) {
        match plan {
            Ok(Plan::One(place)) => jobs.push(Job::new(Unit::Command(command), place.clone())),
            Ok(Plan::Parts { parts, .. }) => {
                jobs.extend(parts.iter().map(|Part { command: part, place }| {
                    Job::new(Unit::Command(part.as_ref().unwrap_or(command)), place.clone())
                }))
            }
            Err(_) => {}
        }
    }
    run(core, &mut jobs, deadline).await;
    let mut results = jobs.into_iter().map(Job::into_result);
    let mut merged = Vec::with_capacity(commands.len());
    for (command, plan) in commands.iter().zip(&plans) {
        merged.push(match plan {
            Ok(Plan::One(_)) => results.next().unwrap_or_else(|| Err(Error::closed())),
            Ok(Plan::Parts { parts, merge }) => {
                merge_parts(command, merge, results.by_ref().take(parts.len()).collect())
            }
            Err(refusal) => {
                Err(refusal.clone().with_command(command.shared_name()).with_slot(command.marked_slot()))
            }
        });
    }
    merged
}

/// Executes `commands`, which are all in the slot of `place`, as one transaction.
pub(crate) async fn execute_transaction(
    core: &Core,
    commands: &[Command],
    place: Place,
    deadline: Deadline,
) -> Result<Value> {
    let slot = match &place {
        Place::Slot(slot) => Some(*slot),
        Place::Node(_) | Place::Shard { .. } | Place::Any => None,
    };
    let mut jobs = [Job::new(Unit::Transaction { commands, slot }, place)];
    run(core, &mut jobs, deadline).await;
    let [job] = jobs;
    job.into_result()
}

/// One reply of all parts. An error says how many of them failed; a write that was done in part may have been
/// executed, whatever the failed part says.
fn merge_parts(command: &Command, merge: &Merge, parts: Vec<Result<Value>>) -> Result<Value> {
    let count = parts.len();
    let failed = parts.iter().filter(|part| part.is_err()).count();
    let enough = match merge {
        Merge::AnySuccess => failed < count,
        Merge::InOrder(_)
        | Merge::Concatenate
        | Merge::First
        | Merge::Number(_)
        | Merge::Logic(_)
        | Merge::ByNode(_) => failed == 0,
    };
    if enough {
        let replies = parts.into_iter().filter_map(Result::ok).collect();
        return merge.merge(replies).ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                Outcome::MaybeExecuted,
                "the replies of its parts have different forms and cannot be put together",
            )
            .with_command(command.shared_name())
        });
    }
    let only_reads = command.spec().is_some_and(|spec| spec.access == Access::Read);
    let any_effect = parts
        .iter()
        .any(|part| part.as_ref().map_or_else(|error| error.outcome() == Outcome::MaybeExecuted, |_| true));
    let first = parts.into_iter().find_map(Result::err).unwrap_or_else(Error::closed);
    let outcome = if any_effect && !only_reads { Outcome::MaybeExecuted } else { first.outcome() };
    Err(first.of_parts(failed, count).with_outcome(outcome))
}

/// Jobs that leave as one unit on one link.
struct Group {
    pool: Arc<NodePool>,
    node: NodeAddr,
    lane: usize,
    members: Vec<usize>,
    exclusive: bool,
}

/// Makes attempts until each job is settled or the deadline has passed.
async fn run(core: &Core, jobs: &mut [Job<'_>], deadline: Deadline) {
    let _counted = core.slow_request();
    loop {
        let now = Instant::now();
        if deadline.at.is_some_and(|at| at <= now) {
            jobs.iter_mut().filter(|job| !job.is_settled()).for_each(|job| job.expire(deadline));
        }
        if core.has_ended() {
            jobs.iter_mut().filter(|job| !job.is_settled()).for_each(Job::closed);
        }
        let is_due = |job: &Job<'_>| !job.is_settled() && job.not_before().is_none_or(|at| at <= now);
        let due: Vec<usize> =
            jobs.iter().enumerate().filter(|(_, job)| is_due(job)).map(|(index, _)| index).collect();
        if due.is_empty() {
            let Some(next) = jobs.iter().filter(|job| !job.is_settled()).filter_map(Job::not_before).min()
            else {
                return;
            };
            if pause(core, deadline.at.map_or(next, |at| at.min(next))).await {
                jobs.iter_mut().for_each(Job::hurry);
            }
            continue;
        }
        let groups = group(core, jobs, due);
        let shared: &[Job<'_>] = jobs;
        let replies = join_all(groups.iter().map(|group| attempt(core, shared, group, deadline))).await;
        for (group, reply) in groups.iter().zip(replies) {
            distribute(core, jobs, group, reply, deadline);
        }
    }
}

/// Waits until `until`; true if the routes have changed before.
async fn pause(core: &Core, until: Instant) -> bool {
    tokio::select! {
        () = core.signal.changed() => true,
        () = sleep_until(until) => false,
    }
}

/// Finds the link of each job that is due; those on the same link travel together, in their order.
fn group(core: &Core, jobs: &mut [Job<'_>], due: Vec<usize>) -> Vec<Group> {
    let routes = core.routes();
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(*const NodePool, usize), usize> = HashMap::new();
    for index in due {
        let Some(job) = jobs.get_mut(index) else { continue };
        if job.is_retry() {
            core.counters.retries.add_one();
        }
        let pool = match (job.asked_at(), job.place()) {
            (Some(addr), _) | (None, Place::Node(addr)) => Some(core.pool_at(addr)),
            (None, Place::Slot(slot)) => routes.owner(*slot).cloned(),
            (None, Place::Shard { primary, slot }) => {
                routes.primary_at(primary).or_else(|| routes.owner(*slot)).cloned()
            }
            (None, Place::Any) => routes.any_primary().cloned(),
        };
        let Some(pool) = pool else {
            job.has_no_owner();
            core.signal.request();
            continue;
        };
        let lane = match job.place() {
            Place::Slot(slot) => pool.lane_of(*slot),
            Place::Node(_) | Place::Shard { .. } | Place::Any => 0,
        };
        let exclusive = job.blocks();
        let key = (Arc::as_ptr(&pool), lane);
        match known.get(&key).and_then(|place| groups.get_mut(*place)) {
            Some(group) if !exclusive => group.members.push(index),
            Some(_) | None => {
                let Some(node) = pool.link(lane).map(|link| link.node().clone()) else { continue };
                if !exclusive {
                    known.insert(key, groups.len());
                }
                groups.push(Group { pool, node, lane, members: vec![index], exclusive });
            }
        }
    }
    groups
}

/// What came of one group's attempt.
enum Attempt {
    Replied(UnitReply),
    /// No room in the budget, and the client does not wait for it.
    Overloaded,
}

async fn attempt(core: &Core, jobs: &[Job<'_>], group: &Group, deadline: Deadline) -> Attempt {
    let pieces: Vec<Piece<'_>> =
        group.members.iter().filter_map(|member| jobs.get(*member)).flat_map(Job::pieces).collect();
    if !group.exclusive {
        return match group.pool.link(group.lane) {
            Some(link) => send(core, link, pieces, deadline, deadline.at).await,
            None => lost(LossCause::Retired),
        };
    }
    let connection = match within(deadline.at, group.pool.exclusive()).await {
        Some(Ok(connection)) => connection,
        Some(Err(cause)) => return lost(cause),
        None => return lost(LossCause::Expired),
    };
    tokio::select! {
        // A connection whose reply did not come is not clean: its pool does not take it back.
        reply = send(core, &connection, pieces, deadline, None) => reply,
        () = group.pool.until_severed() => {
            Attempt::Replied(UnitReply { values: Vec::new(), loss: Some(Loss::maybe_sent(LossCause::Retired)) })
        }
    }
}

async fn send(
    core: &Core,
    link: &Link,
    pieces: Vec<Piece<'_>>,
    deadline: Deadline,
    link_deadline: Option<Instant>,
) -> Attempt {
    let length = pieces.iter().map(Piece::wire_length).sum();
    if !link.budget().try_take(length) {
        match core.config.overload {
            OverloadPolicy::Fail => return Attempt::Overloaded,
            OverloadPolicy::Wait => {
                if within(deadline.at, link.budget().take(length)).await.is_none() {
                    return lost(LossCause::Expired);
                }
            }
        }
    }
    let mut pending = match link.send_unit(pieces.into_iter(), length, link_deadline) {
        Ok(pending) => pending,
        Err(Refusal(cause)) => return lost(cause),
    };
    match within(deadline.at, &mut pending).await {
        Some(reply) => Attempt::Replied(reply),
        None => Attempt::Replied(pending.give_up(LossCause::Expired)),
    }
}

fn lost(cause: LossCause) -> Attempt {
    Attempt::Replied(UnitReply { values: Vec::new(), loss: Some(Loss::unsent(cause)) })
}

/// `None` if the time is over first.
async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(at) => timeout_at(at, future).await.ok(),
        None => Some(future.await),
    }
}

/// Gives each job of the group its replies, or its share of the loss.
fn distribute(core: &Core, jobs: &mut [Job<'_>], group: &Group, attempt: Attempt, deadline: Deadline) {
    let reply = match attempt {
        Attempt::Replied(reply) => reply,
        Attempt::Overloaded => {
            for member in &group.members {
                if let Some(job) = jobs.get_mut(*member) {
                    job.overloaded();
                }
            }
            return;
        }
    };
    let mut values = reply.values.into_iter();
    let mut end = 0_usize;
    for member in &group.members {
        let Some(job) = jobs.get_mut(*member) else { continue };
        let pieces = job.pieces();
        let wanted = pieces.len();
        end += pieces.iter().map(Piece::wire_length).sum::<usize>();
        drop(pieces);
        let replies: Vec<Value> = values.by_ref().take(wanted).collect();
        let aftermath = match &reply.loss {
            Some(loss) if replies.len() < wanted => {
                job.lost(&group.node, loss, loss.written >= end, deadline)
            }
            Some(_) | None => job.answered(&group.node, replies, core.config.max_redirects),
        };
        settle(core, aftermath);
    }
}

fn settle(core: &Core, aftermath: Aftermath) {
    match aftermath {
        Aftermath::Nothing => {}
        Aftermath::Refresh => core.signal.request(),
        Aftermath::Followed(redirect) => core.redirected(&redirect),
    }
}
