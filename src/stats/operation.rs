//! [`Operation`]: one command, pipeline or transaction as its caller sees it: its span and its duration.
//!
//! Without the features `tracing` and `metrics` it is nothing: no bytes, and no instructions.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;

use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::slot::Slot;
use crate::stats::{meter, trace};

/// See the module's documentation. One that is dropped before its end was given up by its caller: its span closes, and
/// its duration is not told.
#[derive(Debug)]
pub(crate) struct Operation {
    span: trace::Span,
    begun: meter::Begun,
}

/// What several commands are together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Batch {
    Pipeline,
    Transaction,
}

impl Batch {
    /// `PIPELINE GET` if all are `GET`, else `PIPELINE`: the words of the conventions.
    fn name<'n>(self, mut names: impl Iterator<Item = &'n str>) -> Cow<'static, str> {
        let word = match self {
            Self::Pipeline => "PIPELINE",
            Self::Transaction => "MULTI",
        };
        if !trace::wants_spans() && !meter::IS_ON {
            return word.into();
        }
        match names.next() {
            Some(first) if names.all(|name| name == first) => format!("{word} {first}").into(),
            Some(_) | None => word.into(),
        }
    }
}

impl Operation {
    /// One that has not begun.
    #[inline]
    pub(crate) const fn none() -> Self {
        Self { span: trace::Span::none(), begun: meter::Begun::none() }
    }

    /// One command begins.
    #[inline]
    pub(crate) fn command(name: &str, slot: impl FnOnce() -> Option<Slot>) -> Self {
        Self { span: trace::command(name, slot), begun: meter::Begun::now() }
    }

    /// It was sent to this node.
    #[inline]
    pub(crate) fn asked(&self, node: &NodeAddr) {
        trace::asked(&self.span, node);
    }

    /// Does a part of its work within its span.
    #[inline]
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.span.in_scope(work)
    }

    /// It has its result.
    #[inline]
    pub(crate) fn end(&mut self, name: impl FnOnce() -> Cow<'static, str>, error: Option<&Error>) {
        if let Some(error) = error {
            trace::failed(&self.span, error);
        }
        self.span = trace::Span::none();
        meter::operation(name, &mut self.begun, error);
    }
}

/// The command whose operation we are in is tried at `node`.
#[inline]
pub(crate) fn attempted(node: &NodeAddr) {
    trace::attempted(node);
}

/// Tells the recorder what the figures are.
pub(crate) fn describe() {
    meter::describe();
}

/// Runs the work of one command as an operation; `error` finds the error in its result.
pub(crate) async fn observe_command<T>(
    name: Cow<'static, str>,
    slot: Option<Slot>,
    work: impl Future<Output = T>,
    error: impl FnOnce(&T) -> Option<Error>,
) -> T {
    let operation = Operation::command(&name, || slot);
    observe(operation, name, work, error).await
}

/// Runs the work of several commands as an operation.
pub(crate) async fn observe_batch<'n, T>(
    batch: Batch,
    names: impl ExactSizeIterator<Item = &'n str>,
    work: impl Future<Output = T>,
    error: impl FnOnce(&T) -> Option<Error>,
) -> T {
    let size = names.len();
    let name = batch.name(names);
    let operation = Operation { span: trace::batch(&name, size), begun: meter::Begun::now() };
    observe(operation, name, work, error).await
}

async fn observe<T>(
    mut operation: Operation,
    name: Cow<'static, str>,
    work: impl Future<Output = T>,
    error: impl FnOnce(&T) -> Option<Error>,
) -> T {
    let mut work = pin!(work);
    let result = poll_fn(|cx| operation.within(|| work.as_mut().poll(cx))).await;
    if trace::wants_spans() || meter::IS_ON {
        operation.end(|| name, error(&result).as_ref());
    }
    result
}

/// The error of a result.
pub(crate) fn error_of<T>(result: &Result<T>) -> Option<Error> {
    result.as_ref().err().cloned()
}

/// The first error of several results.
#[expect(clippy::ptr_arg, reason = "it is called with a reference to what a future gives")]
pub(crate) fn first_error<T>(results: &Vec<Result<T>>) -> Option<Error> {
    results.iter().find_map(error_of)
}

#[cfg(test)]
mod tests {
    use super::{Batch, Operation};

    #[test]
    fn without_features_an_operation_is_nothing() {
        if cfg!(not(any(feature = "tracing", feature = "metrics"))) {
            assert_eq!(size_of::<Operation>(), 0);
            assert_eq!(Batch::Transaction.name(["GET"].into_iter()), "MULTI");
        }
    }
}
