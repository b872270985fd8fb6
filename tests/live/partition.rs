//! A primary that a real network cuts off, in network namespaces: the other shards go on, its replica takes over, and the
//! side of the minority is told the truth.
//!
//! The test's own client stands with the majority, another beside the primary that is cut off. What the latter acknowledges
//! before it notices that it is alone, servers throw away when the network is whole again; that is counted and printed, and so
//! are the latencies of the other shards from the cut until all is as before, because a machine that others use says nothing
//! by them. With `KEYSLOT_BUSY=yes` the callers never pause, which is how they are measured.
//!
//! ```text
//! KEYSLOT_BUSY=yes KEYSLOT_PARTITION_SERVER=redis-7.0 cargo nextest run --all-features --test live partition:: --no-capture
//! ```

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyslot::testkit::Server;
use keyslot::{Client, Commands, NodeAddr, Outcome, Slot};
use tokio::time::sleep;

use crate::failover_support::{Done, breathe, until};
use crate::namespaces::{Network, inside};

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;
const PORT: u16 = 7000;

/// `cluster-node-timeout`.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the latencies of a quiet network are taken, and those behind the promotion.
const LOOK: Duration = Duration::from_secs(2);

/// On each of the other shards.
const CALLERS: usize = 8;

/// For a command: longer than a failover takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Servers in their namespaces, ended on drop; before the network goes.
struct Servers {
    children: Vec<Child>,
    folder: PathBuf,
    network: Network,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ended = (child.kill(), child.wait());
        }
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

impl Servers {
    fn start(server: &Server) -> Done<Self> {
        let network = Network::of(NODES)?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(network.hub());
        let mut servers = Self { children: Vec::new(), folder, network };
        for place in 0..NODES {
            let child = servers.launch(server.path(), place)?;
            servers.children.push(child);
        }
        Ok(servers)
    }

    fn launch(&self, server: &Path, place: usize) -> Done<Child> {
        let own = self.folder.join(place.to_string());
        std::fs::create_dir_all(&own)?;
        let (port, timeout) = (PORT.to_string(), NODE_TIMEOUT.as_millis().to_string());
        let address = Network::address(place);
        // It becomes the server, so this child is the server.
        let mut program = Program::new("ip");
        program.args(["netns", "exec", &self.network.host(place)]).arg(server);
        program.args(["--port", &port, "--bind", &address, "--protected-mode", "no", "--save", ""]);
        program.args(["--cluster-enabled", "yes", "--cluster-node-timeout", &timeout]);
        program.args(["--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"]);
        program.args(["--repl-diskless-sync-delay", "0", "--repl-timeout", "4"]);
        let log = std::fs::File::create(own.join("log"))?;
        program.current_dir(&own).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(program.spawn()?)
    }
}

fn nodes() -> Vec<NodeAddr> {
    (0..NODES).map(|place| NodeAddr::new(Network::address(place), PORT)).collect()
}

async fn client() -> Result<Client, String> {
    let seeds = nodes().into_iter().map(|node| node.to_string());
    let client = Client::builder().seeds(seeds).command_timeout(PATIENCE).connect().await;
    client.map_err(|error| error.to_string())
}

/// What the two sides know of each other.
#[derive(Default)]
struct Signs {
    /// The network is cut, healed, and the trial over.
    is_cut: AtomicBool,
    is_healed: AtomicBool,
    is_over: AtomicBool,
    /// Increments of the minority that succeeded since the network was healed.
    minority_is_back: AtomicUsize,
}

fn is(sign: &AtomicBool) -> bool {
    sign.load(Ordering::SeqCst)
}

/// Increments by what they were told, in the order of time.
#[derive(Default)]
struct Told {
    acknowledged: usize,
    maybe: usize,
    refused: usize,
    /// The last acknowledgement and the first refusal, since the cut.
    last_acknowledged: Duration,
    first_refusal: Option<(Duration, String)>,
}

#[tokio::test]
async fn a_primary_that_the_network_cuts_off_is_its_own_shards_concern_alone() {
    if env::var("KEYSLOT_NAMESPACES").is_ok_and(|wanted| wanted == "no") {
        println!("left out, as KEYSLOT_NAMESPACES=no");
        return;
    }
    let server = env::var("KEYSLOT_PARTITION_SERVER").unwrap_or_else(|_| "valkey-9.1".to_owned());
    let server = Server::named(&server).unwrap();
    let servers = Arc::new(Servers::start(&server).unwrap());
    let signs = Arc::new(Signs::default());
    let (hub, beside) = (servers.network.hub(), servers.network.host(0));
    inside(hub.clone(), create).join().unwrap().unwrap().unwrap();
    let minority = inside(beside, {
        let signs = Arc::clone(&signs);
        move || minority(signs)
    });
    let majority = inside(hub, {
        let (signs, servers) = (Arc::clone(&signs), Arc::clone(&servers));
        move || async move {
            let ended = majority(&signs, &servers).await.map_err(|error| error.to_string());
            signs.is_over.store(true, Ordering::SeqCst);
            ended
        }
    });
    println!("{}:", server.version());
    let (majority, minority) = (majority.join().unwrap(), minority.join().unwrap());
    majority.unwrap().unwrap();
    minority.unwrap().unwrap();
}

/// Makes a cluster of the servers: the first three are the primaries.
async fn create() -> Result<(), String> {
    let admin = Client::builder().admin().await.map_err(|error| error.to_string())?;
    let plan = until("the servers can be asked", async || {
        admin.create(&nodes(), 1).await.map_err(|error| error.to_string())
    })
    .await
    .map_err(|error| error.to_string())?;
    plan.run(|_| {}).await.map_err(|error| error.to_string())?;
    Ok(())
}

/// A word whose slot this node serves.
fn tag_of(client: &Client, node: &NodeAddr) -> String {
    let serves = |tag: &String| {
        client.slot_map().primary_of(Slot::of_key(tag.as_bytes())).is_some_and(|owner| owner.addr == *node)
    };
    (0..1000).map(|number| format!("tag{number}")).find(serves).unwrap()
}

async fn majority(signs: &Signs, servers: &Servers) -> Done {
    let client = client().await?;
    let victim = &nodes()[0];
    let map = client.slot_map();
    let primaries: Vec<NodeAddr> = map.shards().map(|shard| shard.primary().addr.clone()).collect();
    assert!(primaries.contains(victim), "{primaries:?}");
    let others: Vec<String> =
        primaries.iter().filter(|node| *node != victim).map(|node| tag_of(&client, node)).collect();
    let tag = tag_of(&client, victim);
    let counter = format!("{{{tag}}}:majority");

    let begin = Instant::now();
    let is_over = AtomicBool::new(false);
    let watched = async {
        let (client, is_over) = (&client, &is_over);
        let callers = others.iter().flat_map(|tag| (0..CALLERS).map(move |number| (tag, number)));
        let calls = callers.map(|(tag, number)| timed(client, format!("{{{tag}}}:{number}"), begin, is_over));
        futures::future::try_join_all(calls).await
    };
    let counted = count(&client, &counter, begin, &is_over);
    let story = async {
        sleep(LOOK).await;
        servers.network.cut_off(0, true)?;
        let cut = begin.elapsed();
        signs.is_cut.store(true, Ordering::SeqCst);
        until("the shard has another primary", async || {
            let map = client.slot_map();
            let owner = map.primary_of(Slot::of_key(tag.as_bytes())).ok_or("nobody")?;
            if owner.addr == *victim { Err(format!("still {victim}")) } else { Ok(()) }
        })
        .await?;
        let promoted = begin.elapsed();
        // From here on nothing may be lost.
        let surely = client.incr(format!("{{{tag}}}:surely")).await?;
        assert_eq!(surely, 1);
        sleep(LOOK).await;
        servers.network.cut_off(0, false)?;
        signs.is_healed.store(true, Ordering::SeqCst);
        until("the client of the minority is back", async || {
            let done = signs.minority_is_back.load(Ordering::SeqCst);
            if done >= 3 { Ok(()) } else { Err(format!("{done} increments")) }
        })
        .await?;
        is_over.store(true, Ordering::SeqCst);
        Done::Ok((cut, promoted))
    };
    let (watched, told, story) = tokio::join!(watched, counted, story);
    let (cut, promoted) = story?;
    // An error of any call on the other shards ends the test.
    let calls: Vec<(Duration, Duration)> = watched?.into_iter().flatten().collect();
    let before = p99(calls.iter().filter(|(at, _)| *at < cut));
    let during = p99(calls.iter().filter(|(at, _)| *at >= cut));
    let value: usize = client.get(&counter).await?;
    println!(
        "  other shards: {} calls without an error; p99 {before:.2?} before, {during:.2?} since one was cut off: {:.2} times",
        calls.len(),
        during.as_secs_f64() / before.as_secs_f64()
    );
    println!(
        "  the shard that is cut off: known to be promoted {:.1?} after the cut; {} acknowledged, {} perhaps executed, {} \
         surely not; {value} in the end, {} lost by the servers",
        promoted - cut,
        told.acknowledged,
        told.maybe,
        told.refused,
        told.acknowledged.saturating_sub(value)
    );
    assert!(value <= told.acknowledged + told.maybe, "{value} is more than was told");
    let surely: usize = client.get(format!("{{{tag}}}:surely")).await?;
    assert_eq!(surely, 1, "acknowledged by the new primary, and lost");
    Ok(())
}

/// Writes and reads a key, one after the other: when each began, and what it took.
async fn timed(
    client: &Client,
    key: String,
    begin: Instant,
    is_over: &AtomicBool,
) -> Done<Vec<(Duration, Duration)>> {
    let mut calls = Vec::new();
    while !is(is_over) {
        let at = begin.elapsed();
        client.set(&key, calls.len()).await?;
        assert_eq!(client.get::<usize>(&key).await?, calls.len());
        calls.push((at, begin.elapsed() - at));
        breathe().await;
    }
    Ok(calls)
}

async fn count(client: &Client, key: &str, since: Instant, is_over: &AtomicBool) -> Told {
    let mut told = Told::default();
    while !is(is_over) {
        match client.incr(key).await {
            Ok(_value) => {
                told.acknowledged += 1;
                told.last_acknowledged = since.elapsed();
            }
            Err(error) if error.outcome() == Outcome::MaybeExecuted => told.maybe += 1,
            Err(error) => {
                told.refused += 1;
                told.first_refusal.get_or_insert_with(|| (since.elapsed(), error.to_string()));
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
    told
}

/// Beside the primary that is cut off. Ends when the network is whole again and its increments succeed.
async fn minority(signs: Arc<Signs>) -> Result<(), String> {
    let client = client().await?;
    let tag = tag_of(&client, &nodes()[0]);
    while !is(&signs.is_cut) && !is(&signs.is_over) {
        sleep(Duration::from_millis(1)).await;
    }
    let cut = Instant::now();
    let (mut told, key) = (Told::default(), format!("{{{tag}}}:minority"));
    while !is(&signs.is_healed) && !is(&signs.is_over) {
        let command = keyslot::Command::new("INCR").key(&key).timeout(Duration::from_millis(300));
        match client.execute::<usize>(command).await {
            Ok(_value) => {
                told.acknowledged += 1;
                told.last_acknowledged = cut.elapsed();
            }
            Err(error) if error.outcome() == Outcome::MaybeExecuted => told.maybe += 1,
            Err(error) => {
                told.refused += 1;
                told.first_refusal.get_or_insert_with(|| (cut.elapsed(), error.to_string()));
            }
        }
        sleep(Duration::from_millis(2)).await;
    }
    let (noticed, said) = told.first_refusal.ok_or("the minority was never told that it is one")?;
    println!(
        "  the side of the minority: {} acknowledged until {:.1?} after the cut, all to be lost; {} perhaps executed, {} surely \
         not, the first of them {noticed:.1?} after the cut: {said}",
        told.acknowledged, told.last_acknowledged, told.maybe, told.refused
    );
    // The same client, on the whole cluster again.
    let (key, mut told) = (format!("{{{tag}}}:back"), (0, 0));
    while !is(&signs.is_over) {
        match client.incr(&key).await {
            Ok(_value) => {
                told.0 += 1;
                signs.minority_is_back.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) if error.outcome() == Outcome::MaybeExecuted => told.1 += 1,
            Err(_surely_not) => {}
        }
        sleep(Duration::from_millis(100)).await;
    }
    let value: usize = client.get(&key).await.map_err(|error| error.to_string())?;
    println!(
        "  the same client on the whole cluster again: {} acknowledged, {} perhaps executed, {value} there",
        told.0, told.1
    );
    assert!(value <= told.0 + told.1, "{value} is more than was told");
    Ok(())
}

fn p99<'a>(calls: impl Iterator<Item = &'a (Duration, Duration)>) -> Duration {
    let mut took: Vec<Duration> = calls.map(|(_, took)| *took).collect();
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}
