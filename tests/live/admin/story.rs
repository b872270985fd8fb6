//! The life of a cluster in one piece: made, loaded, grown, rebalanced under load, bereft of a primary, reshaped, shrunk.
//! After each step nothing is missing and the servers' own tool agrees.

use std::time::Duration;

use keyslot::admin::{AddAs, Admin, Failover, Problem, Rebalance, Report};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Slot, TopologyEvent};

use super::support::{Contents, Load, admin, all_is_well, assert_all_there, digest, done, load, strangers};
use super::support::{tool_agrees, tool_says};
use crate::live_support::{ask, until, value_of};

const KEYS: usize = 100_000;

/// Larger than a batch.
const BIG: usize = 8 << 20;

struct Story {
    cluster: LocalCluster,
    server: Server,
    admin: Admin,
    contents: Contents,
}

impl Story {
    /// Everything is well, and every key has its value.
    async fn goes_on(&self) -> Report {
        let report = all_is_well(&self.admin, &self.server).await;
        assert_eq!(Contents::of(&self.cluster, &report).await, self.contents, "{report}");
        report
    }

    /// Who has got another primary loads its data first, and answers nothing meanwhile.
    async fn replicas_have_their_data(&self) {
        until("all replicas have their data", async || {
            let view = self.admin.view().await.unwrap();
            (view.unreachable.is_empty() && view.nodes.iter().all(|node| node.in_sync)).then_some(())
        })
        .await;
    }

    fn share_of(report: &Report, node: &NodeAddr) -> usize {
        report.view.node_at(node).unwrap().myself.slots_served()
    }

    /// Kills a primary, watches how its replica takes its place, and brings it back.
    async fn loses_a_primary(&self, client: &Client, nodes: &[NodeAddr], dead: &NodeAddr, keys: &[String]) {
        let view = self.admin.view().await.unwrap();
        let dead_id = view.node_at(dead).unwrap().id().to_string();
        let heir = view.replicas_of(&dead_id).next().unwrap().addr.clone();
        until("the replica has all that its primary has", async || {
            (digest(&self.cluster, &heir).await == digest(&self.cluster, dead).await).then_some(())
        })
        .await;
        let mut events = client.topology_events();
        let owned = |key: &&String| {
            client
                .slot_map()
                .primary_of(Slot::of_key(key.as_bytes()))
                .is_some_and(|owner| owner.addr == *dead)
        };
        let key = keys.iter().find(owned).unwrap();
        self.cluster.kill(dead).unwrap();
        let missing = self.admin.check().await.unwrap();
        assert!(
            missing.problems.iter().any(|problem| matches!(problem, Problem::Unreachable { .. })),
            "{missing}"
        );
        // The caller waits for the failover and gets what it asked for.
        let value: Option<String> = client.get(key.as_str()).await.unwrap();
        assert_eq!(value, Some(value_of(key)));
        loop {
            match events.next().await.unwrap() {
                TopologyEvent::PrimaryPromoted { node, replaced, .. } if replaced == *dead => {
                    assert_eq!(node, heir);
                    break;
                }
                _other => {}
            }
        }
        // Nothing is wrong any more but that it does not answer.
        let bereft = until("the others are well", async || {
            let report = self.admin.check().await.unwrap();
            let rest = report.problems.iter().all(|problem| {
                matches!(
                    problem,
                    Problem::Unreachable { .. } | Problem::Suspected { .. } | Problem::FewReplicas { .. }
                )
            });
            rest.then_some(report)
        })
        .await;
        assert_eq!(Contents::of(&self.cluster, &bereft).await, self.contents, "{bereft}");
        let said = tool_says(&self.server, &nodes[0]);
        assert!(said.contains("[OK] All 16384 slots covered.") && !said.contains("[ERR]"), "{said}");

        self.cluster.restart(dead).await.unwrap();
        until("it is back as a replica that has all", async || {
            let report = self.admin.check().await.unwrap();
            let back = report.view.node_at(dead)?;
            (report.problems.is_empty() && back.myself.primary.is_some()).then_some(())
        })
        .await;
        until("it has all that its primary has", async || {
            (digest(&self.cluster, &heir).await == digest(&self.cluster, dead).await).then_some(())
        })
        .await;
        tool_agrees(&self.server, dead);
    }
}

pub(crate) async fn a_cluster_lives_from_its_making_to_the_loss_of_a_node(server: Server) {
    let (cluster, nodes) = strangers(server.clone(), 8).await;
    let admin = admin(&nodes[..6]).await;
    let begin = tokio::time::Instant::now();
    done(admin.create(&nodes[..6], 1).await).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "made in {:?}", begin.elapsed());
    let report = all_is_well(&admin, &server).await;
    let shares: Vec<usize> = report.view.primaries().map(|node| node.myself.slots_served()).collect();
    assert_eq!(shares, [5461, 5462, 5461]);

    let seeds = nodes[..6].iter().map(ToString::to_string);
    let client =
        Client::builder().seeds(seeds).command_timeout(Duration::from_secs(20)).connect().await.unwrap();
    let keys = load(&client, KEYS).await;
    client.set("big", vec![b'x'; BIG]).await.unwrap();
    let contents = Contents::of(&cluster, &report).await;
    assert_eq!(contents.keys, u64::try_from(KEYS + 1).unwrap());
    let story = Story { cluster, server, admin, contents };
    let Story { cluster, admin, .. } = &story;
    story.goes_on().await;

    done(admin.add_node(&nodes[6], AddAs::Primary).await).await;
    story.goes_on().await;
    done(admin.add_node(&nodes[7], AddAs::ReplicaOf(nodes[6].clone())).await).await;
    story.replicas_have_their_data().await;
    story.goes_on().await;

    // Few keys, each again and again: so that slots under way are met.
    let load = Load::start(&client, &keys[..4000]);
    let how =
        Rebalance::new().weight(&nodes[6], 1).weight(&nodes[0], 3).weight(&nodes[1], 3).weight(&nodes[2], 3);
    done(admin.rebalance(how).await).await;
    assert!(load.end().await > 100);
    let report = story.goes_on().await;
    assert_eq!(Story::share_of(&report, &nodes[6]), 1639);
    assert!(client.stats().moved > 0, "no caller has met a slot that moved: {:?}", client.stats());

    story.loses_a_primary(&client, &nodes, &nodes[2], &keys).await;
    story.goes_on().await;

    let before = admin.view().await.unwrap();
    let slots_of = |addr: &NodeAddr| before.node_at(addr).unwrap().myself.slots_served();
    let end = done(admin.reshard(&[nodes[0].clone()], &nodes[1], 1000).await).await;
    assert_eq!((end.slots_done, end.keys_done), (1000, end.keys), "{end:?}");
    let report = story.goes_on().await;
    assert_eq!(Story::share_of(&report, &nodes[0]), slots_of(&nodes[0]) - 1000);
    assert_eq!(Story::share_of(&report, &nodes[1]), slots_of(&nodes[1]) + 1000);
    done(admin.reshard(&[], &nodes[0], 200).await).await;
    story.goes_on().await;

    let id = report.view.node_at(&nodes[1]).unwrap().id().to_string();
    let replica = report.view.replicas_of(&id).next().unwrap().addr.clone();
    done(admin.failover(&replica, Failover::Graceful).await).await;
    story.replicas_have_their_data().await;
    story.goes_on().await;
    // The one that was replaced is a replica now, and goes to another primary and back.
    done(admin.replicate(&nodes[1], &nodes[0]).await).await;
    story.replicas_have_their_data().await;
    story.goes_on().await;
    done(admin.replicate(&nodes[1], &replica).await).await;
    story.replicas_have_their_data().await;
    story.goes_on().await;

    let load = Load::start(&client, &keys[..4000]);
    done(admin.del_node(&nodes[6]).await).await;
    assert!(load.end().await > 100);
    story.replicas_have_their_data().await;
    let report = story.goes_on().await;
    assert_eq!(report.view.nodes.len(), 7);
    done(admin.del_node(&nodes[7]).await).await;
    let report = story.goes_on().await;
    assert_eq!(report.view.nodes.len(), 6);
    for gone in &nodes[6..] {
        let info: String = ask(cluster, gone, Command::new("CLUSTER INFO")).await;
        assert!(info.contains("cluster_known_nodes:1\r\n"), "{gone} still knows others: {info}");
    }

    let big: Vec<u8> = client.get("big").await.unwrap();
    assert!(big.len() == BIG && big.iter().all(|byte| *byte == b'x'));
    client.del("big").await.unwrap();
    assert_all_there(&client, &keys).await;
}
