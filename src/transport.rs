//! [`Connector`]: the seam where sockets come from. Only the traits: the vocabulary of those who make connections and
//! of those who put another network in their place.

use std::fmt;
use std::io;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::node::NodeAddr;

/// A stream of bytes to one node.
///
/// It ends in one of two ways. Shut down ([`AsyncWrite::poll_shutdown`]) and then dropped, it delivers what was written. Dropped
/// without that, it was given up, and what it has taken may have been sent once more on another: it had better throw away what
/// was not delivered, as a TCP socket does with `SO_LINGER` and a time of zero.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Makes the connections of a client; given to [`ClientBuilder::connector`](crate::ClientBuilder::connector) to put
/// a proxy, another network or a simulated one in place of TCP.
///
/// The future may be dropped before it is ready (the connect timeout); nothing may be left behind then.
///
/// ```no_run
/// use std::io;
///
/// use futures::future::BoxFuture;
/// use keyslot::{Client, Connector, NodeAddr, Transport};
///
/// /// The nodes announce addresses of their own network; here they are reached by a tunnel at other ports.
/// #[derive(Debug)]
/// struct Tunnel;
///
/// impl Connector for Tunnel {
///     fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
///         Box::pin(async move {
///             let port = node.port().checked_add(10_000).ok_or(io::ErrorKind::InvalidInput)?;
///             let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
///             stream.set_nodelay(true)?;
///             Ok(Box::new(stream) as Box<dyn Transport>)
///         })
///     }
/// }
///
/// # async fn example() -> keyslot::Result<()> {
/// let client = Client::builder().seeds(["10.0.0.1:7000"]).connector(Tunnel).connect().await?;
/// # Ok(())
/// # }
/// ```
pub trait Connector: fmt::Debug + Send + Sync {
    /// Opens a stream to `node`.
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>>;
}
