//! How connections end: in order, or torn off so that what was not delivered is thrown away. Through the public API, on a
//! scripted cluster in memory with a paused clock whose streams tell how they were dropped.

#![expect(
    clippy::unwrap_used,
    reason = "tests report by panicking, in their helpers too, where clippy.toml does not allow it by itself"
)]

#[allow(dead_code, reason = "these tests use a part of it")]
mod fake_node;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use fake_node::{Answer, FakeCluster, FakeNode};
use futures::future::BoxFuture;
use keyslot::{Client, Commands, Connector, NodeAddr, Outcome, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{sleep, timeout};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    InOrder,
    TornOff,
}
use End::{InOrder, TornOff};

/// The ends of all streams so far.
#[derive(Clone, Default, Debug)]
struct Ends(Arc<Mutex<Vec<End>>>);

impl Ends {
    /// What is new; the tasks of links that were told to end get their turn first.
    async fn take(&self) -> Vec<End> {
        sleep(MS).await;
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Watched {
    stream: Box<dyn Transport>,
    end: End,
    ends: Ends,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ends.0.lock().unwrap().push(self.end);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end = InOrder;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Debug)]
struct Watching {
    cluster: FakeCluster,
    ends: Ends,
}

impl Connector for Watching {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let stream = self.cluster.connect(node).await?;
            Ok(Box::new(Watched { stream, end: TornOff, ends: self.ends.clone() }) as Box<dyn Transport>)
        })
    }
}

/// One node, a client whose commands have five seconds, and what is told of its streams.
async fn one() -> (FakeNode, Client, Ends) {
    let (cluster, node) = FakeCluster::of_one();
    let ends = Ends::default();
    let builder = cluster.builder().command_timeout(5000 * MS);
    let client = builder.connector(Watching { cluster, ends: ends.clone() }).connect().await.unwrap();
    client.set("k", "0").await.unwrap();
    assert_eq!(ends.take().await, []);
    (node, client, ends)
}

fn swallows(name: &'static str, times: usize) -> impl FnMut(&fake_node::Call) -> Answer + Send {
    move |call| if call.name() == name && call.nth <= times { Answer::Swallow } else { Answer::Usual }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_up_is_torn_off_before_its_commands_are_sent_again() {
    let (node, client, ends) = one().await;
    node.shut_gate();
    // The first has all the time there is, and when it is over the connection goes; the second has time left for another try.
    let first = client.set("k", "1");
    let second = async {
        sleep(1000 * MS).await;
        client.set("k", "2").await
    };
    let opening = async {
        let ended = loop {
            let ended = ends.take().await;
            if !ended.is_empty() {
                break ended;
            }
        };
        assert_eq!(ended, [TornOff]);
        node.open_gate();
    };
    let (first, second, ()) = tokio::join!(first, second, opening);
    assert_eq!(first.unwrap_err().outcome(), Outcome::MaybeExecuted);
    second.unwrap();
    assert_eq!(node.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_nothing_under_way_ends_in_order() {
    let (_node, client, ends) = one().await;
    client.close().await;
    assert_eq!(ends.take().await, [InOrder]);
    let (_node, client, ends) = one().await;
    drop(client);
    assert_eq!(ends.take().await, [InOrder]);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_the_last_handle_is_dropped_is_delivered() {
    let (node, client, ends) = one().await;
    node.answers(swallows("INCR", 0));
    timeout(100 * MS, client.incr("k")).await.unwrap_err();
    drop(client);
    assert_eq!(ends.take().await, [InOrder]);
}

#[tokio::test(start_paused = true)]
async fn what_a_close_does_not_wait_for_any_longer_is_thrown_away() {
    let (node, client, ends) = one().await;
    node.answers(swallows("INCR", 0));
    let (reply, ()) = tokio::join!(client.incr("k"), async {
        sleep(100 * MS).await;
        client.close_within(100 * MS).await;
    });
    assert_eq!(reply.unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(ends.take().await, [TornOff]);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_command_whose_caller_is_gone_is_thrown_away() {
    let (node, client, ends) = one().await;
    node.answers(swallows("BLPOP", 0));
    timeout(100 * MS, client.blpop::<Option<(String, String)>>("k", 0.0)).await.unwrap_err();
    assert_eq!(ends.take().await, [TornOff]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_speak_resp_is_torn_off() {
    let (node, client, ends) = one().await;
    node.answers(
        |call| if call.name() == "INCR" { Answer::Reply(b"HTTP/1.1\r\n".to_vec()) } else { Answer::Usual },
    );
    assert_eq!(client.incr("k").await.unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(ends.take().await, [TornOff]);
}
