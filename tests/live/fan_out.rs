//! Commands to every node while primaries hand over and die, on real servers: each call is answered, and by the whole
//! cluster.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Value};

use crate::failover_support::{COMMAND_TIMEOUT, Done, NODE_TIMEOUT, ask, breathe, on_every_server, until};

on_every_server! {
    what_goes_to_all_primaries_is_answered_by_all_whoever_they_are
}

const KEYS: usize = 300;

/// Calls that must have succeeded after each change.
const CALLS: usize = 5;

mod scenarios {
    use super::*;

    pub(super) async fn what_goes_to_all_primaries_is_answered_by_all_whoever_they_are(
        server: Server,
    ) -> Done {
        let cluster = LocalCluster::builder().server(server).replicas(1).node_timeout(NODE_TIMEOUT);
        let cluster = cluster.start().await?;
        let nodes = cluster.nodes();
        let client = Client::builder().url(&cluster.url()).command_timeout(COMMAND_TIMEOUT).connect().await?;
        client.mset((0..KEYS).map(|number| (format!("key{number}"), number))).await?;
        until("the replicas have all keys", async || {
            let mut sum = 0;
            for replica in &nodes[3..] {
                let size = ask(&cluster, replica, Command::new("DBSIZE")).await;
                sum += size.map_err(|error| error.to_string())?.as_int().unwrap_or_default();
            }
            if sum == KEYS as i64 { Ok(()) } else { Err(format!("{sum} of {KEYS}")) }
        })
        .await?;

        let (calls, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let counted = async {
            while !is_over.load(Ordering::SeqCst) {
                // An error of any ends the test.
                assert_eq!(client.dbsize().await?, KEYS as i64);
                assert_eq!(client.keys::<Vec<String>>("key*").await?.len(), KEYS);
                client.ping().await?;
                calls.fetch_add(1, Ordering::SeqCst);
                breathe().await;
            }
            Done::Ok(())
        };
        let go_on = async || -> Done {
            let before = calls.load(Ordering::SeqCst);
            until("calls succeed", async || match calls.load(Ordering::SeqCst) - before {
                CALLS.. => Ok(()),
                done => Err(format!("{done} did")),
            })
            .await
        };
        let story = async {
            go_on().await?;
            ask(&cluster, &nodes[3], Command::new("CLUSTER FAILOVER")).await?;
            serves(&cluster, &nodes[3]).await?;
            go_on().await?;
            cluster.kill(&nodes[1])?;
            serves(&cluster, &nodes[4]).await?;
            go_on().await?;
            is_over.store(true, Ordering::SeqCst);
            Done::Ok(())
        };
        tokio::try_join!(counted, story)?;
        Ok(())
    }
}

/// Waits until this node says that it is a primary.
async fn serves(cluster: &LocalCluster, node: &NodeAddr) -> Done {
    until("the replica takes over", async || {
        let role = ask(cluster, node, Command::new("ROLE")).await.map_err(|error| error.to_string())?;
        match &role {
            Value::Array(role) if role[0].as_str() == Some("master") => Ok(()),
            _other => Err(format!("{role:?}")),
        }
    })
    .await
}
