//! The first exchange on a connection: RESP version, credentials, names.
//!
//! Source: [HELLO](https://redis.io/docs/latest/commands/hello/). Everything goes out in one write; what a server
//! does not know of the optional parts it refuses without harm.

use std::pin::Pin;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::command::Command;
use crate::config::credentials::Credentials;
use crate::config::{Config, Protocol};
use crate::connection::logins::{Login, Renewals};
use crate::connection::loss::ConnectError;
use crate::protocol::body::push_header;
use crate::protocol::codec::Decoder;
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::protocol::value::Value;
use crate::stats::node_counters::OpenConnection;
use crate::transport::Transport;

/// How much room a read has at least: a greeting is short, and many connections are not used at once.
const READ: usize = 1 << 10;

/// The largest reply to a greeting that is accepted; they are a few hundred bytes, and some KiB with many modules. Nobody has
/// authenticated yet, and there may be many connections at once.
const LARGEST_GREETING: usize = 1 << 20;

/// A connection that is ready for commands.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Transport>,
    pub(super) decoder: Decoder,
    pub(super) incoming: BytesMut,
    pub(super) open: OpenConnection,
    pub(super) speaks_resp3: bool,
    /// `None` if what it has authenticated with never changes.
    pub(super) renewals: Option<Renewals>,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Any command, of which a replica refuses those for slots.
    Commands,
    /// Reads that a replica answers too (`READONLY`). A connection of its own, because a primary that becomes a replica must
    /// not answer reads that are meant for the primary.
    ReplicaReads,
}

/// Greets the server. An error of the optional parts is none; one of `HELLO`, `AUTH` or `READONLY` is.
pub(super) async fn greet(
    stream: Box<dyn Transport>,
    config: &Config,
    login: Login,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    let credentials = login.credentials.clone();
    let mut connection = greet_by_name(stream, config, login).await.map_err(|error| match error {
        ConnectError::Refused(error) => ConnectError::Refused(without_secret(error, credentials.as_ref())),
        another => another,
    })?;
    match purpose {
        Purpose::Commands => {}
        Purpose::ReplicaReads => {
            let readonly = connection.exchange(&[Command::new("READONLY")]).await?;
            if let Some(Value::Error(error)) = readonly.into_iter().next() {
                return Err(ConnectError::Refused(error));
            }
        }
    }
    Ok(Connection { decoder: connection.decoder.with_limit(config.max_reply), ..connection })
}

async fn greet_by_name(
    stream: Box<dyn Transport>,
    config: &Config,
    login: Login,
) -> Result<Connection, ConnectError> {
    let Login { credentials, renewals } = login;
    let mut connection = Connection {
        stream,
        decoder: Decoder::new(config.max_reply.min(LARGEST_GREETING)),
        incoming: BytesMut::new(),
        open: OpenConnection::default(),
        speaks_resp3: false,
        renewals,
    };
    if config.protocol == Protocol::Auto {
        let mut commands = vec![hello(config, credentials.as_ref())];
        commands.extend(library_info());
        match connection.exchange(&commands).await?.into_iter().next() {
            Some(Value::Error(error)) if wants_resp2(&error) => {}
            Some(Value::Error(error)) => return Err(ConnectError::Refused(error)),
            Some(_) | None => return Ok(Connection { speaks_resp3: true, ..connection }),
        }
    }
    let mut commands: Vec<Command> = credentials.iter().map(auth).collect();
    let required = commands.len();
    commands.extend(config.client_name.iter().map(|name| Command::new("CLIENT SETNAME").arg(name)));
    commands.extend(library_info());
    let replies = connection.exchange(&commands).await?;
    match replies.into_iter().take(required).find_map(|reply| match reply {
        Value::Error(error) => Some(error),
        _accepted => None,
    }) {
        Some(error) => Err(ConnectError::Refused(error)),
        None => Ok(connection),
    }
}

fn hello(config: &Config, credentials: Option<&Credentials>) -> Command {
    let mut hello = Command::new("HELLO").arg(3);
    if let Some(credentials) = credentials {
        let user = credentials.username.as_deref().unwrap_or("default");
        hello = hello.arg("AUTH").arg(user).arg(&credentials.password);
    }
    match &config.client_name {
        Some(name) => hello.arg("SETNAME").arg(name),
        None => hello,
    }
}

/// The same for a connection that is greeted already.
pub(super) fn auth(credentials: &Credentials) -> Command {
    match &credentials.username {
        Some(user) => Command::new("AUTH").arg(user).arg(&credentials.password),
        None => Command::new("AUTH").arg(&credentials.password),
    }
}

/// What a server says of a command with credentials, without what it repeats of them: one that does not know the command, or
/// knows it by another name, quotes its arguments, the longer ones in part.
pub(super) fn without_secret(error: ServerError, credentials: Option<&Credentials>) -> ServerError {
    // What it says of the credentials themselves is its own, and a weak password is easily a word of that.
    let may_quote = [ErrorCode::Err, ErrorCode::Other].contains(&error.class());
    let Some(credentials) = credentials.filter(|_| may_quote) else { return error };
    let secret = credentials.password.as_str();
    let text = error.text().split(", with args beginning with").next().unwrap_or_default();
    if !secret.is_empty() && text.contains(secret) {
        ServerError::new("ERR (the server's text repeats the password, and is left out)")
    } else {
        ServerError::new(text)
    }
}

fn library_info() -> [Command; 2] {
    let set = |name: &'static str, value: &'static str| Command::new("CLIENT SETINFO").arg(name).arg(value);
    [set("LIB-NAME", env!("CARGO_PKG_NAME")), set("LIB-VER", env!("CARGO_PKG_VERSION"))]
}

/// Writes a whole command behind `bytes`.
pub(super) fn encode(bytes: &mut Vec<u8>, command: &Command) {
    push_header(bytes, b'*', command.body().args());
    for arg in command.body().iter() {
        push_header(bytes, b'$', arg.len());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// Whether `HELLO` itself is what the server does not know or not allow, rather than the credentials.
fn wants_resp2(error: &ServerError) -> bool {
    match error.class() {
        ErrorCode::NoProto | ErrorCode::NoPerm => true,
        ErrorCode::Err => error.text().to_ascii_lowercase().contains("unknown command"),
        ErrorCode::Moved
        | ErrorCode::Ask
        | ErrorCode::TryAgain
        | ErrorCode::ClusterDown
        | ErrorCode::Loading
        | ErrorCode::MasterDown
        | ErrorCode::ReadOnly
        | ErrorCode::CrossSlot
        | ErrorCode::ExecAbort
        | ErrorCode::Unblocked
        | ErrorCode::NoAuth
        | ErrorCode::WrongPass
        | ErrorCode::NoScript
        | ErrorCode::Busy
        | ErrorCode::Oom
        | ErrorCode::Misconf
        | ErrorCode::NoReplicas
        | ErrorCode::WrongType
        | ErrorCode::Other => false,
    }
}

impl Connection {
    /// Has the stream end in order when it is dropped; without this it is torn off, and what was not delivered is lost.
    pub(super) fn end_in_order(&mut self) {
        // It takes what a full socket leaves no room for to make this wait, and then nobody does.
        let _best_effort = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }

    /// Writes all commands and reads as many replies.
    async fn exchange(&mut self, commands: &[Command]) -> Result<Vec<Value>, ConnectError> {
        let io = |error| ConnectError::Io(std::sync::Arc::new(error));
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| encode(&mut bytes, command));
        self.stream.write_all(&bytes).await.map_err(io)?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.decoder.decode(&mut self.incoming).map_err(ConnectError::NotResp)? {
                Some(Value::Push(_)) => {}
                Some(reply) => replies.push(reply),
                None => {
                    let mut room = self.decoder.room(&mut self.incoming, READ);
                    if self.stream.read_buf(&mut room).await.map_err(io)? == 0 {
                        // A server at its limit of clients says so and closes: its words are worth more than the EOF.
                        return Err(match replies.into_iter().next() {
                            Some(Value::Error(error)) => ConnectError::Refused(error),
                            Some(_) | None => ConnectError::Closed,
                        });
                    }
                }
            }
        }
        Ok(replies)
    }
}
