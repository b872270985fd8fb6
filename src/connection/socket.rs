//! [`watch_over`]: has the operating system notice a peer that is gone without a word.
//!
//! A `PING` cannot stand behind a `BLPOP` that waits for ever, and the end of a machine, a cable or an entry in a
//! firewall's table sends nothing. Without this, Linux goes on for some fifteen minutes with data that nobody
//! acknowledges, and with an idle connection for ever.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

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
pub(super) fn watch_over(stream: &TcpStream) {
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
    use socket2::SockRef;
    use tokio::net::{TcpListener, TcpStream};

    use super::watch_over;

    #[tokio::test]
    async fn the_system_looks_after_the_peer() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        watch_over(&stream);
        let socket = SockRef::from(&stream);
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
