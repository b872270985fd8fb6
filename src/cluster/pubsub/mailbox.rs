//! [`Mailbox`]: the buffer between the task that fills it and the reader.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::cluster::pubsub::buffer::Buffer;
use crate::cluster::pubsub::event::PubSubEvent;
use crate::cluster::pubsub::options::SubscriberOptions;

/// See the module's documentation. One task fills it, one reader empties it.
#[derive(Debug)]
pub(crate) struct Mailbox(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    buffer: Buffer,
    reader: Option<Waker>,
    /// The task, while it waits for room.
    filler: Option<Waker>,
    has_ended: bool,
}

impl Mailbox {
    pub(crate) fn new(options: &SubscriberOptions) -> Self {
        let buffer = Buffer::new(options);
        Self(Mutex::new(Inner { buffer, reader: None, filler: None, has_ended: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; if something did, each of its parts is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: PubSubEvent) {
        let mut inner = self.lock();
        inner.buffer.push(event);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether more is to be read from the connections. If not, the task is woken when it is.
    pub(super) fn wants_more(&self, cx: &Context<'_>) -> bool {
        let mut inner = self.lock();
        let wants = inner.buffer.wants_more();
        inner.filler = (!wants).then(|| cx.waker().clone());
        wants
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.has_ended = true;
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next event; `None` when there is none and will be none.
    pub(crate) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<PubSubEvent>> {
        let mut inner = self.lock();
        match inner.buffer.pop() {
            Some(event) => {
                let filler = if inner.buffer.wants_more() { inner.filler.take() } else { None };
                drop(inner);
                if let Some(filler) = filler {
                    filler.wake();
                }
                Poll::Ready(Some(event))
            }
            None if inner.has_ended => Poll::Ready(None),
            None => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
