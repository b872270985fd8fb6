//! What replicas and disks acknowledge.

use std::time::Duration;

use crate::error::{Error, Result};

/// What [`Session::wait_aof`](crate::Session::wait_aof) says of append-only files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OnDisk {
    /// The node that executed the writes has them in its own file.
    pub local: bool,
    /// So many replicas have them in theirs.
    pub replicas: u64,
}

/// The reply to `WAITAOF`.
pub(crate) fn on_disk((local, replicas): (u64, u64)) -> OnDisk {
    OnDisk { local: local > 0, replicas }
}

/// The argument of `WAIT` and `WAITAOF`; 0 would be for ever.
pub(crate) fn millis(timeout: Duration) -> Result<u64> {
    match u64::try_from(timeout.as_micros().div_ceil(1000)) {
        Ok(0) => Err(Error::usage("a timeout of 0 means for ever to the server: say how long to wait")),
        Ok(millis) if millis <= i64::MAX.unsigned_abs() => Ok(millis),
        Ok(_) | Err(_) => Err(Error::usage("the timeout is too long for the server")),
    }
}
