//! [`Peer`]: a node that the kit talks to; and what makes a cluster out of empty nodes: slots, epochs, `MEET`,
//! `REPLICATE`, and the wait until all of them see the same.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep, timeout};

use crate::command::Command;
use crate::config::Config;
use crate::config::credentials::{Credentials, CredentialsSource};
use crate::connection::budget::{Bound, Budget};
use crate::connection::dials::Dials;
use crate::connection::link::{Link, Refusal};
use crate::connection::link_context::{LinkContext, LinkObserver};
use crate::connection::logins::Logins;
use crate::connection::loss::LossCause;
use crate::connection::transport::TcpConnector;
use crate::error::{Error, ErrorKind, Outcome};
use crate::node::NodeAddr;
use crate::protocol::info_text::field;
use crate::protocol::value::Value;
use crate::slot::Slot;
use crate::stats::Counters;
use crate::testkit::server::StartError;
use crate::transport::Connector;

/// How long nodes may take to see the same cluster, and a server to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks at what is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(25);

/// For a reply, unless the command has a limit of its own.
const REPLY: Duration = Duration::from_secs(30);

/// What one connection may have queued; commands of tests are smaller.
const ROOM: usize = 64 << 20;

/// How the kit itself reaches the nodes.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) credentials: Option<Credentials>,
    pub(super) connector: Arc<dyn Connector>,
}

impl Access {
    /// Without TLS.
    pub(super) fn plain(credentials: Option<Credentials>) -> Self {
        Self { credentials, connector: Arc::new(TcpConnector) }
    }
}

/// A node over a connection of its own.
#[derive(Debug)]
pub(super) struct Peer {
    node: NodeAddr,
    link: Link,
}

/// Nobody who would look at the topology.
#[derive(Debug)]
struct Unobserved;

impl LinkObserver for Unobserved {
    fn troubled(&self, _node: &NodeAddr) {}
}

impl Peer {
    pub(super) async fn connect(node: &NodeAddr, access: &Access) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let source = access.credentials.clone().map(CredentialsSource::Fixed);
        let context = LinkContext {
            config: Arc::new(Config::default()),
            connector: Arc::clone(&access.connector),
            observer: Arc::new(Unobserved),
            logins: Arc::new(Logins::new(source, Arc::clone(&counters))),
            counters,
            dials: Dials::default(),
        };
        let bound = || Bound::new(ROOM, usize::MAX);
        let budget = Budget::new(bound(), bound());
        let link = Link::exclusive(node.clone(), budget, Arc::new(context)).await.map_err(|error| {
            Error::new(ErrorKind::Connect, Outcome::NotSent, error.to_string()).with_node(node.clone())
        })?;
        Ok(Self { node: node.clone(), link })
    }

    pub(super) fn node(&self) -> &NodeAddr {
        &self.node
    }

    /// As [`Peer::ask`] over a connection for this command alone, which is within its time.
    pub(super) async fn ask_once(
        node: &NodeAddr,
        access: &Access,
        command: &Command,
    ) -> Result<Value, Error> {
        let asked = async { Self::connect(node, access).await?.ask(command).await };
        timeout(time_of(command), asked).await.unwrap_or_else(|_| Err(overdue(node, command)))
    }

    /// The reply, an error reply being one.
    pub(super) async fn ask(&self, command: &Command) -> Result<Value, Error> {
        let lost = |outcome, cause: LossCause| {
            Error::new(ErrorKind::ConnectionLost, outcome, cause.to_string())
                .with_command(command.shared_name())
                .with_node(self.node().clone())
        };
        let room = self.link.budget().room_for(command.body().wire_length(), 1);
        self.link.budget().take(room).await;
        let (pending, _no_deadline) = self
            .link
            .send(command, room, Duration::MAX, Waker::noop())
            .map_err(|Refusal(cause)| lost(Outcome::NotSent, cause))?;
        match timeout(time_of(command), pending).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(loss)) if loss.written == 0 => Err(lost(Outcome::NotSent, loss.cause)),
            Ok(Err(loss)) => Err(lost(Outcome::MaybeExecuted, loss.cause)),
            Err(_elapsed) => Err(overdue(self.node(), command)),
        }
    }

    /// The same, an error reply being an error.
    pub(super) async fn order(&self, command: &Command) -> Result<Value, Error> {
        match self.ask(command).await? {
            Value::Error(error) => {
                Err(Error::new(ErrorKind::Server, Outcome::Rejected, error.text().to_owned())
                    .with_code(error.code())
                    .with_command(command.shared_name())
                    .with_node(self.node().clone()))
            }
            value => Ok(value),
        }
    }

    /// The same for a reply that is a text.
    pub(super) async fn text(&self, command: &Command) -> Result<String, Error> {
        let value = self.order(command).await?;
        value.as_str().map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, format!("the reply is {}", value.kind()))
                .with_command(command.shared_name())
                .with_node(self.node().clone())
        })
    }

    /// The id of its process.
    pub(super) async fn process_id(&self) -> Result<Option<u32>, Error> {
        let info = self.text(&Command::new("INFO").arg("server")).await?;
        Ok(field(&info, "process_id").and_then(|id| id.parse().ok()))
    }

    async fn replication(&self) -> Result<String, Error> {
        self.text(&Command::new("INFO").arg("replication")).await
    }

    /// `ok` or `fail`.
    async fn cluster_state(&self) -> Result<String, Error> {
        let info = self.text(&Command::new("CLUSTER INFO")).await?;
        Ok(field(&info, "cluster_state").unwrap_or("missing").to_owned())
    }

    /// The cluster as this node sees it.
    pub(super) async fn cluster_nodes(&self) -> Result<Vec<Seen>, Error> {
        Ok(self.text(&Command::new("CLUSTER NODES")).await?.lines().filter_map(Seen::parse).collect())
    }
}

fn time_of(command: &Command) -> Duration {
    command.own_timeout().unwrap_or(REPLY)
}

fn overdue(node: &NodeAddr, command: &Command) -> Error {
    let text = format!("no reply within {:?}", time_of(command));
    Error::new(ErrorKind::Timeout, Outcome::MaybeExecuted, text)
        .with_command(command.shared_name())
        .with_node(node.clone())
}

/// One line of `CLUSTER NODES`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) port: u16,
    flags: String,
    pub(super) primary: Option<String>,
    is_connected: bool,
    ranges: Vec<(u16, u16)>,
}

impl Seen {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?.to_owned();
        let (address, _bus_port_and_hostname) = words.next()?.split_once('@')?;
        let (_host, port) = address.rsplit_once(':')?;
        let flags = words.next()?.to_owned();
        let primary = words.next().filter(|primary| *primary != "-").map(str::to_owned);
        let is_connected = words.nth(3)? == "connected";
        let ranges = words
            .take_while(|word| !word.starts_with('['))
            .map(|word| {
                let (first, last) = word.split_once('-').unwrap_or((word, word));
                Some((first.parse().ok()?, last.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self { id, port: port.parse().ok()?, flags, primary, is_connected, ranges })
    }

    pub(super) fn owns(&self, slot: Slot) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot.get()))
    }

    fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|have| have == flag)
    }
}

/// Id, port, and first and last slots.
#[cfg(feature = "internals")]
type ReadNode = (String, u16, Vec<(u16, u16)>);

/// The lines of `CLUSTER NODES` that can be read: for `fuzz/`.
#[cfg(feature = "internals")]
pub fn read_nodes(text: &str) -> Vec<ReadNode> {
    text.lines().filter_map(Seen::parse).map(|seen| (seen.id, seen.port, seen.ranges)).collect()
}

/// A node of the cluster with its id.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) peer: Peer,
}

impl Member {
    pub(super) async fn connect(node: &NodeAddr, access: &Access) -> Result<Self, Error> {
        let peer = Peer::connect(node, access).await?;
        Ok(Self { id: peer.text(&Command::new("CLUSTER MYID")).await?, peer })
    }
}

/// Connects with all, waiting for those that are loading: then they do not even tell their ids.
pub(super) async fn connect_all(nodes: &[NodeAddr], access: &Access) -> Result<Vec<Member>, StartError> {
    let mut members = Vec::new();
    until(async || {
        let connected = try_join_all(nodes.iter().map(|node| Member::connect(node, access))).await;
        members = connected.map_err(|error| format!("  {error}"))?;
        Ok(())
    })
    .await?;
    Ok(members)
}

/// Makes a cluster of empty nodes: the first `primaries` of them share the slots, the others replicate them in turn.
pub(super) async fn create(
    members: &[Member],
    primaries: usize,
    knows_slot_ranges: bool,
) -> Result<(), StartError> {
    let (owners, replicas) = members.split_at(primaries.min(members.len()));
    for (owner, (first, last)) in owners.iter().zip(shares(owners.len())) {
        let add = if knows_slot_ranges {
            Command::new("CLUSTER ADDSLOTSRANGE").arg(first).arg(last)
        } else {
            Command::new("CLUSTER ADDSLOTS").args(first..=last)
        };
        owner.peer.order(&add).await?;
    }
    // Each its own epoch from the start, which else takes rounds of colliding and yielding. Only a node that knows no
    // other takes one.
    for (epoch, member) in (1_usize..).zip(members) {
        member.peer.order(&Command::new("CLUSTER SET-CONFIG-EPOCH").arg(epoch)).await?;
    }
    // Every pair, because gossip about a third takes seconds.
    for (place, member) in members.iter().enumerate() {
        for earlier in members.iter().take(place) {
            meet(&member.peer, earlier.peer.node()).await?;
        }
    }
    if !replicas.is_empty() {
        let pairs = || replicas.iter().zip(owners.iter().cycle());
        until(async || together(pairs().map(|(replica, owner)| replicate(replica, owner))).await).await?;
        until(async || together(replicas.iter().map(|replica| synced(&replica.peer))).await).await?;
        // From 7.0 on a replica is missing in CLUSTER SLOTS until its offset is not 0. This is the one command that is
        // replicated and leaves nothing, not even where it had nothing to do.
        for owner in owners {
            owner.peer.order(&Command::new("FLUSHALL")).await?;
        }
    }
    until_agreed(members).await
}

/// The first and last slot of each primary, rounded as `redis-cli --cluster create` does.
fn shares(primaries: usize) -> impl Iterator<Item = (u16, u16)> {
    let end = move |place: usize| {
        let slots = usize::from(Slot::COUNT);
        // To the nearest, half a slot up; never above the number of slots.
        u16::try_from((2 * place * slots + primaries) / (2 * primaries)).unwrap_or(Slot::COUNT)
    };
    (0..primaries).map(move |place| (end(place), end(place + 1) - 1))
}

pub(super) async fn meet(peer: &Peer, other: &NodeAddr) -> Result<(), Error> {
    peer.order(&Command::new("CLUSTER MEET").arg(other.host()).arg(other.port())).await.map(drop)
}

async fn replicate(replica: &Member, primary: &Member) -> Result<(), String> {
    let order = Command::new("CLUSTER REPLICATE").arg(&primary.id);
    // An error for as long as the two have not met; harmless if it is so already.
    replica.peer.order(&order).await.map(drop).map_err(|error| error.to_string())
}

async fn synced(replica: &Peer) -> Result<(), String> {
    let info = replica.replication().await.map_err(|error| error.to_string())?;
    unsynced(&info).map_or(Ok(()), |complaint| Err(format!("{}: {complaint}", replica.node())))
}

/// What is wrong with a replica that says this of its replication.
fn unsynced(info: &str) -> Option<String> {
    let status = field(info, "master_link_status").unwrap_or("missing");
    (status != "up").then(|| format!("the link to its primary is {status}"))
}

/// Waits until each of `members` is connected with all others, and judges the cluster as the first does: a new node
/// takes part only 2 s after its start.
pub(super) async fn until_joined(members: &[Member]) -> Result<(), StartError> {
    until_all(members, |view, first| {
        let other_state = (view.state != first.state).then(|| format!("cluster_state is {}", view.state));
        other_state.or_else(|| missed(&view.nodes, members))
    })
    .await
}

/// The first of `members` that is not well in `seen`.
fn missed(seen: &[Seen], members: &[Member]) -> Option<String> {
    members.iter().find_map(|member| {
        let node = member.peer.node();
        if seen.iter().any(|seen| seen.port == node.port() && seen.has_flag("handshake")) {
            return Some(format!("it still shakes hands with {node}"));
        }
        let Some(seen) = seen.iter().find(|seen| seen.id == member.id) else {
            return Some(format!("it does not know {node}"));
        };
        let is_well =
            seen.is_connected && !["fail", "fail?", "noaddr"].iter().any(|flag| seen.has_flag(flag));
        let link = if seen.is_connected { "connected" } else { "disconnected" };
        (!is_well).then(|| format!("it sees {node} as {}, {link}", seen.flags))
    })
}

/// Waits until each of `members` knows that all are well, and all of them, and only them, own all slots in the same
/// way, with every replica in sync and listed.
pub(super) async fn until_agreed(members: &[Member]) -> Result<(), StartError> {
    until_all(members, |view, first| view.complaint(members, first)).await
}

/// Waits until there is no complaint of any view, given with that of the first node.
async fn until_all(
    members: &[Member],
    complaint: impl Fn(&View, &View) -> Option<String>,
) -> Result<(), StartError> {
    until(async || {
        let views = join_all(members.iter().map(View::of)).await;
        let first = views.iter().find_map(|view| view.as_ref().ok());
        none_of(members.iter().zip(&views).filter_map(|(member, view)| {
            let said = match view {
                Ok(view) => complaint(view, first?)?,
                Err(error) => error.to_string(),
            };
            Some(format!("{}: {said}", member.peer.node()))
        }))
    })
    .await
}

/// What one node says.
struct View {
    state: String,
    nodes: Vec<Seen>,
    shares: Vec<Share>,
    replication: String,
}

/// One entry of `CLUSTER SLOTS`, with ids because addresses may be unknown for a while.
#[derive(PartialEq, Eq)]
struct Share {
    first: i64,
    last: i64,
    owner: String,
    replicas: Vec<String>,
}

impl View {
    async fn of(member: &Member) -> Result<Self, Error> {
        let peer = &member.peer;
        Ok(Self {
            state: peer.cluster_state().await?,
            nodes: peer.cluster_nodes().await?,
            shares: Share::read_all(&peer.order(&Command::new("CLUSTER SLOTS")).await?),
            replication: peer.replication().await?,
        })
    }

    /// Why this is not what is waited for.
    fn complaint(&self, members: &[Member], first: &Self) -> Option<String> {
        if self.state != "ok" {
            return Some(format!("cluster_state is {}", self.state));
        }
        if let Some(missed) = missed(&self.nodes, members) {
            return Some(missed);
        }
        for member in members {
            let Some(primary) = self.primary_of(member) else { continue };
            if self.shares.iter().any(|share| share.owner == *primary && !share.replicas.contains(&member.id))
            {
                return Some(format!("it does not list the replica {}", member.peer.node()));
            }
        }
        if let Some(out_of_sync) = self.out_of_sync(members) {
            return Some(out_of_sync);
        }
        let covered: i64 = self.shares.iter().map(|share| share.last - share.first + 1).sum();
        if covered != i64::from(Slot::COUNT) {
            return Some(format!("it knows the owners of {covered} slots"));
        }
        if let Some(share) =
            self.shares.iter().find(|share| members.iter().all(|member| member.id != share.owner))
        {
            let Share { first, last, owner, .. } = share;
            return Some(format!("the owner of slots {first}-{last} is {owner}, which does not run"));
        }
        (self.shares != first.shares)
            .then(|| "it lists other owners or replicas than the first node".to_owned())
    }

    /// For a replica its link, for a primary whether it counts its replicas, as `WAIT` does.
    fn out_of_sync(&self, members: &[Member]) -> Option<String> {
        let myself = self.nodes.iter().find(|seen| seen.has_flag("myself"))?;
        if myself.primary.is_some() {
            return unsynced(&self.replication);
        }
        let expected = members.iter().filter(|member| self.primary_of(member) == Some(&myself.id)).count();
        let online = self.replication.lines().filter(|line| line.contains(",state=online,")).count();
        (online < expected).then(|| format!("{online} of its {expected} replicas are online"))
    }

    fn primary_of(&self, member: &Member) -> Option<&String> {
        self.nodes.iter().find(|seen| seen.id == member.id)?.primary.as_ref()
    }
}

impl Share {
    /// In the order of slots; what cannot be read is left out, so that slots are missing.
    fn read_all(value: &Value) -> Vec<Self> {
        let Value::Array(entries) = value else { return Vec::new() };
        let mut shares: Vec<Self> = entries.iter().filter_map(Self::read).collect();
        shares.sort_by_key(|share| share.first);
        shares
    }

    fn read(entry: &Value) -> Option<Self> {
        let Value::Array(parts) = entry else { return None };
        let [first, last, owner, replicas @ ..] = parts.as_slice() else { return None };
        let id = |node: &Value| match node {
            Value::Array(fields) => fields.get(2).and_then(Value::as_str).map(str::to_owned),
            _no_node => None,
        };
        let mut replicas: Vec<String> = replicas.iter().map(id).collect::<Option<_>>()?;
        replicas.sort_unstable();
        Some(Self { first: first.as_int()?, last: last.as_int()?, owner: id(owner)?, replicas })
    }
}

/// Looks until there is nothing to complain of.
async fn until(mut look: impl AsyncFnMut() -> Result<(), String>) -> Result<(), StartError> {
    let deadline = Instant::now() + LIMIT;
    while let Err(said) = look().await {
        if Instant::now() >= deadline {
            return Err(StartError::NotFormed { limit: LIMIT, said });
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// All at once; the complaints of those that have one.
async fn together(
    looks: impl Iterator<Item = impl Future<Output = Result<(), String>>>,
) -> Result<(), String> {
    none_of(join_all(looks).await.into_iter().filter_map(Result::err))
}

fn none_of(complaints: impl Iterator<Item = impl fmt::Display>) -> Result<(), String> {
    let lines: Vec<String> = complaints.map(|complaint| format!("  {complaint}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{Seen, shares};
    use crate::slot::Slot;

    #[test]
    fn slots_are_shared_as_redis_cli_does() {
        assert_eq!(shares(1).collect::<Vec<_>>(), [(0, 16383)]);
        assert_eq!(shares(3).collect::<Vec<_>>(), [(0, 5460), (5461, 10922), (10923, 16383)]);
        for primaries in [2, 5, 7, 100, 16384] {
            let mut next = 0;
            for (first, last) in shares(primaries) {
                assert_eq!(first, next);
                assert!(last >= first);
                next = last + 1;
            }
            assert_eq!(next, 16384, "{primaries}");
        }
    }

    #[test]
    fn a_line_of_cluster_nodes_is_read_with_its_slots_but_not_the_open_ones() {
        let line = "07c3 127.0.0.1:12000@22000,host myself,master - 0 1426238317239 4 connected 0-5460 9000 [93-<-292f]";
        let seen = Seen::parse(line).unwrap();
        assert_eq!((seen.id.as_str(), seen.port, seen.primary.as_deref()), ("07c3", 12000, None));
        assert!(seen.has_flag("myself") && !seen.has_flag("mast") && seen.is_connected);
        assert!([0, 5460, 9000].into_iter().all(|slot| seen.owns(Slot::new(slot).unwrap())));
        assert!(!seen.owns(Slot::new(5461).unwrap()));
        let replica = Seen::parse("67ed :12001@22001 slave 07c3 0 1 4 disconnected").unwrap();
        assert_eq!((replica.primary.as_deref(), replica.is_connected), (Some("07c3"), false));
    }
}
