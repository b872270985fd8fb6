//! What a link tells of itself: how long its node takes to answer, which slots its commands are for, why a connection
//! failed or ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::handshake::Connection;
use crate::connection::link_context::LinkContext;
use crate::connection::loss::{ConnectError, LossCause};
use crate::connection::unit::Piece;
use crate::node::NodeAddr;
use crate::protocol::server_error::ErrorCode;
use crate::slot::Slot;
use crate::stats::failure::{ConnectFailure, shown_code};
use crate::stats::hot_slots::{EVERY, HotSlots};
use crate::stats::node_counters::{NodeCounters, OpenConnection};

/// Counts down to the next command of the sample, by a number at random: at every 1024th exactly, a loop over as many keys
/// would always show the same one.
#[derive(Debug)]
pub(super) struct Countdown(u32);

impl Default for Countdown {
    fn default() -> Self {
        Self(fastrand::u32(1..2 * EVERY))
    }
}

impl Countdown {
    /// One command is queued; true if it is in the sample, for [`Countdown::sample`].
    #[inline]
    pub(super) fn one(&mut self) -> bool {
        self.0 -= 1;
        self.0 == 0
    }

    /// The pieces of a unit are queued.
    pub(super) fn several<'a>(
        &mut self,
        mut pieces: impl ExactSizeIterator<Item = Piece<'a>>,
        hot: &HotSlots,
    ) {
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        if count < self.0 {
            self.0 -= count;
        } else {
            // A unit of more than a thousand commands has one in the sample all the same, which is a little less than its share.
            let piece = pieces.nth(self.0.saturating_sub(1) as usize);
            self.sample(piece.and_then(slot_of), hot);
        }
    }

    #[cold]
    pub(super) fn sample(&mut self, slot: Option<Slot>, hot: &HotSlots) {
        *self = Self::default();
        slot.into_iter().for_each(|slot| hot.add(slot));
    }
}

fn slot_of(piece: Piece<'_>) -> Option<Slot> {
    match piece {
        Piece::Command(command) => command.marked_slot(),
        Piece::Part(part) => part.keys().next().map(|place| Slot::of_key(part.command().arg_at(place))),
        Piece::Asking | Piece::Multi | Piece::Exec | Piece::Check(_) => None,
    }
}

/// One batch of so many is measured, the first one of a connection included. To look at the clock for each costs a command
/// among many others a third of a per cent of what it takes.
const ONE_IN: u32 = 4;

/// Measures the round trip of one batch after the other: it knows when the first reply to one has come, though replies
/// to those before it come first.
#[derive(Debug)]
pub(super) struct Trip {
    /// Not where the server may hold back its reply.
    measures: bool,
    /// Batches since the last one that was measured.
    passed: u32,
    /// Units that were ever taken to be written.
    taken: usize,
    /// When the batch that is measured was queued, and the number of its first unit.
    measured: Option<(Instant, usize)>,
}

impl Trip {
    pub(super) fn new(measures: bool) -> Self {
        Self { measures, passed: ONE_IN, taken: 0, measured: None }
    }

    /// A batch of so many units is about to be written. `queued` is the time of the first, if somebody has read the clock.
    #[inline]
    pub(super) fn begin(&mut self, queued: Option<Instant>, units: usize, of: &NodeCounters) {
        of.requests.add(units as u64);
        of.writes.add_one();
        self.passed += 1;
        if self.passed >= ONE_IN && self.measures && self.measured.is_none() {
            self.passed = 0;
            self.measured = Some((queued.unwrap_or_else(Instant::now), self.taken));
        }
        self.taken += units;
    }

    /// Replies have come; so many units still wait for theirs.
    #[inline]
    pub(super) fn look(&mut self, waiting: usize, of: &NodeCounters) {
        if let Some((since, first)) = self.measured
            && self.taken - waiting > first
        {
            self.measured = None;
            of.round_trips.add(since.elapsed());
        }
    }

    /// So many units were taken back: they are no answers, so the batch under way is not measured.
    pub(super) fn give_up(&mut self, units: usize) {
        self.taken -= units;
        self.measured = None;
    }
}

/// Notes how a connect went, and counts the connection as open.
pub(super) fn note_connect(
    context: &LinkContext,
    node: &NodeAddr,
    took: Duration,
    connection: &mut Result<Connection, ConnectError>,
) {
    match connection {
        Ok(connection) => {
            context.counters.connected(node, took);
            connection.open = OpenConnection::new(context.counters.node(node), node);
        }
        Err(error) => context.counters.connect_failed(node, failure_of(error)),
    }
}

fn failure_of(error: &ConnectError) -> ConnectFailure<'_> {
    let class = match error {
        ConnectError::Io(_) | ConnectError::Reset(_) => "io",
        ConnectError::Timeout(_) | ConnectError::TlsTimeout(_) => "timeout",
        ConnectError::Credentials(_) => "credentials",
        ConnectError::Closed => "closed",
        ConnectError::Refused(error) => shown_code(error.code()),
        ConnectError::NotResp(_) => "protocol",
    };
    let is_about_credentials = match error {
        ConnectError::Refused(error) => {
            matches!(error.class(), ErrorCode::NoAuth | ErrorCode::WrongPass | ErrorCode::NoPerm)
        }
        ConnectError::Credentials(_) => true,
        ConnectError::Io(_)
        | ConnectError::Reset(_)
        | ConnectError::Timeout(_)
        | ConnectError::TlsTimeout(_)
        | ConnectError::Closed
        | ConnectError::NotResp(_) => false,
    };
    ConnectFailure { class, is_about_credentials }
}

/// Why a connection ended, in one word: the text may have what the server was sent.
pub(crate) fn class_of_loss(cause: &LossCause) -> &'static str {
    match cause {
        LossCause::Connect(_) => "connect",
        LossCause::Io(_) => "io",
        LossCause::ClosedByPeer => "closed",
        LossCause::Farewell(_) => "farewell",
        LossCause::NotResp(_) => "protocol",
        LossCause::Unexpected => "unexpected_reply",
        LossCause::Expired => "deadline",
        LossCause::Overdue => "silent",
        LossCause::Retired => "retired",
    }
}
