//! Holds a history against what the servers have in the end. Pure: no clock, no task, no socket.
//!
//! It relies on what servers promise, and on nothing else: one primary executes one command after the other, and its
//! replica has a prefix of what it executed. So whatever of a key survives a failover, all before it survives too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display};

use crate::history::{Action, Call, Fate, Group, Key, Kind, Last, Reply};

/// How late a call may come back behind its deadline, in microseconds. The tests share their cores with six servers.
const SLACK: u64 = 5_000_000;

/// What servers may lose by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// Acknowledged writes of a primary that died, because replication is asynchronous: they are counted.
    Counted,
    /// Only what no replica had: a durable write that is missing is a violation.
    OfTheDurableExcluded,
}

/// What must not be, with the key whose history shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Violation {
    pub(crate) key: Key,
    pub(crate) what: String,
}

/// The judgement. Numbers beside the violations are of what may be.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    pub(crate) acknowledged: u64,
    pub(crate) durable: u64,
    pub(crate) maybe: u64,
    pub(crate) not_sent: u64,
    pub(crate) rejected: u64,
    /// Acknowledged writes that the servers do not have, other than durable ones.
    pub(crate) lost: u64,
    /// Reads of a value that was acknowledged to be replaced: where a write was lost.
    pub(crate) stale: u64,
    /// The same where the older write may have been sent again, or has never ended: its other copy may have come late.
    pub(crate) late: Vec<Late>,
}

/// A read of an older value, of which the history alone does not tell whether its write overtook the newer or that was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Late {
    pub(crate) key: Key,
    /// The read, the write that it should have seen, and the one that it saw.
    pub(crate) what: String,
    /// The begins of the newer write and of the read: what took the newer away was between.
    pub(crate) between: (u64, u64),
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, durable, maybe, not_sent, rejected, lost, stale, late, .. } = self;
        write!(
            f,
            "writes: {acknowledged} acknowledged ({durable} durable), {maybe} perhaps executed, {not_sent} not sent, \
             {rejected} rejected; {lost} lost by the servers, {stale} stale reads, {} overtaken by an older write",
            late.len()
        )
    }
}

/// `stalls`: when the process of the callers did not run at all, from and to, in microseconds. That is nobody's delay.
pub(crate) fn check(calls: &[Call], last: &Last, loss: Loss, stalls: &[(u64, u64)]) -> Verdict {
    judge(calls, Some(last), loss, stalls)
}

/// The same where nobody knows what the servers have in the end: what the replies alone show.
pub(crate) fn check_without_end(calls: &[Call], loss: Loss, stalls: &[(u64, u64)]) -> Verdict {
    judge(calls, None, loss, stalls)
}

fn judge(calls: &[Call], last: Option<&Last>, loss: Loss, stalls: &[(u64, u64)]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_key: BTreeMap<Key, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        by_key.entry(call.key).or_default().push(call);
        verdict.count(call);
        let stood: u64 =
            stalls.iter().map(|(from, to)| (*to).min(call.end).saturating_sub((*from).max(call.begin))).sum();
        if call.end.saturating_sub(call.begin) > call.limit + SLACK + stood {
            verdict.violates(call.key, format!("came back behind its deadline: {call}"));
        }
        if let Fate::Done { reply: Reply::Strange(reply), .. } = &call.fate {
            verdict.violates(call.key, format!("answered with {reply}: {call}"));
        }
    }
    // Keys that nobody has touched must be as they began.
    if let Some(last) = last {
        let there = last.registers.keys().chain(last.counters.keys()).chain(last.lists.keys());
        for key in there {
            by_key.entry(*key).or_default();
        }
    }
    for (key, calls) in &by_key {
        match key.kind {
            Kind::Register => registers(*key, calls, last, loss, &mut verdict),
            Kind::Counter => counters(*key, calls, last, loss, &mut verdict),
            Kind::List | Kind::Twin => lists(*key, calls, last, loss, &mut verdict),
        }
    }
    transactions(calls, last.unwrap_or(&Last::default()), &mut verdict);
    verdict.violations.sort();
    verdict
}

impl Verdict {
    /// The counts of another round beside these; its violations are not taken over, as they end a trial.
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.durable += other.durable;
        self.maybe += other.maybe;
        self.not_sent += other.not_sent;
        self.rejected += other.rejected;
        self.lost += other.lost;
        self.stale += other.stale;
        self.late.extend(other.late.iter().cloned());
    }

    /// Counts as stale reads the late ones in whose time servers may have lost a write by themselves.
    pub(crate) fn lost_between(&mut self, may_lose: impl Fn((u64, u64)) -> bool) {
        let all = self.late.len();
        self.late.retain(|late| !may_lose(late.between));
        self.stale += (all - self.late.len()) as u64;
    }

    fn violates(&mut self, key: Key, what: String) {
        self.violations.push(Violation { key, what });
    }

    fn count(&mut self, call: &Call) {
        match call.action {
            Action::Get | Action::GetAny => return,
            Action::Set(_) | Action::Incr | Action::Push(_) => {}
        }
        let counter = match &call.fate {
            Fate::Done { durable, .. } => {
                self.durable += u64::from(*durable);
                &mut self.acknowledged
            }
            Fate::Maybe(_) => &mut self.maybe,
            Fate::NotSent(_) => &mut self.not_sent,
            Fate::Rejected(_) => &mut self.rejected,
        };
        *counter += 1;
    }
}

/// The writes of a register by their tags, in the order of their one writer.
struct Writes<'a> {
    by_tag: HashMap<u64, &'a Call>,
    /// Those that a later read of the same task must see, by their ends.
    acknowledged: Vec<&'a Call>,
}

impl<'a> Writes<'a> {
    fn of(calls: &[&'a Call], loss: Loss) -> Self {
        let mut writes = Self { by_tag: HashMap::new(), acknowledged: Vec::new() };
        for call in calls {
            let Action::Set(tag) = call.action else { continue };
            writes.by_tag.insert(tag, call);
            let counts = match loss {
                Loss::Counted => call.is_done(),
                Loss::OfTheDurableExcluded => call.is_durable(),
            };
            if counts {
                writes.acknowledged.push(call);
            }
        }
        writes.acknowledged.sort_by_key(|call| call.end);
        writes
    }

    /// The last one that was acknowledged before `time`.
    fn before(&self, time: u64) -> Option<&'a Call> {
        let place = self.acknowledged.partition_point(|call| call.end < time);
        place.checked_sub(1).and_then(|place| self.acknowledged.get(place)).copied()
    }
}

fn registers(key: Key, calls: &[&Call], last: Option<&Last>, loss: Loss, verdict: &mut Verdict) {
    let writes = Writes::of(calls, loss);
    for call in calls {
        let Fate::Done { reply: Reply::Text(text), .. } = &call.fate else { continue };
        let Some(written) = whose(key, text.as_deref(), call.end, &writes, call, verdict) else {
            continue;
        };
        if call.action == Action::Get {
            compare(key, written, call.begin, &writes, loss, call, verdict);
        }
    }
    let Some(last) = last else { return };
    let Some(text) = last.registers.get(&key) else {
        verdict.violates(key, "was not read in the end".to_owned());
        return;
    };
    let what = format!("in the end {text:?}");
    if let Some(written) = whose(key, text.as_deref(), u64::MAX, &writes, &what, verdict) {
        compare(key, written, u64::MAX, &writes, loss, &what, verdict);
    }
}

/// The write that a text comes from: `None` in the inner place for the one that a register begins with. The outer
/// `None` is a violation, which is noted.
fn whose<'a>(
    key: Key,
    text: Option<&str>,
    end: u64,
    writes: &Writes<'a>,
    what: &dyn Display,
    verdict: &mut Verdict,
) -> Option<Option<&'a Call>> {
    let Some(text) = text else {
        verdict.violates(key, format!("was there all the time and is missing: {what}"));
        return None;
    };
    match key.tag(text) {
        None => verdict.violates(key, format!("has another key's value: {what}")),
        Some(0) => return Some(None),
        Some(tag) => match writes.by_tag.get(&tag) {
            None => verdict.violates(key, format!("has a value that nobody has written: {what}")),
            Some(write) if write.begin > end => {
                verdict.violates(key, format!("has a value before it was written: {what}; {write}"));
            }
            Some(write) if !write.may_have_run() => {
                verdict.violates(key, format!("a write that was not executed was: {write}; {what}"));
            }
            Some(write) => return Some(Some(write)),
        },
    }
    None
}

/// Whether a read that began at `time` may have seen what `written` wrote.
fn compare(
    key: Key,
    written: Option<&Call>,
    time: u64,
    writes: &Writes<'_>,
    loss: Loss,
    what: &dyn Display,
    verdict: &mut Verdict,
) {
    let Some(newest) = writes.before(time) else { return };
    let is_older = written.is_none_or(|written| written.begin < newest.begin);
    if !is_older {
        return;
    }
    if let Some(written) = written.filter(|written| !written.is_done() || !written.undisturbed) {
        let what = format!("{what}; should have seen {newest}; saw {written}");
        verdict.late.push(Late { key, what, between: (newest.begin, time) });
        return;
    }
    match loss {
        Loss::Counted => verdict.stale += 1,
        Loss::OfTheDurableExcluded => {
            verdict.violates(key, format!("a durable write is lost: {newest}; {what}"));
        }
    }
}

fn counters(key: Key, calls: &[&Call], last: Option<&Last>, loss: Loss, verdict: &mut Verdict) {
    let (base, mut seen, mut highest) = (key.base(), BTreeMap::new(), 0);
    let mut begins: Vec<u64> =
        calls.iter().filter(|call| call.may_have_run()).map(|call| call.begin).collect();
    begins.sort_unstable();
    for call in calls {
        let Fate::Done { reply, durable } = &call.fate else { continue };
        let Reply::Number(number) = reply else {
            verdict.violates(key, format!("an increment is answered with a number: {call}"));
            continue;
        };
        let possible = begins.partition_point(|begin| *begin <= call.end);
        let step = *number - base;
        if step < 1 || step > possible as i64 {
            let what = format!("{step} is not among the {possible} increments that had begun: {call}");
            verdict.violates(key, what);
        }
        if *durable {
            highest = highest.max(step);
            if let Some(other) = seen.insert(*number, *call)
                && loss == Loss::OfTheDurableExcluded
            {
                verdict.violates(key, format!("one number for two durable increments: {other}; {call}"));
            }
        }
    }
    let Some(last) = last else { return };
    let done = calls.iter().filter(|call| call.is_done()).count() as i64;
    let durable = calls.iter().filter(|call| call.is_durable()).count() as i64;
    let possible = begins.len() as i64;
    let Some(value) = last.counters.get(&key).map(|value| value - base) else {
        verdict.violates(key, "was not read in the end".to_owned());
        return;
    };
    if value > possible {
        verdict.violates(
            key,
            format!("was incremented {value} times, and at most {possible} are accounted for"),
        );
    }
    let least = durable.max(highest);
    if loss == Loss::OfTheDurableExcluded && value < least {
        verdict.violates(key, format!("durable increments are lost: {value} of at least {least}"));
    }
    verdict.lost += u64::try_from(done - value).unwrap_or(0);
}

fn lists(key: Key, calls: &[&Call], last: Option<&Last>, loss: Loss, verdict: &mut Verdict) {
    let by_tag: HashMap<u64, &Call> = calls
        .iter()
        .filter_map(|call| if let Action::Push(tag) = call.action { Some((tag, *call)) } else { None })
        .collect();
    let Some(last) = last else { return };
    let Some(list) = last.lists.get(&key) else {
        verdict.violates(key, "was not read in the end".to_owned());
        return;
    };
    let mut places: HashMap<u64, usize> = HashMap::new();
    // The pushes in the order of their execution.
    let mut order: Vec<&Call> = Vec::new();
    for (place, text) in list.iter().enumerate() {
        let Some(tag) = key.tag(text) else {
            verdict.violates(key, format!("has another key's element: {text}"));
            continue;
        };
        let Some(push) = by_tag.get(&tag) else {
            verdict.violates(key, format!("has an element that nobody has pushed: {text}"));
            continue;
        };
        if !push.may_have_run() {
            verdict.violates(key, format!("a push that was not executed was: {push}"));
        }
        if let Some(first) = places.insert(tag, place) {
            verdict.violates(key, format!("was executed twice, at {first} and {place}: {push}"));
            continue;
        }
        if let Fate::Done { reply, .. } = &push.fate
            && *reply != Reply::Number(place as i64 + 1)
        {
            verdict.violates(key, format!("is number {} of the list: {push}", place + 1));
        }
        order.push(push);
    }
    for push in
        by_tag.iter().filter(|(tag, push)| push.is_done() && !places.contains_key(tag)).map(|(_, push)| push)
    {
        if push.is_durable() && loss == Loss::OfTheDurableExcluded {
            verdict.violates(key, format!("a durable push is lost: {push}"));
        } else {
            verdict.lost += 1;
        }
    }
    in_order(key, &order, verdict);
}

/// What was acknowledged before another push began comes before it, whoever pushed; and the pushes of one pipeline are in
/// its order unless something was sent again.
fn in_order(key: Key, order: &[&Call], verdict: &mut Verdict) {
    let mut earliest: Option<&Call> = None;
    for push in order.iter().rev() {
        if let Some(later) = earliest.filter(|later| later.known_end() < push.begin) {
            verdict.violates(key, format!("was executed behind what began later: {later}; {push}"));
        }
        if earliest.is_none_or(|later| push.known_end() < later.known_end()) {
            earliest = Some(push);
        }
    }
    let mut places: HashMap<u64, usize> = HashMap::new();
    for push in order.iter().filter(|push| push.undisturbed) {
        let Some(Group { number, place, .. }) = push.group else { continue };
        if places.insert(number, place).is_some_and(|before| before > place) {
            verdict.violates(key, format!("was executed behind the next of its pipeline: {push}"));
        }
    }
}

/// Of a transaction that pushes to a list and to its twin, both are there or none; and what it reads behind its own
/// write is that write.
fn transactions(calls: &[Call], last: &Last, verdict: &mut Verdict) {
    let mut wholes: BTreeMap<u64, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        if let Some(Group { number, is_transaction: true, .. }) = call.group {
            wholes.entry(number).or_default().push(call);
        }
    }
    let mut there: BTreeMap<Key, BTreeSet<&str>> = BTreeMap::new();
    for (key, list) in &last.lists {
        there.insert(*key, list.iter().map(String::as_str).collect());
    }
    for whole in wholes.values() {
        let pushed: Vec<bool> = whole
            .iter()
            .filter_map(|call| match call.action {
                Action::Push(tag) => Some(there.get(&call.key)?.contains(call.key.text(tag).as_str())),
                Action::Set(_) | Action::Get | Action::GetAny | Action::Incr => None,
            })
            .collect();
        let Some(first) = whole.first() else { continue };
        if pushed.iter().any(|is_there| *is_there != pushed.iter().all(|is_there| *is_there)) {
            verdict.violates(first.key, format!("a transaction was executed in part: {pushed:?} of {first}"));
        }
        let mut written: BTreeMap<Key, u64> = BTreeMap::new();
        for call in whole {
            match (&call.action, &call.fate) {
                (Action::Set(tag), Fate::Done { .. }) => drop(written.insert(call.key, *tag)),
                (Action::Get | Action::GetAny, Fate::Done { reply: Reply::Text(text), .. }) => {
                    let own = written.get(&call.key).map(|tag| call.key.text(*tag));
                    if own.is_some() && own != *text {
                        verdict.violates(call.key, format!("somebody came between in a transaction: {call}"));
                    }
                }
                (
                    Action::Set(_) | Action::Get | Action::GetAny | Action::Incr | Action::Push(_),
                    Fate::Done { .. } | Fate::Maybe(_) | Fate::NotSent(_) | Fate::Rejected(_),
                ) => {}
            }
        }
    }
}
