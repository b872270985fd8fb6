//! Moves that are interrupted or carry something large; what goes with a new primary.

use std::sync::Mutex;
use std::time::Duration;

use keyslot::admin::{AddAs, AdminOptions, Progress, Rebalance, Slots};
use keyslot::testkit::{LocalCluster, Server};
use keyslot::{Client, Command, Commands, NodeAddr, Slot, Value};

use super::support::{Contents, Load, admin, all_is_well, assert_all_there, done, load, strangers};
use crate::live_support::{ask, tag_at, value_of};

pub(crate) async fn an_interrupted_move_is_gone_on_with(server: Server) {
    let cluster =
        LocalCluster::builder().primaries(3).replicas(0).server(server.clone()).start().await.unwrap();
    let nodes = cluster.nodes();
    let client = Client::connect(cluster.url()).await.unwrap();
    let keys = load(&client, 2000).await;
    let slots: Slots = "0-399".parse().unwrap();
    for atomic in [false, true] {
        let options = AdminOptions::new().batch(2, 1 << 20).atomic(atomic);
        // Dropped again and again, each time a bit later, until it comes to its end.
        let target = if atomic { &nodes[2] } else { &nodes[1] };
        let mut limit = Duration::from_millis(20);
        loop {
            let admin = client.admin().with(options.clone());
            let plan = match admin.move_slots(&slots, target).await {
                Ok(plan) => plan,
                // The atomic one goes on by itself, and gossip takes a moment.
                Err(error) => panic!("{error}"),
            };
            if tokio::time::timeout(limit, plan.run(|_| {})).await.is_ok_and(|end| end.is_ok()) {
                break;
            }
            limit += limit / 2;
            assert!(limit < Duration::from_secs(60));
        }
        let report = all_is_well(&client.admin(), &server).await;
        let target = report.view.node_at(target).unwrap();
        assert!(slots.iter().all(|slot| report.view.primaries().all(|node| {
            let serves = node.myself.ranges().iter().any(|range| (range.first..=range.last).contains(&slot));
            serves == (node.id() == target.id())
        })));
    }
    assert_all_there(&client, &keys).await;
}

pub(crate) async fn a_new_primary_has_the_functions_of_the_others(server: Server) {
    let (cluster, nodes) = strangers(server.clone(), 4).await;
    let admin = admin(&nodes[..3]).await;
    done(admin.create(&nodes[..3], 0).await).await;
    let library = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";
    for node in &nodes[..3] {
        let _: Value = ask(&cluster, node, Command::new("FUNCTION LOAD").arg(library)).await;
    }
    done(admin.add_node(&nodes[3], AddAs::Primary).await).await;
    done(admin.rebalance(Rebalance::new().use_empty(true)).await).await;
    let list: Vec<Value> = ask(&cluster, &nodes[3], Command::new("FUNCTION LIST")).await;
    assert_eq!(list.len(), 1);
    all_is_well(&admin, &server).await;
}

/// Fields of the large hash, and bytes of each of their values.
const FIELDS: u32 = 100_000;
const VALUE: usize = 1100;

/// Its source and its target serve nobody for about as long as they write and read it.
pub(crate) async fn a_key_of_100_mb_moves_whatever_the_time_out(server: Server) {
    let cluster = LocalCluster::builder()
        .server(server.clone())
        .node_timeout(Duration::from_secs(15))
        .start()
        .await
        .unwrap();
    let nodes = cluster.nodes();
    let client = Client::builder()
        .url(&cluster.url())
        .command_timeout(Duration::from_secs(30))
        .connect()
        .await
        .unwrap();
    let (from, to) = (&nodes[0], &nodes[1]);
    let tag = tag_at(&client.slot_map(), from, "large");
    let slot = Slot::of_key(tag.as_bytes());
    let large = format!("{{{tag}}}");
    // Small ones beside it, in the same batch as far as their number goes.
    let small: Vec<String> = (0..50).map(|number| format!("{{{tag}}}:{number}")).collect();
    for key in &small {
        client.set(key.as_str(), value_of(key)).await.unwrap();
    }
    let others: Vec<String> = (0..50).map(|number| format!("other:{number}")).collect();
    for key in &others {
        client.set(key.as_str(), value_of(key)).await.unwrap();
    }
    let script = "local value = string.rep('x', tonumber(ARGV[2])) \
                  for number = 1, tonumber(ARGV[1]) do redis.call('HSET', KEYS[1], 'field:' .. number, value) end";
    let fill = Command::new("EVAL").arg(script).arg(1).key(&large).arg(FIELDS).arg(VALUE);
    let _: Value = client.execute(fill).await.unwrap();
    let admin = client.admin();
    let before = Contents::of(&cluster, &admin.check().await.unwrap()).await;
    assert_eq!(before.keys, 101);

    // With so little time no attempt but a late one can succeed; then with what is the default.
    let hasty = AdminOptions::new().key_timeout(Duration::from_millis(10));
    let slots: Slots = slot.to_string().parse().unwrap();
    for (options, from, to) in [(hasty, from, to), (AdminOptions::new(), to, from)] {
        let is_classic = !server.version().is_at_least(9, 0);
        let load = Load::start(&client, &others);
        let told = Mutex::new(Vec::<Progress>::new());
        let plan = admin.clone().with(options).move_slots(&slots, to).await.unwrap();
        let end = plan.run(|progress| told.lock().unwrap().push(progress.clone())).await.unwrap();
        assert!(load.end().await > 0);
        let told = told.into_inner().unwrap();
        assert!(
            told.iter().is_sorted_by_key(|progress| (progress.slots_done, progress.keys_done)),
            "{told:?}"
        );
        assert_eq!((end.slots_done, end.keys_done, end.keys), (1, 51, 51), "{end:?}");
        if is_classic {
            assert!(end.bytes_done > 100 << 20, "{end:?}");
            // It was told of when it had arrived, alone, and not before.
            let step = |pair: &[Progress]| pair[1].bytes_done - pair[0].bytes_done;
            let alone = told.windows(2).find(|pair| step(pair) > 100 << 20).unwrap();
            assert_eq!(alone[1].keys_done - alone[0].keys_done, 1, "{alone:?}");
        }
        let report = all_is_well(&admin, &server).await;
        assert_eq!(Contents::of(&cluster, &report).await, before);
        assert_eq!(keys_in(&cluster, from, slot).await, 0);
        assert_eq!(keys_in(&cluster, to, slot).await, 51);
    }
    assert_eq!(client.hlen(large.as_str()).await.unwrap(), u64::from(FIELDS));
}

async fn keys_in(cluster: &LocalCluster, node: &NodeAddr, slot: Slot) -> i64 {
    ask(cluster, node, Command::new("CLUSTER COUNTKEYSINSLOT").arg(slot)).await
}
