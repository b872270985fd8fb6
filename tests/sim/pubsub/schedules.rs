//! Random upheavals under a stream of numbered messages: a number that is missing has a gap before the next, and what
//! came is in order. Behind a gap the last one may come once more.

use std::collections::BTreeMap;

use keyslot::testkit::sim::{SimCluster, Step};
use keyslot::{Command, OverflowPolicy, PubSubEvent, Subscriber, SubscriberOptions};
use tokio::time::sleep;

use crate::support::{MS, SECOND, connect, owner, replicated, slot};

const CHANNELS: [&str; 4] = ["{a}x", "{a}y", "{b}x", "{c}x"];

/// Reads until the word `end` has come on all channels. What was read and how many gaps there were.
async fn read(mut subscriber: Subscriber, is_slow: bool) -> (usize, usize) {
    // The number that must come next, unless there was a gap.
    let mut expected: BTreeMap<Vec<u8>, (u64, bool)> = BTreeMap::new();
    let mut open = CHANNELS.len();
    let (mut messages, mut gaps) = (0, 0);
    while open > 0 {
        match subscriber.next().await.unwrap() {
            PubSubEvent::Message(message) => {
                let text = std::str::from_utf8(&message.payload).unwrap();
                if text == "end" {
                    open -= 1;
                    continue;
                }
                let number: u64 = text.parse().unwrap();
                let (next, after_gap) = expected.entry(message.channel.to_vec()).or_insert((1, false));
                assert!(number == *next || *after_gap, "{number}, not {next} at {:?}", message.channel);
                if number >= *next {
                    (*next, *after_gap) = (number + 1, false);
                    messages += 1;
                } else {
                    // The new primary had it from the old one only now.
                    assert_eq!(number + 1, *next, "{:?}", message.channel);
                }
                if is_slow {
                    sleep(3 * MS).await;
                }
            }
            PubSubEvent::Gap(gap) => {
                gaps += 1;
                for subscription in gap.subscriptions {
                    expected.entry(subscription.name.to_vec()).or_insert((1, false)).1 = true;
                }
            }
            PubSubEvent::Interrupted(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (messages, gaps)
}

/// Does something to the cluster, and undoes it.
async fn upheave(cluster: &SimCluster, rng: &mut fastrand::Rng) {
    let channel = CHANNELS[rng.usize(..CHANNELS.len())];
    let node = owner(cluster, channel);
    match rng.u8(..5) {
        0 => cluster.perform(Step::Disconnect(node)).unwrap(),
        1 => {
            cluster.kill(&node).unwrap();
            sleep(rng.u32(500..8000) * MS).await;
            cluster.restart(&node).unwrap();
        }
        // No node hangs and goes on: it would publish what lay in its sockets, long after the newer messages.
        2 => {
            if let Some(replica) = cluster.replicas_of(&node).first() {
                // It may not be in step, or be none any more.
                drop(cluster.promote(replica));
            }
        }
        _ => {
            let primaries = crate::support::primaries(cluster);
            let to = &primaries[rng.usize(..primaries.len())];
            drop(cluster.move_slot(slot(channel), to));
        }
    }
    sleep(rng.u32(..3000) * MS).await;
}

#[tokio::test(start_paused = true)]
async fn no_message_of_a_shard_channel_is_missing_without_a_word() {
    let (mut all_messages, mut all_gaps) = (0, 0);
    for seed in 0..20 {
        let policy = match seed % 3 {
            0 => OverflowPolicy::DropOldest,
            1 => OverflowPolicy::DropNewest,
            _ => OverflowPolicy::StopReading,
        };
        let cluster = replicated().seed(seed).start_in_memory().unwrap();
        let client = connect(&cluster).await;
        let options = SubscriberOptions::new().buffer(50, 1 << 20).overflow(policy);
        let subscriber = client.subscriber_with(options);
        subscriber.ssubscribe(CHANNELS).await.unwrap();
        let handle = subscriber.handle();
        let reader = tokio::spawn(read(subscriber, seed % 2 == 1));
        let publishers: Vec<_> = CHANNELS
            .iter()
            .map(|channel| {
                let client = client.clone();
                tokio::spawn(async move {
                    for number in 1..1500 {
                        let command = Command::new("SPUBLISH").key(*channel).arg(number);
                        // One that was lost is lost for all.
                        drop(client.execute::<i64>(command).await);
                        sleep(10 * MS).await;
                    }
                })
            })
            .collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
            upheave(&cluster, &mut rng).await;
        }
        sleep(60 * SECOND).await;
        for state in handle.subscriptions().await {
            let name = std::str::from_utf8(&state.subscription.name).unwrap();
            assert_eq!(state.node, Some(owner(&cluster, name)), "seed {seed}: {name}");
        }
        for channel in CHANNELS {
            let told: i64 = client.execute(Command::new("SPUBLISH").key(channel).arg("end")).await.unwrap();
            assert_eq!(told, 1, "seed {seed}: {channel}");
        }
        let (messages, gaps) = crate::support::soon(reader).await.unwrap();
        all_messages += messages;
        all_gaps += gaps;
    }
    assert!(all_messages > 50_000, "{all_messages}");
    assert!(all_gaps > 50, "{all_gaps}");
}
