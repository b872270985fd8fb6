//! That a primary which the nemesis cuts off hears nothing of the others, by TLS too, where the bus does not tell who sends:
//! one that is told of its successor would step down at once, and the faults that matter most would not take place.

use keyslot::Command;
use keyslot::testkit::Server;
use tokio::time::sleep;

use crate::access::Access;
use crate::proxy::Line;
use crate::stage::{Done, NODE_TIMEOUT, Stage, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_is_replaced_and_not_told() {
    is_not_told(Access::OPEN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_cut_off_by_tls_is_replaced_and_not_told() {
    is_not_told(Access::TLS).await.unwrap();
}

async fn is_not_told(access: Access) -> Done {
    let stage = Stage::start(Server::named("redis-7.0")?, access, false, false).await?;
    let before = stage.until_whole(0).await?;
    stage.bar(before.primary, true);
    stage.change(before.primary, |line| (line.holds_requests, line.holds_replies) = (true, true));
    until("its replica is promoted", async || match stage.is_primary(before.replica).await {
        true => Ok(()),
        false => Err("it is a replica".to_owned()),
    })
    .await?;
    // It is asked past the lines that are held.
    until("who is cut off hears of nobody", async || {
        let info: String = stage
            .ask(before.primary, Command::new("CLUSTER INFO"))
            .await
            .map_err(|error| error.to_string())?;
        if info.contains("cluster_state:fail") { Ok(()) } else { Err(info) }
    })
    .await?;
    // Long enough for a message of each of the others, had it a way.
    sleep(3 * NODE_TIMEOUT).await;
    assert!(stage.is_primary(before.primary).await, "it was told of its successor");
    stage.change(before.primary, Line::heal);
    stage.bar(before.primary, false);
    let after = stage.until_whole(0).await?;
    assert_eq!((after.primary, after.replica), (before.replica, before.primary));
    Ok(())
}
