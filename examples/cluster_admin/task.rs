//! What is done for each command, and what becomes of errors.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use clap::Parser;
use keyslot::admin::{AddAs, Admin, AdminOptions, Failover, Fix, Plan, Rebalance};
use keyslot::{Client, ErrorKind, NodeAddr};
use serde_json::{Value, json};

use crate::node_name::NodeName;
use crate::options::{Consent, Options, Task};
use crate::plan_run::carry_out;
use crate::restart::restart;
use crate::screen::Screen;
use crate::slots_page::show_slots;

/// All went well.
pub(crate) const WELL: u8 = 0;
/// The cluster has problems, something failed, or it was not wanted.
pub(crate) const ILL: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    kind: String,
    text: String,
    /// What to do about it.
    hint: Option<&'static str>,
    /// Whoever read the output has seen enough, as `head`: the status is all that is left to say.
    is_silent: bool,
    /// What had happened until then, for a reader of JSON.
    pub(crate) so_far: Option<Value>,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            kind: "Usage".to_owned(),
            text: text.into(),
            hint: None,
            is_silent: false,
            so_far: None,
        }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self {
            code: ILL,
            kind: "Failed".to_owned(),
            text: text.into(),
            hint: None,
            is_silent: false,
            so_far: None,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_silent, ..Self::failed(format!("the output cannot be written: {error}")) }
    }
}

impl From<keyslot::Error> for Failure {
    fn from(error: keyslot::Error) -> Self {
        let hint = match error.kind() {
            ErrorKind::Connect => Some("is a node running there, and does --url (or REDIS_URL) name it?"),
            ErrorKind::Auth => Some(
                "say user and password in the URL, redis://user:password@host:port; the user must be allowed the commands \
                 of an operator on every node",
            ),
            ErrorKind::Timeout | ErrorKind::ConnectionLost | ErrorKind::Unavailable | ErrorKind::Server => {
                Some(
                    "`check` shows how the cluster is now; `fix`, or the same command again, goes on from there",
                )
            }
            // These say in their texts what to do.
            _other => None,
        };
        let code = if error.kind() == ErrorKind::Config { USAGE } else { ILL };
        Self {
            code,
            kind: format!("{:?}", error.kind()),
            text: error.to_string(),
            hint,
            is_silent: false,
            so_far: None,
        }
    }
}

/// Does what the command line says, and returns the exit status.
pub(crate) async fn run(arguments: impl IntoIterator<Item = OsString>, screen: &mut Screen) -> u8 {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Help goes to standard output, with 0.
            let page = error.render();
            let to = if error.use_stderr() { &mut screen.err } else { &mut screen.out };
            let _nobody_reads = write!(to, "{page}");
            return if error.use_stderr() { USAGE } else { WELL };
        }
    };
    match perform(&options, screen).await {
        Ok(code) => code,
        Err(failure) if failure.is_silent => failure.code,
        Err(failure) => {
            // If even that cannot be written, the status says it.
            let _nobody_reads = report(screen, options.json, &failure);
            failure.code
        }
    }
}

fn report(screen: &mut Screen, as_json: bool, failure: &Failure) -> io::Result<()> {
    if as_json {
        let mut document = failure.so_far.clone().unwrap_or_else(|| json!({}));
        if let Value::Object(fields) = &mut document {
            let error = json!({"kind": failure.kind, "text": failure.text, "hint": failure.hint});
            fields.insert("error".to_owned(), error);
        }
        writeln!(screen.out, "{document}")?;
    }
    writeln!(screen.err, "error: {}", failure.text)?;
    if let Some(hint) = failure.hint {
        writeln!(screen.err, "hint: {hint}")?;
    }
    Ok(())
}

async fn connect(options: &Options) -> Result<Admin, Failure> {
    let mut builder = Client::builder();
    match (&options.url, &options.task) {
        (Some(url), _) => builder = builder.url(url),
        // It names its nodes.
        (None, Task::Create { .. }) => {}
        (None, _) => {
            return Err(Failure::usage(
                "which cluster? Say --url redis://host:port with any of its nodes, or set REDIS_URL",
            ));
        }
    }
    if !options.maps.is_empty() {
        let maps = options.maps.clone();
        builder = builder.address_map(move |node: &NodeAddr| {
            maps.iter()
                .find(|(inside, _)| inside == node)
                .map_or_else(|| node.clone(), |(_, out)| out.clone())
        });
    }
    Ok(builder.admin().await?)
}

async fn perform(options: &Options, screen: &mut Screen) -> Result<u8, Failure> {
    let admin = connect(options).await?;
    let json = options.json;
    match &options.task {
        Task::Create { nodes, replicas, consent } => {
            let plan = admin.create(nodes, *replicas).await?;
            carry_out(screen, json, consent, &plan).await
        }
        Task::Check => check(screen, json, &admin).await,
        Task::Fix { take_from_unreachable, consent, moving } => {
            let admin = admin.with(moving.options());
            let plan = admin.fix(Fix::new().take_from_unreachable(*take_from_unreachable)).await?;
            let code = carry_out(screen, json, consent, &plan).await?;
            // What could not be mended is in the notes.
            Ok(if plan.notes().is_empty() { code } else { ILL })
        }
        Task::Reshard { slots, ranges, to, from, consent, moving } => {
            let admin = admin.with(moving.options());
            let view = admin.view().await?;
            let to = to.find(&view)?;
            let from: Vec<NodeAddr> = from.iter().map(|node| node.find(&view)).collect::<Result<_, _>>()?;
            let plan = match (slots, ranges) {
                (_, Some(ranges)) => admin.move_slots(ranges, &to).await?,
                (count, None) => admin.reshard(&from, &to, count.unwrap_or(0)).await?,
            };
            carry_out(screen, json, consent, &plan).await
        }
        Task::Rebalance { weight, threshold, use_empty, consent, moving } => {
            let admin = admin.with(moving.options());
            let view = admin.view().await?;
            let mut how = Rebalance::new().threshold(*threshold).use_empty(*use_empty);
            for (node, weight) in weight {
                how = how.weight(node.find(&view)?, *weight);
            }
            carry_out(screen, json, consent, &admin.rebalance(how).await?).await
        }
        Task::AddNode { node, replica_of, replica, rebalance, consent, moving } => {
            let admin = admin.with(moving.options());
            let how = match (replica_of, replica, rebalance) {
                (Some(primary), _, _) => AddAs::ReplicaOf(primary.find(&admin.view().await?)?),
                (None, true, _) => AddAs::Replica,
                (None, false, true) => AddAs::PrimaryWithSlots,
                (None, false, false) => AddAs::Primary,
            };
            carry_out(screen, json, consent, &admin.add_node(node, how).await?).await
        }
        Task::DelNode { node, consent, moving } => {
            let admin = admin.with(moving.options());
            let plan = removal(&admin, node).await?;
            carry_out(screen, json, consent, &plan).await
        }
        Task::Replicate { replica, primary, consent } => {
            let view = admin.view().await?;
            let plan = admin.replicate(&replica.find(&view)?, &primary.find(&view)?).await?;
            carry_out(screen, json, consent, &plan).await
        }
        Task::Failover { replica, force, takeover, consent } => {
            let manner = match (force, takeover) {
                (_, true) => Failover::Takeover,
                (true, false) => Failover::Force,
                (false, false) => Failover::Graceful,
            };
            fail_over(screen, json, &admin, replica, manner, consent).await
        }
        Task::Roll { command, timeout, command_timeout, alone, consent } => {
            let options =
                AdminOptions::new().restart_timeout(Duration::from_secs(*timeout)).restart_alone(*alone);
            let (command, limit) = (command.clone(), Duration::from_secs(*command_timeout));
            let plan = admin.with(options).roll(move |node| restart(command.clone(), node, limit)).await?;
            carry_out(screen, json, consent, &plan).await
        }
        Task::Info => info(screen, json, &admin).await,
        Task::Slots { svg, heat, sample } => {
            show_slots(screen, json, &admin, svg.as_deref(), *heat, *sample).await
        }
    }
}

async fn check(screen: &mut Screen, as_json: bool, admin: &Admin) -> Result<u8, Failure> {
    let report = admin.check().await?;
    if as_json {
        writeln!(screen.out, "{}", report.to_json())?;
    } else {
        write!(screen.out, "{report}")?;
        if !report.is_ok() {
            writeln!(screen.out, "`fix --dry-run` shows what would be done about it")?;
        }
    }
    Ok(if report.is_ok() { WELL } else { ILL })
}

async fn info(screen: &mut Screen, as_json: bool, admin: &Admin) -> Result<u8, Failure> {
    let view = admin.view().await?;
    if as_json {
        writeln!(screen.out, "{}", view.to_json())?;
        return Ok(WELL);
    }
    write!(screen.out, "{view}")?;
    let (primaries, replicas) = (view.primaries().count(), view.nodes.len() - view.primaries().count());
    let slots: usize = view.primaries().map(|node| node.myself.slots_served()).sum();
    let keys: u64 = view.primaries().map(|node| node.keys).sum();
    writeln!(
        screen.out,
        "{primaries} primaries with {slots} slots and {keys} keys, {replicas} replicas, {} nodes that do not answer",
        view.unreachable.len()
    )?;
    Ok(WELL)
}

/// By its id a node can be forgotten whose address nobody knows.
async fn removal(admin: &Admin, node: &NodeName) -> Result<Plan, Failure> {
    let view = admin.view().await?;
    let nameless = match node {
        NodeName::Id(id) => {
            view.unreachable.iter().find(|lost| lost.addr.is_none() && lost.id.as_deref() == Some(id))
        }
        NodeName::Addr(_) => None,
    };
    match nameless.and_then(|lost| lost.id.as_deref()) {
        Some(id) => Ok(admin.forget(id).await?),
        None => Ok(admin.del_node(&node.find(&view)?).await?),
    }
}

async fn fail_over(
    screen: &mut Screen,
    as_json: bool,
    admin: &Admin,
    replica: &NodeName,
    manner: Failover,
    consent: &Consent,
) -> Result<u8, Failure> {
    let replica = replica.find(&admin.view().await?)?;
    let plan = admin.failover(&replica, manner).await?;
    carry_out(screen, as_json, consent, &plan).await
}
