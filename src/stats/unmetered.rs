//! Without the feature `metrics`: what `stats/meter.rs` records, nobody reads.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Error, Redirect};
use crate::node::NodeAddr;
use crate::stats::failure::ConnectFailure;
use crate::stats::refresh_cause::Causes;

/// Whether durations are recorded.
pub(super) const IS_ON: bool = false;

/// No time.
#[derive(Debug)]
pub(super) struct Begun;

impl Begun {
    #[inline]
    pub(super) const fn none() -> Self {
        Self
    }

    #[inline]
    pub(super) fn now() -> Self {
        Self
    }
}

/// Shows nothing.
#[derive(Debug, Default)]
pub(super) struct ConnectionGauge;

impl ConnectionGauge {
    pub(super) fn new(_: &NodeAddr) -> Self {
        Self
    }
}

pub(super) const fn describe() {}

#[inline]
pub(super) fn operation(_: impl FnOnce() -> Cow<'static, str>, _: &mut Begun, _: Option<&Error>) {}

pub(super) fn connected(_: &NodeAddr, _: Duration) {}

pub(super) fn connect_failed(_: &NodeAddr, _: ConnectFailure<'_>) {}

pub(super) fn disconnected(_: &NodeAddr, _: &'static str) {}

pub(super) fn redirected(_: &Redirect) {}

pub(super) fn retried(_: Option<&NodeAddr>, _: &str) {}

pub(super) fn failed(_: &Error) {}

pub(super) fn refreshed(_: Causes) {}

pub(super) fn disagreed() {}

pub(super) fn map_changed() {}
