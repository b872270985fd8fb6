//! A scan of real servers: every key that is there all the time is given, through a resharding, a slot that stays half
//! moved, the death of a primary, a stop in between; and commands to many nodes with each one's own result.

use std::collections::{BTreeMap, BTreeSet};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, on_every_server, until};
use keyslot::testkit::{LocalCluster, LocalServer, Server};
use keyslot::{Client, Command, Commands, NodeAddr, ScanPages, Slot, Target, Value};

on_every_server! {
    no_key_is_missed_while_slots_move
    no_key_is_missed_when_a_primary_dies
    one_server_without_a_cluster_is_scanned_too
    each_node_tells_its_own_result
}

/// Keys of a cluster, in nearly as many slots.
const KEYS: usize = 5000;

/// Keys of the slot that is half moved.
const TAGGED: usize = 60;

mod scenarios {
    use super::*;

    pub(super) async fn no_key_is_missed_while_slots_move(server: Server) -> Done {
        let cluster =
            LocalCluster::builder().primaries(3).server(server).node_timeout(NODE_TIMEOUT).start().await?;
        let client = connect(&cluster.url()).await?;
        let keys = fill(&client).await?;
        let nodes = cluster.nodes();

        // One slot with keys on both sides, for the whole time.
        let open = Slot::of_key(b"t");
        let (from, to) = sides(&cluster, open).await?;
        cluster.open_slot(open, &from, &to).await?;
        cluster.migrate_keys(open, &from, &to, TAGGED / 2).await?;

        let mut pages = client.scan().count(40).parallel(2).pages();
        let mut found = BTreeSet::new();
        let mut given = 0;
        let mut moving = keys.iter().map(|key| Slot::of_key(key.as_bytes())).filter(|slot| *slot != open);
        for round in 0..60 {
            given += some(&mut pages, &mut found, 2).await?;
            // From each node to each other one, scanned or not.
            let slot = moving.next().unwrap();
            let (from, to) = sides(&cluster, slot).await?;
            cluster.move_slot(slot, &from, &to).await?;
            all_have_heard(&cluster).await?;
            if round == 30 {
                // Another process.
                let token = pages.token();
                drop(pages);
                let other = connect(&cluster.url()).await?;
                pages = other.scan().count(100).parallel(3).resume(&token)?.pages();
            }
        }
        given += rest(&mut pages, &mut found).await?;
        assert_eq!(missed(&keys, &found), [""; 0], "given {given}");
        println!(
            "{}: {given} keys given of {}, {:?}",
            cluster.server().version(),
            keys.len(),
            client.stats()
        );
        assert!(given < 2 * keys.len(), "{given}");

        cluster.migrate_keys(open, &from, &to, TAGGED).await?;
        cluster.close_slot(open, &from, &to).await?;
        let (mut found, mut pages) = (BTreeSet::new(), client.scan().pattern("{t}*").pages());
        rest(&mut pages, &mut found).await?;
        assert_eq!(found.len(), TAGGED);
        assert!(nodes.contains(&cluster.primary_of(open).await?));
        Ok(())
    }

    pub(super) async fn no_key_is_missed_when_a_primary_dies(server: Server) -> Done {
        let cluster = LocalCluster::builder()
            .primaries(3)
            .replicas(1)
            .server(server)
            .node_timeout(NODE_TIMEOUT)
            .start()
            .await?;
        let client = connect(&cluster.url()).await?;
        let keys = fill(&client).await?;
        // A key that its replica does not have yet is not there all the time.
        for node in cluster.nodes() {
            until("the replicas have everything", async || {
                let info = cluster.command(&node, Command::new("INFO").arg("replication")).await;
                let info = info.map_err(|error| error.to_string())?;
                let info = info.as_str().unwrap_or_default().to_owned();
                let number =
                    |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let written = number("master_repl_offset:");
                let is_behind = info.lines().any(|line| {
                    line.starts_with("slave0:")
                        && !written
                            .as_ref()
                            .is_some_and(|written| line.contains(&format!("offset={written},")))
                });
                if is_behind { Err(info) } else { Ok(()) }
            })
            .await?;
        }
        let mut pages = client.scan().count(20).parallel(3).pages();
        let mut found = BTreeSet::new();
        let mut given = some(&mut pages, &mut found, 60).await?;
        let slot = Slot::of_key(b"t");
        let dead = cluster.primary_of(slot).await?;
        cluster.kill(&dead)?;
        given += some(&mut pages, &mut found, 10).await?;
        until("the replica is promoted", async || {
            let map = client.slot_map();
            let now = map.primary_of(slot).map(|node| node.addr.clone());
            if now.as_ref() == Some(&dead) { Err(format!("{map:?}")) } else { Ok(()) }
        })
        .await?;
        cluster.restart(&dead).await?;
        given += rest(&mut pages, &mut found).await?;
        assert_eq!(missed(&keys, &found), [""; 0], "given {given}");
        println!(
            "{}: {given} keys given of {}, {:?}",
            cluster.server().version(),
            keys.len(),
            client.stats()
        );
        Ok(())
    }

    pub(super) async fn one_server_without_a_cluster_is_scanned_too(server: Server) -> Done {
        let server = LocalServer::start(server).await?;
        let client = connect(&server.url()).await?;
        let keys = fill(&client).await?;
        client.rpush("a list", ["x"]).await?;
        let (mut found, mut pages) = (BTreeSet::new(), client.scan().of_type("string").pages());
        let given = some(&mut pages, &mut found, 5).await?;
        let token = pages.token();
        let mut pages = client.scan().resume(&token)?.pages();
        let given = given + rest(&mut pages, &mut found).await?;
        assert_eq!((missed(&keys, &found), found.len()), (Vec::new(), keys.len()), "given {given}");
        let (mut found, mut pages) = (BTreeSet::new(), client.scan().of_type("list").pages());
        rest(&mut pages, &mut found).await?;
        assert_eq!(found, BTreeSet::from(["a list".to_owned()]));
        Ok(())
    }

    pub(super) async fn each_node_tells_its_own_result(server: Server) -> Done {
        let cluster = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await?;
        let client = connect(&cluster.url()).await?;
        let keys = fill(&client).await?;
        let map = client.slot_map();
        let primaries: Vec<NodeAddr> = map.shards().map(|shard| shard.primary().addr.clone()).collect();

        let each = client.execute_each::<usize>(Command::new("DBSIZE")).await?;
        assert_eq!(
            each.iter().map(|(node, _)| node).collect::<Vec<_>>(),
            primaries.iter().collect::<Vec<_>>()
        );
        let sizes: Vec<usize> = each.into_iter().map(|(_, size)| size).collect::<Result<_, _>>()?;
        assert_eq!(sizes.iter().sum::<usize>(), keys.len());
        assert_eq!(client.dbsize().to(Target::Node(primaries[1].clone())).await?, i64::try_from(sizes[1])?);

        // By policy: on all nodes, on all primaries, put together or one for all.
        client.execute::<()>(Command::new("CONFIG SET").arg("slowlog-max-len").arg(77)).await?;
        let asked = Command::new("CONFIG GET").arg("slowlog-max-len").to(Target::AllNodes);
        for (node, set) in client.execute_each::<BTreeMap<String, u32>>(asked).await? {
            assert_eq!(set?["slowlog-max-len"], 77, "{node}");
        }
        let script = "return 'from a script'";
        let sha: String = client.execute(Command::new("SCRIPT LOAD").arg(script)).await?;
        for node in &primaries {
            let known = Command::new("SCRIPT EXISTS").arg(&sha);
            assert_eq!(ask(&cluster, node, known).await?, Value::Array(vec![Value::Int(1)]), "{node}");
        }
        let infos: BTreeMap<String, String> = client.execute(Command::new("INFO").arg("server")).await?;
        assert!(infos.keys().eq(primaries.iter().map(ToString::to_string).collect::<BTreeSet<_>>().iter()));
        assert!(infos.values().all(|info| info.contains("run_id:")));
        let mut ids = BTreeSet::new();
        let everywhere = Command::new("INFO").arg("server").to(Target::AllNodes);
        for (_, info) in client.execute_each::<String>(everywhere).await? {
            ids.extend(info?.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::to_owned));
        }
        assert_eq!(ids.len(), client.slot_map().nodes().len(), "each is another server");
        client.ping().await?;
        let pong: String = client.execute(Command::new("PING")).await?;
        assert_eq!(pong, "PONG");
        let mut listed: Vec<String> = client.keys("*").await?;
        listed.sort_unstable();
        assert!(listed.iter().eq(&keys));

        // Each that fails is named.
        let no_such = Command::new("CONFIG SET").arg("no-such-setting").arg(1).to(Target::AllPrimaries);
        let each = client.execute_each::<()>(no_such.clone()).await?;
        assert!(each.iter().all(|(node, result)| result.as_ref().unwrap_err().node() == Some(node)));
        let error = client.execute::<()>(no_such).await.unwrap_err().to_string();
        assert!(error.contains("3 of its 3 parts failed"), "{error}");
        assert!(primaries.iter().all(|node| error.contains(&node.to_string())), "{error}");
        client.flushall().await?;
        assert_eq!(client.dbsize().await?, 0);
        Ok(())
    }
}

async fn connect(url: &str) -> keyslot::Result<Client> {
    let settings = Client::builder().url(url).command_timeout(COMMAND_TIMEOUT);
    // Where nothing is sent, nothing tells that a node has died.
    settings.refresh_interval(NODE_TIMEOUT).connect().await
}

/// Writes the keys; in order.
async fn fill(client: &Client) -> keyslot::Result<BTreeSet<String>> {
    let tagged = (0..TAGGED).map(|number| format!("{{t}}:{number}"));
    let keys: BTreeSet<String> = (0..KEYS).map(|number| format!("key:{number}")).chain(tagged).collect();
    client.mset(keys.iter().map(|key| (key, "v"))).await?;
    Ok(keys)
}

/// The owner of a slot and the next node.
async fn sides(cluster: &LocalCluster, slot: Slot) -> Done<(NodeAddr, NodeAddr)> {
    let owner = cluster.primary_of(slot).await?;
    let nodes = cluster.nodes();
    let place = nodes.iter().position(|node| *node == owner).unwrap();
    Ok((owner, nodes[(place + 1 + usize::from(slot.get()) % 2) % nodes.len()].clone()))
}

/// Waits until the epoch of the last move is known to all. Otherwise a node that takes a slot next with a lower epoch than its
/// old owner has just got loses it again to a message that is on its way, and then each says that it is the other's.
async fn all_have_heard(cluster: &LocalCluster) -> Done {
    until("all know the newest epoch", async || {
        let mut epochs = BTreeSet::new();
        for node in cluster.nodes() {
            let info = cluster.command(&node, Command::new("CLUSTER INFO")).await;
            let info = info.map_err(|error| error.to_string())?;
            let lines = info.as_str().unwrap_or_default().lines();
            epochs.extend(
                lines.filter_map(|line| line.strip_prefix("cluster_current_epoch:")).map(str::to_owned),
            );
        }
        if epochs.len() == 1 { Ok(()) } else { Err(format!("{epochs:?}")) }
    })
    .await
}

/// Adds the keys of so many pages, if there are as many; returns how many keys were given.
async fn some(pages: &mut ScanPages, found: &mut BTreeSet<String>, count: usize) -> keyslot::Result<usize> {
    let mut given = 0;
    for _ in 0..count {
        let Some(page) = pages.next().await else { break };
        let page = page?;
        given += page.len();
        found.extend(page.iter().map(|key| String::from_utf8_lossy(key).into_owned()));
    }
    Ok(given)
}

async fn rest(pages: &mut ScanPages, found: &mut BTreeSet<String>) -> keyslot::Result<usize> {
    some(pages, found, usize::MAX).await
}

fn missed<'a>(keys: &'a BTreeSet<String>, found: &'a BTreeSet<String>) -> Vec<&'a String> {
    keys.difference(found).collect()
}
