//! Without the feature `tracing`: what `stats/trace.rs` tells, nobody hears.

use std::fmt::Display;
use std::time::Duration;

use crate::error::{Error, Redirect};
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::stats::failure::ConnectFailure;
use crate::stats::refresh_cause::Causes;

/// No span.
#[derive(Debug)]
pub(super) struct Span;

impl Span {
    #[inline]
    pub(super) const fn none() -> Self {
        Self
    }

    #[inline]
    pub(super) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

pub(super) const fn wants_spans() -> bool {
    false
}

#[inline]
pub(super) fn command(_: &str, _: impl FnOnce() -> Option<Slot>) -> Span {
    Span
}

#[inline]
pub(super) fn batch(_: &str, _: usize) -> Span {
    Span
}

#[inline]
pub(super) fn asked(_: &Span, _: &NodeAddr) {}

#[inline]
pub(super) fn attempted(_: &NodeAddr) {}

#[inline]
pub(super) fn failed(_: &Span, _: &Error) {}

pub(super) fn connected(_: &NodeAddr, _: Duration) {}

pub(super) fn reconnected(_: &NodeAddr) {}

pub(super) fn connect_failed(_: &NodeAddr, _: ConnectFailure<'_>) {}

pub(super) fn login_refused(_: &NodeAddr, _: &str) {}

pub(super) fn disconnected(_: &NodeAddr, _: &'static str) {}

pub(super) fn redirected(_: &Redirect) {}

pub(super) fn retried(_: Option<&NodeAddr>, _: &str) {}

pub(super) fn refreshed(_: Causes) {}

pub(super) fn disagreed() {}

pub(super) fn topology_changed<E: Display>(_: impl FnOnce() -> Vec<E>) {}
