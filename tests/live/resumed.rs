//! A primary that was stopped (`SIGSTOP`), replaced, and goes on (`SIGCONT`): until it hears of its successor it acknowledges
//! writes that it will throw away. For how long, and how many, to whom.
//!
//! Three kinds of callers append to a list each: a bare connection to the old primary, which knows nothing of clusters and shows
//! what servers do; a client that was busy all the time; and one that was idle since before the stop and begins when the old
//! primary goes on. What is held: nothing runs twice, and nothing that was told as not executed ran. What is lost is
//! counted and printed, because servers lose it, and how fast they do depends on the machine.
//!
//! ```text
//! KEYSLOT_RESUMED_ROUNDS=5 cargo nextest run --all-features --test live resumed:: --no-capture
//! ```

use std::collections::HashSet;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, FromValue, NodeAddr, Outcome, Slot};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failover_support::{Done, NODE_TIMEOUT, ask, on_every_server, until};

on_every_server! {
    a_resumed_primary_acknowledges_what_it_will_lose_for_a_moment
}

/// Callers of each client.
const TASKS: usize = 4;

/// How long the old primary is written to after it goes on, if nobody ends that before.
const AFTER: Duration = Duration::from_secs(2);

/// What a caller was told of one element.
struct Push {
    element: String,
    end: Instant,
    /// `None`: acknowledged.
    outcome: Option<Outcome>,
}

mod scenarios {
    use super::*;

    pub(super) async fn a_resumed_primary_acknowledges_what_it_will_lose_for_a_moment(
        server: Server,
    ) -> Done {
        let rounds = env::var("KEYSLOT_RESUMED_ROUNDS").map_or(Ok(1), |text| text.parse::<u32>())?;
        let cluster = LocalCluster::builder()
            .server(server)
            .replicas(1)
            .node_timeout(NODE_TIMEOUT)
            .setting("cluster-allow-replica-migration", "no")
            .start()
            .await?;
        let [mut primary, mut replica] = [0, 3].map(|place| cluster.nodes()[place].clone());
        for round in 1..=rounds {
            one_round(&cluster, &primary, &replica, round).await?;
            std::mem::swap(&mut primary, &mut replica);
            if round < rounds {
                cluster.wait_until_ok().await?;
                // Voters refuse a second failover of a shard within twice this time.
                tokio::time::sleep(3 * NODE_TIMEOUT).await;
            }
        }
        Ok(())
    }
}

async fn one_round(cluster: &LocalCluster, primary: &NodeAddr, replica: &NodeAddr, round: u32) -> Done {
    let tag = tag_of(cluster, primary).await?;
    let key = |who: &str| format!("{{{tag}}}:{round}:{who}");
    let (busy, idle) = (client(cluster).await?, client(cluster).await?);
    let bare = TcpStream::connect((primary.host(), primary.port())).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let busy = appended(&busy, key("busy"), &is_over);
    tokio::time::sleep(Duration::from_millis(300)).await;

    cluster.stop(primary)?;
    let stopped = Instant::now();
    // Its first command lies in the socket when the old primary goes on.
    let bare = tokio::spawn(append_past_all(bare, key("bare")));
    until("the replica is promoted", async || {
        let role = cluster.command(replica, Command::new("ROLE")).await.map_err(|error| error.to_string())?;
        let role = format!("{role:?}");
        if role.contains("master") { Ok(()) } else { Err(role) }
    })
    .await?;
    let promoted = stopped.elapsed();
    cluster.cont(primary)?;
    let resumed = Instant::now();
    let idle = appended(&idle, key("idle"), &is_over);
    tokio::time::sleep(AFTER).await;
    is_over.store(true, Ordering::Relaxed);
    let (bare, last_words) = tokio::time::timeout(Duration::from_secs(30), bare).await???;
    let (busy, idle) = (all(busy).await?, all(idle).await?);
    cluster.wait_until_ok().await?;

    // In one piece, as other servers are asked at the same time.
    let mut report =
        format!("{}, round {round}: promoted {promoted:.1?} after the stop\n", cluster.server().version());
    for (who, pushes) in [("bare", bare), ("busy", busy), ("idle", idle)] {
        let range = Command::new("LRANGE").key(key(who)).arg(0).arg(-1);
        let list = Vec::<String>::from_value(ask(cluster, replica, range).await?)?;
        let there: HashSet<&str> = list.iter().map(String::as_str).collect();
        assert_eq!(there.len(), list.len(), "{who}: an element was pushed twice");
        let is_lost = |push: &&Push| push.outcome.is_none() && !there.contains(push.element.as_str());
        let lost: Vec<&Push> = pushes.iter().filter(is_lost).collect();
        let (before, after): (Vec<&Push>, Vec<&Push>) = lost.iter().partition(|push| push.end < resumed);
        let window = after.iter().map(|push| push.end - resumed).max().unwrap_or_default();
        let done = pushes.iter().filter(|push| push.outcome.is_none()).count();
        let maybe = pushes.iter().filter(|push| push.outcome == Some(Outcome::MaybeExecuted)).count();
        for push in pushes.iter().filter(|push| push.outcome.is_some_and(|it| it != Outcome::MaybeExecuted)) {
            assert!(
                !there.contains(push.element.as_str()),
                "{who}: {} was told as not executed",
                push.element
            );
        }
        report += &format!(
            "  {who}: {done} acknowledged, {maybe} perhaps executed; lost of the acknowledged: {} before the stop, {} \
             within {:.1} ms of going on\n",
            before.len(),
            after.len(),
            window.as_secs_f64() * 1e3
        );
    }
    println!("{report}  the bare connection ended with: {last_words}");
    Ok(())
}

async fn client(cluster: &LocalCluster) -> Done<Client> {
    Ok(Client::builder().url(&cluster.url()).command_timeout(Duration::from_secs(20)).connect().await?)
}

/// A word whose slot this node serves.
async fn tag_of(cluster: &LocalCluster, primary: &NodeAddr) -> Done<String> {
    for number in 0..1000 {
        let tag = format!("resumed{number}");
        if cluster.primary_of(Slot::of_key(tag.as_bytes())).await? == *primary {
            return Ok(tag);
        }
    }
    Err(format!("{primary} serves none of a thousand slots").into())
}

/// Tasks that append to one list until it is over, one element after the other each.
fn appended(client: &Client, key: String, is_over: &Arc<AtomicBool>) -> JoinSet<Vec<Push>> {
    (0..TASKS)
        .map(|task| {
            let (client, key, is_over) = (client.clone(), key.clone(), Arc::clone(is_over));
            async move {
                let mut pushes = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let element = format!("{task}.{}", pushes.len());
                    let outcome = match client.rpush(&key, [&element]).await {
                        Ok(_length) => None,
                        Err(error) => Some(error.outcome()),
                    };
                    pushes.push(Push { element, end: Instant::now(), outcome });
                }
                pushes
            }
        })
        .collect()
}

async fn all(mut tasks: JoinSet<Vec<Push>>) -> Done<Vec<Push>> {
    let mut pushes = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        pushes.extend(ended?);
    }
    Ok(pushes)
}

/// Appends over one connection, as somebody who knows nothing of clusters, until that is refused; and what it was told then.
async fn append_past_all(stream: TcpStream, key: String) -> std::io::Result<(Vec<Push>, String)> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut pushes = Vec::new();
    loop {
        let element = pushes.len().to_string();
        let (key_length, length) = (key.len(), element.len());
        let command = format!("*3\r\n$5\r\nRPUSH\r\n${key_length}\r\n{key}\r\n${length}\r\n{element}\r\n");
        let mut reply = String::new();
        let sent = stream.write_all(command.as_bytes()).await;
        let told = match sent {
            Ok(()) => stream.read_line(&mut reply).await,
            Err(error) => Err(error),
        };
        match told {
            Ok(_length) if reply.starts_with(':') => {
                pushes.push(Push { element, end: Instant::now(), outcome: None });
            }
            Ok(0) => return Ok((pushes, "the end of the connection".to_owned())),
            Ok(_length) => return Ok((pushes, reply.trim_end().to_owned())),
            Err(error) => return Ok((pushes, error.to_string())),
        }
    }
}
