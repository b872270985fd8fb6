//! [`Group`]: jobs that leave as one unit on one link, and which jobs these are.

use std::sync::Arc;

use crate::cluster::core::Core;
use crate::cluster::job::Job;
use crate::cluster::routes::Routes;
use crate::connection::pool::NodePool;
use crate::connection::unit::{Check, Piece};
use crate::node::NodeAddr;
use crate::routing::plan::Place;

/// See the module's documentation.
pub(super) struct Group<'a> {
    pub(super) pool: Arc<NodePool>,
    pub(super) lane: usize,
    /// On a connection of its own, because the server may hold back its reply.
    pub(super) is_exclusive: bool,
    members: Vec<Member>,
    pieces: Vec<Piece<'a>>,
    length: usize,
}

/// A job's share of its group.
pub(super) struct Member {
    pub(super) job: usize,
    /// How many replies are its own.
    pub(super) replies: usize,
    /// Where its bytes end in those of the group.
    pub(super) end: usize,
}

impl<'a> Group<'a> {
    fn new(pool: Arc<NodePool>, lane: usize, is_exclusive: bool, room: usize) -> Self {
        Self {
            pool,
            lane,
            is_exclusive,
            members: Vec::with_capacity(room),
            pieces: Vec::with_capacity(room),
            length: 0,
        }
    }

    #[inline]
    fn add(&mut self, index: usize, job: &Job<'a>) {
        let before = self.pieces.len();
        job.for_each_piece(|piece| {
            self.length += piece.wire_length();
            self.pieces.push(piece);
        });
        self.members.push(Member { job: index, replies: self.pieces.len() - before, end: self.length });
    }

    /// Ends it so that a reply to `ASKING` which is lost or comes twice shifts none of the others.
    fn closed(mut self) -> Self {
        if self.pieces.iter().any(|piece| matches!(piece, Piece::Asking)) {
            let check = Piece::Check(Check::new());
            self.length += check.wire_length();
            self.pieces.push(check);
        }
        self
    }

    pub(super) fn node(&self) -> &NodeAddr {
        self.pool.node()
    }

    /// In the order of their bytes and replies.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// Of all its bytes.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// Where a job goes and which it is, in one number: sorted, the jobs of one link are side by side and in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket(u64);

impl Ticket {
    /// There are less than 2^14 lanes, because a lane is a slot modulo something, and far less than 2^32 jobs, of
    /// which each takes many bytes. So nodes have 18 bits, more than a map has room for.
    const JOB_BITS: u32 = 32;
    const LANE_BITS: u32 = 14;

    #[inline]
    fn new(pool: usize, lane: usize, job: usize) -> Self {
        Self((((pool as u64) << Self::LANE_BITS | lane as u64) << Self::JOB_BITS) | job as u64)
    }

    #[inline]
    fn job(self) -> usize {
        (self.0 & ((1 << Self::JOB_BITS) - 1)) as usize
    }

    fn lane(self) -> usize {
        ((self.0 >> Self::JOB_BITS) & ((1 << Self::LANE_BITS) - 1)) as usize
    }

    fn pool(self) -> usize {
        (self.0 >> (Self::JOB_BITS + Self::LANE_BITS)) as usize
    }

    #[inline]
    fn has_the_link_of(&self, other: &Self) -> bool {
        self.0 >> Self::JOB_BITS == other.0 >> Self::JOB_BITS
    }
}

/// The pools that jobs go to, each by a number: those of the routes by their place there, others behind them.
struct Pools<'r> {
    core: &'r Core,
    routes: &'r Routes,
    guests: Vec<Arc<NodePool>>,
}

impl Pools<'_> {
    /// The pool that `job` goes to next, and the lane there.
    #[inline]
    fn of(&mut self, job: &Job<'_>) -> Option<(usize, usize)> {
        let map = self.routes.map();
        let pool = match (job.asked_at(), job.place()) {
            (Some(addr), _) | (None, Place::Node(addr)) => self.at(addr),
            (None, Place::Slot(slot)) => map.owner(*slot)?.get(),
            (None, Place::Shard { primary, slot }) => {
                self.routes.primary_at(primary).or_else(|| map.owner(*slot))?.get()
            }
            (None, Place::Any) => self.routes.any_primary()?.get(),
        };
        let lane = match job.place() {
            Place::Slot(slot) => self.get(pool)?.lane_of(*slot),
            Place::Node(_) | Place::Shard { .. } | Place::Any => 0,
        };
        Some((pool, lane))
    }

    #[inline]
    fn get(&self, number: usize) -> Option<&Arc<NodePool>> {
        let pools = self.routes.pools();
        pools.get(number).or_else(|| self.guests.get(number - pools.len()))
    }

    fn at(&mut self, addr: &NodeAddr) -> usize {
        if let Some(index) = self.routes.map().index_of(addr) {
            return index.get();
        }
        let known = self.guests.iter().position(|pool| pool.node() == addr);
        let guest = known.unwrap_or_else(|| {
            self.guests.push(self.core.pool_at(addr));
            self.guests.len() - 1
        });
        self.routes.pools().len() + guest
    }
}

/// Finds the link of each job that is due; those on the same link travel together, in their order. Who has none goes
/// back to `waiting`.
pub(super) fn group<'a>(
    core: &Core,
    jobs: &mut [Job<'a>],
    due: Vec<usize>,
    waiting: &mut Vec<usize>,
) -> Vec<Group<'a>> {
    let routes = core.routes();
    let mut pools = Pools { core, routes: &routes, guests: Vec::new() };
    let mut groups = Vec::new();
    let mut tickets = Vec::with_capacity(due.len());
    for index in due {
        let Some(job) = jobs.get_mut(index) else { continue };
        if job.is_retry() {
            core.counters.retries.add_one();
        }
        let Some((pool, lane)) = pools.of(job) else {
            job.has_no_owner();
            core.signal.request();
            waiting.push(index);
            continue;
        };
        if !job.blocks() {
            tickets.push(Ticket::new(pool, lane, index));
        } else if let Some(pool) = pools.get(pool) {
            let mut group = Group::new(Arc::clone(pool), lane, true, 1);
            group.add(index, job);
            groups.push(group.closed());
        }
    }
    tickets.sort_unstable();
    groups.extend(tickets.chunk_by(Ticket::has_the_link_of).filter_map(|of_link| {
        let first = of_link.first()?;
        let mut group = Group::new(Arc::clone(pools.get(first.pool())?), first.lane(), false, of_link.len());
        for ticket in of_link {
            if let Some(job) = jobs.get(ticket.job()) {
                group.add(ticket.job(), job);
            }
        }
        Some(group.closed())
    }));
    groups
}
