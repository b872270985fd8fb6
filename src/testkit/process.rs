//! [`Process`]: one server process with its folder, port and log; [`Home`]: what all of a cluster's have in common.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome};
use crate::node::NodeAddr;
use crate::protocol::value::Value;
use crate::testkit::form::{Access, LIMIT, LOOK, Peer};
use crate::testkit::ports::ReservedPort;
use crate::testkit::server::{Server, StartError};

/// Lines of a log that an error shows.
const TAIL: usize = 25;

/// How often a server is started on other ports when somebody outside of the kit was quicker to bind the first ones.
const TRIES: usize = 5;

const CONFIG: &str = "server.conf";
const LOG: &str = "server.log";

/// The folder of all servers of a cluster, and the watchdog that clears up if this process cannot.
///
/// Must be dropped after the processes.
#[derive(Debug)]
pub(super) struct Home {
    // Dropped in this order: the watchdog goes on if the test process is killed meanwhile.
    folder: TempDir,
    _watchdog: Watchdog,
}

impl Home {
    pub(super) fn new() -> Result<Self, StartError> {
        // Without links, because the watchdog compares it with what the system says.
        let temp =
            fs::canonicalize(std::env::temp_dir()).map_err(StartError::io("find the temporary folder"))?;
        let folder = tempfile::Builder::new()
            .prefix("keyslot-")
            .tempdir_in(&temp)
            .map_err(StartError::io(format!("make a folder in {}", temp.display())))?;
        let watchdog = Watchdog::of(folder.path()).map_err(StartError::io("start sh as a watchdog"))?;
        Ok(Self { folder, _watchdog: watchdog })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A shell that blocks on a pipe whose other end is held by this process alone. When the pipe ends, however that
/// came, it kills every process that works in the folder and removes the folder.
///
/// It looks for them by their working folder instead of keeping a list of process ids: an id may belong to somebody
/// else by then, and a server may have been started a moment before the end or have forked. None can come after the
/// end of the pipe: a child that was forked holds the pipe until its `exec`, and is in the folder by then.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
    folder: PathBuf,
}

/// Goes on until nothing is found, because a server may fork while the others are killed.
const WATCH: &str = r#"
read -r _
found=yes
while [ -n "$found" ]; do
    found=
    for cwd in /proc/[0-9]*/cwd; do
        case $(readlink "$cwd" 2>/dev/null) in
        "$1"/*)
            pid=${cwd#/proc/}
            kill -9 "${pid%/cwd}" 2>/dev/null && found=yes
            ;;
        esac
    done
done
rm -rf "$1"
"#;

impl Watchdog {
    fn of(folder: &Path) -> io::Result<Self> {
        Program::new("sh")
            .args(["-c", WATCH, "keyslot-watchdog"])
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A terminal's ^C and a test runner's kill go to the group of the test process, and must not end this.
            .process_group(0)
            .spawn()
            .map(|shell| Self { shell, folder: folder.to_owned() })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Its work is done, unless something was in the way; waiting ends its pipe. Errors mean that it has ended.
        if !self.folder.exists() {
            let _killed = self.shell.kill();
        }
        let _reaped = self.shell.wait();
    }
}

/// Where a server listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "testkit-tls"), expect(dead_code, reason = "the others are for TLS"))]
pub(super) enum Ports {
    Plain,
    Tls,
    /// Both, of which the cluster tells that for TLS to clients who come by TLS, and the plain one to others. The node is
    /// named by the first.
    TlsAndPlain,
    /// Both, of which the cluster tells the plain one to all (`tls-cluster no`). The node is named by that.
    PlainAndTls,
}

/// One server: running, stopped, or ended and perhaps started again.
#[derive(Debug)]
pub(super) struct Process {
    node: NodeAddr,
    server: Server,
    folder: PathBuf,
    child: Mutex<Child>,
    is_stopped: AtomicBool,
    _port: ReservedPort,
    #[cfg_attr(
        not(feature = "testkit-tls"),
        expect(dead_code, reason = "it is kept; who asks for it has TLS")
    )]
    other_port: Option<ReservedPort>,
}

impl Process {
    /// Starts `server` with these lines of configuration, in a new folder in `home`, and waits until it answers.
    pub(super) async fn start(
        home: &Home,
        server: &Server,
        ports: Ports,
        settings: &str,
        access: &Access,
    ) -> Result<Self, StartError> {
        let mut tries = 1;
        loop {
            let process = Self::spawn(home, server, ports, settings)?;
            match process.until_ready(access).await {
                Ok(()) => return Ok(process),
                Err(StartError::Ended { log, .. }) if tries < TRIES && log.contains("in use") => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends what runs, starts it again with the same folder and port, and waits until it answers.
    pub(super) async fn restart(&self, access: &Access) -> Result<(), StartError> {
        self.respawn()?;
        self.until_ready(access).await
    }

    fn spawn(home: &Home, server: &Server, ports: Ports, settings: &str) -> Result<Self, StartError> {
        let port = ReservedPort::any()?;
        let other_port = match ports {
            Ports::Plain | Ports::Tls => None,
            Ports::TlsAndPlain | Ports::PlainAndTls => Some(ReservedPort::any()?),
        };
        let (first, other) = (port.get(), other_port.as_ref().map_or(0, ReservedPort::get));
        let ports = match ports {
            Ports::Plain => format!("port {first}"),
            Ports::Tls | Ports::TlsAndPlain => format!("port {other}\ntls-port {first}\ntls-cluster yes"),
            Ports::PlainAndTls => format!("port {first}\ntls-port {other}\ntls-cluster no"),
        };
        let node = NodeAddr::new("127.0.0.1", port.get());
        let folder = home.path().join(port.get().to_string());
        let config = format!(
            "bind 127.0.0.1\n{ports}\ndaemonize no\nprotected-mode no\nsave \"\"\nappendonly no\n\
             repl-diskless-sync-delay 0\n{settings}"
        );
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(CONFIG), config))
            .map_err(StartError::io(format!("write the configuration of {node} in {}", folder.display())))?;
        let child = launch(server, &folder).map_err(StartError::io(format!("run {server}")))?;
        Ok(Self {
            node,
            server: server.clone(),
            folder,
            child: Mutex::new(child),
            is_stopped: AtomicBool::new(false),
            _port: port,
            other_port,
        })
    }

    fn respawn(&self) -> Result<(), StartError> {
        let mut child = self.lock();
        self.end(&mut child).map_err(StartError::io(format!("kill {}", self.node)))?;
        *child =
            launch(&self.server, &self.folder).map_err(StartError::io(format!("run {}", self.server)))?;
        Ok(())
    }

    /// Waits until it answers and has loaded its data.
    async fn until_ready(&self, access: &Access) -> Result<(), StartError> {
        let (node, version) = (self.node.clone(), self.server.version().clone());
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.exit_status().map_err(StartError::io(format!("look after {node}")))?;
            if let Some(status) = status {
                return Err(StartError::Ended { node, version, status, log: self.log_tail() });
            }
            match self.greet(access).await {
                Ok(()) => return Ok(()),
                Err(said) if Instant::now() >= deadline => {
                    let log = self.log_tail();
                    return Err(StartError::NotReady { node, version, limit: LIMIT, said, log });
                }
                Err(_not_yet) => sleep(LOOK).await,
            }
        }
    }

    /// What is missing until it can be used.
    async fn greet(&self, access: &Access) -> Result<(), String> {
        let text = |error: Error| error.to_string();
        let peer = Peer::connect(&self.node, access).await.map_err(text)?;
        let id = peer.process_id().await.map_err(text)?;
        // Somebody else may have bound the port a moment earlier; then ours is about to end.
        if id != Some(self.lock().id()) {
            return Err(format!("another process listens there: {id:?}"));
        }
        match peer.ask(&Command::new("PING")).await.map_err(text)? {
            Value::Error(error) if error.code() == "LOADING" => Err(error.text().to_owned()),
            _any_answer => Ok(()),
        }
    }

    pub(super) fn node(&self) -> &NodeAddr {
        &self.node
    }

    /// Where it listens too.
    #[cfg(feature = "testkit-tls")]
    pub(super) fn other_node(&self) -> Option<NodeAddr> {
        self.other_port.as_ref().map(|port| NodeAddr::new(self.node.host(), port.get()))
    }

    /// How it ended, `None` while it lives.
    fn exit_status(&self) -> io::Result<Option<ExitStatus>> {
        self.lock().try_wait()
    }

    /// Whether it can answer: it lives and is not stopped.
    pub(super) fn is_running(&self) -> bool {
        !self.is_stopped.load(Ordering::Relaxed) && matches!(self.exit_status(), Ok(None))
    }

    /// SIGKILL; returns when it is gone.
    pub(super) fn kill(&self) -> Result<(), Error> {
        let mut child = self.lock();
        self.end(&mut child).map_err(|error| self.failed("cannot be killed", error))
    }

    /// SIGSTOP; returns when it does no more.
    pub(super) fn stop(&self) -> Result<(), Error> {
        let mut child = self.lock();
        let pid = self.living(&mut child)?;
        kill_process(pid, Signal::STOP)
            // The signal is on its way only; a test must not see an answer that was given before it arrived.
            .and_then(|()| {
                waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                )
            })
            .map_err(|error| self.failed("cannot be stopped", error.into()))?;
        self.is_stopped.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn cont(&self) -> Result<(), Error> {
        let mut child = self.lock();
        let pid = self.living(&mut child)?;
        kill_process(pid, Signal::CONT).map_err(|error| self.failed("cannot be continued", error.into()))?;
        self.is_stopped.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The last lines of its log, the server's own words.
    pub(super) fn log_tail(&self) -> String {
        let path = self.folder.join(LOG);
        match fs::read(&path) {
            Ok(log) => {
                let text = String::from_utf8_lossy(&log);
                let lines: Vec<&str> = text.lines().collect();
                lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
            }
            Err(error) => format!("{} cannot be read: {error}", path.display()),
        }
    }

    /// Its id, which is nobody else's as long as it was not waited for.
    fn living(&self, child: &mut Child) -> Result<Pid, Error> {
        match child.try_wait() {
            Ok(None) => Ok(Pid::from_child(child)),
            Ok(Some(status)) => Err(self.failed("is not running", io::Error::other(status.to_string()))),
            Err(error) => Err(self.failed("is not running", error)),
        }
    }

    fn end(&self, child: &mut Child) -> io::Result<()> {
        if child.try_wait()?.is_none() {
            // The whole group, because a server that saves or syncs has a forked child.
            kill_process_group(Pid::from_child(child), Signal::KILL)?;
            child.wait()?;
        }
        self.is_stopped.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn failed(&self, what: &'static str, error: io::Error) -> Error {
        Error::new(ErrorKind::Usage, Outcome::Rejected, what).with_node(self.node.clone()).with_source(error)
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        // A `Child` is whole at any time.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.lock();
        // It fails only if the process has ended.
        let _ended = self.end(&mut child);
    }
}

/// What the server writes to its standard output is its log; there it also says why it does not take its
/// configuration.
fn launch(server: &Server, folder: &Path) -> io::Result<Child> {
    let log: File = OpenOptions::new().create(true).append(true).open(folder.join(LOG))?;
    Program::new(server.path())
        .arg(CONFIG)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}
