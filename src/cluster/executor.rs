//! The loop of attempts: the only place where a command is sent again. Single commands, parts of a split, pipelines
//! and transactions all go through it.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

use crate::cluster::acknowledged::{Acknowledged, acknowledged};
use crate::cluster::attempt::{Attempt, attempt, within};
use crate::cluster::core::Core;
use crate::cluster::figures::count_errors;
use crate::cluster::group::{Group, Member, group};
use crate::cluster::job::{Aftermath, Asked, Deadline, Job};
use crate::cluster::learned::{learned_of, name_of};
use crate::cluster::merging::merge_parts;
use crate::cluster::unit::Unit;
use crate::command::{Command, Target, strange};
use crate::connection::loss::Loss;
use crate::connection::pool::NodePool;
use crate::connection::unit::UnitReply;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::protocol::value::Value;
use crate::routing::plan::{Parts, Place, Plan, Shape, plan};
use crate::stats::refresh_cause::RefreshCause;

/// The first attempt of a command, made outside (the fast path), that was not the last.
#[derive(Debug)]
pub(crate) struct FirstAttempt {
    pub(crate) node: NodeAddr,
    pub(crate) place: Place,
    /// The node was asked as a replica.
    pub(crate) is_replica: bool,
    pub(crate) reply: Result<Value, Box<Loss>>,
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
        let asked = Asked { node: &first.node, is_replica: first.is_replica };
        let aftermath = match first.reply {
            Ok(value) => {
                let mut reply = std::iter::once(value);
                job.answered(asked, &mut reply, 1, false, &core.config)
            }
            Err(loss) => {
                let sent = loss.written >= command.body().wire_length();
                job.lost(asked, &loss, sent, deadline, &core.config)
            }
        };
        // A node that has left meanwhile needs no pool for this.
        let pool = core.routes().at(&first.node).cloned();
        settle(core, pool.as_deref(), aftermath);
        let mut jobs = [job];
        run(core, &mut jobs, deadline, None).await;
        let [mut job] = jobs;
        return job.take_result();
    }
    let mut results = execute_all(core, std::slice::from_ref(command), deadline).await;
    results.pop().unwrap_or_else(|| Err(Error::closed()))
}

/// Executes commands side by side; each gets its own result, in order.
pub(crate) async fn execute_all(core: &Core, commands: &[Command], deadline: Deadline) -> Vec<Result<Value>> {
    execute_and_wait(core, commands, None, deadline).await.0
}

/// The same, with `wait` (a `WAIT` or `WAITAOF`) behind the writes of each node, on their own connection; and what each of
/// these said.
pub(crate) async fn execute_and_wait(
    core: &Core,
    commands: &[Command],
    wait: Option<&Command>,
    deadline: Deadline,
) -> (Vec<Result<Value>>, Vec<Acknowledged>) {
    let commands = &*learn(core, commands, deadline).await;
    let (plain, specials) = plan_all(core, commands);
    let mut jobs = weave(core, plain, &specials);
    if wait.is_some() {
        // What is read with writes is read behind them.
        jobs.iter_mut().for_each(Job::read_at_primary);
    }
    let acknowledged = run(core, &mut jobs, deadline, wait).await;
    (results_of(&specials, &mut jobs, commands.len()), acknowledged)
}

/// The result of each of `count` commands, in order, by those of all jobs that [`weave`] made of them.
pub(super) fn results_of(specials: &[Special<'_>], jobs: &mut [Job<'_>], count: usize) -> Vec<Result<Value>> {
    let mut whole = Vec::with_capacity(count);
    let mut rest = jobs;
    for Special { place, command, plan } in specials {
        let plain = rest.split_off_mut(..place - whole.len()).unwrap_or_default();
        whole.extend(plain.iter_mut().map(Job::take_result));
        whole.push(match plan {
            Ok(parts) => {
                let jobs = rest.split_off_mut(..parts.shape.len()).unwrap_or_default();
                merge_parts(command, &parts.merge, jobs)
            }
            Err(refusal) => {
                Err(refusal.clone().with_command(command.shared_name()).with_slot(command.marked_slot()))
            }
        });
    }
    whole.extend(rest.iter_mut().map(Job::take_result));
    whole
}

/// The commands with what servers know of those that the table does not. A server that does not know one either, or must not
/// tell, changes nothing: the command goes to any primary, whose error says more.
pub(crate) async fn learn<'a>(
    core: &Core,
    commands: &'a [Command],
    deadline: Deadline,
) -> Cow<'a, [Command]> {
    if !commands.iter().any(strange) {
        return Cow::Borrowed(commands);
    }
    let mut learned = commands.to_vec();
    for command in learned.iter_mut().filter(|command| strange(command)) {
        let name = name_of(command);
        let place = core.learned.place(&name);
        let asking = place.get_or_try_init(async || {
            let info = Command::new("COMMAND INFO").arg(&name);
            ask(core, info, deadline).await.ok().and_then(|reply| learned_of(&reply)).ok_or(())
        });
        // Another caller may be asking, and have more time than this one.
        let Some(Ok(known)) = within(deadline.at, asking).await else { continue };
        let known = known.of(command).clone();
        if known.has_movable_keys {
            let question = Command::new("COMMAND GETKEYS").args(command.body().iter());
            if let Ok(Value::Array(keys)) = ask(core, question, deadline).await {
                command.mark_keys(keys.iter().filter_map(Value::as_bytes));
            }
        }
        command.learn(known.spec);
    }
    Cow::Owned(learned)
}

/// The same of commands that are owned, without a copy where there is nothing to learn.
pub(crate) async fn learn_all(core: &Core, commands: Vec<Command>, deadline: Deadline) -> Vec<Command> {
    let learned = match learn(core, &commands, deadline).await {
        Cow::Owned(learned) => Some(learned),
        Cow::Borrowed(_) => None,
    };
    learned.unwrap_or(commands)
}

/// The same of one.
pub(crate) async fn learn_one(core: &Core, command: Command, deadline: Deadline) -> Command {
    let learned = match learn(core, std::slice::from_ref(&command), deadline).await {
        Cow::Owned(mut learned) => learned.pop(),
        Cow::Borrowed(_) => None,
    };
    learned.unwrap_or(command)
}

/// By a function of its own with a boxed future: this is asked on the way of another command.
fn ask(core: &Core, command: Command, deadline: Deadline) -> BoxFuture<'_, Result<Value>> {
    async move { execute(core, &command.to(Target::Random), None, deadline).await }.boxed()
}

/// Executes a copy of `command` at each node that it is for; each has its own result, in the order of the map.
pub(crate) async fn execute_each(
    core: &Core,
    command: &Command,
    deadline: Deadline,
) -> Result<Vec<(NodeAddr, Result<Value>)>> {
    let learned = learn(core, std::slice::from_ref(command), deadline).await;
    let command = learned.first().unwrap_or(command);
    let named = |error: Error| error.with_command(command.shared_name()).with_slot(command.marked_slot());
    let places = {
        let routes = core.routes();
        match plan(command, routes.map()).map_err(named)? {
            Plan::One(place) => vec![place],
            Plan::Parts(parts) => match parts.shape {
                Shape::Copies(places) => places,
                Shape::BySlot(_) => {
                    return Err(named(Error::usage(
                        "its keys are in different slots: each node would get its own part of it, not a copy",
                    )));
                }
            },
        }
    };
    let mut jobs: Vec<Job<'_>> =
        places.into_iter().map(|place| Job::new(Unit::Command(command), place).with_witness()).collect();
    run(core, &mut jobs, deadline, None).await;
    let told = jobs.iter_mut().map(|job| {
        let result = job.take_result();
        // Who was never asked has no name only if there is nobody to ask.
        let node =
            job.witness().ok_or_else(|| result.as_ref().err().cloned().unwrap_or_else(Error::closed))?;
        Ok((node, result))
    });
    told.collect()
}

/// A command that does not go to one place as it is.
pub(super) struct Special<'a> {
    /// Its place among the commands.
    place: usize,
    command: &'a Command,
    /// An error if it goes nowhere.
    plan: Result<Box<Parts<'a>>>,
}

/// A job for each usual command, and the special ones; both in order.
pub(super) fn plan_all<'a>(core: &Core, commands: &'a [Command]) -> (Vec<Job<'a>>, Vec<Special<'a>>) {
    let routes = core.routes();
    let mut jobs = Vec::with_capacity(commands.len());
    let mut specials = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        let plan = match plan(command, routes.map()) {
            Ok(Plan::One(place)) => {
                let place = core.place_of(command, place);
                jobs.push(Job::new(Unit::Command(command), place));
                continue;
            }
            Ok(Plan::Parts(parts)) => Ok(parts),
            Err(refusal) => Err(refusal),
        };
        specials.push(Special { place, command, plan });
    }
    (jobs, specials)
}

/// Puts the jobs of each special command between those of the commands before and behind it.
pub(super) fn weave<'a>(core: &Core, plain: Vec<Job<'a>>, specials: &'a [Special<'a>]) -> Vec<Job<'a>> {
    if specials.is_empty() {
        return plain;
    }
    let parts = specials.iter().filter_map(|special| special.plan.as_ref().ok());
    let mut jobs = Vec::with_capacity(plain.len() + parts.map(|parts| parts.shape.len()).sum::<usize>());
    let mut plain = plain.into_iter();
    let mut from = 0;
    for Special { place, command, plan } in specials {
        jobs.extend(plain.by_ref().take(place - from));
        from = place + 1;
        match plan.as_ref().map(|parts| &parts.shape) {
            Ok(Shape::Copies(places)) => {
                jobs.extend(places.iter().map(|place| Job::new(Unit::Command(command), place.clone())))
            }
            Ok(Shape::BySlot(cut)) => {
                let place = |slot| core.place_of(command, Place::Slot(slot));
                jobs.extend(cut.parts().map(|(slot, part)| Job::new(Unit::Part(part), place(slot))))
            }
            Err(_) => {}
        }
    }
    jobs.extend(plain);
    jobs
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
        Place::Read(_) | Place::Node(_) | Place::Shard { .. } | Place::Any => None,
    };
    let mut jobs = [Job::new(Unit::Transaction { commands, slot }, place)];
    run(core, &mut jobs, deadline, None).await;
    let [mut job] = jobs;
    job.take_result()
}

/// Makes attempts until each job is settled or the deadline has passed. No group of jobs waits for another: a node that
/// is silent holds up its own jobs only. Each group with writes has `wait` behind it; what these said is returned.
pub(super) async fn run<'a>(
    core: &Core,
    jobs: &mut [Job<'a>],
    deadline: Deadline,
    wait: Option<&'a Command>,
) -> Vec<Acknowledged> {
    let _counted = core.slow_request();
    let mut told = Vec::new();
    let mut under_way = FuturesUnordered::new();
    // Jobs that are neither settled nor under way.
    let mut waiting: Vec<usize> =
        jobs.iter().enumerate().filter(|(_, job)| !job.is_settled()).map(|(index, _)| index).collect();
    loop {
        let due = take_due(core, jobs, &mut waiting, deadline);
        for group in group(core, jobs, due, &mut waiting, wait) {
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
                told.extend(distribute(core, jobs, &group, attempt, deadline, wait));
                let unsettled = |member: &&Member| jobs.get(member.job).is_some_and(|job| !job.is_settled());
                waiting.extend(group.members().iter().filter(unsettled).map(|member| member.job));
                // The order of submission holds among the jobs that go again together.
                waiting.sort_unstable();
            }
            else => {
                if waiting.is_empty() {
                    count_errors(core, jobs);
                    return told;
                }
            }
        }
    }
}

/// Moves the jobs out of `waiting` whose next attempt is due; ends those for which there will be none.
fn take_due(core: &Core, jobs: &mut [Job<'_>], waiting: &mut Vec<usize>, deadline: Deadline) -> Vec<usize> {
    let now = Instant::now();
    if core.has_ended() {
        waiting.drain(..).for_each(|index| {
            if let Some(job) = jobs.get_mut(index) {
                job.closed()
            }
        });
    } else if deadline.at.is_some_and(|at| at <= now) {
        waiting.drain(..).for_each(|index| {
            if let Some(job) = jobs.get_mut(index) {
                job.expire(deadline)
            }
        });
    }
    let pause_of = |index: usize| jobs.get(index).and_then(Job::not_before);
    // Those that wait go on together, each in its place: two commands on one key that were refused for the same reason
    // keep their order.
    match waiting.iter().filter_map(|index| pause_of(*index)).min() {
        Some(first) if first > now => waiting.extract_if(.., |index| pause_of(*index).is_none()).collect(),
        Some(_) | None => std::mem::take(waiting),
    }
}

/// Waits until then; true if the routes have changed before.
pub(super) async fn pause(core: &Core, until: Option<Instant>) -> bool {
    let Some(until) = until else { return false };
    tokio::select! {
        biased;
        () = core.signal.changed() => true,
        () = sleep_until(until) => false,
    }
}

/// Gives each job of the group its replies, or its share of the loss; what `wait` said of them.
fn distribute(
    core: &Core,
    jobs: &mut [Job<'_>],
    group: &Group<'_>,
    attempt: Attempt,
    deadline: Deadline,
    wait: Option<&Command>,
) -> Option<Acknowledged> {
    let UnitReply { values, of_one, loss } = match attempt {
        Attempt::Replied(reply) => reply,
        Attempt::Overloaded => {
            for member in group.members() {
                if let Some(job) = jobs.get_mut(member.job) {
                    job.overloaded();
                }
            }
            return None;
        }
    };
    let mut values = values.into_iter();
    for member in group.members() {
        let Some(job) = jobs.get_mut(member.job) else { continue };
        let aftermath = match &loss {
            Some(loss) if values.len() < member.replies => {
                values.by_ref().for_each(drop);
                job.lost(group.asked(), loss, loss.written >= member.end, deadline, &core.config)
            }
            Some(_) | None => job.answered(group.asked(), &mut values, member.replies, of_one, &core.config),
        };
        settle(core, Some(&group.pool), aftermath);
    }
    wait.and_then(|wait| acknowledged(group, wait, jobs, values.next(), loss.as_ref()))
}

#[inline]
pub(super) fn settle(core: &Core, asked: Option<&NodePool>, aftermath: Aftermath) {
    match aftermath {
        Aftermath::Nothing => {}
        Aftermath::Refresh(cause) => core.signal.request(cause),
        Aftermath::Avoid => {
            asked.into_iter().for_each(NodePool::avoid);
            core.signal.request(RefreshCause::Replica);
        }
        Aftermath::Followed(redirect) => core.redirected(&redirect),
    }
}
