//! Credentials that change, as a user gives them.

use std::time::Duration;

use futures::future::BoxFuture;
use keyslot::testkit::SimCluster;
use keyslot::{
    Client, Commands, Credentials, CredentialsError, CredentialsProvider, NodeAddr, RotatingCredentials,
};
use tokio::time::sleep;

/// A token that is good for a minute.
#[derive(Debug)]
struct Minutely;

impl CredentialsProvider for Minutely {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialsError>> {
        Box::pin(async { Ok(Credentials::new("loader", "secret").valid_for(Duration::from_secs(60))) })
    }

    fn refused(&self, _node: &NodeAddr, _reply: &str) {}
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_its_last_quarter_and_only_then() {
    let cluster = SimCluster::builder().user("loader", "secret").start_in_memory().unwrap();
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    let client = builder.credentials_provider(Minutely).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    let links = client.stats().connects;
    sleep(Duration::from_secs(44)).await;
    assert_eq!(client.stats().logins_renewed, 0);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(client.stats().logins_renewed, links, "{:?}", client.stats());
    sleep(Duration::from_secs(600)).await;
    let renewed = client.stats().logins_renewed / links;
    // Between 45 and 48 seconds each.
    assert!((12..=15).contains(&renewed), "{renewed}");
    assert_eq!((client.stats().disconnects, client.stats().logins_refused), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_reaches_live_connections() {
    let cluster = SimCluster::builder().user("loader", "secret").start_in_memory().unwrap();
    let credentials = RotatingCredentials::new(Credentials::new("loader", "secret"));
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    let client = builder.credentials_provider(credentials.clone()).connect().await.unwrap();
    client.set("k", "1").await.unwrap();
    credentials.rotate(Credentials::new("loader", "wrong"));
    sleep(Duration::from_millis(100)).await;
    let refused = client.stats().logins_refused;
    assert!(refused > 0);
    assert_eq!(client.get::<i64>("k").await.unwrap(), 1, "it goes on as who it was");
    // Asked again after 0.5 to 1 s, then 1 to 2 s, ..., then 15 to 30 s.
    sleep(Duration::from_secs(600)).await;
    let rounds = client.stats().logins_refused / refused;
    assert!((20..=50).contains(&rounds), "{rounds}");
    credentials.rotate(Credentials::new("loader", "secret"));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(client.stats().logins_renewed, refused);
}
