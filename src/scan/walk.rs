//! [`Walk`]: carries a [`ScanPlan`] out. No task: it goes on only while it is polled, and ends where it is dropped.
//!
//! It goes in rounds. A round visits each node that has something left, a few of them side by side; then the cluster is
//! asked for its topology, what was seen is held against it, and the next round is for what is left. Usually that is nothing.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::connect::Cluster;
use crate::cluster::core::Core;
use crate::cluster::executor::execute_all;
use crate::cluster::job::Deadline;
use crate::command::{Command, Target};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::from_value::FromValue;
use crate::protocol::value::Value;
use crate::routing::scan_filter::ScanFilter;
use crate::routing::scan_plan::{ScanPlan, addr_of};
use crate::routing::scan_token;
use crate::slot::Slot;
use crate::stats::operation::{Batch, first_error, observe_batch};
use crate::topology::node_state::{NodeId, NodeState, StateReplies, read_state};
use crate::topology::slot_map::{Health, SlotMap};
use crate::topology::slot_set::SlotSet;

/// A page is accompanied by a look at its node if the last one is so long ago: a slot that was opened meanwhile is noticed
/// although its move may be undone before the pass ends.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two rounds of which the first brought nothing; doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Until a node that sees the cluster down is looked at again.
const DOWN_PAUSE: Duration = Duration::from_millis(50);

/// How a scan is done; of no consequence for what it finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) count: usize,
    pub(crate) parallel: usize,
}

/// See the module's documentation.
pub(crate) struct Walk {
    cluster: Arc<Cluster>,
    filter: ScanFilter,
    manner: Manner,
    plan: ScanPlan,
    /// What is left of the round.
    queue: VecDeque<Visit>,
    under_way: FuturesUnordered<BoxFuture<'static, Begun>>,
    /// When the nodes of the passes were looked at last.
    looked_at: HashMap<NodeId, Instant>,
    /// Rounds in a row that brought nothing, and since when.
    stall: Option<(u32, Instant)>,
    /// When the caller was given something, if it has not come back.
    handed_out: Option<Instant>,
    /// How often it came back late.
    absences: u32,
    is_over: bool,
}

/// A step, and how many absences there had been when it began.
type Begun = (u32, Step);

/// The next thing to do at a node.
#[derive(Debug)]
enum Visit {
    Begin(NodeAddr),
    GoOn(NodeId),
}

/// What has come of one request; `None` where the node is no primary any more as far as the map knows.
enum Step {
    Viewed(Result<()>),
    Looked(NodeAddr, Result<Option<NodeState>>),
    Paged(NodeId, Result<Option<Page>>),
    Ended(NodeId, Result<Option<NodeState>>),
}

struct Page {
    cursor: u64,
    keys: Vec<Bytes>,
    state: Option<NodeState>,
}

/// Keys that are to be handed out. They count when they were: see [`Walk::commit`].
pub(crate) struct Arrived {
    node: NodeId,
    cursor: u64,
    pub(crate) keys: Vec<Bytes>,
}

impl Walk {
    pub(crate) fn new(cluster: Arc<Cluster>, filter: ScanFilter, manner: Manner, plan: ScanPlan) -> Self {
        let is_over = plan.is_complete();
        let mut walk = Self {
            cluster,
            filter,
            manner,
            plan,
            queue: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            looked_at: HashMap::new(),
            stall: None,
            handed_out: None,
            absences: 0,
            is_over,
        };
        // What a scan that goes on has to be confirmed comes first.
        if walk.plan.claims.is_empty() {
            walk.begin_round();
        }
        walk
    }

    pub(crate) fn token(&self) -> String {
        scan_token::encode(&self.filter, &self.plan)
    }

    /// How many slots need not be looked at any more, as far as is known.
    pub(crate) fn slots_done(&self) -> usize {
        let claimed = self.plan.claims.iter().map(|claim| claim.slots.len());
        self.plan.done.len() + claimed.sum::<usize>()
    }

    /// The next keys, never none. Each page has to be [committed](Self::commit) before the next poll. After an error the next
    /// poll tries again.
    pub(crate) fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Arrived>>> {
        if self.handed_out.take().is_some_and(|at| at.elapsed() > self.core().config.command_timeout / 4) {
            self.absences += 1;
        }
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            if self.core().is_closed() {
                self.is_over = true;
                return Poll::Ready(Some(Err(Error::closed().with_command("SCAN".into()))));
            }
            self.set_out();
            let Some((absences, step)) = ready!(self.under_way.poll_next_unpin(cx)) else { continue };
            match self.take(step) {
                // Its time has passed while nobody polled it, so it says nothing of the node: the step is tried again.
                Some(Err(_)) if absences != self.absences => {}
                Some(news) => {
                    self.handed_out = Some(Instant::now());
                    return Poll::Ready(Some(news));
                }
                None => {}
            }
        }
    }

    /// Counts the keys as seen; their node goes on with its next page.
    pub(crate) fn commit(&mut self, Arrived { node, cursor, .. }: &Arrived) {
        if let Some(pass) = self.plan.passes.get_mut(node) {
            pass.cursor = *cursor;
            pass.is_through = *cursor == 0;
            self.queue.push_front(Visit::GoOn(Arc::clone(node)));
        }
    }

    fn core(&self) -> &Core {
        self.cluster.core()
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(self.core().routes().map())
    }

    /// Starts as much as may be under way at a time; asks for the topology when the round is over.
    fn set_out(&mut self) {
        while self.under_way.len() < self.manner.parallel
            && let Some(visit) = self.queue.pop_front()
        {
            match visit {
                Visit::Begin(node) => self.start(|cluster| async move {
                    let state = look(cluster.core(), &node).await;
                    Step::Looked(node, state)
                }),
                Visit::GoOn(id) => self.go_on(id),
            }
        }
        if self.under_way.is_empty() {
            let pause = self.stall.map(|(rounds, _)| {
                FIRST_PAUSE.saturating_mul(1 << rounds.saturating_sub(1).min(10)).min(LAST_PAUSE)
            });
            self.start(|cluster| async move {
                if let Some(pause) = pause {
                    sleep(pause).await;
                }
                Step::Viewed(refreshed(cluster.core()).await)
            });
        }
    }

    fn start<F>(&mut self, step: impl FnOnce(Arc<Cluster>) -> F)
    where
        F: Future<Output = Step> + Send + 'static,
    {
        let (absences, step) = (self.absences, step(Arc::clone(&self.cluster)));
        self.under_way.push(Box::pin(async move { (absences, step.await) }));
    }

    fn go_on(&mut self, id: NodeId) {
        let Some(node) = addr_of(&self.map(), &id) else {
            self.plan.abandon(&id);
            return;
        };
        let Some(pass) = self.plan.passes.get(&id) else { return };
        if pass.is_through {
            self.start(|cluster| async move { Step::Ended(id, look(cluster.core(), &node).await) });
            return;
        }
        let scan = self.command(pass.cursor);
        let is_due = self.looked_at.get(&id).is_none_or(|at| at.elapsed() >= LOOK_AGAIN);
        self.start(|cluster| async move {
            let page = page(cluster.core(), &node, scan, is_due).await;
            Step::Paged(id, page)
        });
    }

    fn command(&self, cursor: u64) -> Command {
        let mut command = Command::new("SCAN").arg(cursor);
        if let Some(pattern) = &self.filter.pattern {
            command = command.arg("MATCH").arg(pattern);
        }
        command = command.arg("COUNT").arg(self.manner.count);
        if let Some(of_type) = &self.filter.of_type {
            command = command.arg("TYPE").arg(&**of_type);
        }
        command
    }

    /// What a step has brought for the caller, if anything.
    fn take(&mut self, step: Step) -> Option<Result<Arrived>> {
        match step {
            Step::Viewed(Ok(())) => return self.end_round().map(Err),
            Step::Viewed(Err(error)) => return Some(Err(error)),
            Step::Looked(_, Ok(Some(state))) => {
                if self.plan.begin(&state) {
                    self.looked_at.insert(Arc::clone(&state.id), Instant::now());
                    self.queue.push_front(Visit::GoOn(state.id));
                }
            }
            // The next round goes to its successor.
            Step::Looked(_, Ok(None)) => {}
            // The other nodes come first, so that one that is dead does not keep them from being scanned.
            Step::Looked(node, Err(error)) => {
                self.queue.push_back(Visit::Begin(node));
                return Some(Err(error));
            }
            Step::Paged(id, Ok(Some(page))) => return self.paged(id, page).map(Ok),
            Step::Ended(id, Ok(Some(state))) => self.plan.finish(&id, &state),
            Step::Paged(id, Ok(None)) | Step::Ended(id, Ok(None)) => self.plan.abandon(&id),
            Step::Paged(id, Err(error)) | Step::Ended(id, Err(error)) => {
                self.queue.push_back(Visit::GoOn(id));
                return Some(Err(error));
            }
        }
        None
    }

    fn paged(&mut self, node: NodeId, Page { cursor, mut keys, state }: Page) -> Option<Arrived> {
        if let Some(state) = state {
            self.looked_at.insert(Arc::clone(&node), Instant::now());
            if !self.plan.check(&node, &state) {
                return None;
            }
        }
        let pass = self.plan.passes.get(&node)?;
        keys.retain(|key| pass.wants(Slot::of_key(key)));
        let arrived = Arrived { node, cursor, keys };
        if arrived.keys.is_empty() {
            self.commit(&arrived);
            return None;
        }
        Some(arrived)
    }

    /// Holds the round against the map, which is newer; begins the next one if something is left.
    fn end_round(&mut self) -> Option<Error> {
        let before = self.plan.done.len();
        self.plan.confirm(&self.map());
        if self.plan.is_complete() {
            self.is_over = true;
            return None;
        }
        let limit = self.core().config.command_timeout;
        if self.plan.done.len() > before {
            self.stall = None;
        } else {
            let (rounds, since) = self.stall.unwrap_or((0, Instant::now()));
            self.stall = Some((rounds + 1, since));
            if since.elapsed() >= limit {
                self.stall = None;
                let unserved = self.plan.todo(&self.map()).unserved;
                self.begin_round();
                return Some(stalled(&self.plan, &unserved, limit));
            }
        }
        self.begin_round();
        None
    }

    fn begin_round(&mut self) {
        let map = self.map();
        self.looked_at.retain(|id, _| self.plan.passes.contains_key(id));
        self.queue.extend(self.plan.passes.keys().cloned().map(Visit::GoOn));
        let under_way: Vec<NodeAddr> = self.plan.passes.keys().filter_map(|id| addr_of(&map, id)).collect();
        let others = self.plan.todo(&map).nodes.into_iter().filter(|node| !under_way.contains(node));
        self.queue.extend(others.map(Visit::Begin));
    }
}

fn stalled(plan: &ScanPlan, unserved: &SlotSet, limit: Duration) -> Error {
    let text = if unserved.is_empty() {
        let open = SlotSet::all().without(&plan.done);
        format!(
            "for {limit:?} now no slot more could be scanned to its end, of those that are left: {open}. Are they open \
             (CLUSTER NODES), or their nodes replaced again and again?"
        )
    } else {
        format!("no node serves slots {unserved}, for {limit:?} now; are they assigned (CLUSTER SLOTS)?")
    };
    Error::new(ErrorKind::Unavailable, Outcome::NotSent, text).with_command("SCAN".into())
}

async fn refreshed(core: &Core) -> Result<()> {
    let limit = core.config.command_timeout;
    timeout(limit, core.signal.refreshed()).await.map_err(|_elapsed| {
        let text = format!("no node said what the topology is, for {limit:?} now");
        Error::new(ErrorKind::Unavailable, Outcome::NotSent, text).with_command("SCAN".into())
    })
}

/// One page, and a look behind it if one is due: what was moved away before the page shows in it.
async fn page(core: &Core, node: &NodeAddr, scan: Command, is_due: bool) -> Result<Option<Page>> {
    let mut commands = vec![scan.to(Target::Node(node.clone()))];
    if is_due {
        commands.extend(questions(node));
    }
    let Some(replies) = at_primary(core, node, &commands, time(core)).await else { return Ok(None) };
    let mut replies = replies.into_iter();
    let reply = replies.next().unwrap_or_else(|| Err(Error::closed()))?;
    let state = if is_due { Some(state(replies.collect(), node)?) } else { None };
    let (cursor, keys) = read_page(reply).ok_or_else(|| strange("SCAN", node))?;
    Ok(Some(Page { cursor, keys, state }))
}

fn read_page(reply: Value) -> Option<(u64, Vec<Bytes>)> {
    let Value::Array(parts) = reply else { return None };
    let [cursor, keys]: [Value; 2] = parts.try_into().ok()?;
    Some((cursor.as_str()?.parse().ok()?, Vec::from_value(keys).ok()?))
}

/// Looks at a node until it sees a cluster that works: one that does not may be cut off, and was replaced.
async fn look(core: &Core, node: &NodeAddr) -> Result<Option<NodeState>> {
    let deadline = time(core);
    let commands = questions(node);
    loop {
        let Some(replies) = at_primary(core, node, &commands, deadline).await else { return Ok(None) };
        let state = state(replies, node)?;
        if state.is_up {
            return Ok(Some(state));
        }
        if deadline.at.is_some_and(|at| at <= Instant::now()) {
            let text =
                format!("for {:?} now it says that the cluster is down (cluster_state:fail)", deadline.limit);
            return Err(Error::new(ErrorKind::Unavailable, Outcome::NotSent, text)
                .with_command("SCAN".into())
                .with_node(node.clone()));
        }
        sleep(DOWN_PAUSE).await;
    }
}

fn time(core: &Core) -> Deadline {
    Deadline::after(core.config.command_timeout)
}

fn questions(node: &NodeAddr) -> Vec<Command> {
    let names = ["CLUSTER NODES", "CLUSTER INFO", "INFO server", "INFO replication"];
    names.map(|name| Command::new(name).to(Target::Node(node.clone()))).into()
}

/// What the node says of itself by the replies to the [`questions`].
fn state(replies: Vec<Result<Value>>, node: &NodeAddr) -> Result<NodeState> {
    let [nodes, cluster, server, replication]: [Result<Value>; 4] =
        replies.try_into().map_err(|_other| strange("CLUSTER NODES", node))?;
    let in_cluster = |reply: Result<Value>| match reply {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.to_string().contains("cluster support disabled") => Ok(None),
        Err(error) => Err(error),
    };
    let (nodes, cluster) = (in_cluster(nodes)?, in_cluster(cluster)?);
    let (server, replication) = (server?, replication?);
    let replies = StateReplies {
        nodes: nodes.as_ref(),
        cluster: cluster.as_ref(),
        server: &server,
        replication: &replication,
    };
    read_state(&replies).ok_or_else(|| strange("CLUSTER NODES", node))
}

fn strange(command: &'static str, node: &NodeAddr) -> Error {
    Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, "the reply has another form than a server's")
        .with_command(command.into())
        .with_node(node.clone())
}

/// The replies of the node; `None` as soon as the map does not know it as a primary any more. A cursor is of no use at its
/// successor, and the node itself may be dead.
async fn at_primary(
    core: &Core,
    node: &NodeAddr,
    commands: &[Command],
    deadline: Deadline,
) -> Option<Vec<Result<Value>>> {
    let names = commands.iter().map(Command::name);
    tokio::select! {
        biased;
        () = until_replaced(core, node) => None,
        replies = observe_batch(Batch::Pipeline, names, execute_all(core, commands, deadline), first_error) => {
            Some(replies)
        }
    }
}

/// Whether the node may still have slots. One that failed and was replaced stays in the map for a while, as a primary of
/// nothing; one that is to get its first slots is a primary of nothing too.
fn is_primary(map: &SlotMap, addr: &NodeAddr) -> bool {
    let shard = map.shards().find(|shard| shard.primary().addr == *addr);
    shard.is_some_and(|shard| shard.primary().health != Health::Failed || shard.slots().next().is_some())
}

/// Resolves as soon as the map does not know the node as a primary any more.
async fn until_replaced(core: &Core, node: &NodeAddr) {
    loop {
        let mut changed = std::pin::pin!(core.signal.changed());
        // It hears of changes from its first poll on; the map is looked at after that, so none is missed.
        let has_changed = poll_fn(|cx| Poll::Ready(changed.as_mut().poll(cx))).await.is_ready();
        if !is_primary(core.routes().map(), node) {
            return;
        }
        if !has_changed {
            changed.await;
        }
    }
}
