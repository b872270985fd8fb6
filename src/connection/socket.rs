//! [`Socket`]: a TCP stream that ends in order or is torn off, and over whose peer the operating system watches.
//!
//! A `PING` cannot stand behind a `BLPOP` that waits for ever, and the end of a machine, a cable or an entry in a
//! firewall's table sends nothing. Without this, Linux goes on for some fifteen minutes with data that nobody
//! acknowledges, and with an idle connection for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Shut down, it ends in order: what was written is delivered. Dropped without that, it is torn off by a reset: what the peer's
/// system has not got yet is thrown away.
///
/// For what is given up may be sent once more, elsewhere. A system that is told to close delivers what it holds all the
/// same, for minutes, whenever the network comes back: a `SET` that was sent again and acknowledged, and the one behind it, would
/// be undone by the first copy. A process that ends drops nothing, and its system closes in order.
///
/// Source: [socket(7)](https://man7.org/linux/man-pages/man7/socket.7.html), `SO_LINGER`.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    ends_in_order: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        watch_over(&stream);
        Self { stream, ends_in_order: false }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.ends_in_order {
            // With no time to linger nothing waits: the close itself is the reset.
            let _best_effort = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ends_in_order = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Nothing was sent or received for so long: the peer's system is asked, ...
const IDLE: Duration = Duration::from_secs(10);

/// ... again after each such time, ...
const INTERVAL: Duration = Duration::from_secs(5);

/// ... and the connection ends when it has not answered so many times.
#[cfg(not(any(target_os = "openbsd", target_os = "windows")))]
const RETRIES: u32 = 3;

/// Data that the peer's system has not acknowledged, or has no room for, ends the connection after so long. As much as
/// the three above together, and far more than a server is busy with one command as a rule: its system acknowledges all
/// the same, until the server's socket is full.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Sets what the system offers; a connection without it is as good for all else.
///
/// Source: [tcp(7)](https://man7.org/linux/man-pages/man7/tcp.7.html), `TCP_KEEPIDLE`, `TCP_USER_TIMEOUT`.
fn watch_over(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(IDLE);
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_interval(INTERVAL);
    #[cfg(not(any(target_os = "openbsd", target_os = "windows")))]
    let keepalive = keepalive.with_retries(RETRIES);
    let _best_effort = socket.set_tcp_keepalive(&keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let _best_effort = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use futures_util::FutureExt;
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::Socket;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(stream), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn dropped_it_throws_away_what_was_not_delivered() {
        let (mut socket, mut peer) = pair().await;
        // More than both systems hold for a peer that does not read: their buffers have a largest size.
        let much = vec![b'x'; 1 << 20];
        let mut written = 0;
        while let Some(more) = socket.write(&much).now_or_never() {
            written += more.unwrap();
        }
        drop(socket);
        let mut read = Vec::new();
        let end = peer.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        assert!(read.len() < written, "{} of {written} bytes were delivered", read.len());
    }

    #[tokio::test]
    async fn shut_down_it_delivers_what_was_written() {
        let (mut socket, mut peer) = pair().await;
        socket.write_all(b"the last words").await.unwrap();
        let shut = Pin::new(&mut socket).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(shut, Poll::Ready(Ok(()))), "without waiting");
        drop(socket);
        let mut read = Vec::new();
        assert_eq!(peer.read_to_end(&mut read).await.unwrap(), 14);
    }

    #[tokio::test]
    async fn the_system_looks_after_the_peer() {
        let (stream, _peer) = pair().await;
        let socket = SockRef::from(&stream.stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), super::IDLE);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), super::INTERVAL);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), super::RETRIES);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(super::UNACKNOWLEDGED));
        }
    }
}
