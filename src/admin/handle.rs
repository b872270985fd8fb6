//! [`Admin`]: the handle by which a cluster is looked at and changed; and how all of its nodes are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::task::AbortHandle;

use crate::admin::node_line::{NodeLine, read_lines};
use crate::admin::options::AdminOptions;
use crate::admin::peer::Peer;
use crate::admin::view::{ClusterView, NodeView, Unreachable};
use crate::builder::ClientBuilder;
use crate::client::Client;
use crate::command::Command;
use crate::config::Config;
use crate::connection::dials::Dials;
use crate::connection::link_context::{LinkContext, LinkObserver};
use crate::connection::logins::{Logins, keep_renewed};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::info_text::field;
use crate::protocol::value::Value;
use crate::stats::Counters;
use crate::topology::node_state::NodeId;
use crate::transport::Connector;

/// Looks at a cluster and changes it, over connections of its own to each node.
///
/// Made by [`Client::admin`] or [`ClientBuilder::admin`], with the credentials, time-outs and connector of those.
/// Cheap to clone.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::admin::Rebalance;
///
/// let admin = client.admin();
/// let report = admin.check().await?;
/// assert!(report.is_ok(), "{report}");
/// let plan = admin.rebalance(Rebalance::new()).await?;
/// println!("{plan}"); // `plan.run(..)` would do it
/// assert!(plan.is_empty(), "each primary has its share");
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Its methods only ask, and make plans of what they are told: dropping their futures changes nothing. What a plan does when its
/// run is dropped, [`Plan::run`](crate::admin::Plan::run) says.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<Shared>,
    options: AdminOptions,
}

struct Shared {
    context: Arc<LinkContext>,
    known: Mutex<Known>,
    /// Of logins that are no client's.
    _renewal: Option<Renewal>,
}

/// The task that tells live connections of other credentials. Ends with its handle.
struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What was learned of the nodes.
#[derive(Debug, Default)]
struct Known {
    /// Where the cluster is looked for, in this order.
    seeds: Vec<NodeAddr>,
    /// By address and lane.
    peers: BTreeMap<(NodeAddr, usize), Arc<Peer>>,
    /// By what address nodes reach each other, by the one at which they are asked.
    announced: BTreeMap<NodeAddr, NodeAddr>,
}

/// Nobody who would look at the topology when a connection is lost.
#[derive(Debug)]
struct Unobserved;

impl LinkObserver for Unobserved {
    fn troubled(&self, _: &NodeAddr) {}
}

impl ClientBuilder {
    /// An [`Admin`] with these settings, for the cluster that the seeds belong to. Nothing is connected yet (the files of TLS
    /// are read); without a seed it can only [`create`](Admin::create). Feature `admin`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a setting that is not valid.
    ///
    /// # Cancel safety
    ///
    /// Nothing has happened.
    pub async fn admin(self) -> Result<Admin> {
        let (config, connectors) = self.settings().await?;
        let seeds = config.seeds.clone();
        let counters = Arc::<Counters>::default();
        let logins = Arc::new(Logins::new(config.credentials.clone(), Arc::clone(&counters)));
        // Before the first connection, so that no change is missed.
        let renewal = Renewal(tokio::spawn(keep_renewed(Arc::clone(&logins))).abort_handle());
        Ok(Admin::new(Arc::new(config), connectors.outermost, logins, counters, seeds, Some(renewal)))
    }
}

impl Client {
    /// An [`Admin`] for this client's cluster, with connections of its own. Feature `admin`.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let core = self.core();
        let known = self.slot_map();
        let seeds =
            known.nodes().iter().map(|node| node.addr.clone()).chain(core.config.seeds.iter().cloned());
        let context = core.link_context();
        let (connector, logins) = (Arc::clone(&context.connector), Arc::clone(&context.logins));
        // The client itself renews its logins.
        Admin::new(Arc::clone(&core.config), connector, logins, Arc::default(), seeds.collect(), None)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("seeds", &self.known().seeds)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Admin {
    fn new(
        config: Arc<Config>,
        connector: Arc<dyn Connector>,
        logins: Arc<Logins>,
        counters: Arc<Counters>,
        seeds: Vec<NodeAddr>,
        renewal: Option<Renewal>,
    ) -> Self {
        let observer = Arc::new(Unobserved);
        let context =
            Arc::new(LinkContext { config, connector, observer, counters, logins, dials: Dials::default() });
        let known = Known { seeds, ..Known::default() };
        let shared = Shared { context, known: Mutex::new(known), _renewal: renewal };
        Self { shared: Arc::new(shared), options: AdminOptions::default() }
    }

    /// The same with other options.
    #[must_use]
    pub fn with(mut self, options: AdminOptions) -> Self {
        self.options = options;
        self
    }

    pub(super) fn options(&self) -> &AdminOptions {
        &self.options
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each of its parts is whole at any time.
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node at this address; connected when it is asked something.
    pub(super) fn peer(&self, addr: &NodeAddr) -> Arc<Peer> {
        self.lane(addr, 0)
    }

    /// The same over one of several connections: on Valkey 8 a `SETSLOT` holds up what is behind it until the replicas
    /// have it.
    pub(super) fn lane(&self, addr: &NodeAddr, lane: usize) -> Arc<Peer> {
        let new = || Arc::new(Peer::new(addr.clone(), Arc::clone(&self.shared.context)));
        Arc::clone(self.known().peers.entry((addr.clone(), lane)).or_insert_with(new))
    }

    /// By what address the other nodes reach the one that is asked at `addr`.
    pub(super) fn announced(&self, addr: &NodeAddr) -> NodeAddr {
        self.known().announced.get(addr).unwrap_or(addr).clone()
    }

    /// From now on the cluster is that of these nodes.
    pub(super) fn found_by(&self, nodes: impl IntoIterator<Item = NodeAddr>) {
        self.known().seeds = nodes.into_iter().collect();
    }

    /// The cluster as each of its nodes tells it: all nodes that a seed names, those that these name, and so on. The first
    /// seed that answers is asked; one that knows no other node and serves no slot only if no other seed does better.
    ///
    /// # Errors
    ///
    /// That of the first seed if none answers. A node that is named by others and does not answer is in
    /// [`ClusterView::unreachable`].
    ///
    /// # Cancel safety
    ///
    /// It only asks.
    pub async fn view(&self) -> Result<ClusterView> {
        let mut error = None;
        let mut alone = None;
        let seeds = self.known().seeds.clone();
        for seed in &seeds {
            match self.node_view(seed).await {
                // One that has left, or has not joined yet, answers too, and is no cluster.
                Ok(first) if first.others.is_empty() && first.myself.slots.is_empty() => {
                    alone.get_or_insert(first);
                }
                Ok(first) => return Ok(self.spread_from(first).await),
                Err(failed) => error = error.or(Some(failed)),
            }
        }
        if let Some(first) = alone {
            return Ok(self.spread_from(first).await);
        }
        Err(error.unwrap_or_else(|| Error::config("no seed: name at least one node by seeds() or url()")))
    }

    async fn spread_from(&self, first: NodeView) -> ClusterView {
        let mut known: BTreeSet<NodeId> = BTreeSet::from([Arc::clone(first.id())]);
        let mut view = ClusterView { nodes: vec![first], unreachable: Vec::new() };
        let mut told = 0;
        loop {
            let mut news: BTreeMap<NodeId, NodeLine> = BTreeMap::new();
            for line in view.nodes.iter().skip(told).flat_map(|node| &node.others) {
                // A handshake has an id for the time being.
                if !known.contains(&line.id) && !line.has_flag("handshake") {
                    let entry = news.entry(Arc::clone(&line.id)).or_insert_with(|| line.clone());
                    if entry.addr.is_none() && line.addr.is_some() {
                        *entry = line.clone();
                    }
                }
            }
            if news.is_empty() {
                break;
            }
            told = view.nodes.len();
            let asked = join_all(news.values().map(|line| async {
                match &line.addr {
                    Some(addr) => self.node_view(addr).await.map_err(|error| error.to_string()),
                    None => Err("nobody knows its address".to_owned()),
                }
            }));
            for (line, answer) in news.values().zip(asked.await) {
                known.insert(Arc::clone(&line.id));
                let error = match answer {
                    Ok(node) if *node.id() == line.id => {
                        view.nodes.push(node);
                        continue;
                    }
                    Ok(other) => format!("another node has its address: {other}"),
                    Err(error) => error,
                };
                view.unreachable.push(Unreachable {
                    id: Some(Arc::clone(&line.id)),
                    addr: line.addr.clone(),
                    line: Some(line.clone()),
                    error,
                });
            }
        }
        let first_slot =
            |node: &NodeView| node.myself.slots.iter().next().map_or(u16::MAX, |slot| slot.get());
        view.nodes.sort_by_key(|node| (first_slot(node), node.addr.clone()));
        view
    }

    /// What one node says, whether it is in a cluster or not.
    ///
    /// # Errors
    ///
    /// Why it could not be asked, or that it is not in cluster mode.
    pub async fn node_view(&self, addr: &NodeAddr) -> Result<NodeView> {
        let peer = self.peer(addr);
        let nodes = peer.text(&Command::new("CLUSTER NODES")).await?;
        let not_told = || {
            Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, "the reply is not what a node says")
                .with_command("CLUSTER NODES".into())
                .with_node(addr.clone())
        };
        let mut lines = read_lines(&nodes).ok_or_else(not_told)?;
        let place = lines.iter().position(NodeLine::is_myself).ok_or_else(not_told)?;
        let myself = lines.remove(place);
        let asked = [
            Command::new("CLUSTER INFO"),
            Command::new("INFO").arg("replication"),
            Command::new("INFO").arg("server"),
            Command::new("DBSIZE"),
        ];
        let mut replies = peer.ask_all(&asked).await.into_iter().zip(&asked).map(|(reply, command)| {
            match reply? {
                // A node that loads its data tells who it is, and not how much it has yet.
                Value::Error(error) if error.code() == "LOADING" || error.code() == "MASTERDOWN" => {
                    Ok(Value::Nil)
                }
                Value::Error(error) => Err(peer.refused(command, &error)),
                value => Ok(value),
            }
        });
        let mut text = || -> Result<String> {
            let value = replies.next().transpose()?.unwrap_or(Value::Nil);
            Ok(value
                .as_str()
                .map(str::to_owned)
                .or_else(|| value.as_int().map(|count| count.to_string()))
                .unwrap_or_default())
        };
        let (cluster, replication, server, keys) = (text()?, text()?, text()?, text()?);
        if let Some(announced) = &myself.addr {
            self.known().announced.insert(addr.clone(), announced.clone());
        }
        let link = field(&replication, "master_link_status");
        Ok(NodeView {
            addr: addr.clone(),
            in_sync: myself.is_primary() || link.is_some_and(|status| status == "up"),
            myself,
            others: lines,
            state: field(&cluster, "cluster_state").unwrap_or("unknown").into(),
            current_epoch: field(&cluster, "cluster_current_epoch")
                .and_then(|it| it.parse().ok())
                .unwrap_or(0),
            keys: keys.parse().unwrap_or(0),
            server: server_of(&server),
        })
    }
}

/// `valkey 9.1.2` of `INFO server`.
fn server_of(info: &str) -> Box<str> {
    match field(info, "valkey_version") {
        Some(version) => format!("valkey {version}"),
        None => format!("redis {}", field(info, "redis_version").unwrap_or("?")),
    }
    .into()
}
