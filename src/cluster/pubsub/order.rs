//! [`Order`]: what the handles ask of a subscriber's task.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cluster::pubsub::event::{Subscription, SubscriptionState};
use crate::error::Result;

/// One request of a handle. A handle that is gone has closed its channel.
#[derive(Debug)]
pub(crate) enum Order {
    /// Answered when servers have confirmed all; taken back if the handle goes away before, or at the deadline.
    Subscribe {
        subscriptions: Vec<Subscription>,
        deadline: Option<Instant>,
        done: oneshot::Sender<Result<()>>,
    },
    /// Answered when servers have confirmed all, or their connections are gone.
    Unsubscribe { subscriptions: Vec<Subscription>, done: oneshot::Sender<Result<()>> },
    /// What there is.
    List(oneshot::Sender<Vec<SubscriptionState>>),
}
