//! The loop of attempts: the only place where a command is sent again. Single commands, parts of a split, pipelines
//! and transactions all go through it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::cluster::core::Core;
use crate::cluster::job::{Aftermath, Deadline, Job, Unit};
use crate::command::Command;
use crate::config::OverloadPolicy;
use crate::connection::link::{Link, Refusal};
use crate::connection::loss::{Loss, LossCause};
use crate::connection::pool::NodePool;
use crate::connection::unit::{Check, Piece, UnitReply};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::command_spec::Access;
use crate::protocol::value::Value;
use crate::routing::gather::Merge;
use crate::routing::plan::{Part, Place, Plan, plan};

/// How long a link may take to tell what became of a unit whose time is over; it does at once unless it is connecting.
const LAST_WORD: Duration = Duration::from_millis(100);

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
struct Group<'a> {
    pool: Arc<NodePool>,
    node: NodeAddr,
    lane: usize,
    members: Vec<Member>,
    pieces: Vec<Piece<'a>>,
    check: Option<Check>,
    exclusive: bool,
}

/// A job's share of its group.
struct Member {
    job: usize,
    /// How many replies are its own.
    replies: usize,
    /// Where its bytes end in those of the group.
    end: usize,
}

/// Makes attempts until each job is settled or the deadline has passed. No group of jobs waits for another: a node that
/// is silent holds up its own jobs only.
async fn run(core: &Core, jobs: &mut [Job<'_>], deadline: Deadline) {
    let _counted = core.slow_request();
    let mut under_way = FuturesUnordered::new();
    // Jobs that are neither settled nor under way.
    let mut waiting: Vec<usize> =
        jobs.iter().enumerate().filter(|(_, job)| !job.is_settled()).map(|(index, _)| index).collect();
    loop {
        let due = take_due(core, jobs, &mut waiting, deadline);
        for group in group(core, jobs, due, &mut waiting) {
            under_way.push(attempt(core, group, deadline));
        }
        let next = waiting.iter().filter_map(|job| jobs.get(*job)?.not_before()).min();
        let pause_until = next.map(|next| deadline.at.map_or(next, |at| at.min(next)));
        tokio::select! {
            biased;
            // Before the replies: a change is told once, while a reply stays until it is looked at. The end of a pause
            // comes once too, so no reply has to wait for long.
            has_changed = pause(core, pause_until), if pause_until.is_some() => {
                if has_changed {
                    waiting.iter().for_each(|job| if let Some(job) = jobs.get_mut(*job) { job.hurry() });
                }
            }
            Some((group, attempt)) = under_way.next() => {
                distribute(core, jobs, &group, attempt, deadline);
                let unsettled = |member: &&Member| jobs.get(member.job).is_some_and(|job| !job.is_settled());
                waiting.extend(group.members.iter().filter(unsettled).map(|member| member.job));
                // The order of submission holds among the jobs that go again together.
                waiting.sort_unstable();
            }
            else => {
                if waiting.is_empty() {
                    return;
                }
            }
        }
    }
}

/// Moves the jobs out of `waiting` whose next attempt is due; ends those for which there will be none.
fn take_due(core: &Core, jobs: &mut [Job<'_>], waiting: &mut Vec<usize>, deadline: Deadline) -> Vec<usize> {
    let now = Instant::now();
    let is_over = deadline.at.is_some_and(|at| at <= now);
    let has_ended = core.has_ended();
    // Those that wait go on together, each in its place: two commands on one key that were refused for the same reason
    // keep their order.
    let pauses = waiting.iter().filter_map(|job| jobs.get(*job)?.not_before());
    let pause_is_over = pauses.min().is_some_and(|first| first <= now);
    let mut due = Vec::new();
    waiting.retain(|index| {
        let Some(job) = jobs.get_mut(*index) else { return false };
        if has_ended {
            job.closed();
        } else if is_over {
            job.expire(deadline);
        } else if pause_is_over || job.not_before().is_none() {
            due.push(*index);
        } else {
            return true;
        }
        false
    });
    due
}

/// Waits until then; true if the routes have changed before.
async fn pause(core: &Core, until: Option<Instant>) -> bool {
    let Some(until) = until else { return false };
    tokio::select! {
        biased;
        () = core.signal.changed() => true,
        () = sleep_until(until) => false,
    }
}

/// Finds the link of each job that is due; those on the same link travel together, in their order. Who has none goes
/// back to `waiting`.
fn group<'a>(core: &Core, jobs: &mut [Job<'a>], due: Vec<usize>, waiting: &mut Vec<usize>) -> Vec<Group<'a>> {
    let routes = core.routes();
    let mut groups: Vec<Group<'a>> = Vec::new();
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
            waiting.push(index);
            continue;
        };
        let lane = match job.place() {
            Place::Slot(slot) => pool.lane_of(*slot),
            Place::Node(_) | Place::Shard { .. } | Place::Any => 0,
        };
        let exclusive = job.blocks();
        let key = (Arc::as_ptr(&pool), lane);
        let place = known.get(&key).copied().filter(|_| !exclusive).unwrap_or_else(|| {
            let node = pool.node().clone();
            groups.push(Group {
                pool,
                node,
                lane,
                members: Vec::new(),
                pieces: Vec::new(),
                check: None,
                exclusive,
            });
            groups.len() - 1
        });
        if !exclusive {
            known.insert(key, place);
        }
        if let Some(group) = groups.get_mut(place) {
            group.add(index, job.pieces());
        }
    }
    groups.iter_mut().for_each(Group::close);
    groups
}

impl<'a> Group<'a> {
    fn add(&mut self, job: usize, pieces: Vec<Piece<'a>>) {
        let length: usize = pieces.iter().map(Piece::wire_length).sum();
        let end = self.length() + length;
        self.members.push(Member { job, replies: pieces.len(), end });
        self.pieces.extend(pieces);
    }

    /// Ends it so that a reply to `ASKING` which is lost or comes twice shifts none of the others.
    fn close(&mut self) {
        if self.pieces.iter().any(|piece| matches!(piece, Piece::Asking)) {
            self.check = Some(Check::new());
            self.pieces.extend(self.check.map(Piece::Check));
        }
    }

    /// Of all its bytes.
    fn length(&self) -> usize {
        let check = self.check.map_or(0, |_| Check::WIRE_LENGTH);
        self.members.last().map_or(0, |last| last.end) + check
    }
}

/// What came of one group's attempt.
enum Attempt {
    Replied(UnitReply),
    /// No room in the budget, and the client does not wait for it.
    Overloaded,
}

async fn attempt<'a>(core: &Core, group: Group<'a>, deadline: Deadline) -> (Group<'a>, Attempt) {
    let attempt = if group.exclusive {
        attempt_alone(core, &group, deadline).await
    } else {
        match group.pool.link(group.lane) {
            Some(link) => send(core, link, &group, deadline, deadline.at).await,
            None => lost(LossCause::Retired),
        }
    };
    (group, attempt)
}

/// On a connection of its own, where the server may hold back the reply.
async fn attempt_alone(core: &Core, group: &Group<'_>, deadline: Deadline) -> Attempt {
    let connection = match within(deadline.at, group.pool.exclusive()).await {
        Some(Ok(connection)) => connection,
        Some(Err(cause)) => return lost(cause),
        None => return lost(LossCause::Expired),
    };
    let Some(link) = connection.link() else { return lost(LossCause::Retired) };
    tokio::select! {
        biased;
        // A reply that came before the end is a reply, as it is on a shared link.
        reply = send(core, link, group, deadline, None) => reply,
        () = group.pool.until_severed() => {
            Attempt::Replied(UnitReply { values: Vec::new(), loss: Some(Loss::maybe_sent(LossCause::Retired)) })
        }
    }
}

/// `link_deadline` is for links that look at the clock; then they know best what became of a unit whose time is over.
async fn send(
    core: &Core,
    link: &Link,
    group: &Group<'_>,
    deadline: Deadline,
    link_deadline: Option<Instant>,
) -> Attempt {
    let length = group.length();
    let mut turn = None;
    if !link.budget().try_take(length) {
        match core.config.overload {
            OverloadPolicy::Fail => return Attempt::Overloaded,
            OverloadPolicy::Wait => {
                let mut place = link.budget().line_up();
                if within(deadline.at, link.budget().take_in_turn(&mut place, length)).await.is_none() {
                    return lost(LossCause::Expired);
                }
                turn = Some(place);
            }
        }
    }
    let mut pending = match link.send_unit(group.pieces.iter().copied(), length, link_deadline) {
        Ok(pending) => pending,
        Err(Refusal(cause)) => return lost(cause),
    };
    drop(turn);
    if let Some(reply) = within(deadline.at, &mut pending).await {
        return Attempt::Replied(reply);
    }
    if link_deadline.is_some() {
        pending.expire_now();
        if let Ok(reply) = timeout(LAST_WORD, &mut pending).await {
            return Attempt::Replied(reply);
        }
    }
    Attempt::Replied(pending.give_up(LossCause::Expired))
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
fn distribute(core: &Core, jobs: &mut [Job<'_>], group: &Group<'_>, attempt: Attempt, deadline: Deadline) {
    let UnitReply { values, loss } = match attempt {
        Attempt::Replied(reply) => reply,
        Attempt::Overloaded => {
            for member in &group.members {
                if let Some(job) = jobs.get_mut(member.job) {
                    job.overloaded();
                }
            }
            return;
        }
    };
    let mut values = values.into_iter();
    for member in &group.members {
        let Some(job) = jobs.get_mut(member.job) else { continue };
        let replies: Vec<Value> = values.by_ref().take(member.replies).collect();
        let aftermath = match &loss {
            Some(loss) if replies.len() < member.replies => {
                job.lost(&group.node, loss, loss.written >= member.end, deadline)
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
