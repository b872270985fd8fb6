//! What a failure says of itself: its kind, what became of the command, where, and after how many attempts.

use std::error::Error as StdError;
use std::time::Duration;

use keyslot::testkit::SimCluster;
use keyslot::testkit::sim::{Fault, FaultKind};
use keyslot::{
    Client, Command, Commands, ConversionError, Error, ErrorKind, FromValue, Outcome, RedirectKind, Slot,
};

use crate::{connected, started};

/// As a caller decides by it.
fn may_be_sent_again(error: &Error) -> bool {
    match error.outcome() {
        Outcome::NotSent => true,
        Outcome::Rejected | Outcome::MaybeExecuted => false,
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_read_by_hand_end_in_the_same_error() -> keyslot::Result<()> {
    let (_cluster, client) = started().await;
    let mut pipe = client.pipeline();
    pipe.incr("n").get("none");
    let mut replies = pipe.run_each().await?.into_iter();
    let (count, none) = (replies.next().unwrap()?, replies.next().unwrap()?);
    assert_eq!(i64::from_value(count)?, 1);
    let error = Error::from(String::from_value(none).unwrap_err());
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conversion, Outcome::MaybeExecuted));
    assert_eq!(
        error.to_string(),
        "a reply does not fit: the reply is nil, wanted a string; ask for an Option to allow it"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_server_refuses_is_rejected() {
    let (cluster, client) = started().await;
    client.set("k", "text").await.unwrap();
    let error = client.lpush("k", "1").await.unwrap_err();
    let slot = Slot::of_key(b"k");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Server, Outcome::Rejected));
    assert_eq!((error.command(), error.code()), (Some("LPUSH"), Some("WRONGTYPE")));
    assert_eq!((error.node(), error.slot()), (cluster.primary_of(slot).as_ref(), Some(slot)));
    assert_eq!((error.attempts(), error.trail()), (1, &[][..]));
    assert!(!may_be_sent_again(&error));
    let text = error.to_string();
    assert!(text.starts_with(&format!("LPUSH (slot {slot}) at 127.0.0.1:")), "{text}");
    assert!(text.contains("WRONGTYPE"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_this_client_refuses_was_never_sent() {
    let (cluster, client) = started().await;
    let error = client.msetnx([("a", "1"), ("b", "2")]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Rejected));
    assert_eq!((error.command(), error.node(), error.attempts()), (Some("MSETNX"), None, 0));
    let mut pipeline = client.pipeline();
    let error = pipeline.blpop("l", 0.0).run::<Vec<Option<String>>>().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::Rejected));
    let error = client.execute::<()>(Command::new("SUBSCRIBE").arg("news")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(cluster.ledger().iter().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_may_be_of_a_command_that_was_executed() {
    let (cluster, client) = started().await;
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
    let error = client.incr("visits").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::MaybeExecuted));
    assert_eq!((error.command(), error.attempts()), (Some("INCR"), 1));
    assert!(error.node().is_some() && !may_be_sent_again(&error));
    assert_eq!(client.get::<i64>("visits").await.unwrap(), 1);
    // Who says that it does no harm gets it done.
    cluster.inject(Fault::new(FaultKind::CloseAfter).command("INCR").times(1));
    assert_eq!(client.incr("visits").idempotent().await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_dead_shard_costs_its_own_commands_their_deadline() {
    let (cluster, client) = started().await;
    cluster.kill(&cluster.primary_of(Slot::of_key(b"k")).unwrap()).unwrap();
    // The link may notice the end of its connection by this one.
    drop(client.set("k", "1").timeout(Duration::from_millis(100)).await);
    let error = client.incr("k").timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Connect),
        "{error}"
    );
    assert!(error.attempts() > 1 && may_be_sent_again(&error), "{error}");
}

#[tokio::test(start_paused = true)]
async fn redirects_that_do_not_end_leave_their_trail() {
    let (cluster, _client) = started().await;
    let slot = Slot::of_key(b"k");
    let node = cluster.primary_of(slot).unwrap();
    let builder = Client::builder().url(&cluster.url()).connector(cluster.connector());
    let client = builder.max_redirects(2).connect().await.unwrap();
    cluster.inject(Fault::new(FaultKind::Error(format!("MOVED {slot} {node}"))).command("GET"));
    let error = client.get::<String>("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirects);
    let last = error.last_redirect().unwrap();
    assert_eq!((last.kind, last.slot, &last.to), (RedirectKind::Moved, slot, &node));
    assert!(!error.trail().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_another_type_says_what_came_and_what_was_wanted() {
    let (_cluster, client) = started().await;
    client.set("name", "Ann").await.unwrap();
    let error = client.get::<i64>("name").await.unwrap_err();
    assert_eq!((error.kind(), error.command()), (ErrorKind::Conversion, Some("GET")));
    let source: Option<&ConversionError> = error.source().and_then(|source| source.downcast_ref());
    let wanted = "an integer (i64)";
    assert_eq!(source, Some(&ConversionError::BadContent { text: "Ann".to_owned(), wanted }));
    let error = client.get::<String>("nobody").await.unwrap_err();
    assert!(error.to_string().contains("ask for an Option"), "{error}");
    let error = client.get::<Vec<i64>>("name").await.unwrap_err();
    assert!(error.to_string().contains("wanted a list"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_at_home_in_other_peoples_programs() {
    async fn program(client: &Client) -> Result<i64, Box<dyn StdError + Send + Sync>> {
        client.set("n", "text").await?;
        Ok(client.incr("n").await?)
    }
    let cluster = SimCluster::builder().password("secret").start_in_memory().unwrap();
    let client = connected(&cluster).await;
    let error = program(&client).await.unwrap_err();
    let error: &Error = error.downcast_ref().unwrap();
    assert_eq!(error.clone().to_string(), error.to_string());

    let wrong = Client::builder().url(&cluster.url()).password("guess").connector(cluster.connector());
    let error = wrong.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error} {error:?}").contains("guess"));
    assert_eq!(Client::connect("redis://").await.unwrap_err().kind(), ErrorKind::Config);
}
