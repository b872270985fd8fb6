//! The only place that calls `metrics`. The names are in [`crate::observability`]; those of OpenTelemetry where it has one:
//! [database metrics](https://opentelemetry.io/docs/specs/semconv/db/database-metrics/).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use metrics::{
    Gauge, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tokio::time::Instant;

use crate::error::{Error, Redirect, RedirectKind};
use crate::node::NodeAddr;
use crate::stats::failure::{ConnectFailure, class_of, name_of, shown_code};
use crate::stats::refresh_cause::{Causes, RefreshCause};

const DURATION: &str = "db.client.operation.duration";
const CONNECTIONS: &str = "db.client.connection.count";
const CREATE_TIME: &str = "db.client.connection.create_time";
const CONNECT_FAILURES: &str = "keyslot.connect.failures";
const DISCONNECTS: &str = "keyslot.disconnects";
const REDIRECTS: &str = "keyslot.redirects";
const RETRIES: &str = "keyslot.retries";
const ERRORS: &str = "keyslot.errors";
const REFRESHES: &str = "keyslot.refreshes";
const DISAGREEMENTS: &str = "keyslot.disagreements";
const MAP_CHANGES: &str = "keyslot.slot_map.changes";

/// Tells the recorder what each figure is, for those that show it.
pub(super) fn describe() {
    describe_histogram!(DURATION, Unit::Seconds, "From the first poll of an operation to its result");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections that are open");
    describe_histogram!(CREATE_TIME, Unit::Seconds, "The time of a connect with its handshake");
    describe_counter!(CONNECT_FAILURES, Unit::Count, "Connections that could not be made");
    describe_counter!(DISCONNECTS, Unit::Count, "Connections that ended while they were wanted");
    describe_counter!(REDIRECTS, Unit::Count, "MOVED and ASK replies that were followed");
    describe_counter!(RETRIES, Unit::Count, "Attempts beyond the first that were not redirects");
    describe_counter!(ERRORS, Unit::Count, "Requests that ended in an error");
    describe_counter!(REFRESHES, Unit::Count, "Times that the cluster was asked for its topology");
    describe_counter!(DISAGREEMENTS, Unit::Count, "Refreshes in which nodes told different slot maps");
    describe_counter!(MAP_CHANGES, Unit::Count, "Slot maps that were installed");
}

fn pool_name(node: &NodeAddr) -> Label {
    Label::new("db.client.connection.pool.name", node.to_string())
}

fn error_type(class: &str) -> Label {
    Label::new("error.type", class.to_owned())
}

fn at(node: &NodeAddr) -> [Label; 2] {
    [Label::new("server.address", node.host().to_owned()), Label::new("server.port", node.port().to_string())]
}

/// Whether durations are recorded.
pub(super) const IS_ON: bool = true;

/// When an operation began, until it has ended.
#[derive(Debug)]
pub(super) struct Begun(Option<Instant>);

impl Begun {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn now() -> Self {
        Self(Some(Instant::now()))
    }
}

/// Shows a connection as open for as long as it lives. The default shows nothing.
#[derive(Default)]
pub(super) struct ConnectionGauge(Option<Gauge>);

impl ConnectionGauge {
    pub(super) fn new(node: &NodeAddr) -> Self {
        let gauge =
            gauge!(CONNECTIONS, vec![pool_name(node), Label::new("db.client.connection.state", "used")]);
        gauge.increment(1.0);
        Self(Some(gauge))
    }
}

impl fmt::Debug for ConnectionGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionGauge").finish_non_exhaustive()
    }
}

impl Drop for ConnectionGauge {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.decrement(1.0);
        }
    }
}

pub(super) fn operation(name: impl FnOnce() -> Cow<'static, str>, begun: &mut Begun, error: Option<&Error>) {
    let Some(begun) = begun.0.take() else { return };
    let took = begun.elapsed();
    let mut labels = vec![Label::new("db.system.name", "redis"), Label::new("db.operation.name", name())];
    if let Some(error) = error {
        labels.push(error_type(class_of(error)));
        labels.extend(
            error.code().map(|code| Label::new("db.response.status_code", shown_code(code).to_owned())),
        );
    }
    histogram!(DURATION, labels).record(took.as_secs_f64());
}

pub(super) fn connected(node: &NodeAddr, took: Duration) {
    histogram!(CREATE_TIME, vec![pool_name(node)]).record(took.as_secs_f64());
}

pub(super) fn connect_failed(node: &NodeAddr, failure: ConnectFailure<'_>) {
    counter!(CONNECT_FAILURES, vec![pool_name(node), error_type(failure.class)]).increment(1);
}

pub(super) fn disconnected(node: &NodeAddr, class: &'static str) {
    counter!(DISCONNECTS, vec![pool_name(node), error_type(class)]).increment(1);
}

pub(super) fn redirected(redirect: &Redirect) {
    let code = match redirect.kind {
        RedirectKind::Moved => "MOVED",
        RedirectKind::Ask => "ASK",
    };
    let mut labels = vec![Label::new("db.response.status_code", code)];
    labels.extend(at(&redirect.from));
    counter!(REDIRECTS, labels).increment(1);
}

pub(super) fn retried(node: Option<&NodeAddr>, why: &str) {
    let mut labels = vec![error_type(why)];
    labels.extend(node.map(at).into_iter().flatten());
    counter!(RETRIES, labels).increment(1);
}

pub(super) fn failed(error: &Error) {
    let mut labels =
        vec![Label::new("keyslot.outcome", name_of(error.outcome())), error_type(class_of(error))];
    labels.extend(error.node().map(at).into_iter().flatten());
    counter!(ERRORS, labels).increment(1);
}

pub(super) fn refreshed(causes: Causes) {
    for cause in RefreshCause::ALL.into_iter().filter(|cause| causes.has(*cause)) {
        counter!(REFRESHES, "keyslot.cause" => cause.name()).increment(1);
    }
}

pub(super) fn disagreed() {
    counter!(DISAGREEMENTS).increment(1);
}

pub(super) fn map_changed() {
    counter!(MAP_CHANGES).increment(1);
}
