//! [`Waiters`]: who waits for the reply to a single command, without an allocation for each.

use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::connection::loss::Loss;
use crate::connection::unit::UnitReply;
use crate::protocol::value::Value;

/// What becomes of a single command. A loss is rare, and an answer is moved from the decoder to the caller by several hands.
pub(crate) type Answer = Result<Value, Box<Loss>>;

/// The place of one waiter. Its two owners, the command's entry and the caller's [`Pending`], each use it up once.
///
/// [`Pending`]: crate::connection::link::Pending
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WaiterId(u32);

/// All callers of one link that wait for one reply each. Guarded by the lock of the link's queue.
///
/// A place is taken when its command is queued, and free again when the answer is there *and* the caller has taken it
/// or is gone. So a link makes room for the most commands that were ever under way at once, and none after that.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    places: Vec<Place>,
    /// Places that are free.
    free: Vec<u32>,
}

#[derive(Debug)]
enum Place {
    Free,
    Waiting(Waker),
    Answered(Answer),
    /// The caller is gone and the answer is not there yet.
    Abandoned,
}

impl Waiters {
    #[inline]
    pub(super) fn add(&mut self, waker: Waker) -> WaiterId {
        match self.free.pop() {
            Some(id) => {
                self.put(WaiterId(id), Place::Waiting(waker));
                WaiterId(id)
            }
            None => {
                let id = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
                self.places.push(Place::Waiting(waker));
                WaiterId(id)
            }
        }
    }

    #[inline]
    fn put(&mut self, id: WaiterId, place: Place) -> Place {
        match self.places.get_mut(id.0 as usize) {
            Some(old) => std::mem::replace(old, place),
            None => Place::Free,
        }
    }

    /// The caller looks for its answer; taken, the place is free. Its former waker, if it has another now, is to be
    /// dropped after the lock.
    #[inline]
    pub(super) fn poll(
        &mut self,
        id: WaiterId,
        cx: &Context<'_>,
        former: &mut Option<Waker>,
    ) -> Poll<Answer> {
        match self.places.get_mut(id.0 as usize) {
            Some(Place::Waiting(waker)) => {
                if !waker.will_wake(cx.waker()) {
                    *former = Some(std::mem::replace(waker, cx.waker().clone()));
                }
                Poll::Pending
            }
            Some(answered @ Place::Answered(_)) => {
                let taken = std::mem::replace(answered, Place::Free);
                self.free.push(id.0);
                match taken {
                    Place::Answered(answer) => Poll::Ready(answer),
                    Place::Free | Place::Waiting(_) | Place::Abandoned => Poll::Pending,
                }
            }
            Some(Place::Free | Place::Abandoned) | None => Poll::Pending,
        }
    }

    /// The caller is gone. What it leaves is to be dropped after the lock; true if its command is still under way.
    pub(super) fn abandon(&mut self, id: WaiterId) -> (Leftover, bool) {
        let left = self.put(id, Place::Abandoned);
        let is_under_way = matches!(left, Place::Waiting(_));
        if !is_under_way {
            self.release(id);
        }
        (Leftover(left), is_under_way)
    }

    #[inline]
    pub(super) fn is_abandoned(&self, id: WaiterId) -> bool {
        matches!(self.places.get(id.0 as usize), Some(Place::Abandoned))
    }

    /// Frees a place whose caller is gone and whose command is too.
    pub(super) fn release(&mut self, id: WaiterId) {
        self.put(id, Place::Free);
        self.free.push(id.0);
    }

    /// Puts the answer down; the caller is to be woken after the lock.
    #[inline]
    fn answer(&mut self, id: WaiterId, answer: Answer) -> Option<Waker> {
        match self.places.get_mut(id.0 as usize) {
            Some(place @ Place::Waiting(_)) => match std::mem::replace(place, Place::Answered(answer)) {
                Place::Waiting(waker) => Some(waker),
                Place::Free | Place::Answered(_) | Place::Abandoned => None,
            },
            Some(Place::Abandoned) => {
                self.release(id);
                None
            }
            Some(Place::Free | Place::Answered(_)) | None => None,
        }
    }

    /// Gives the memory back if nobody waits.
    pub(super) fn shrink(&mut self) {
        if self.free.len() == self.places.len() {
            *self = Self::default();
        }
    }
}

/// A waker or an answer that nobody needs. Dropping either may run other people's code, which may come back to this
/// link: never under its lock.
#[derive(Debug)]
pub(super) struct Leftover(#[expect(dead_code, reason = "it is kept to be dropped")] Place);

/// Answers on their way to the callers: collected without the lock, put down in one go, and told after it.
#[derive(Debug, Default)]
pub(super) struct Answers {
    single: Vec<(WaiterId, Answer)>,
    units: Vec<(oneshot::Sender<UnitReply>, UnitReply)>,
    to_wake: Vec<Waker>,
}

impl Answers {
    #[inline]
    pub(super) fn push(&mut self, id: WaiterId, answer: Answer) {
        self.single.push((id, answer));
    }

    pub(super) fn push_unit(&mut self, sender: oneshot::Sender<UnitReply>, reply: UnitReply) {
        self.units.push((sender, reply));
    }

    /// Whether no single command's answer is among them, so that the lock is not needed.
    pub(super) fn has_no_single(&self) -> bool {
        self.single.is_empty()
    }

    /// Puts the answers down. The callers learn of it by [`Answers::tell`].
    pub(super) fn put_down(&mut self, waiters: &mut Waiters) {
        for (id, answer) in self.single.drain(..) {
            self.to_wake.extend(waiters.answer(id, answer));
        }
    }

    /// Wakes everyone who has an answer; without the lock, because a waker may run anything.
    pub(super) fn tell(&mut self) {
        self.to_wake.drain(..).for_each(Waker::wake);
        for (sender, reply) in self.units.drain(..) {
            // An error here means that the caller is gone, and with it the interest in the reply.
            drop(sender.send(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::{Answers, Waiters};
    use crate::connection::loss::{Loss, LossCause};
    use crate::protocol::value::Value;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn an_answer_is_for_its_caller_and_its_place_is_used_again() {
        let mut waiters = Waiters::default();
        let ids = [1, 2, 3].map(|_| waiters.add(Waker::noop().clone()));
        let mut answers = Answers::default();
        answers.push(ids[1], Ok(Value::Int(1)));
        answers.push(ids[0], Err(Box::new(Loss::unsent(LossCause::Retired))));
        answers.put_down(&mut waiters);
        assert!(matches!(waiters.poll(ids[1], &context(), &mut None), Poll::Ready(Ok(Value::Int(1)))));
        assert!(matches!(waiters.poll(ids[0], &context(), &mut None), Poll::Ready(Err(_))));
        assert!(waiters.poll(ids[2], &context(), &mut None).is_pending());
        let again = waiters.add(Waker::noop().clone());
        assert_eq!(again, ids[0]);
        assert!(waiters.poll(again, &context(), &mut None).is_pending(), "not the answer of the one before");
        assert_eq!(waiters.places.len(), 3);
    }

    #[test]
    fn an_abandoned_place_is_free_once_its_command_has_ended() {
        let mut waiters = Waiters::default();
        let [answered, waiting] = [1, 2].map(|_| waiters.add(Waker::noop().clone()));
        let mut answers = Answers::default();
        answers.push(answered, Ok(Value::Nil));
        answers.put_down(&mut waiters);
        assert!(!waiters.abandon(answered).1);
        assert!(waiters.abandon(waiting).1);
        assert!(waiters.is_abandoned(waiting));
        assert!(!waiters.is_abandoned(answered));
        waiters.shrink();
        assert_eq!(waiters.places.len(), 2, "one command is still under way");
        answers.push(waiting, Ok(Value::Nil));
        answers.put_down(&mut waiters);
        waiters.shrink();
        assert_eq!(waiters.places.len(), 0);
    }
}
