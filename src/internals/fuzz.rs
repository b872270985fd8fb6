//! The parsers of what comes from outside, for `fuzz/` and `tests/fuzz_corpus.rs`: bytes in, facts out, no socket.

use std::collections::BTreeMap;

use bytes::BytesMut;
use litemap::LiteMap;

use crate::config::url;
use crate::error::{Error, ErrorKind, Outcome, Redirect};
use crate::node::NodeAddr;
use crate::protocol::codec::Decoder;
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;
use crate::routing::redirect::{self, Verdict};
use crate::slot::Slot;
use crate::topology::discovery::{self, TopologyReplies};
use crate::topology::node_columns::{NodeColumns, SlotColumns};
use crate::topology::slot_map::SlotMap;

/// What came of bytes.
#[derive(Debug)]
pub struct Decoded {
    /// Each reply with the place in the bytes behind it.
    pub replies: Vec<(Value, usize)>,
    /// Why it went no further, unless more bytes are all that is missing.
    pub error: Option<String>,
}

/// Decodes `bytes` that arrive in pieces of these sizes, over and over; without any they arrive at once.
#[must_use]
pub fn decode_in(bytes: &[u8], sizes: impl IntoIterator<Item = usize>, max_reply: usize) -> Decoded {
    let sizes: Vec<usize> = sizes.into_iter().map(|size| size.max(1)).collect();
    let mut sizes = sizes.iter().copied().cycle();
    let mut decoder = Decoder::new(max_reply);
    let mut buffer = BytesMut::new();
    let mut replies = Vec::new();
    let mut rest = bytes;
    loop {
        let size = sizes.next().unwrap_or(rest.len()).min(rest.len());
        let (piece, later) = rest.split_at(size);
        buffer.extend_from_slice(piece);
        rest = later;
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(value)) => replies.push((value, bytes.len() - rest.len() - buffer.len())),
                Ok(None) => break,
                Err(error) => return Decoded { replies, error: Some(error.to_string()) },
            }
        }
        if rest.is_empty() {
            return Decoded { replies, error: None };
        }
    }
}

/// What is to be done about an error reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The caller gets it.
    Deliver,
    /// The same command may be accepted later.
    Wait,
    /// Another node is to be asked.
    Redirect(Redirect),
}

/// Judges the error reply `text` of the node at `asked`.
#[must_use]
pub fn judge(text: &str, asked: &NodeAddr) -> Judgement {
    match redirect::judge(&ServerError::new(text), asked) {
        Verdict::Deliver => Judgement::Deliver,
        Verdict::Wait { .. } => Judgement::Wait,
        Verdict::Redirect { kind, slot, to } => {
            Judgement::Redirect(Redirect { kind, slot, from: asked.clone(), to })
        }
    }
}

/// The class of the error reply `text`, and what became of a script that was answered with it.
#[must_use]
pub fn classify(text: &str) -> (ErrorKind, Outcome) {
    let error = ServerError::new(text);
    (redirect::kind_of(&error), redirect::outcome_of(&error, true))
}

/// Reads the replies of the node at `asked` to `CLUSTER SLOTS`, `CLUSTER SHARDS` and `CLUSTER INFO`; it does not
/// tell more.
///
/// # Errors
///
/// The text of what is wrong with them.
pub fn read_topology([slots, shards, info]: [Value; 3], asked: &NodeAddr) -> Result<SlotMap, String> {
    let replies = TopologyReplies { slots, shards, info, nodes: Value::Nil, over_tls: false };
    discovery::read(&replies, asked).map_err(|error| error.to_string())
}

/// Whether two maps say the same of every node and slot.
#[must_use]
pub fn agree(one: &SlotMap, other: &SlotMap) -> bool {
    one.agrees_with(other)
}

/// The map after a `MOVED` of `slot` to `addr`.
#[must_use]
pub fn repointed(map: &SlotMap, slot: Slot, addr: &NodeAddr) -> SlotMap {
    let mut map = map.clone();
    map.repoint(slot, addr);
    map
}

/// One line of `CLUSTER NODES`, in its columns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeLineRead {
    /// The node's id.
    pub id: String,
    /// Where it is, as it is written.
    pub address: String,
    /// The words of the third column.
    pub flags: Vec<String>,
    /// Whom it replicates.
    pub primary: Option<String>,
    /// Its configuration epoch.
    pub epoch: u64,
    /// The teller's link to it, as it is written.
    pub link: String,
    /// `None` if one of the words behind the columns is no slot.
    pub slots: Option<SlotsRead>,
}

/// The slots of such a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotsRead {
    /// Those that it serves.
    pub owned: Vec<Slot>,
    /// Those on their way from it, and to whom.
    pub migrating: BTreeMap<Slot, String>,
    /// Those on their way to it, and from whom.
    pub importing: BTreeMap<Slot, String>,
}

/// The lines of a reply to `CLUSTER NODES` that are any.
#[must_use]
pub fn read_node_lines(text: &str) -> Vec<NodeLineRead> {
    let marks = |marks: LiteMap<Slot, std::sync::Arc<str>>| {
        marks.into_iter().map(|(slot, node)| (slot, node.to_string())).collect()
    };
    let slots = |SlotColumns { owned, migrating, importing }: SlotColumns| SlotsRead {
        owned: owned.iter().collect(),
        migrating: marks(migrating),
        importing: marks(importing),
    };
    let line = |line: NodeColumns<'_>| NodeLineRead {
        id: line.id.to_owned(),
        address: line.address.to_owned(),
        flags: line.flags().map(str::to_owned).collect(),
        primary: line.primary.map(str::to_owned),
        epoch: line.epoch,
        link: line.link.to_owned(),
        slots: line.slots().map(slots),
    };
    NodeColumns::all(text).map(line).collect()
}

/// The seeds of a URL, and its settings as they are shown in logs.
///
/// # Errors
///
/// What a client that is made of it would fail with.
pub fn read_url(text: &str) -> Result<(Vec<NodeAddr>, String), Error> {
    let config = url::parse(text)?;
    let shown = format!("{config:?}");
    Ok((config.seeds, shown))
}
