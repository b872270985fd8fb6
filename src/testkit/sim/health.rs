//! Whether a node finds the cluster fit to serve: `cluster_state`.

use crate::testkit::sim::node::Node;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::settings::Settings;
use crate::testkit::sim::view::View;

/// Whether the node answers `CLUSTERDOWN`, if it believes `view`: a slot is not covered, a majority of primaries is not
/// heard of, or it has come back only just now.
pub(super) fn is_down(node: &Node, view: &View, settings: &Settings) -> bool {
    let summary = view.summary();
    node.is_joining
        || (settings.requires_full_coverage && !summary.is_covered)
        || summary.size == 0
        || !summary.has_quorum
}

pub(super) fn down() -> Refused {
    Refused::new("CLUSTERDOWN The cluster is down")
}

pub(super) fn unserved() -> Refused {
    Refused::new("CLUSTERDOWN Hash slot not served")
}
