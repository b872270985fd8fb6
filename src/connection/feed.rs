//! [`Feed`]: a connection of one owner, who also takes what the server sends unasked.
//!
//! Nothing is paired or judged here: the owner sends commands and reads values, in the order of the wire.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::command::Command;
use crate::config::credentials::Credentials;
use crate::connection::handshake::{Connection, Purpose, auth, encode};
use crate::connection::link_context::LinkContext;
use crate::connection::link_task;
use crate::connection::logins::Renewals;
use crate::connection::loss::{ConnectError, LossCause};
use crate::node::NodeAddr;
use crate::protocol::value::Value;

/// How much room a read has at least.
const READ: usize = 4 << 10;

/// See the module's documentation. Dropping it closes the connection.
pub(crate) struct Feed {
    connection: Connection,
    /// The place in what was read from which on nothing is decoded.
    decoded: usize,
    /// A byte was received since the last [`Feed::take_heard`].
    heard: bool,
    outgoing: Vec<u8>,
    written: usize,
    /// What it is to authenticate anew with. `None` if that never changes, and by RESP2, where a connection with subscriptions
    /// takes no `AUTH`.
    renewals: Option<BoxStream<'static, Credentials>>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Nothing of it is ever sent once more: its owner is told that messages may be missing, and subscribes anew.
        self.connection.end_in_order();
    }
}

impl Feed {
    /// Connects and greets within the connect timeout. Dropping the future closes what was opened.
    pub(crate) async fn open(node: NodeAddr, context: Arc<LinkContext>) -> Result<Self, ConnectError> {
        let mut connection = link_task::open(&node, &context, Purpose::Commands).await?;
        let renewals = connection.renewals.take().filter(|_| connection.speaks_resp3).map(|renewals| {
            let next = async |mut renewals: Renewals| Some((renewals.next().await, renewals));
            stream::unfold(renewals, next).boxed()
        });
        Ok(Self { connection, decoded: 0, heard: false, outgoing: Vec::new(), written: 0, renewals })
    }

    /// Enqueues an `AUTH` if the credentials have changed; true if it did.
    pub(crate) fn poll_login(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(renewals) = &mut self.renewals else { return false };
        match renewals.poll_next_unpin(cx) {
            Poll::Ready(Some(credentials)) => {
                self.push(&auth(&credentials));
                true
            }
            Poll::Ready(None) | Poll::Pending => false,
        }
    }

    /// Enqueues a command; [`Feed::poll_flush`] writes it.
    pub(crate) fn push(&mut self, command: &Command) {
        encode(&mut self.outgoing, command);
    }

    /// Whether something was received since this was last asked.
    pub(crate) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// The next value, whatever it answers.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value, LossCause>> {
        let Connection { stream, decoder, incoming, .. } = &mut self.connection;
        loop {
            if let Some(value) = decoder.next(incoming, &mut self.decoded).map_err(LossCause::NotResp)? {
                return Poll::Ready(Ok(value));
            }
            incoming.advance(std::mem::take(&mut self.decoded));
            match pin!(stream.read_buf(&mut decoder.room(incoming, READ))).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(LossCause::ClosedByPeer)),
                Poll::Ready(Ok(_)) => self.heard = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(LossCause::Io(Arc::new(error)))),
            }
        }
    }

    /// Writes what is enqueued, as far as the socket takes it; the rest when it takes more.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), LossCause> {
        let lost = |error| LossCause::Io(Arc::new(error));
        while let Some(rest) = self.outgoing.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.connection.stream).poll_write(cx, rest) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(lost(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Err(lost(error)),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        match Pin::new(&mut self.connection.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(lost(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}
