//! [`TcpConnector`]: sockets of the operating system.

use std::io;

use futures_util::future::BoxFuture;
use tokio::net::TcpStream;

use crate::connection::socket::Socket;
use crate::node::NodeAddr;
use crate::transport::{Connector, Transport};

/// Plain TCP without delay (`TCP_NODELAY`): batching is done before the socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(&'a self, node: &'a NodeAddr) -> BoxFuture<'a, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((node.host(), node.port())).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Socket::new(stream)) as Box<dyn Transport>)
        })
    }
}
