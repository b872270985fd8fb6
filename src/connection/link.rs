//! [`Link`]: one connection that many callers share. They enqueue; its task writes, reads and answers in order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::command::Command;
use crate::connection::budget::{Budget, Room};
use crate::connection::handshake::Purpose;
use crate::connection::link_context::LinkContext;
use crate::connection::link_task::{self, Closing};
use crate::connection::loss::{ConnectError, Loss, LossCause};
use crate::connection::outgoing::{Entry, Many, ReplyTo};
use crate::connection::queue::{LinkShared, Queue, QueueState};
use crate::connection::unit::{Piece, UnitReply};
use crate::connection::waiters::{Answer, WaiterId};
use crate::node::NodeAddr;

/// The handle. Dropping it closes the connection: what was not written fails as unsent, what was as maybe sent.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<LinkShared>,
    task: JoinHandle<()>,
}

/// Why a link does not take a command; nothing of it has left.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) LossCause);

impl Link {
    /// A link that connects when the first command comes and reconnects as often as needed, in `runtime`.
    pub(crate) fn lazy(
        node: NodeAddr,
        budget: Budget,
        context: Arc<LinkContext>,
        purpose: Purpose,
        runtime: &Handle,
    ) -> Self {
        let counters = context.counters.node(&node);
        let shared = Arc::new(LinkShared::new(node, budget, counters));
        let task = runtime.spawn(link_task::serve(Closing(Arc::clone(&shared)), context, purpose));
        Self { shared, task }
    }

    /// A link that is connected and ends with its connection; for one caller at a time. Its replies may take as long
    /// as they like.
    pub(crate) async fn exclusive(
        node: NodeAddr,
        budget: Budget,
        context: Arc<LinkContext>,
    ) -> Result<Self, ConnectError> {
        let connection = link_task::open(&node, &context, Purpose::Commands).await?;
        let counters = context.counters.node(&node);
        let shared = Arc::new(LinkShared::new(node, budget, counters));
        let task = tokio::spawn(link_task::serve_once(Closing(Arc::clone(&shared)), connection, context));
        Ok(Self { shared, task })
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// What a command here is expected to take: the measured time, for each that waits and this one. 0: not measured.
    pub(crate) fn cost(&self) -> u64 {
        self.shared.pace.nanos().saturating_mul(1 + self.in_flight() as u64)
    }

    /// Units that are queued or not wholly answered.
    pub(crate) fn in_flight(&self) -> usize {
        let queue = self.shared.lock();
        queue.outgoing.len() + queue.unanswered
    }

    /// Whether nothing is queued or in flight.
    pub(crate) fn is_idle(&self) -> bool {
        let queue = self.shared.lock();
        queue.outgoing.is_empty() && queue.unanswered == 0
    }

    /// Whether the connection has ended for good.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.shared.lock().state, QueueState::Closed)
    }

    /// Enqueues one command, whose reply `waker` waits for. `room` must have been taken from [`Link::budget`]; a refusal gives
    /// it back.
    ///
    /// The reply is waited for until the deadline, which is `limit` from now and is told; if no clock can say it, as long as
    /// the connection lives.
    #[inline]
    pub(crate) fn send(
        &self,
        command: &Command,
        room: Room,
        limit: Duration,
        waker: &Waker,
    ) -> Result<(Pending, Option<Instant>), Refusal> {
        let length = command.body().wire_length();
        let (waiter, deadline) = self.enqueue(room, |queue| {
            let deadline = queue.now().checked_add(limit);
            let waiter = queue.waiters.add(waker.clone());
            if queue.to_sample.one() {
                queue.to_sample.sample(command.marked_slot(), &self.shared.counters.hot_slots);
            }
            queue.outgoing.push_command(command);
            let reply_to = ReplyTo::One(waiter, command.answers_anything());
            queue.outgoing.push_entry(Entry::new(reply_to, length, room, deadline));
            (waiter, deadline)
        })?;
        Ok((Pending { waiter: Some(waiter), link: Arc::clone(&self.shared) }, deadline))
    }

    /// Enqueues a unit: its pieces are written one after the other, with nothing in between, and answered together.
    /// `room` as in [`Link::send`]; without a deadline the replies are waited for as long as the connection lives. `length` is
    /// the sum of the pieces' lengths.
    pub(crate) fn send_unit<'a>(
        &self,
        pieces: impl ExactSizeIterator<Item = Piece<'a>> + Clone,
        length: usize,
        room: Room,
        deadline: Option<Instant>,
    ) -> Result<PendingUnit, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let wanted = pieces.len();
        let may_be_queued = pieces.clone().any(|piece| match piece {
            Piece::Multi => true,
            Piece::Command(command) => command.answers_anything(),
            Piece::Part(_) | Piece::Asking | Piece::Exec | Piece::Check(_) => false,
        });
        let check =
            pieces.clone().find_map(|piece| if let Piece::Check(check) = piece { Some(check) } else { None });
        let of_one =
            pieces.clone().all(|piece| matches!(piece, Piece::Part(part) if part.answers_a_list_of_one()));
        let many = Many { sender, got: Vec::with_capacity(wanted), of_one, wanted, may_be_queued, check };
        let entry = Entry::new(ReplyTo::Many(Box::new(many)), length, room, deadline);
        let ticket = self.enqueue(room, |queue| {
            queue.to_sample.several(pieces.clone(), &self.shared.counters.hot_slots);
            queue.outgoing.push(pieces, entry);
            queue.ticket()
        })?;
        Ok(PendingUnit { receiver: Some(receiver), ticket, link: Arc::clone(&self.shared) })
    }

    #[inline]
    fn enqueue<T>(&self, room: Room, push: impl FnOnce(&mut Queue) -> T) -> Result<T, Refusal> {
        let mut queue = self.shared.lock();
        let refusal = match &queue.state {
            QueueState::Open => None,
            QueueState::Down(error) => Some(LossCause::Connect(error.clone())),
            QueueState::Closed => Some(LossCause::Retired),
        };
        if let Some(cause) = refusal {
            drop(queue);
            self.shared.budget.give_back(room);
            return Err(Refusal(cause));
        }
        queue.count_push();
        let pushed = push(&mut queue);
        let sleeper = queue.sleeper.take();
        drop(queue);
        if let Some(task) = sleeper {
            task.wake();
        }
        Ok(pushed)
    }

    /// Asks the peer for a sign of life; true if it gives one. Resolves late or never if it is gone.
    pub(crate) async fn is_alive(&self) -> bool {
        let ping = Command::new("PING");
        let length = ping.body().wire_length();
        match self.send_unit(std::iter::once(Piece::Command(&ping)), length, Room::NONE, None) {
            Ok(pending) => pending.await.loss.is_none(),
            Err(Refusal(_)) => false,
        }
    }

    /// Takes no further command; those that were taken are still answered.
    pub(crate) fn refuse_new(&self) {
        self.shared.lock().state = QueueState::Closed;
    }

    /// [`Link::refuse_new`] of a node that has handed over to another and lives: it is waited for only while it answers.
    pub(crate) fn demote(&self) {
        let mut queue = self.shared.lock();
        queue.state = QueueState::Closed;
        queue.is_demoted = true;
    }

    /// Closes the connection now. What was sent and not answered is not executed later, if this can be prevented.
    pub(crate) fn sever(&self) {
        self.shared.lock().is_severed = true;
        self.end();
    }

    fn end(&self) {
        self.task.abort();
        self.shared.close(&LossCause::Retired);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

/// The reply to a single command on its way. Dropped before the command was written, it takes the command back.
#[derive(Debug)]
pub(crate) struct Pending {
    /// `None` once it has answered.
    waiter: Option<WaiterId>,
    link: Arc<LinkShared>,
}

impl Pending {
    pub(crate) fn node(&self) -> &NodeAddr {
        &self.link.node
    }
}

impl Future for Pending {
    type Output = Answer;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(waiter) = self.waiter else {
            return Poll::Ready(Err(Box::new(Loss::maybe_sent(LossCause::Retired))));
        };
        let mut former = None;
        let answer = self.link.lock().waiters.poll(waiter, cx, &mut former);
        drop(former);
        let answer = ready!(answer);
        self.waiter = None;
        Poll::Ready(answer)
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.link.abandon(waiter);
        }
    }
}

/// The replies to a unit on their way. Dropped before it was written, it takes the unit back.
#[derive(Debug)]
pub(crate) struct PendingUnit {
    /// `None` once it has answered.
    receiver: Option<oneshot::Receiver<UnitReply>>,
    ticket: u64,
    link: Arc<LinkShared>,
}

impl PendingUnit {
    /// Makes the link look at the deadlines now, so that it tells precisely what became of this one.
    pub(crate) fn expire_now(&self) {
        self.link.lock().look_at_the_clock();
    }

    /// Stops waiting. Tells what is known: the reply if it is there after all, else whether the command can still
    /// have an effect.
    pub(crate) fn give_up(mut self, cause: LossCause) -> UnitReply {
        let Some(mut receiver) = self.receiver.take() else {
            return UnitReply::lost(Loss::maybe_sent(cause));
        };
        let mut queue = self.link.lock();
        // Under the lock the task cannot take it: closed now, it will be cut out.
        receiver.close();
        if let Ok(answer) = receiver.try_recv() {
            return answer;
        }
        let loss = if queue.still_holds(self.ticket) { Loss::unsent(cause) } else { Loss::maybe_sent(cause) };
        queue.note_abandoned();
        UnitReply::lost(loss)
    }
}

impl Future for PendingUnit {
    type Output = UnitReply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<UnitReply> {
        let lost = || UnitReply::lost(Loss::maybe_sent(LossCause::Retired));
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(lost()) };
        let answer = ready!(Pin::new(receiver).poll(cx));
        self.receiver = None;
        // The sender is dropped without a word only when the link itself is: its bytes may have left.
        Poll::Ready(answer.unwrap_or_else(|_| lost()))
    }
}

impl Drop for PendingUnit {
    fn drop(&mut self) {
        if let Some(mut receiver) = self.receiver.take() {
            receiver.close();
            self.link.lock().note_abandoned();
        }
    }
}

#[cfg(test)]
mod model;
