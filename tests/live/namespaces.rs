//! [`Network`]: network namespaces, each with an address of its own, on one bridge in a namespace of its own. Nothing of the
//! host's network is touched. Made by `ip` of iproute2, as root.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::failover_support::Done;

/// What to do where it does not work.
const NEEDED: &str = "network namespaces need root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and iproute2 (apt-get install iproute2); \
                      KEYSLOT_NAMESPACES=no leaves the tests out that need them";

/// Removed with all of its namespaces, and what runs in them loses its network, on drop.
pub(crate) struct Network {
    name: String,
    hosts: usize,
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in 0..self.hosts {
            let _gone = ip(&["netns", "delete", &self.host(place)]);
        }
        let _gone = ip(&["netns", "delete", &self.hub()]);
    }
}

impl Network {
    /// So many hosts, each by a pair of virtual interfaces.
    pub(crate) fn of(hosts: usize) -> Done<Self> {
        let network = Self { name: format!("keyslot{}", std::process::id()), hosts };
        network.make().map_err(|error| format!("{error}; {NEEDED}"))?;
        Ok(network)
    }

    fn make(&self) -> Done {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "set", "lo", "up"])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "address", "add", "10.0.0.254/24", "dev", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for place in 0..self.hosts {
            let (host, port) = (self.host(place), port(place));
            let address = format!("{}/24", Self::address(place));
            ip(&["netns", "add", &host])?;
            ip(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &host])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &host, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &host, "link", "set", "lo", "up"])?;
            ip(&["-n", &host, "link", "set", "eth0", "up"])?;
        }
        Ok(())
    }

    /// Where all hosts are reached from.
    pub(crate) fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    pub(crate) fn host(&self, place: usize) -> String {
        format!("{}-{place}", self.name)
    }

    pub(crate) fn address(place: usize) -> String {
        format!("10.0.0.{}", place + 1)
    }

    /// Nothing comes to this host or leaves it any more, and nobody is told; or all does again.
    pub(crate) fn cut_off(&self, place: usize, is_cut: bool) -> Done {
        let state = if is_cut { "down" } else { "up" };
        ip(&["-n", &self.hub(), "link", "set", &port(place), state]).map(drop)
    }
}

fn port(place: usize) -> String {
    format!("port{place}")
}

fn ip(args: &[&str]) -> Done<Output> {
    let said = |error: String| format!("ip {}: {error}", args.join(" "));
    let output = Command::new("ip").args(args).output().map_err(|error| said(error.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(said(String::from_utf8_lossy(&output.stderr).trim().to_owned()).into())
}

/// Runs a future on a thread whose sockets are those of a namespace.
pub(crate) fn inside<F: Future>(
    namespace: String,
    what: impl FnOnce() -> F + Send + 'static,
) -> JoinHandle<Result<F::Output, String>>
where
    F::Output: Send + 'static,
{
    std::thread::spawn(move || {
        let text = |error: &dyn std::fmt::Display| format!("{namespace}: {error}; {NEEDED}");
        let file = File::open(format!("/run/netns/{namespace}")).map_err(|error| text(&error))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| text(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(runtime.map_err(|error| text(&error))?.block_on(what()))
    })
}
