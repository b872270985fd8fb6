//! [`Fault`]: what is done to the cluster while a client is used, and the [`Row`] that comes of it.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use keyslot::testkit::Server;
use keyslot::{Command, Slot};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command as Program;
use tokio::time::{sleep, timeout};

use crate::access::Access;
use crate::child::{Book, Report, TAG};
use crate::proxy::Line;
use crate::stage::{Done, NODE_TIMEOUT, Roles, SHARDS, Stage};

/// How long a client is used in each run.
const TIME: Duration = Duration::from_secs(12);

/// The fault comes so much after the begin.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing happens: what the others are compared with.
    Nothing,
    /// All connections are cut fifteen times, with replies on their way.
    Cut,
    /// A primary is killed, replaced by its replica, and started again.
    Kill,
    /// A primary is stopped, replaced, and goes on.
    Stop,
    /// Both nodes of a shard hang for five seconds, so that nobody takes over.
    Hang,
    /// `CLUSTER FAILOVER`.
    Failover,
    /// A slot is half migrated for three seconds.
    HalfMoved,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] =
        [Self::Nothing, Self::Cut, Self::Kill, Self::Stop, Self::Hang, Self::Failover, Self::HalfMoved];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Cut => "cut",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Failover => "failover",
            Self::HalfMoved => "half-moved",
        }
    }

    pub(crate) fn named(name: &str) -> Done<Self> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("{name}: no such fault").into())
    }

    pub(crate) async fn run(self, client: &str, server: &str) -> Done<Row> {
        let stage = Stage::start(Server::named(server)?, Access::OPEN, false, false).await?;
        let seconds = TIME.as_secs_f64().to_string();
        let mut child = Program::new(std::env::current_exe()?)
            .args([client, "--seeds", &stage.seeds().join(","), "--seconds", &seconds])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut line = async || -> Done<String> {
            let line = timeout(4 * TIME, lines.next_line()).await.map_err(|_| "it hangs")??;
            Ok(line.ok_or("it ended without a report")?)
        };
        // Some clients print what they like before.
        while line().await? != "ready" {}
        let slot = Slot::of_key(TAG.as_bytes());
        let owner = stage.owner(slot, 0).await?;
        let roles = stage.until_whole(owner % SHARDS).await?;
        sleep(QUIET).await;
        self.strike(&stage, roles, slot).await?;
        let report = loop {
            if let Ok(report) = serde_json::from_str::<Report>(&line().await?) {
                break report;
            }
        };
        child.wait().await?;
        stage.cluster.wait_until_ok().await?;
        self.row(client, &stage, roles, &report).await
    }

    async fn strike(self, stage: &Stage, roles: Roles, slot: Slot) -> Done {
        let Roles { primary, replica } = roles;
        let addr = |node| stage.addr(node);
        let until_promoted = async || {
            for _ in 0..500 {
                if stage.is_primary(replica).await {
                    break;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        match self {
            Self::Nothing => {}
            Self::Cut => {
                for _ in 0..15 {
                    (0..stage.count()).for_each(|node| stage.change(node, |line| line.holds_replies = true));
                    sleep(Duration::from_millis(20)).await;
                    (0..stage.count()).for_each(|node| {
                        stage.change(node, |line| {
                            line.cut();
                            line.heal();
                        });
                    });
                    sleep(Duration::from_millis(300)).await;
                }
            }
            Self::Kill => {
                stage.cluster.kill(addr(primary))?;
                until_promoted().await;
                sleep(NODE_TIMEOUT).await;
                stage.cluster.restart(addr(primary)).await?;
            }
            Self::Stop => {
                stage.cluster.stop(addr(primary))?;
                until_promoted().await;
                sleep(NODE_TIMEOUT).await;
                stage.cluster.cont(addr(primary))?;
            }
            Self::Hang => {
                stage.cluster.stop(addr(replica))?;
                stage.cluster.stop(addr(primary))?;
                sleep(Duration::from_secs(5)).await;
                stage.cluster.cont(addr(primary))?;
                stage.cluster.cont(addr(replica))?;
            }
            Self::Failover => {
                stage.ask::<()>(replica, Command::new("CLUSTER FAILOVER")).await?;
                until_promoted().await;
            }
            Self::HalfMoved => {
                let target = stage.until_whole((primary + 1) % SHARDS).await?.primary;
                let (from, to) = (addr(primary), addr(target));
                stage.cluster.open_slot(slot, from, to).await?;
                stage.cluster.migrate_keys(slot, from, to, 8).await?;
                sleep(Duration::from_secs(3)).await;
                stage.cluster.migrate_keys(slot, from, to, usize::MAX).await?;
                stage.cluster.close_slot(slot, from, to).await?;
            }
        }
        // Nothing of a fault must stay.
        (0..stage.count()).for_each(|node| stage.change(node, Line::heal));
        Ok(())
    }

    async fn row(self, client: &str, stage: &Stage, struck: Roles, report: &Report) -> Done<Row> {
        let mut row = Row { client: client.to_owned(), fault: self.name().to_owned(), ..Row::default() };
        for (key, book) in &report.counters {
            let slot = Slot::of_key(key.as_bytes());
            let owner = stage.owner(slot, 0).await?;
            let value: Option<u64> = stage.ask(owner, Command::new("GET").key(key)).await?;
            let value = value.unwrap_or(0);
            row.doubled += value.saturating_sub(book.done + book.failed - book.surely_not);
            row.lost += book.done.saturating_sub(value);
            row.add(book, owner % SHARDS == struck.primary % SHARDS);
        }
        for (key, book) in &report.registers {
            let owner = stage.owner(Slot::of_key(key.as_bytes()), 0).await?;
            row.add(book, self.name() == "half-moved" || owner % SHARDS == struck.primary % SHARDS);
        }
        row.before_mib = report.before_kib as f64 / 1024.0;
        row.peak_mib = report.peak_kib as f64 / 1024.0;
        row.told.clone_from(&report.errors);
        Ok(row)
    }
}

/// One run of one client.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Row {
    fault: String,
    client: String,
    done: u64,
    doubled: u64,
    swapped: u64,
    errors: u64,
    surely_not: u64,
    lost: u64,
    gap_struck_ms: u64,
    gap_others_ms: u64,
    before_mib: f64,
    peak_mib: f64,
    told: Vec<String>,
}

impl Row {
    pub(crate) const HEAD: &str = "\
| fault | client | calls done | doubled | swapped | errors (surely not executed) | lost | gap ms, struck | others | \
         MiB before | peak |\n|---|---|---|---|---|---|---|---|---|---|---|";

    pub(crate) fn is_of_the_kind_of(&self, other: &Self) -> bool {
        (&self.fault, &self.client) == (&other.fault, &other.client)
    }

    pub(crate) fn add_run(&mut self, run: &Self) {
        self.done += run.done;
        self.doubled += run.doubled;
        self.swapped += run.swapped;
        self.errors += run.errors;
        self.surely_not += run.surely_not;
        self.lost += run.lost;
        self.gap_struck_ms = self.gap_struck_ms.max(run.gap_struck_ms);
        self.gap_others_ms = self.gap_others_ms.max(run.gap_others_ms);
        self.before_mib = self.before_mib.max(run.before_mib);
        self.peak_mib = self.peak_mib.max(run.peak_mib);
    }

    fn add(&mut self, book: &Book, is_struck: bool) {
        self.done += book.done;
        self.swapped += book.swapped;
        self.errors += book.failed;
        self.surely_not += book.surely_not;
        let gap = if is_struck { &mut self.gap_struck_ms } else { &mut self.gap_others_ms };
        *gap = book.gap_ms.max(*gap);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, client, done, doubled, swapped, errors, surely_not, lost, .. } = self;
        write!(
            f,
            "| {fault} | {client} | {done} | {doubled} | {swapped} | {errors} ({surely_not}) | {lost} | {} | {} | {:.1} | {:.1} |",
            self.gap_struck_ms, self.gap_others_ms, self.before_mib, self.peak_mib
        )
    }
}
