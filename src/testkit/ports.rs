//! [`ReservedPort`]: a port that no other test process takes meanwhile.

use std::env;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::testkit::server::StartError;

/// Client ports, below those that systems give to outgoing connections (32768 and up). The nodes' own ports are
/// [`BUS`] higher, which is below those too, and not in this range.
const FIRST: u16 = 12_000;
const COUNT: u16 = 10_000;

/// The cluster bus listens on the client port plus this.
const BUS: u16 = 10_000;

/// A free client port with its bus port, held by the lock of a file.
///
/// Binding a port for a moment and passing its number on is not enough: tests run in parallel processes, and two
/// would pick the same one.
#[derive(Debug)]
pub(super) struct ReservedPort {
    port: u16,
    path: PathBuf,
    /// The lock ends with the file.
    _lock: File,
}

impl ReservedPort {
    /// Any port that is free and that nobody has reserved.
    pub(super) fn any() -> Result<Self, StartError> {
        let user = rustix::process::getuid().as_raw();
        // One folder for each user, because files of another one could not be locked.
        let folder = env::temp_dir().join(format!("keyslot-ports-{user}"));
        fs::create_dir_all(&folder).map_err(StartError::io(format!("make {}", folder.display())))?;
        // Processes that begin at the same port would try the same ones for ever.
        let begin = fastrand::u16(0..COUNT);
        for offset in 0..COUNT {
            let port = FIRST + (begin + offset) % COUNT;
            let reserved = Self::reserve(&folder, port)
                .map_err(StartError::io(format!("reserve port {port} in {}", folder.display())))?;
            if let Some(reserved) = reserved.filter(Self::is_free) {
                return Ok(reserved);
            }
        }
        let last = FIRST + (COUNT - 1);
        Err(StartError::Shape(format!("all ports from {FIRST} to {last} of 127.0.0.1 are taken")))
    }

    pub(super) fn get(&self) -> u16 {
        self.port
    }

    /// `None` if somebody else has it.
    fn reserve(folder: &Path, port: u16) -> io::Result<Option<Self>> {
        let path = folder.join(port.to_string());
        loop {
            let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Its last owner may have removed the file between `open` and `try_lock`. The lock of a file without a
            // name excludes nobody.
            if is_at(&lock, &path)? {
                return Ok(Some(Self { port, path, _lock: lock }));
            }
        }
    }

    /// Whether both ports can be bound, so nobody outside of the kit uses them.
    fn is_free(&self) -> bool {
        [self.port, self.port + BUS]
            .into_iter()
            .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}

impl Drop for ReservedPort {
    fn drop(&mut self) {
        // While it is still locked, so that it is this file. One that stays is empty, and used again.
        let _removed = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::{BUS, ReservedPort};

    #[test]
    fn a_port_is_reserved_once_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let first = ReservedPort::reserve(folder.path(), 12_345).unwrap().unwrap();
        assert!(ReservedPort::reserve(folder.path(), 12_345).unwrap().is_none());
        assert!(ReservedPort::reserve(folder.path(), 12_346).unwrap().is_some());
        drop(first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(ReservedPort::reserve(folder.path(), 12_345).unwrap().is_some());
    }

    #[test]
    fn many_that_reserve_at_once_never_get_the_same_port() {
        let folder = tempfile::tempdir().unwrap();
        let held = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Some(port) = ReservedPort::reserve(folder.path(), 12_345).unwrap() else {
                            continue;
                        };
                        assert_eq!(held.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(port);
                    }
                });
            }
        });
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let port = ReservedPort::any().unwrap();
        assert!(port.is_free());
        let bus = TcpListener::bind((Ipv4Addr::LOCALHOST, port.get() + BUS)).unwrap();
        assert!(!port.is_free());
        drop(bus);
    }
}
