//! The only place that calls `tracing`. Names by the conventions of OpenTelemetry for
//! [databases](https://opentelemetry.io/docs/specs/semconv/db/database-spans/) and
//! [Redis](https://opentelemetry.io/docs/specs/semconv/db/redis/).
//!
//! Never an argument, a value, a key, or the text of an error: a server may repeat in it what it was sent.

use std::fmt::Display;
use std::time::Duration;

use tracing::field::Empty;
use tracing::{Level, debug, error, info, info_span, warn};

pub(super) use tracing::Span;

use crate::error::{Error, Redirect, RedirectKind};
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::stats::failure::{ConnectFailure, class_of, name_of, shown_code};
use crate::stats::refresh_cause::Causes;

/// Of everything that is told.
const TARGET: &str = "keyslot";

/// The name of the span of one command.
const COMMAND: &str = "command";

/// Whether spans have a chance to be wanted; without a subscriber a load and a comparison.
pub(super) fn wants_spans() -> bool {
    tracing::level_enabled!(Level::INFO)
}

pub(super) fn command(name: &str, slot: impl FnOnce() -> Option<Slot>) -> Span {
    if !wants_spans() {
        return Span::none();
    }
    info_span!(
        target: TARGET,
        COMMAND,
        "otel.name" = name,
        "otel.kind" = "client",
        "db.system.name" = "redis",
        "db.namespace" = "0",
        "db.operation.name" = name,
        "keyslot.slot" = slot().map(Slot::get),
        "server.address" = Empty,
        "server.port" = Empty,
        "otel.status_code" = Empty,
        "error.type" = Empty,
        "db.response.status_code" = Empty,
        "keyslot.outcome" = Empty,
        "keyslot.attempts" = Empty,
    )
}

/// Of commands that may go to several nodes, so without an address.
pub(super) fn batch(name: &str, size: usize) -> Span {
    info_span!(
        target: TARGET,
        "batch",
        "otel.name" = name,
        "otel.kind" = "client",
        "db.system.name" = "redis",
        "db.namespace" = "0",
        "db.operation.name" = name,
        // A batch of one is none.
        "db.operation.batch.size" = (size > 1).then_some(size),
        "otel.status_code" = Empty,
        "error.type" = Empty,
        "db.response.status_code" = Empty,
        "keyslot.outcome" = Empty,
        "keyslot.attempts" = Empty,
    )
}

pub(super) fn asked(span: &Span, node: &NodeAddr) {
    if !span.is_disabled() {
        span.record("server.address", node.host());
        span.record("server.port", node.port());
    }
}

/// The command whose span we are in is tried at `node`. Another span, the caller's own, is left as it is.
pub(super) fn attempted(node: &NodeAddr) {
    if wants_spans() {
        let span = Span::current();
        let is_ours =
            |metadata: &tracing::Metadata<'_>| metadata.target() == TARGET && metadata.name() == COMMAND;
        if span.metadata().is_some_and(is_ours) {
            asked(&span, node);
        }
    }
}

pub(super) fn failed(span: &Span, error: &Error) {
    if span.is_disabled() {
        return;
    }
    span.record("otel.status_code", "ERROR");
    span.record("error.type", class_of(error));
    if let Some(code) = error.code() {
        span.record("db.response.status_code", shown_code(code));
    }
    span.record("keyslot.outcome", name_of(error.outcome()));
    span.record("keyslot.attempts", error.attempts());
    if let Some(node) = error.node() {
        asked(span, node);
    }
}

pub(super) fn connected(node: &NodeAddr, took: Duration) {
    debug!(
        target: TARGET,
        {
            "server.address" = node.host(),
            "server.port" = node.port(),
            "keyslot.duration_ms" = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        },
        "connected"
    );
}

pub(super) fn reconnected(node: &NodeAddr) {
    info!(target: TARGET, { "server.address" = node.host(), "server.port" = node.port() }, "reconnected");
}

pub(super) fn connect_failed(node: &NodeAddr, failure: ConnectFailure<'_>) {
    if failure.is_about_credentials {
        error!(
            target: TARGET,
            {
                "server.address" = node.host(),
                "server.port" = node.port(),
                "error.type" = failure.class,
            },
            "credentials refused"
        );
    } else {
        warn!(
            target: TARGET,
            {
                "server.address" = node.host(),
                "server.port" = node.port(),
                "error.type" = failure.class,
            },
            "cannot connect"
        );
    }
}

/// A live connection goes on as the user that it was; `code` is the server's word.
pub(super) fn login_refused(node: &NodeAddr, code: &str) {
    error!(
        target: TARGET,
        {
            "server.address" = node.host(),
            "server.port" = node.port(),
            "error.type" = shown_code(code),
        },
        "new credentials refused"
    );
}

pub(super) fn disconnected(node: &NodeAddr, class: &'static str) {
    warn!(
        target: TARGET,
        {
            "server.address" = node.host(),
            "server.port" = node.port(),
            "error.type" = class,
        },
        "connection lost"
    );
}

pub(super) fn redirected(redirect: &Redirect) {
    debug!(
        target: TARGET,
        {
            "db.response.status_code" = code_of(redirect.kind),
            "keyslot.slot" = redirect.slot.get(),
            "server.address" = redirect.from.host(),
            "server.port" = redirect.from.port(),
            "keyslot.to" = %redirect.to,
        },
        "redirected"
    );
}

pub(super) fn retried(node: Option<&NodeAddr>, why: &str) {
    debug!(
        target: TARGET,
        {
            "server.address" = node.map(NodeAddr::host),
            "server.port" = node.map(NodeAddr::port),
            "error.type" = why,
        },
        "retry"
    );
}

pub(super) fn refreshed(causes: Causes) {
    debug!(target: TARGET, { "keyslot.cause" = %causes }, "topology refresh");
}

pub(super) fn disagreed() {
    warn!(target: TARGET, "nodes in the same epoch tell different slot maps");
}

pub(super) fn topology_changed<E: Display>(events: impl FnOnce() -> Vec<E>) {
    if tracing::enabled!(target: TARGET, Level::INFO) {
        for event in events() {
            info!(target: TARGET, { "keyslot.event" = %event }, "topology changed");
        }
    }
}

pub(super) fn code_of(kind: RedirectKind) -> &'static str {
    match kind {
        RedirectKind::Moved => "MOVED",
        RedirectKind::Ask => "ASK",
    }
}
