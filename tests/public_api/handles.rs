//! What may be cloned, sent and shared, and what a server's state looks like with a client in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use keyslot::{
    Client, ClientBuilder, Command, Commands, Error, ErrorKind, Pipeline, Request, SlotMap, Stats,
    Subscriber, SubscriberHandle, Transaction, Value,
};
use tokio::task::JoinSet;

use crate::{connected, started};

fn is_shared<T: Send + Sync + 'static>() {}
fn is_cloned<T: Clone>() {}
fn is_sent<T: Send>(future: T) -> T {
    future
}

#[test]
fn handles_go_wherever_a_task_goes() {
    is_shared::<Client>();
    is_cloned::<Client>();
    is_shared::<SubscriberHandle>();
    is_cloned::<SubscriberHandle>();
    is_shared::<Subscriber>();
    is_shared::<Pipeline>();
    is_shared::<Transaction>();
    is_shared::<Command>();
    is_cloned::<Command>();
    is_shared::<Value>();
    is_cloned::<Value>();
    is_shared::<SlotMap>();
    is_shared::<Stats>();
    is_shared::<Error>();
    is_cloned::<Error>();
    is_shared::<ClientBuilder>();
}

#[tokio::test(start_paused = true)]
async fn every_future_can_be_sent_to_another_thread() {
    let (cluster, client) = started().await;
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    is_sent(builder.connect()).await.unwrap();
    is_sent(client.set("k", "1")).await.unwrap();
    let request: Request<'_, i64> = is_sent(client.incr("k"));
    assert_eq!(request.await.unwrap(), 2);
    assert_eq!(is_sent(client.execute::<i64>(Command::new("INCR").key("k"))).await.unwrap(), 3);
    assert_eq!(is_sent(client.get::<String>("k").timeout(Duration::from_secs(1))).await.unwrap(), "3");
    assert_eq!(is_sent(client.get::<String>("k").traced()).await.0.unwrap(), "3");
    let mut pipeline = client.pipeline();
    pipeline.get("k");
    assert_eq!(is_sent(pipeline.run::<Vec<i64>>()).await.unwrap(), [3]);
    assert_eq!(is_sent(pipeline.run_each()).await.unwrap().len(), 1);
    let mut transaction = client.transaction();
    transaction.get("k");
    assert_eq!(is_sent(transaction.run::<(i64,)>()).await.unwrap(), (3,));
    let mut subscriber = client.subscriber();
    is_sent(subscriber.subscribe("news")).await.unwrap();
    drop(is_sent(subscriber.next()));
    is_sent(client.close()).await;
}

/// As a web framework's handlers share it.
#[derive(Clone)]
struct AppState {
    store: Client,
    handled: Arc<AtomicU64>,
}

async fn handle(state: AppState, page: String) -> keyslot::Result<i64> {
    state.handled.fetch_add(1, Ordering::Relaxed);
    state.store.incr(format!("hits:{page}")).await
}

#[tokio::test(start_paused = true)]
async fn a_client_lives_in_the_state_that_tasks_share() {
    let (_cluster, store) = started().await;
    let state = AppState { store: store.clone(), handled: Arc::default() };
    let mut tasks = JoinSet::new();
    for number in 0..300 {
        tasks.spawn(handle(state.clone(), format!("page{}", number % 3)));
    }
    let hits = tasks.join_all().await.into_iter().collect::<keyslot::Result<Vec<i64>>>().unwrap();
    assert_eq!((hits.len(), hits.into_iter().max()), (300, Some(100)));
    assert_eq!(state.handled.load(Ordering::Relaxed), 300);
    let each: Vec<u64> = store.mget(["hits:page0", "hits:page1", "hits:page2"]).await.unwrap();
    assert_eq!(each, [100; 3]);

    let shared = Arc::new(store);
    let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
    let (one, other) = tokio::join!(
        tokio::spawn(async move { one.incr("n").await }),
        tokio::spawn(async move { other.incr("n").await })
    );
    assert_eq!(one.unwrap().unwrap() + other.unwrap().unwrap(), 3);
    assert!(format!("{shared:?}").starts_with("Client"));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_is_read_as_a_tuple_or_a_list() {
    let (_cluster, client) = started().await;
    let mut pipeline = client.pipeline();
    pipeline.rpush("l", ["a", "b"]).lrange("l", 0, -1).hset("h", [("f", 1)]).hgetall("h").get("none");
    assert_eq!((pipeline.len(), pipeline.is_empty()), (5, false));
    type Replies = (u64, Vec<String>, u64, Vec<(String, i64)>, Option<String>);
    let replies: Replies = pipeline.run().await.unwrap();
    assert_eq!(replies, (2, vec!["a".to_owned(), "b".to_owned()], 1, vec![("f".to_owned(), 1)], None));

    pipeline.clear().push(Command::new("INCR").key("n")).timeout(Duration::from_secs(2));
    pipeline.extend((0..9).map(|_| Command::new("INCR").key("n")));
    let counted: Vec<i64> = pipeline.run().await.unwrap();
    assert_eq!(counted, (1..=10).collect::<Vec<i64>>());

    // The first error is the result of the whole, and each command has its own beside it.
    pipeline.clear().incr("n").incr("l").incr("n");
    assert_eq!(pipeline.run::<Vec<i64>>().await.unwrap_err().code(), Some("WRONGTYPE"));
    let each = pipeline.run_each().await.unwrap();
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_all_or_nothing() {
    let (_cluster, client) = started().await;
    let mut transaction = client.transaction();
    transaction.set("{t}a", "x").incr("{t}a").incr("{t}b");
    assert_eq!((transaction.len(), transaction.is_empty()), (3, false));
    let error = transaction.run::<((), i64, i64)>().await.unwrap_err();
    assert!(error.to_string().contains("INCR, command 2 of 3, failed"), "{error}");
    type Each = Vec<Result<Value, keyslot::ServerError>>;
    let each: Each = transaction.timeout(Duration::from_secs(2)).run().await.unwrap();
    assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);

    let mut crossing = client.transaction();
    crossing.push(Command::new("INCR").key("a")).incr("b");
    let error = crossing.run::<(i64, i64)>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CrossSlot);
    assert_eq!(client.exists(["a", "b"]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn clones_share_links_and_statistics_and_are_closed_together() {
    let (cluster, client) = started().await;
    let clone = client.clone();
    client.set("k", "1").await.unwrap();
    let stats: Stats = clone.stats();
    assert!(stats.connects > 0);
    assert_eq!((stats.moved, stats.asked, stats.retries), (0, 0, 0));

    clone.close().await;
    assert_eq!(client.get::<String>("k").await.unwrap_err().kind(), ErrorKind::Closed);
    connected(&cluster).await.close_within(Duration::from_millis(1)).await;
}
