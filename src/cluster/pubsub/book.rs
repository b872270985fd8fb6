//! [`Book`]: what is subscribed to, where it is in force, and who waits for it. Pure but for the ends of the channels by
//! which the handles are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Context;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cluster::pubsub::event::{GapCause, Subscription};
use crate::cluster::pubsub::line::{LineId, Ticket};
use crate::error::{Error, Result};

/// One subscription.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Where its messages come from. Those of other lines do not count.
    pub(super) active: Option<LineId>,
    /// Where it was asked for and not answered yet; it may be in force elsewhere until then, so that a wrong map costs
    /// no message.
    pub(super) asked: Option<(LineId, Ticket)>,
    /// Was in force once, so the reader counts on it.
    was_active: bool,
    /// Why messages may be missing when it is in force again.
    owes: Option<GapCause>,
    /// The line whose node ended it by itself.
    dismissed_by: Option<LineId>,
    /// Attempts without success since.
    pub(super) tries: u32,
    pub(super) not_before: Option<Instant>,
    /// A command with others was refused: one of them may be the cause for all.
    pub(super) alone: bool,
}

impl Entry {
    /// Whether it is in force on this line, or asked for there.
    pub(super) fn is_at(&self, line: LineId) -> bool {
        self.active == Some(line) || self.asked.is_some_and(|(asked, _)| asked == line)
    }
}

/// An entry that was taken out, with what has to be ended at the servers.
pub(super) type Removed = Vec<(Subscription, Entry)>;

#[derive(Debug)]
struct Request {
    all: Vec<Subscription>,
    awaiting: BTreeSet<Subscription>,
    /// What is there on account of this request alone, and goes if it fails.
    added: BTreeSet<Subscription>,
    deadline: Option<Instant>,
    done: oneshot::Sender<Result<()>>,
}

#[derive(Debug)]
struct Release {
    awaiting: BTreeSet<(LineId, Ticket)>,
    done: oneshot::Sender<Result<()>>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<Subscription, Entry>,
    /// Those that are not where they should be.
    todo: BTreeSet<Subscription>,
    requests: Vec<Request>,
    releases: Vec<Release>,
}

/// What a confirmation brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// The line where it was in force until now.
    pub(super) left: Option<LineId>,
    /// Messages may be missing before this place.
    pub(super) gap: Option<GapCause>,
    /// The node that has just ended it took it back.
    pub(super) is_back: bool,
}

impl Book {
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Subscription, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn entry_mut(&mut self, subscription: &Subscription) -> Option<&mut Entry> {
        self.entries.get_mut(subscription)
    }

    /// Whether this line is the one whose messages count.
    pub(super) fn is_active(&self, subscription: &Subscription, line: LineId) -> bool {
        self.entries.get(subscription).is_some_and(|entry| entry.active == Some(line))
    }

    pub(super) fn todo(&self) -> Vec<Subscription> {
        self.todo.iter().cloned().collect()
    }

    pub(super) fn add_to_do(&mut self, subscriptions: impl IntoIterator<Item = Subscription>) {
        self.todo.extend(subscriptions);
    }

    /// It is where it should be, or on its way there.
    pub(super) fn is_done(&mut self, subscription: &Subscription) {
        self.todo.remove(subscription);
    }

    pub(super) fn subscribe(
        &mut self,
        all: Vec<Subscription>,
        deadline: Option<Instant>,
        done: oneshot::Sender<Result<()>>,
    ) {
        let mut request =
            Request { awaiting: BTreeSet::new(), added: BTreeSet::new(), deadline, done, all: Vec::new() };
        for subscription in &all {
            let is_new = !self.entries.contains_key(subscription);
            let entry = self.entries.entry(subscription.clone()).or_default();
            if is_new {
                request.added.insert(subscription.clone());
                self.todo.insert(subscription.clone());
            }
            if entry.active.is_none() {
                request.awaiting.insert(subscription.clone());
            }
        }
        request.all = all;
        self.requests.push(request);
    }

    /// Takes these out. Who waits for one of them is told so.
    pub(super) fn unsubscribe(&mut self, subscriptions: &[Subscription]) -> Removed {
        let mut removed = Removed::new();
        for subscription in subscriptions {
            let error = || Error::usage("it was unsubscribed from before the subscription was confirmed");
            removed.extend(self.fail(subscription, &error()));
            removed.extend(self.remove(subscription));
        }
        removed
    }

    /// Answers when all of these are done.
    pub(super) fn await_release(
        &mut self,
        awaiting: BTreeSet<(LineId, Ticket)>,
        done: oneshot::Sender<Result<()>>,
    ) {
        self.releases.push(Release { awaiting, done });
        self.answer_releases();
    }

    pub(super) fn released(&mut self, line: LineId, ticket: Ticket) {
        for release in &mut self.releases {
            release.awaiting.remove(&(line, ticket));
        }
        self.answer_releases();
    }

    fn answer_releases(&mut self) {
        for release in self.releases.extract_if(.., |release| release.awaiting.is_empty()) {
            // A handle that is gone needs no answer.
            drop(release.done.send(Ok(())));
        }
    }

    fn remove(&mut self, subscription: &Subscription) -> Option<(Subscription, Entry)> {
        self.todo.remove(subscription);
        self.entries.remove_entry(subscription)
    }

    /// A server has confirmed what it was asked for with this ticket. `None`: it is not wanted there any more.
    pub(super) fn confirmed(
        &mut self,
        line: LineId,
        ticket: Ticket,
        subscription: &Subscription,
    ) -> Option<Confirmed> {
        let entry = self.entries.get_mut(subscription)?;
        entry.asked.take_if(|asked| *asked == (line, ticket))?;
        let left = entry.active.replace(line).filter(|old| *old != line);
        let moved = left.map(|_| GapCause::SlotMoved);
        let is_back = entry.dismissed_by.take() == Some(line);
        let gap = entry.owes.take().or(moved).filter(|_| entry.was_active);
        entry.was_active = true;
        entry.tries = 0;
        entry.not_before = None;
        entry.alone = false;
        for request in &mut self.requests {
            request.awaiting.remove(subscription);
        }
        Some(Confirmed { left, gap, is_back })
    }

    /// The server has ended it by itself. Whether that interrupts the reader's messages.
    pub(super) fn dismissed(&mut self, line: LineId, subscription: &Subscription) -> bool {
        let Some(entry) = self.entries.get_mut(subscription) else { return false };
        if entry.active.take_if(|active| *active == line).is_none() {
            return false;
        }
        entry.owes = Some(GapCause::SlotMoved);
        entry.dismissed_by = Some(line);
        self.todo.insert(subscription.clone());
        true
    }

    /// The line is gone: which subscriptions that interrupts.
    pub(super) fn lost(&mut self, line: LineId, cause: GapCause) -> Vec<Subscription> {
        let mut interrupted = Vec::new();
        for (subscription, entry) in &mut self.entries {
            let was_asked = entry.asked.take_if(|(asked, _)| *asked == line).is_some();
            if entry.active.take_if(|active| *active == line).is_some() {
                entry.owes = Some(cause);
                interrupted.push(subscription.clone());
            } else if !was_asked {
                continue;
            }
            self.todo.insert(subscription.clone());
        }
        self.releases.iter_mut().for_each(|release| release.awaiting.retain(|(other, _)| *other != line));
        self.answer_releases();
        interrupted
    }

    /// Takes back what a line was asked for with this ticket, so that it is asked for anew. The names that this concerns.
    pub(super) fn not_confirmed(
        &mut self,
        line: LineId,
        ticket: Ticket,
        subscriptions: Vec<Subscription>,
    ) -> Vec<Subscription> {
        let mut concerned = Vec::new();
        for subscription in subscriptions {
            let Some(entry) = self.entries.get_mut(&subscription) else { continue };
            if entry.asked.take_if(|asked| *asked == (line, ticket)).is_some() {
                self.todo.insert(subscription.clone());
                concerned.push(subscription);
            }
        }
        concerned
    }

    /// A server refuses it for good. Tells whether it was in force before, and what else goes with the requests that
    /// fail for it.
    pub(super) fn refused(&mut self, subscription: &Subscription, error: &Error) -> (bool, Removed) {
        let mut removed = self.fail(subscription, error);
        let own = self.remove(subscription);
        let was_active = own.as_ref().is_some_and(|(_, entry)| entry.was_active);
        removed.extend(own);
        (was_active, removed)
    }

    /// Fails the requests that wait for this one.
    fn fail(&mut self, subscription: &Subscription, error: &Error) -> Removed {
        let mut removed = Removed::new();
        while let Some(place) =
            self.requests.iter().position(|request| request.awaiting.contains(subscription))
        {
            let request = self.requests.remove(place);
            removed.extend(self.take_back(&request.added));
            drop(request.done.send(Err(error.clone())));
        }
        removed
    }

    /// Ends what is there on account of one request; unless another waits for it, and takes it over.
    fn take_back(&mut self, added: &BTreeSet<Subscription>) -> Removed {
        let mut removed = Removed::new();
        for subscription in added {
            let heir = self.requests.iter_mut().find(|request| request.all.contains(subscription));
            match heir {
                Some(heir) => drop(heir.added.insert(subscription.clone())),
                None => removed.extend(self.remove(subscription)),
            }
        }
        removed
    }

    /// Answers the requests that have what they wait for, and fails those whose time is over. What the latter, and those
    /// whose handle is gone, had added is taken back. `cx` is woken when a handle goes.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        overdue: impl Fn() -> Error,
    ) -> Removed {
        let mut removed = Removed::new();
        let mut place = 0;
        while let Some(request) = self.requests.get_mut(place) {
            let is_gone = request.done.poll_closed(cx).is_ready();
            let is_over = request.deadline.is_some_and(|deadline| deadline <= now);
            if !(is_gone || is_over || request.awaiting.is_empty()) {
                place += 1;
                continue;
            }
            let request = self.requests.remove(place);
            let has_all = request.awaiting.is_empty();
            let answer = if has_all { Ok(()) } else { Err(overdue()) };
            // Who went away at this very moment does not know that it is subscribed.
            if request.done.send(answer).is_ok() && has_all {
                for other in &mut self.requests {
                    other.added.retain(|added| !request.all.contains(added));
                }
            } else {
                removed.extend(self.take_back(&request.added));
            }
        }
        removed
    }

    /// When the time of a request is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.requests.iter().filter_map(|request| request.deadline).min()
    }
}
