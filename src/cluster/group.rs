//! [`Group`]: jobs that leave as one unit on one link, and which jobs these are.

use std::sync::Arc;

use crate::cluster::core::Core;
use crate::cluster::job::{Asked, Job};
use crate::cluster::routes::Routes;
use crate::command::Command;
use crate::connection::pool::NodePool;
use crate::connection::unit::{Check, Piece};
use crate::error::ErrorKind;
use crate::node::NodeAddr;
use crate::routing::plan::Place;
use crate::stats::refresh_cause::RefreshCause;

/// See the module's documentation.
pub(super) struct Group<'a> {
    pub(super) pool: Arc<NodePool>,
    pub(super) lane: usize,
    /// On a connection of its own: the server may hold back its reply, or counts the writes of the connection.
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

    /// Ends it with `wait` if it has writes, and so that a reply to `ASKING` which is lost or comes twice shifts none of the
    /// others.
    fn close(&mut self, wait: Option<&'a Command>) {
        if let Some(wait) = wait
            && self.pieces.iter().any(Piece::may_write)
        {
            let wait = Piece::Command(wait);
            self.length += wait.wire_length();
            self.pieces.push(wait);
        }
        if self.pieces.iter().any(|piece| matches!(piece, Piece::Asking)) {
            let check = Piece::Check(Check::new());
            self.length += check.wire_length();
            self.pieces.push(check);
        }
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { node: self.pool.node(), is_replica: self.lane == self.pool.lane_of_reads() }
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
            (None, Place::Read(slot)) => {
                let reader = self.routes.reader(*slot, job.read_from(&self.core.config))?;
                if Some(reader) != map.owner(*slot) {
                    return Some((reader.get(), self.get(reader.get())?.lane_of_reads()));
                }
                reader.get()
            }
            (None, Place::Shard { primary, slot }) => self.routes.heir_of(primary, *slot)?.get(),
            (None, Place::Any) => self.routes.any_primary()?.get(),
        };
        let lane = match job.place() {
            Place::Slot(slot) | Place::Read(slot) => self.get(pool)?.lane_of(*slot),
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

/// Counts the jobs of each link and then has the number of its group: a table and no sorting, because jobs of one link
/// stay in their order.
struct Links {
    /// How many each node has, the one for reads from replicas included.
    of_node: usize,
    links: Vec<LinkUse>,
}

#[derive(Clone, Copy, Default)]
struct LinkUse {
    jobs: usize,
    group: Option<usize>,
}

impl Links {
    /// With room for the links of so many nodes; more may come.
    fn new(nodes: usize, of_node: usize) -> Self {
        Self { of_node, links: vec![LinkUse::default(); nodes * of_node] }
    }

    /// Counts one more job for this link; the number of the link.
    #[inline]
    fn count(&mut self, pool: usize, lane: usize) -> usize {
        let link = pool * self.of_node + lane;
        if link >= self.links.len() {
            self.links.resize(link + 1, LinkUse::default());
        }
        if let Some(used) = self.links.get_mut(link) {
            used.jobs += 1;
        }
        link
    }

    /// The number of the link's group; the first time that of the one which `make` makes, given pool, lane, and how many
    /// jobs were counted.
    #[inline]
    fn group(
        &mut self,
        link: usize,
        make: impl FnOnce(usize, usize, usize) -> Option<usize>,
    ) -> Option<usize> {
        let used = self.links.get_mut(link)?;
        if used.group.is_none() {
            used.group = make(link / self.of_node, link % self.of_node, used.jobs);
        }
        used.group
    }
}

/// Finds the link of each job that is due; those on the same link travel together, in their order. Who has none goes
/// back to `waiting`. With `wait`, all jobs of one node travel together, on one exclusive connection.
pub(super) fn group<'a>(
    core: &Core,
    jobs: &mut [Job<'a>],
    due: Vec<usize>,
    waiting: &mut Vec<usize>,
    wait: Option<&'a Command>,
) -> Vec<Group<'a>> {
    let routes = core.routes();
    let mut pools = Pools { core, routes: &routes, guests: Vec::new() };
    let mut groups = Vec::with_capacity(due.len().min(4));
    let mut tickets = Vec::with_capacity(due.len());
    let mut links = Links::new(routes.pools().len(), core.config.links_per_node.max(1) + 1);
    for index in due {
        let Some(job) = jobs.get_mut(index) else { continue };
        let found = pools.of(job);
        if job.is_retry() {
            let node = found.and_then(|(pool, _)| pools.get(pool)).map(|pool| pool.node());
            core.counters.retried(node, job.why_again());
        }
        if let Place::Node(addr) = job.place()
            && job.is_one_of_all()
            && routes.map().has_failed(addr)
        {
            // It would be waited for until the deadline, and the others are of no use without it.
            job.end(ErrorKind::Unavailable, "the cluster holds this node for failed (CLUSTER NODES)");
            core.signal.request(RefreshCause::Connection);
            continue;
        }
        let Some((pool, lane)) = found else {
            job.has_no_owner();
            core.signal.request(RefreshCause::NoOwner);
            waiting.push(index);
            continue;
        };
        let lane = if wait.is_none() { lane } else { 0 };
        if !job.blocks() {
            tickets.push((links.count(pool, lane), index));
        } else if let Some(pool) = pools.get(pool) {
            let mut group = Group::new(Arc::clone(pool), lane, true, 1);
            group.add(index, job);
            groups.push(group);
        }
    }
    for (link, index) in tickets {
        let number = links.group(link, |pool, lane, room| {
            groups.push(Group::new(Arc::clone(pools.get(pool)?), lane, wait.is_some(), room));
            Some(groups.len() - 1)
        });
        if let Some(group) = number.and_then(|number| groups.get_mut(number))
            && let Some(job) = jobs.get(index)
        {
            group.add(index, job);
        }
    }
    groups.iter_mut().for_each(|group| group.close(wait));
    groups
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn jobs_of_one_link_have_one_group_which_is_made_once() {
        let mut links = Links::new(3, 2);
        let counted: Vec<usize> = [(2, 0), (0, 1), (70_000, 1), (2, 0), (0, 0), (2, 1)]
            .map(|(pool, lane)| links.count(pool, lane))
            .into();
        let mut made = Vec::new();
        let groups: Vec<Option<usize>> = counted
            .into_iter()
            .map(|link| {
                links.group(link, |pool, lane, jobs| {
                    made.push((pool, lane, jobs));
                    Some(made.len() - 1)
                })
            })
            .collect();
        assert_eq!(groups, [Some(0), Some(1), Some(2), Some(0), Some(3), Some(4)]);
        assert_eq!(made, [(2, 0, 2), (0, 1, 1), (70_000, 1, 1), (0, 0, 1), (2, 1, 1)]);
    }
}
