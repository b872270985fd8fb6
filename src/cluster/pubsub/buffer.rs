//! [`Buffer`]: what waits for the reader, within its bounds. Pure: no clock, no lock, no task.

use std::collections::{BTreeSet, VecDeque};

use crate::cluster::pubsub::event::{Gap, GapCause, Message, PubSubEvent, Subscription, SubscriptionKind};
use crate::cluster::pubsub::options::{OverflowPolicy, SubscriberOptions};

/// Events in order. What was dropped is remembered as the subscriptions that it concerns, and their number is the
/// user's own: so neither messages nor the news of their loss can grow without bound.
#[derive(Debug)]
pub(super) struct Buffer {
    policy: OverflowPolicy,
    most: usize,
    most_bytes: usize,
    queue: VecDeque<PubSubEvent>,
    bytes: usize,
    /// What was dropped in front of the queue.
    before: Debt,
    /// What was dropped behind it.
    behind: Debt,
}

/// A gap that was not told yet.
#[derive(Debug, Default)]
struct Debt {
    subscriptions: BTreeSet<Subscription>,
    cause: Option<GapCause>,
    lost: u64,
    /// There are losses in it that nobody has counted.
    is_uncounted: bool,
}

impl Debt {
    fn add_message(&mut self, message: Message) {
        self.subscriptions.insert(subscription_of(message));
        self.cause = Some(GapCause::Overflow);
        self.lost += 1;
    }

    fn add_gap(&mut self, gap: Gap) {
        self.subscriptions.extend(gap.subscriptions);
        self.cause = self.cause.max(Some(gap.cause));
        match gap.lost {
            Some(lost) => self.lost += lost,
            None => self.is_uncounted = true,
        }
    }

    fn settle(&mut self) -> Option<PubSubEvent> {
        let Self { subscriptions, cause, lost, is_uncounted } = std::mem::take(self);
        let subscriptions = subscriptions.into_iter().collect();
        Some(PubSubEvent::Gap(Gap { subscriptions, cause: cause?, lost: (!is_uncounted).then_some(lost) }))
    }
}

/// By which subscription a message came.
fn subscription_of(message: Message) -> Subscription {
    let name = match message.kind {
        SubscriptionKind::Channel | SubscriptionKind::Shard => message.channel,
        SubscriptionKind::Pattern => message.pattern.unwrap_or_default(),
    };
    Subscription { kind: message.kind, name }
}

fn names(subscriptions: &[Subscription]) -> usize {
    subscriptions.iter().map(|subscription| subscription.name.len()).sum()
}

fn size(event: &PubSubEvent) -> usize {
    match event {
        PubSubEvent::Message(message) => {
            let pattern = message.pattern.as_ref().map_or(0, |pattern| pattern.len());
            message.channel.len() + pattern + message.payload.len()
        }
        PubSubEvent::Gap(gap) => names(&gap.subscriptions),
        PubSubEvent::Interrupted(interruption) => names(&interruption.subscriptions),
        PubSubEvent::Ended(ended) => ended.subscription.name.len(),
    }
}

impl Buffer {
    pub(super) fn new(options: &SubscriberOptions) -> Self {
        Self {
            policy: options.overflow,
            most: options.messages,
            most_bytes: options.bytes,
            queue: VecDeque::new(),
            bytes: 0,
            before: Debt::default(),
            behind: Debt::default(),
        }
    }

    /// Whether more is to be read from the connections.
    pub(super) fn wants_more(&self) -> bool {
        match self.policy {
            OverflowPolicy::DropOldest | OverflowPolicy::DropNewest => true,
            OverflowPolicy::StopReading => self.queue.len() < self.most && self.bytes < self.most_bytes,
        }
    }

    fn has_room_for(&self, event: &PubSubEvent) -> bool {
        self.queue.is_empty()
            || (self.queue.len() < self.most && self.bytes.saturating_add(size(event)) <= self.most_bytes)
    }

    pub(super) fn push(&mut self, event: PubSubEvent) {
        // A gap that is due in front of it takes a place as well.
        let gap_is_in_the_way =
            self.behind.cause.is_some() && !self.queue.is_empty() && self.queue.len() + 2 > self.most;
        let has_room = self.has_room_for(&event) && !gap_is_in_the_way;
        match self.policy {
            OverflowPolicy::DropOldest => {
                while !self.has_room_for(&event) && self.drop_oldest() {}
                self.append(event);
            }
            OverflowPolicy::DropNewest if has_room => self.append(event),
            OverflowPolicy::DropNewest => self.refuse(event),
            // What was read already is kept.
            OverflowPolicy::StopReading if has_room || matches!(event, PubSubEvent::Message(_)) => {
                self.append(event);
            }
            OverflowPolicy::StopReading => self.refuse(event),
        }
    }

    /// Behind all others, and behind the gap that is due there.
    fn append(&mut self, event: PubSubEvent) {
        if let Some(gap) = self.behind.settle() {
            self.bytes += size(&gap);
            self.queue.push_back(gap);
        }
        self.bytes += size(&event);
        self.queue.push_back(event);
    }

    fn refuse(&mut self, event: PubSubEvent) {
        match event {
            PubSubEvent::Message(message) => self.behind.add_message(message),
            PubSubEvent::Gap(gap) => self.behind.add_gap(gap),
            // Its gap follows, and tells the reader what he would know too late now.
            PubSubEvent::Interrupted(_) => {}
            // Once for each subscription that was made.
            PubSubEvent::Ended(_) => self.append(event),
        }
    }

    /// False if there is nothing that may be dropped.
    fn drop_oldest(&mut self) -> bool {
        let place = self.queue.iter().position(|event| !matches!(event, PubSubEvent::Ended(_)));
        let Some(event) = place.and_then(|place| self.queue.remove(place)) else { return false };
        self.bytes -= size(&event);
        match event {
            PubSubEvent::Message(message) => self.before.add_message(message),
            PubSubEvent::Gap(gap) => self.before.add_gap(gap),
            PubSubEvent::Interrupted(_) | PubSubEvent::Ended(_) => {}
        }
        true
    }

    pub(super) fn pop(&mut self) -> Option<PubSubEvent> {
        if let Some(gap) = self.before.settle() {
            return Some(gap);
        }
        match self.queue.pop_front() {
            Some(event) => {
                self.bytes -= size(&event);
                Some(event)
            }
            None => self.behind.settle(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Buffer;
    use crate::cluster::pubsub::event::{
        Gap, GapCause, Interruption, Message, PubSubEvent, Subscription, SubscriptionKind,
    };
    use crate::cluster::pubsub::options::{OverflowPolicy, SubscriberOptions};

    fn buffer(policy: OverflowPolicy, messages: usize, bytes: usize) -> Buffer {
        Buffer::new(&SubscriberOptions::new().buffer(messages, bytes).overflow(policy))
    }

    fn message(channel: &str, payload: &str) -> PubSubEvent {
        PubSubEvent::Message(Message {
            kind: SubscriptionKind::Channel,
            channel: Bytes::copy_from_slice(channel.as_bytes()),
            pattern: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        })
    }

    fn subscriptions(channel: &str) -> Vec<Subscription> {
        let name = Bytes::copy_from_slice(channel.as_bytes());
        vec![Subscription { kind: SubscriptionKind::Channel, name }]
    }

    fn gap(channel: &str) -> PubSubEvent {
        let subscriptions = subscriptions(channel);
        PubSubEvent::Gap(Gap { subscriptions, cause: GapCause::ConnectionLost, lost: None })
    }

    fn shown(buffer: &mut Buffer) -> String {
        let mut all = Vec::new();
        while let Some(event) = buffer.pop() {
            all.push(match event {
                PubSubEvent::Message(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
                PubSubEvent::Gap(gap) => {
                    let names: Vec<_> = gap.subscriptions.iter().map(|one| one.name.escape_ascii()).collect();
                    let names = names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join("+");
                    format!("[{:?} {:?} {names}]", gap.cause, gap.lost)
                }
                PubSubEvent::Interrupted(_) => "interrupted".to_owned(),
                PubSubEvent::Ended(_) => "ended".to_owned(),
            });
        }
        all.join(" ")
    }

    fn fill(buffer: &mut Buffer, count: usize) {
        for number in 1..=count {
            buffer.push(message(["a", "b"][number % 2], &number.to_string()));
        }
    }

    #[test]
    fn the_oldest_make_room_and_the_gap_stands_in_their_place() {
        let mut buffer = buffer(OverflowPolicy::DropOldest, 3, 1000);
        fill(&mut buffer, 3);
        assert_eq!(shown(&mut buffer), "1 2 3");
        fill(&mut buffer, 5);
        assert_eq!(shown(&mut buffer), "[Overflow Some(2) a+b] 3 4 5");
        fill(&mut buffer, 1);
        assert_eq!(shown(&mut buffer), "1");
    }

    #[test]
    fn the_newest_are_dropped_until_there_is_room_for_them_and_their_gap() {
        let mut buffer = buffer(OverflowPolicy::DropNewest, 3, 1000);
        fill(&mut buffer, 5);
        buffer.pop().unwrap();
        // One place is not enough for the gap and a message.
        buffer.push(message("c", "6"));
        buffer.pop().unwrap();
        buffer.push(message("c", "7"));
        assert_eq!(shown(&mut buffer), "3 [Overflow Some(3) a+b+c] 7");
        fill(&mut buffer, 4);
        assert_eq!(shown(&mut buffer), "1 2 3 [Overflow Some(1) a]");
    }

    #[test]
    fn a_full_buffer_stops_the_reading_and_keeps_what_was_read() {
        let mut buffer = buffer(OverflowPolicy::StopReading, 2, 1000);
        fill(&mut buffer, 1);
        assert!(buffer.wants_more());
        fill(&mut buffer, 2);
        assert!(!buffer.wants_more());
        buffer.push(gap("a"));
        assert_eq!(shown(&mut buffer), "1 1 2 [ConnectionLost None a]");
        assert!(buffer.wants_more());
    }

    #[test]
    fn bytes_are_a_limit_too_and_a_large_message_alone_is_no_overflow() {
        let mut buffer = buffer(OverflowPolicy::DropOldest, 100, 10);
        buffer.push(message("a", "12345678901234567890"));
        buffer.push(message("a", "1234"));
        assert_eq!(shown(&mut buffer), "[Overflow Some(1) a] 1234");
        buffer.push(message("a", "1234"));
        buffer.push(message("a", "1234"));
        assert_eq!(shown(&mut buffer), "1234 1234");
    }

    #[test]
    fn news_of_a_loss_outlive_their_place_and_take_no_more_room() {
        for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNewest] {
            let mut buffer = buffer(policy, 2, 1000);
            fill(&mut buffer, 2);
            for _ in 0..1000 {
                let cause = GapCause::ConnectionLost;
                let interruption = Interruption { subscriptions: subscriptions("x"), cause };
                buffer.push(PubSubEvent::Interrupted(interruption));
                buffer.push(gap("x"));
            }
            assert!(buffer.queue.len() <= 2);
            let shown = shown(&mut buffer);
            let expected = match policy {
                OverflowPolicy::DropOldest => "[Overflow None a+b+x] interrupted [ConnectionLost None x]",
                _ => "1 2 [ConnectionLost None x]",
            };
            assert_eq!(shown, expected);
        }
    }
}
