//! [`Line`]: one connection with subscriptions, and which of its answers belongs to what was sent.
//!
//! A server answers `SUBSCRIBE a b` by one push for each name, which says what it confirms, or by one error. It sends
//! `sunsubscribe` both as an answer and by itself, and the answer to a `SUNSUBSCRIBE` that such a push has overtaken is
//! an error, behind it. So a push never settles an unsubscription; the answer to the `PING` that is sent behind it does,
//! and it settles everything that was sent before: an answer that is still missing then will not come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::cluster::pubsub::event::{Message, Subscription, SubscriptionKind};
use crate::cluster::pubsub::frame::{Frame, read};
use crate::command::Command;
use crate::connection::feed::Feed;
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::node::NodeAddr;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::routing::redirect::{Verdict, judge};
use crate::slot::Slot;

/// The number of a line; a connection that takes the place of another has another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct LineId(pub(super) u64);

/// The number of something that was sent on a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ticket(u64);

/// What a line is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Channels and patterns, which any node tells.
    Broadcast,
    /// The shard channels of its node.
    Shard,
}

/// What happened on a line.
#[derive(Debug)]
pub(super) enum LineEvent {
    /// Ready for subscriptions.
    Opened,
    Message(Subscription, Message),
    Confirmed(Ticket, Subscription),
    Refused(Ticket, Vec<Subscription>, ServerError),
    /// The answer did not come and will not.
    Unanswered(Ticket, Vec<Subscription>),
    /// An unsubscription is done.
    Released(Ticket),
    /// The server has ended it by itself.
    Dismissed(Subscription),
    /// Nothing more will come.
    Lost(LossCause),
}

#[derive(Debug)]
struct Sent {
    ticket: Ticket,
    what: What,
}

#[derive(Debug)]
enum What {
    /// With those that are not confirmed yet.
    Subscribe(VecDeque<Subscription>),
    /// With the number of pushes that are still to come, if each is an answer.
    Unsubscribe(Vec<Subscription>, usize),
    Ping,
    /// The credentials have changed.
    Auth,
}

enum State {
    Connecting(BoxFuture<'static, Result<Feed, ConnectError>>),
    Open(Box<Feed>),
    Lost,
}

/// See the module's documentation. Dropping it closes the connection.
pub(super) struct Line {
    pub(super) id: LineId,
    pub(super) role: Role,
    pub(super) node: NodeAddr,
    context: Arc<LinkContext>,
    state: State,
    /// Not settled, oldest first.
    sent: VecDeque<Sent>,
    last_ticket: u64,
    ready: VecDeque<LineEvent>,
    pub(super) begun: Instant,
    /// Was polled, so it wakes its task.
    is_begun: bool,
    pub(super) has_opened: bool,
    heard: Instant,
    /// Since when a sign of life is waited for.
    asked: Option<Instant>,
}

impl Line {
    /// Begins to connect when it is polled.
    pub(super) fn new(id: LineId, role: Role, node: NodeAddr, context: Arc<LinkContext>) -> Self {
        let now = Instant::now();
        Self {
            id,
            role,
            state: State::Connecting(Box::pin(Feed::open(node.clone(), Arc::clone(&context)))),
            node,
            context,
            sent: VecDeque::new(),
            last_ticket: 0,
            ready: VecDeque::new(),
            begun: now,
            is_begun: false,
            has_opened: false,
            heard: now,
            asked: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether the next poll brings something.
    pub(super) fn has_news(&self) -> bool {
        !self.ready.is_empty() || !self.is_begun
    }

    /// Whether an answer is still to come.
    pub(super) fn is_busy(&self) -> bool {
        self.sent.iter().any(|sent| !matches!(sent.what, What::Ping | What::Auth))
    }

    /// Sends one command for these, all of one kind, and shard channels of one slot. Behind the last one comes a
    /// [`Line::fence`].
    pub(super) fn subscribe(&mut self, subscriptions: Vec<Subscription>) -> Ticket {
        let verb = subscriptions.first().map(|first| match first.kind {
            SubscriptionKind::Channel => "SUBSCRIBE",
            SubscriptionKind::Pattern => "PSUBSCRIBE",
            SubscriptionKind::Shard => "SSUBSCRIBE",
        });
        let command = command(verb, &subscriptions);
        self.send(command, What::Subscribe(subscriptions.into()))
    }

    /// The same to end them, with its fence.
    pub(super) fn unsubscribe(&mut self, subscriptions: Vec<Subscription>) -> Ticket {
        let verb = subscriptions.first().map(|first| match first.kind {
            SubscriptionKind::Channel => "UNSUBSCRIBE",
            SubscriptionKind::Pattern => "PUNSUBSCRIBE",
            SubscriptionKind::Shard => "SUNSUBSCRIBE",
        });
        let command = command(verb, &subscriptions);
        let count = subscriptions.len();
        let ticket = self.send(command, What::Unsubscribe(subscriptions, count));
        self.fence();
        ticket
    }

    /// Sends what settles everything before it when it is answered.
    pub(super) fn fence(&mut self) {
        let token = (self.last_ticket + 1).to_string();
        self.send(Some(Command::new("PING").arg(token)), What::Ping);
    }

    fn send(&mut self, command: Option<Command>, what: What) -> Ticket {
        if let (State::Open(feed), Some(command)) = (&mut self.state, command) {
            feed.push(&command);
            self.note_sent(what)
        } else {
            self.last_ticket += 1;
            Ticket(self.last_ticket)
        }
    }

    fn note_sent(&mut self, what: What) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.sent.push_back(Sent { ticket, what });
        self.asked.get_or_insert_with(Instant::now);
        ticket
    }

    /// Writes what was sent.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) {
        if let State::Open(feed) = &mut self.state
            && let Err(cause) = feed.poll_flush(cx)
        {
            self.lose(cause);
        }
    }

    fn lose(&mut self, cause: LossCause) {
        self.state = State::Lost;
        self.ready.push_back(LineEvent::Lost(cause));
    }

    /// The next thing that happened.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LineEvent> {
        self.is_begun = true;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(event);
            }
            match &mut self.state {
                State::Connecting(opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(feed)) => {
                        self.state = State::Open(Box::new(feed));
                        self.heard = Instant::now();
                        self.has_opened = true;
                        self.ready.push_back(LineEvent::Opened);
                    }
                    Poll::Ready(Err(error)) => self.lose(LossCause::Connect(error)),
                },
                State::Open(feed) => {
                    if feed.poll_login(cx) {
                        self.note_sent(What::Auth);
                        continue;
                    }
                    let value = feed.poll_next(cx);
                    if feed.take_heard() {
                        self.heard = Instant::now();
                        self.asked = None;
                    }
                    match value {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(value)) => self.take(read(value)),
                        Poll::Ready(Err(cause)) => self.lose(cause),
                    }
                }
                State::Lost => return Poll::Pending,
            }
        }
    }

    /// When the connection is to be looked after; see
    /// [`SubscriberOptions::keep_alive`](crate::SubscriberOptions::keep_alive).
    pub(super) fn due(&self, keep_alive: Duration) -> Option<Instant> {
        self.is_open().then(|| self.asked.unwrap_or(self.heard) + keep_alive)
    }

    /// Asks a peer that is silent for a sign of life, and gives it up if there was none.
    pub(super) fn look_at_the_clock(&mut self, now: Instant, keep_alive: Duration) {
        if self.due(keep_alive).is_none_or(|due| due > now) {
            return;
        }
        if self.asked.is_some() {
            self.lose(LossCause::Overdue);
        } else {
            self.fence();
        }
    }

    /// Its silence so far does not count: nobody has listened.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard = now;
        self.asked = self.asked.map(|_| now);
    }

    fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Message(subscription, message) => {
                self.ready.push_back(LineEvent::Message(subscription, message));
            }
            Frame::Begun(subscription) => self.confirm(subscription),
            Frame::Over(Some(subscription)) => self.end(subscription),
            Frame::Over(None) | Frame::Other => {}
            Frame::Pong(token) => self.settle(&token),
            Frame::Error(error) => self.refuse(error),
            Frame::Alien => self.lose(LossCause::Unexpected),
        }
    }

    fn confirm(&mut self, subscription: Subscription) {
        for (place, sent) in self.sent.iter_mut().enumerate() {
            if let What::Subscribe(names) = &mut sent.what
                && let Some(at) = names.iter().position(|name| *name == subscription)
            {
                names.remove(at);
                let (ticket, is_last) = (sent.ticket, names.is_empty());
                if is_last {
                    self.sent.remove(place);
                }
                self.ready.push_back(LineEvent::Confirmed(ticket, subscription));
                return;
            }
        }
    }

    fn end(&mut self, subscription: Subscription) {
        let mut is_asked_for = false;
        for sent in &mut self.sent {
            if let What::Unsubscribe(names, missing) = &mut sent.what
                && names.contains(&subscription)
            {
                is_asked_for = true;
                if *missing > 0 {
                    *missing -= 1;
                    break;
                }
            }
        }
        if !is_asked_for {
            self.ready.push_back(LineEvent::Dismissed(subscription));
        }
    }

    /// The `PING` with this token was answered, so everything before it was.
    fn settle(&mut self, token: &Bytes) {
        // Nothing else that is sent here is answered so.
        if token.as_ref() == b"OK" {
            self.logged_in(None);
            return;
        }
        let is_it = |sent: &Sent| {
            matches!(sent.what, What::Ping) && sent.ticket.0.to_string().as_bytes() == token.as_ref()
        };
        if let Some(place) = self.sent.iter().position(is_it) {
            self.settle_to(place);
        }
    }

    fn settle_to(&mut self, place: usize) {
        for Sent { ticket, what } in self.sent.drain(..=place) {
            match what {
                What::Subscribe(names) => {
                    self.ready.push_back(LineEvent::Unanswered(ticket, names.into()));
                }
                What::Unsubscribe(..) => self.ready.push_back(LineEvent::Released(ticket)),
                What::Ping | What::Auth => {}
            }
        }
    }

    /// An `AUTH` was answered. True if one was sent.
    fn logged_in(&mut self, refusal: Option<&ServerError>) -> bool {
        let Some(place) = self.sent.iter().position(|sent| matches!(sent.what, What::Auth)) else {
            return false;
        };
        self.sent.remove(place);
        self.context.logins.renewed(&self.node, refusal);
        true
    }

    /// Finds out what the error answers. Where that cannot be known for sure, the next fence makes it good.
    fn refuse(&mut self, error: ServerError) {
        // What a server says to an AUTH it says to nothing else that is sent here.
        let is_about_login = match error.class() {
            ErrorCode::WrongPass => true,
            ErrorCode::Err => error.text().contains("AUTH"),
            _another => false,
        };
        if is_about_login && self.logged_in(Some(&error)) {
            return;
        }
        let is_of = |sent: &Sent, slot: Slot| match &sent.what {
            What::Subscribe(names) => names.front().is_some_and(|name| Slot::of_key(&name.name) == slot),
            What::Unsubscribe(names, _) => names.first().is_some_and(|name| Slot::of_key(&name.name) == slot),
            What::Ping | What::Auth => false,
        };
        let place = match judge(&error, &self.node) {
            Verdict::Redirect { slot, .. } => self.sent.iter().position(|sent| is_of(sent, slot)),
            Verdict::Wait { .. } | Verdict::Deliver if error.class() == ErrorCode::Misconf => {
                // No other command that is sent here is refused for that.
                self.sent.iter().position(|sent| matches!(sent.what, What::Ping))
            }
            Verdict::Wait { .. } | Verdict::Deliver => {
                self.sent.iter().position(|sent| !matches!(sent.what, What::Unsubscribe(_, 0) | What::Auth))
            }
        };
        let Some(place) = place else {
            self.lose(LossCause::Farewell(error));
            return;
        };
        if let Some(Sent { what: What::Ping, .. }) = self.sent.get(place) {
            self.settle_to(place);
            return;
        }
        match self.sent.remove(place) {
            Some(Sent { ticket, what: What::Subscribe(names) }) => {
                self.ready.push_back(LineEvent::Refused(ticket, names.into(), error));
            }
            Some(Sent { ticket, what: What::Unsubscribe(..) }) => {
                self.ready.push_back(LineEvent::Released(ticket));
            }
            Some(Sent { what: What::Ping | What::Auth, .. }) | None => {}
        }
    }
}

fn command(verb: Option<&'static str>, subscriptions: &[Subscription]) -> Option<Command> {
    Some(Command::new(verb?).args(subscriptions.iter().map(|subscription| &subscription.name)))
}
