//! Messages through a failover: what is received, what is missing, and how that is told.
//!
//! ```text
//! cargo run --example pubsub_failover
//! cargo run --example pubsub_failover -- --url redis://127.0.0.1:7000
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own, as `bulk_load` does, and kills the primary of its shard
//! channel. A cluster that is named is left alone: kill a node yourself and watch.
//!
//! Pub/sub keeps nothing for whoever is not listening. So a reader that keeps a state by messages has to know where one may
//! be missing: there a `Gap` stands, and there he reads the state anew. Here the state is a number that each message tells
//! and that a key holds too.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyslot::{Bytes, Client, Command, Commands, ErrorKind, PubSubEvent, Slot, Subscriber};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "Receives messages through the failover of the node that sends them.\n";

/// A channel of the whole cluster.
const NEWS: &str = "keyslot:example:news";
/// A shard channel, and the key of the state that its messages tell; by the tag both are in one slot.
const ORDERS: &str = "{keyslot:example}:orders";
const STATE: &str = "{keyslot:example}:state";

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(100);
/// Messages before the primary is killed, and behind the gap.
const SOME: usize = 6;
/// Longer than any failover of a cluster with the usual settings.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run(HELP, run).await
}

async fn run(url: Option<String>) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let client = cluster.connect().await?;
    if client.exists(STATE).await? != 0 {
        return Err(format!("the key {STATE} exists already, and this example would overwrite it").into());
    }
    let mut subscriber = client.subscriber();
    subscriber.subscribe(NEWS).await?;
    let channel = match subscriber.ssubscribe(ORDERS).await {
        Ok(()) => ORDERS,
        // Redis 6.2.
        Err(error) if error.kind() == ErrorKind::Server => {
            println!("No shard channels here: {error}");
            NEWS
        }
        Err(other) => return Err(other.into()),
    };
    for state in subscriber.subscriptions().await {
        if let Some(node) = state.node {
            println!("Subscribed: {:?} at {node}", state.subscription);
        }
    }
    println!("\nA key is counted up, and each number is told by a message:");
    let publisher = publish(client.clone(), channel);
    let shown = show(&cluster, &client, &mut subscriber, channel).await;
    publisher.abort();
    // What was not aborted before its write may still come in.
    drop(publisher.await);
    let deleted = client.del(STATE).await;
    shown?;
    deleted?;
    client.close().await;
    Ok(())
}

/// Counts in the key and tells it by messages, until it is aborted.
fn publish(client: Client, channel: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move {
        let verb = if channel == ORDERS { "SPUBLISH" } else { "PUBLISH" };
        loop {
            match client.incr(STATE).await {
                Ok(number) => {
                    let message = Command::new(verb).key(channel).arg(number);
                    if let Err(error) = client.execute::<i64>(message).await {
                        println!("           number {number} was perhaps not published: {error}");
                    }
                }
                Err(error) => println!("           not counted, or not known to be: {error}"),
            }
            sleep(PAUSE).await;
        }
    })
}

async fn show(
    cluster: &Cluster,
    client: &Client,
    subscriber: &mut Subscriber,
    channel: &str,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let say = |text: String| println!("{:>8.2} s  {text}", begin.elapsed().as_secs_f64());
    let mut messages = 0;
    let mut goal = SOME;
    let mut has_killed = false;
    while messages < goal {
        let event = timeout(PATIENCE, subscriber.next()).await.map_err(|_| "no event for a minute")?;
        match event.ok_or("the client was closed")? {
            PubSubEvent::Message(message) => {
                messages += 1;
                say(format!("{} tells {}", text(&message.channel), text(&message.payload)));
                if messages == SOME && !has_killed {
                    has_killed = true;
                    let states = subscriber.subscriptions().await;
                    let state =
                        states.into_iter().find(|state| *state.subscription.name == *channel.as_bytes());
                    let node = state.and_then(|state| state.node).ok_or("nobody sends the messages")?;
                    if cluster.kill(&node)? {
                        say(format!("KILLED {node}, which sends them"));
                        goal = usize::MAX;
                    }
                }
            }
            PubSubEvent::Interrupted(interruption) => {
                say(format!("INTERRUPTED: {:?}, {:?}", interruption.subscriptions, interruption.cause));
            }
            PubSubEvent::Gap(gap) => {
                say(format!("GAP: messages of {:?} may be missing, {:?}", gap.subscriptions, gap.cause));
                let number: Option<i64> = client.get(STATE).await?;
                let slot = Slot::of_key(STATE.as_bytes());
                let primary = client.slot_map().primary_of(slot).map(|node| node.addr.to_string());
                say(format!(
                    "    the state, read anew at {}: {}",
                    primary.unwrap_or_else(|| "nobody".to_owned()),
                    number.unwrap_or_default()
                ));
                if gap.subscriptions.iter().any(|subscription| *subscription.name == *channel.as_bytes()) {
                    goal = messages + SOME;
                }
            }
            PubSubEvent::Ended(ended) => return Err(ended.error.into()),
            other => say(format!("{other:?}")),
        }
    }
    Ok(())
}

fn text(bytes: &Bytes) -> String {
    bytes.escape_ascii().to_string()
}
