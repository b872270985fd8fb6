//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use keyslot::NodeAddr;
use keyslot::admin::{AdminOptions, Slots};

use crate::node_name::NodeName;

const EXIT_STATUS: &str = "\
Exit status:
  0  all went well; of `check`, the cluster has no error (there may be warnings)
  1  the cluster has problems, the operation failed or was stopped, or you said no
  2  the command line is wrong, or nobody can be asked and --yes was not said

A NODE is host:port, or its id or the beginning of that where the node is in the
cluster already. Ctrl-C lets what is under way come to its end and stops; a second
one stops at once, and `fix` goes on from there.";

/// Builds, checks, mends and reshapes a Redis or Valkey cluster.
///
/// Each change is a plan first: it is shown, asked for (or made at once by --yes), and made with its progress told. Killed at any
/// point, the same command or `fix` goes on from what the nodes say.
#[derive(Parser, Debug)]
#[command(name = "cluster_admin", after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Options {
    /// The cluster, as redis://[user:password@]host[:port][,host[:port]...]; rediss:// for TLS, in a build with the feature
    /// `tls`. `create` takes the credentials of it.
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// Dials OUTSIDE for the node that the cluster calls INSIDE, both as host:port: for published ports of containers, NAT.
    /// May be said for each node. The hosts of the URL are dialled as they are.
    #[arg(long = "map", global = true, value_name = "INSIDE=OUTSIDE", value_parser = pair)]
    pub(crate) maps: Vec<(NodeAddr, NodeAddr)>,

    /// One JSON document on standard output instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) task: Task,
}

fn pair(text: &str) -> Result<(NodeAddr, NodeAddr), String> {
    let (inside, outside) = text.split_once('=').ok_or("expected INSIDE=OUTSIDE, two times host:port")?;
    let addr = |text: &str| text.parse().map_err(|error: keyslot::ParseNodeAddrError| error.to_string());
    Ok((addr(inside)?, addr(outside)?))
}

fn weight(text: &str) -> Result<(NodeName, u32), String> {
    let (node, weight) = text.rsplit_once('=').ok_or("expected NODE=WEIGHT")?;
    let weight = weight.parse().map_err(|_| format!("\"{weight}\" is no whole number"))?;
    let Ok(node) = node.parse();
    Ok((node, weight))
}

#[derive(Subcommand, Debug)]
pub(crate) enum Task {
    /// Makes a cluster of empty nodes.
    Create {
        /// The nodes, as host:port, by the addresses at which they reach each other.
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<NodeAddr>,
        /// How many replicas each primary gets.
        #[arg(long, default_value_t = 0)]
        replicas: usize,
        #[command(flatten)]
        consent: Consent,
    },
    /// Says what is wrong with the cluster.
    Check,
    /// Mends what is wrong: open slots, slots without an owner or with several, keys where nobody looks for them.
    Fix {
        /// Gives slots of a node that does not answer to others, EMPTY: its keys are lost, also when it comes back.
        #[arg(long)]
        take_from_unreachable: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        moving: Moving,
    },
    /// Moves slots with their keys to a primary.
    #[command(group = ArgGroup::new("which").required(true))]
    Reshard {
        /// How many slots to take, from each source in proportion to what it has. Said again, so many more.
        #[arg(long, group = "which", value_name = "COUNT")]
        slots: Option<usize>,
        /// These slots, whoever has them, as 0-99,8000. Said again, what is left of them.
        #[arg(long, group = "which", value_name = "SLOTS", conflicts_with = "from")]
        ranges: Option<Slots>,
        /// The primary that gets them.
        #[arg(long, value_name = "NODE")]
        to: NodeName,
        /// A primary that gives some; may be said several times. Default: all others.
        #[arg(long, value_name = "NODE")]
        from: Vec<NodeName>,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        moving: Moving,
    },
    /// Shares the slots anew, with as few moves as that takes.
    Rebalance {
        /// The weight of one primary, default 1 each; 0 empties it. May be said for each.
        #[arg(long, value_name = "NODE=WEIGHT", value_parser = weight)]
        weight: Vec<(NodeName, u32)>,
        /// Nothing is done while no primary is further from its share than this, in per cent of the share.
        #[arg(long, default_value_t = 2)]
        threshold: u32,
        /// Primaries without slots get some.
        #[arg(long)]
        use_empty: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        moving: Moving,
    },
    /// An empty node joins, as a primary without slots, as one with its share of them, or as a replica.
    AddNode {
        /// The node, as host:port.
        node: NodeAddr,
        /// As a replica of this primary.
        #[arg(long, value_name = "NODE")]
        replica_of: Option<NodeName>,
        /// As a replica of the primary that has the fewest.
        #[arg(long, conflicts_with = "replica_of")]
        replica: bool,
        /// As a primary, and the slots are shared anew among all that have some and this one, evenly.
        #[arg(long, conflicts_with_all = ["replica_of", "replica"])]
        rebalance: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        moving: Moving,
    },
    /// A node leaves: a primary gives its slots to the others first. One that is gone is forgotten.
    DelNode {
        /// The node.
        node: NodeName,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        moving: Moving,
    },
    /// A replica, or a primary without slots and keys, follows another primary.
    Replicate {
        /// Who.
        replica: NodeName,
        /// Whom it follows.
        primary: NodeName,
        #[command(flatten)]
        consent: Consent,
    },
    /// A replica takes the place of its primary, hand in hand with it: no write is lost.
    Failover {
        /// The replica.
        replica: NodeName,
        /// Without the primary, by the votes of a majority: for a primary that has failed. Its last writes may be lost.
        #[arg(long)]
        force: bool,
        /// Without asking anyone: for a cluster that has lost its majority.
        #[arg(long, conflicts_with = "force")]
        takeover: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Restarts all nodes, one after the other, callers being served: replicas first, and each primary lets a replica take its
    /// place before its turn.
    Roll {
        /// What restarts one node, behind a --; {host}, {port} and {id} in it are the node's. It is started from here, without a
        /// shell, and may end when the node was told to, or later. One that fails ends the whole.
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<String>,
        /// How long each node may take to be back with its data, in seconds, from the end of the command on.
        #[arg(long, default_value_t = 300, value_name = "SECONDS")]
        timeout: u64,
        /// How long the command may take for each node, in seconds. One that takes longer is killed (not what it has started), and
        /// no other node is begun.
        #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        command_timeout: u64,
        /// Restarts primaries without a replica, too: nobody serves their slots meanwhile, and they come back with what they
        /// have saved.
        #[arg(long)]
        alone: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Shows the nodes as they tell of themselves.
    Info,
    /// Shows who serves which slots, as a table or as a picture.
    Slots {
        /// Writes the picture to this file; - is standard output.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// What each slot holds: as heat in the picture, and in --json.
        #[arg(long, value_enum)]
        heat: Option<HeatOf>,
        /// How many keys of a slot are asked for their size (--heat bytes); the others are taken for as large.
        #[arg(long, default_value_t = 10, value_name = "KEYS")]
        sample: usize,
    },
}

/// What the colour of a slot tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum HeatOf {
    /// Its number of keys.
    Keys,
    /// The memory that its keys take, estimated.
    Bytes,
}

/// Whether the plan is made true.
#[derive(Args, Debug)]
pub(crate) struct Consent {
    /// Shows the plan and does nothing.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Makes it true without asking.
    #[arg(short = 'y', long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

/// How slots move.
#[derive(Args, Debug)]
#[command(next_help_heading = "Moving slots")]
pub(crate) struct Moving {
    /// Slots that are on their way side by side.
    #[arg(long, value_name = "COUNT")]
    slots_at_a_time: Option<usize>,
    /// The largest batch of keys that the source sends at once, serving nobody meanwhile.
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    batch_keys: usize,
    /// The same in bytes; a larger key goes alone.
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    batch_bytes: u64,
    /// A throttle: how long each slot rests between two batches.
    #[arg(long, default_value_t = 0, value_name = "MILLISECONDS")]
    pause: u64,
    /// Key by key (MIGRATE), also where the servers can move slots in one moment (Valkey 9).
    #[arg(long)]
    key_by_key: bool,
}

impl Moving {
    pub(crate) fn options(&self) -> AdminOptions {
        let options = AdminOptions::new()
            .batch(self.batch_keys, self.batch_bytes)
            .pause(Duration::from_millis(self.pause))
            .atomic(!self.key_by_key);
        match self.slots_at_a_time {
            Some(slots) => options.slots_at_a_time(slots),
            None => options,
        }
    }
}
