//! The task of a subscriber: owns its connections, and sees to it that each subscription is in force where its messages
//! are.
//!
//! All its decisions are made between two polls, by one hand: what a connection, the map or a handle brings is applied
//! whole before the next is looked at, so it can be stopped at any time without leaving anything half done.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use litemap::LiteMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cluster::connect::Cluster;
use crate::cluster::core::Core;
use crate::cluster::pubsub::book::{Book, Removed};
use crate::cluster::pubsub::event::{
    Ended, Gap, GapCause, Interruption, PubSubEvent, Subscription, SubscriptionKind, SubscriptionState,
};
use crate::cluster::pubsub::line::{Line, LineEvent, LineId, Role, Ticket};
use crate::cluster::pubsub::lines::{Batch, Lines, NAMES, Spot, backoff};
use crate::cluster::pubsub::mailbox::Mailbox;
use crate::cluster::pubsub::options::SubscriberOptions;
use crate::cluster::pubsub::order::Order;
use crate::cluster::pubsub::refusal::{overdue, refusal};
use crate::error::{Error, Redirect, RedirectKind};
use crate::node::NodeAddr;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::routing::redirect::{Verdict, judge};
use crate::slot::Slot;
use crate::stats::refresh_cause::RefreshCause;
use crate::topology::slot_map::Health;

/// Redirects that are followed without a pause; nodes that disagree need time, not more questions.
const HOPS_AT_ONCE: u32 = 3;

/// The first pause before the topology is asked for again, doubled each time, and how many times that is: some six seconds
/// in all.
const FIRST_DOUBT: Duration = Duration::from_millis(50);
const DOUBTS: u32 = 6;

/// When nothing is due at all; any time would do.
const IDLE: Duration = Duration::from_secs(3600);

/// Serves until the client is closed or the handles are gone.
pub(crate) async fn drive(
    cluster: Arc<Cluster>,
    mailbox: Arc<Mailbox>,
    options: SubscriberOptions,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let _ending = Ending(&mailbox);
    let core = cluster.core();
    let mut driver = Driver::new(core, &mailbox, options);
    let mut ended = pin!(core.until_ended());
    let mut changed = pin!(core.signal.changed());
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut has_changed = false;
            while changed.as_mut().poll(cx).is_ready() {
                changed.set(core.signal.changed());
                has_changed = true;
            }
            // Only now, when the next change cannot be missed.
            if has_changed {
                driver.look_at_the_map();
            }
            while let Poll::Ready(order) = orders.poll_recv(cx) {
                let Some(order) = order else { return Poll::Ready(()) };
                driver.obey(order);
            }
            let Some(due) = driver.turn(cx) else { continue };
            timer.as_mut().reset(due);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// Tells the reader whenever the task ends, also when its runtime does: nothing more will come.
struct Ending<'a>(&'a Mailbox);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Driver<'a> {
    core: &'a Core,
    mailbox: &'a Mailbox,
    options: SubscriberOptions,
    book: Book,
    lines: Lines<'a>,
    /// To be told before the next message.
    interrupted: LiteMap<GapCause, Vec<Subscription>>,
    gaps: LiteMap<GapCause, Vec<Subscription>>,
    /// Something may have to be placed now, ...
    is_untidy: bool,
    /// ... or then.
    next_look: Option<Instant>,
    /// The reader has room, so the lines are listened to.
    is_listening: bool,
    /// A line may have nothing left to do.
    has_left_a_line: bool,
    /// A node has ended subscriptions and taken them back: it is a replica now, most likely, and the others will know soon
    /// who is the primary. When they are asked again, and how often they were.
    doubt: Option<(Instant, u32)>,
    /// The last thing that went wrong, for those whose time is over.
    trouble: Option<String>,
}

impl<'a> Driver<'a> {
    fn new(core: &'a Core, mailbox: &'a Mailbox, options: SubscriberOptions) -> Self {
        Self {
            core,
            mailbox,
            options,
            book: Book::default(),
            lines: Lines::new(core),
            interrupted: LiteMap::new(),
            gaps: LiteMap::new(),
            is_untidy: false,
            next_look: None,
            is_listening: true,
            has_left_a_line: false,
            doubt: None,
            trouble: None,
        }
    }

    fn obey(&mut self, order: Order) {
        self.is_untidy = true;
        match order {
            Order::Subscribe { done, .. } if self.core.is_closed() => drop(done.send(Err(Error::closed()))),
            Order::Subscribe { subscriptions, deadline, done } => {
                self.book.subscribe(subscriptions, deadline, done);
            }
            Order::Unsubscribe { subscriptions, done } => {
                let removed = self.book.unsubscribe(&subscriptions);
                let awaited = self.release(removed);
                self.book.await_release(awaited, done);
            }
            // A handle that is gone needs no answer.
            Order::List(done) => drop(done.send(self.list())),
        }
    }

    fn list(&self) -> Vec<SubscriptionState> {
        let node_of = |id| Some(self.lines.get(id)?.node.clone());
        let states = self.book.entries().map(|(subscription, entry)| SubscriptionState {
            subscription: subscription.clone(),
            node: entry.active.and_then(node_of),
        });
        states.collect()
    }

    /// The topology has changed: what is elsewhere now has to move, and a node that is gone does not broadcast.
    fn look_at_the_map(&mut self) {
        let map = Arc::clone(self.core.routes().map());
        let is_elsewhere = |subscription: &Subscription, id: LineId| {
            let owner = map.primary_of(Slot::of_key(&subscription.name));
            match (owner, self.lines.get(id)) {
                (Some(owner), Some(line)) => owner.addr != line.node,
                (None, _) | (_, None) => false,
            }
        };
        let shards =
            self.book.entries().filter(|(subscription, _)| subscription.kind == SubscriptionKind::Shard);
        let moved: Vec<Subscription> = shards
            .filter(|(subscription, entry)| {
                let here = entry.asked.map(|(line, _)| line).or(entry.active);
                here.is_some_and(|line| is_elsewhere(subscription, line))
            })
            .map(|(subscription, _)| subscription.clone())
            .collect();
        if !moved.is_empty() {
            self.doubt = None;
        }
        self.book.add_to_do(moved);
        let is_alive = |addr: &NodeAddr| {
            let node = map.index_of(addr).and_then(|index| map.node(index));
            node.is_some_and(|node| node.health != Health::Failed)
        };
        let gone =
            self.lines.list.iter().position(|line| line.role == Role::Broadcast && !is_alive(&line.node));
        if let Some(place) = gone.filter(|_| map.nodes().iter().any(|node| node.health != Health::Failed)) {
            self.lose(place, GapCause::NodeGone);
        }
        self.is_untidy = true;
    }

    /// Does what can be done now. When there is something to be done later, or `None` if at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        self.listen(cx, now);
        let trouble = &self.trouble;
        let limit = self.options.timeout.unwrap_or(self.core.config.command_timeout);
        let removed = self.book.settle(now, cx, || overdue(limit, trouble.as_deref()));
        self.release(removed);
        self.tell();
        if let Some((_, asked)) = self.doubt.filter(|(at, _)| *at <= now) {
            self.core.signal.request(RefreshCause::Asked);
            self.doubt = (asked < DOUBTS).then(|| (now + FIRST_DOUBT * (2 << asked), asked + 1));
        }
        if self.is_untidy || self.next_look.is_some_and(|look| look <= now) {
            self.is_untidy = false;
            self.next_look = self.place(now);
        }
        self.lines.list.iter_mut().for_each(|line| line.flush(cx));
        if self.is_untidy || (self.is_listening && self.lines.list.iter().any(Line::has_news)) {
            return None;
        }
        let looks = self.lines.list.iter().filter_map(|line| line.due(self.options.keep_alive));
        let dues = looks.chain(self.book.deadline()).chain(self.next_look);
        let dues = dues.chain(self.doubt.map(|(at, _)| at));
        Some(dues.min().unwrap_or(now + IDLE))
    }

    /// Takes what the lines bring, as long as the reader wants it.
    fn listen(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut place = 0;
        while place < self.lines.list.len() {
            self.is_listening = self.mailbox.wants_more(cx);
            if !self.is_listening {
                self.lines.list.iter_mut().for_each(|line| line.excuse(now));
                return;
            }
            let Some(line) = self.lines.list.get_mut(place) else { return };
            match line.poll(cx) {
                Poll::Ready(event) => self.hear(place, event),
                Poll::Pending => {
                    line.look_at_the_clock(now, self.options.keep_alive);
                    if !line.has_news() {
                        place += 1;
                    }
                }
            }
        }
    }

    fn hear(&mut self, place: usize, event: LineEvent) {
        let Some(line) = self.lines.list.get(place) else { return };
        let id = line.id;
        match event {
            LineEvent::Message(subscription, message) => {
                // One that was unsubscribed from, or is in force elsewhere, may still come.
                if self.book.is_active(&subscription, id) {
                    self.tell();
                    self.mailbox.push(PubSubEvent::Message(message));
                }
            }
            LineEvent::Opened => self.is_untidy = true,
            LineEvent::Confirmed(ticket, subscription) => {
                let Some(confirmed) = self.book.confirmed(id, ticket, &subscription) else { return };
                self.trouble = None;
                if confirmed.is_back {
                    self.doubt = Some((Instant::now() + FIRST_DOUBT, 0));
                }
                if let Some(left) = confirmed.left {
                    self.lines.leave(vec![(left, subscription.clone())]);
                }
                if let Some(cause) = confirmed.gap {
                    self.gaps.entry(cause).or_default().push(subscription);
                }
            }
            LineEvent::Refused(ticket, subscriptions, error) => {
                self.refused(place, ticket, subscriptions, &error);
            }
            LineEvent::Unanswered(ticket, subscriptions) => {
                let concerned = self.book.not_confirmed(id, ticket, subscriptions);
                self.pause(&concerned, 0);
            }
            LineEvent::Released(ticket) => {
                self.book.released(id, ticket);
                (self.has_left_a_line, self.is_untidy) = (true, true);
            }
            LineEvent::Dismissed(subscription) => {
                if self.book.dismissed(id, &subscription) {
                    self.interrupted.entry(GapCause::SlotMoved).or_default().push(subscription);
                    self.core.signal.request(RefreshCause::Moved);
                    self.is_untidy = true;
                }
            }
            LineEvent::Lost(cause) => {
                self.trouble = Some(format!("{}: {cause}", line.node));
                self.lose(place, GapCause::ConnectionLost);
            }
        }
    }

    /// A server has answered with an error.
    fn refused(&mut self, place: usize, ticket: Ticket, names: Vec<Subscription>, error: &ServerError) {
        let Some(line) = self.lines.list.get(place) else { return };
        let (id, node) = (line.id, line.node.clone());
        let had_company = names.len() > 1;
        let concerned = self.book.not_confirmed(id, ticket, names);
        (self.has_left_a_line, self.is_untidy) = (true, true);
        self.trouble = Some(format!("{node}: {error}"));
        match judge(error, &node) {
            Verdict::Redirect { kind: RedirectKind::Moved, slot, to } => {
                self.pause(&concerned, HOPS_AT_ONCE);
                self.core.redirected(&Redirect { kind: RedirectKind::Moved, slot, from: node, to });
            }
            // The owner of a slot that moves keeps its subscribers to the end.
            Verdict::Redirect { kind: RedirectKind::Ask, .. } | Verdict::Wait { .. } => {
                self.pause(&concerned, 0);
                self.core.signal.request(RefreshCause::Refused);
            }
            // A script runs there, and nothing else until it ends.
            Verdict::Deliver if error.class() == ErrorCode::Busy => self.pause(&concerned, 0),
            Verdict::Deliver if had_company => {
                for subscription in &concerned {
                    if let Some(entry) = self.book.entry_mut(subscription) {
                        entry.alone = true;
                    }
                }
            }
            Verdict::Deliver => {
                for subscription in concerned {
                    let error = refusal(&subscription, error, &node);
                    let (was_active, removed) = self.book.refused(&subscription, &error);
                    self.release(removed);
                    if was_active {
                        self.tell();
                        self.mailbox.push(PubSubEvent::Ended(Ended { subscription, error }));
                    }
                }
            }
        }
    }

    /// Notes one more attempt without success, and lets some time pass after more than `free` of them.
    fn pause(&mut self, subscriptions: &[Subscription], free: u32) {
        let now = Instant::now();
        for subscription in subscriptions {
            let Some(entry) = self.book.entry_mut(subscription) else { continue };
            entry.tries += 1;
            entry.not_before = entry.tries.checked_sub(free + 1).map(|tries| now + backoff(tries));
        }
        self.is_untidy = true;
    }

    /// Gives up a line.
    fn lose(&mut self, place: usize, cause: GapCause) {
        let Some(line) = self.lines.remove(place, Instant::now()) else { return };
        let interrupted = self.book.lost(line.id, cause);
        if !interrupted.is_empty() {
            self.interrupted.entry(cause).or_default().extend(interrupted);
        }
        if line.has_opened {
            self.core.counters.disconnected(&line.node, cause.name());
        }
        self.core.signal.request(RefreshCause::Connection);
        (self.has_left_a_line, self.is_untidy) = (true, true);
    }

    /// Tells the reader what is due before the next message.
    fn tell(&mut self) {
        for (cause, subscriptions) in take(&mut self.interrupted) {
            self.mailbox.push(PubSubEvent::Interrupted(Interruption { subscriptions, cause }));
        }
        for (cause, subscriptions) in take(&mut self.gaps) {
            self.mailbox.push(PubSubEvent::Gap(Gap { subscriptions, cause, lost: None }));
        }
    }

    /// Ends at the servers what was taken out of the book; by which answers that is known to be done.
    fn release(&mut self, removed: Removed) -> BTreeSet<(LineId, Ticket)> {
        let mut leaving = Vec::new();
        for (subscription, entry) in removed {
            let asked = entry.asked.map(|(line, _)| line).filter(|line| entry.active != Some(*line));
            leaving.extend(entry.active.into_iter().chain(asked).map(|line| (line, subscription.clone())));
            // It may have been what a line was opened for.
            (self.has_left_a_line, self.is_untidy) = (true, true);
        }
        self.lines.leave(leaving)
    }

    /// Asks for whatever is not where it should be. When to look again at what has to rest.
    fn place(&mut self, now: Instant) -> Option<Instant> {
        let map = Arc::clone(self.core.routes().map());
        let mut look = None;
        let mut later = |at: Instant| look = Some(look.map_or(at, |look: Instant| look.min(at)));
        let mut batches: LiteMap<Batch, Vec<Subscription>> = LiteMap::new();
        let mut leaving = Vec::new();
        let mut needed = Vec::new();
        for subscription in self.book.todo() {
            let spot = self.lines.spot(&subscription, &map, now);
            let Some(entry) = self.book.entry_mut(&subscription) else { continue };
            let pause = entry.not_before.filter(|until| *until > now);
            let (id, is_open) = match spot {
                Spot::Line(id, is_open) => (id, is_open),
                Spot::Resting(until) => {
                    later(until);
                    continue;
                }
                Spot::Nowhere => {
                    let until = pause.unwrap_or_else(|| now + backoff(entry.tries));
                    entry.tries += u32::from(pause.is_none());
                    entry.not_before = Some(until);
                    later(until);
                    continue;
                }
            };
            if !needed.contains(&id) {
                needed.push(id);
            }
            if !is_open {
                continue;
            }
            if let Some((other, _)) = entry.asked.take_if(|(asked, _)| *asked != id) {
                leaving.push((other, subscription.clone()));
            }
            if entry.active == Some(id) || entry.asked.is_some() {
                self.book.is_done(&subscription);
            } else if let Some(until) = pause {
                later(until);
            } else {
                let is_alone = entry.alone;
                let mut batch = Batch::of(id, &subscription);
                batch.alone = is_alone.then(|| subscription.clone());
                batches.entry(batch).or_default().push(subscription);
            }
        }
        // First what ends: a name may be among both.
        self.lines.leave(leaving);
        let mut touched = Vec::new();
        for (batch, names) in batches {
            let Some(line) = self.lines.list.iter_mut().find(|line| line.id == batch.line) else { continue };
            for names in names.chunks(NAMES) {
                let ticket = line.subscribe(names.to_vec());
                for subscription in names {
                    if let Some(entry) = self.book.entry_mut(subscription) {
                        entry.asked = Some((batch.line, ticket));
                        entry.not_before = None;
                    }
                    self.book.is_done(subscription);
                }
            }
            touched.push(batch.line);
        }
        self.lines.list.iter_mut().filter(|line| touched.contains(&line.id)).for_each(Line::fence);
        if take(&mut self.has_left_a_line) {
            let is_used = |line: &Line| self.book.entries().any(|(_, entry)| entry.is_at(line.id));
            self.lines.list.retain(|line| line.is_busy() || needed.contains(&line.id) || is_used(line));
        }
        look
    }
}
