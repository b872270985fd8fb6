//! The task of one connection: bytes in, commands taken up, bytes out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use crate::testkit::sim::dispatch;
use crate::testkit::sim::node::Process;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::request::{Reader, Requests};
use crate::testkit::sim::session::{Intake, SessionId};
use crate::testkit::sim::world::World;

/// How often a slow reader reads.
const SLOW_PACE: Duration = Duration::from_millis(10);

/// What one read takes at most, as a real server's query buffer.
const READ: usize = 16 << 10;

/// Room for the usual command in the buffer of requests, which grows with what arrives.
const SPARE: usize = 512;

/// The world as all tasks share it.
pub(super) type SharedWorld = Arc<Mutex<World>>;

/// Locks it. A panic of another thread leaves it usable: a test that fails shall report that panic, not this one.
pub(super) fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the connection may do until it is woken.
struct Leave {
    /// How many bytes it may read.
    read: usize,
    may_write: bool,
    /// When it must look again.
    until: Option<Instant>,
}

/// One connection's bytes and commands that are not taken up yet.
#[derive(Default)]
struct Conversation {
    requests: Requests,
    /// The command whose time has not come.
    front: Option<Vec<Bytes>>,
    out: BytesMut,
    /// A slow reader's next read.
    next_read: Option<Instant>,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve(world: SharedWorld, id: SessionId, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Some(wake) = lock(&world).sessions.get(&id).map(|session| Arc::clone(&session.wake)) else { return };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut conversation = Conversation::default();
    loop {
        let Some(leave) = conversation.advance(&mut lock(&world), id) else { break };
        let Conversation { requests, out, next_read, .. } = &mut conversation;
        // Straight into the requests: an idle connection of a large cluster must not hold a buffer of its own.
        let mut bounded = (&mut reader).take(leave.read as u64);
        requests.buffer().reserve(SPARE);
        tokio::select! {
            biased;
            () = wake.notified() => {}
            written = writer.write(out), if leave.may_write && !out.is_empty() => match written {
                Ok(written) if written > 0 => out.advance(written),
                Ok(_) | Err(_) => break,
            },
            read = bounded.read_buf(requests.buffer()), if leave.read > 0 => match read {
                Ok(read) if read > 0 => *next_read = Some(Instant::now() + SLOW_PACE),
                Ok(_) | Err(_) => break,
            },
            () = sleep_until(leave.until.unwrap_or_else(Instant::now)), if leave.until.is_some() => {}
        }
    }
    lock(&world).close(id);
}

impl Conversation {
    /// Takes up all commands that can be; `None` when the connection is at its end.
    fn advance(&mut self, world: &mut World, id: SessionId) -> Option<Leave> {
        loop {
            let session = world.sessions.get_mut(&id)?;
            let node = session.node;
            let mut until = None;
            while let Some(first) = session.outbox.front() {
                if first.not_before.is_some_and(|at| at > Instant::now()) {
                    until = first.not_before;
                    break;
                }
                self.out.extend_from_slice(&first.bytes);
                session.outbox.pop_front();
            }
            if session.closing && session.outbox.is_empty() {
                return (!self.out.is_empty()).then_some(Leave { read: 0, may_write: true, until: None });
            }
            let waits = session.closing
                || session.blocked.is_some()
                || session.held_until.is_some_and(|held| held > Instant::now());
            let intake = session.intake;
            let is_authenticated = session.user.is_some();
            if world.node(node).process == Process::Stopped || intake == Intake::Never {
                return Some(Leave { read: 0, may_write: false, until: None });
            }
            if !waits {
                let next = match self.front.take() {
                    Some(args) => Ok(Some(args)),
                    None => {
                        let profile = world.node(node).profile;
                        self.requests.next(Reader { profile, is_authenticated })
                    }
                };
                match next {
                    Ok(Some(args)) => {
                        self.front = dispatch::take_up(world, id, args).err();
                        if self.front.is_none() {
                            continue;
                        }
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let session = world.sessions.get_mut(&id)?;
                        session.send(&Reply::error(error.0));
                        session.close();
                        continue;
                    }
                }
            }
            return Some(self.leave(intake, until));
        }
    }

    fn leave(&self, intake: Intake, until: Option<Instant>) -> Leave {
        match intake {
            Intake::Normal | Intake::Never => Leave { read: READ, may_write: true, until },
            Intake::Slow(bytes) => match self.next_read.filter(|next| *next > Instant::now()) {
                Some(next) => {
                    Leave { read: 0, may_write: true, until: Some(until.map_or(next, |at| at.min(next))) }
                }
                None => Leave { read: bytes, may_write: true, until },
            },
        }
    }
}
