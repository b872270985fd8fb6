//! A web server with one client for all its handlers: errors as statuses, a health page, and an end in good order.
//!
//! ```text
//! cargo run --example axum_app
//! cargo run --example axum_app -- --url redis://127.0.0.1:7000 --listen 127.0.0.1:8080
//! cargo run --example axum_app -- --try
//! ```
//!
//! Without `--url` or `REDIS_URL` it starts a cluster of its own, as `bulk_load` does. It serves until Ctrl-C or SIGTERM; with
//! `--try` it sends itself requests, kills a primary (of its own cluster only) meanwhile, shows the answers and ends.
//!
//! - **The client is shared, not pooled**: it is in the state, which axum clones for each request, and a clone of a client costs
//!   a counter. What all requests send at a time leaves in few writes.
//! - **Statuses tell the caller what he may do**, by [`Error::outcome`](keyslot::Error::outcome): 503 with `Retry-After` if nothing
//!   was executed or it does no harm to repeat it, 504 without if the write may have been executed, 409 if what is there does not
//!   fit. See [`status_of`].
//! - **Handlers may be dropped** (the caller hung up). A command that was not written then is not sent; a later one is executed,
//!   and nobody learns of it. So a handler's writes are each right by itself: one command, a transaction or a script.
//! - **The end**: one `CancellationToken` stops the listener, the long polls and the tasks in the background; when the last request
//!   is answered the client is closed, which waits for what is under way.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use keyslot::options::{SetOptions, Side};
use keyslot::{Client, Commands, ErrorKind, Outcome, Slot};
use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[path = "shared/cluster.rs"]
mod cluster;
#[path = "shared/url_option.rs"]
mod url_option;

use cluster::Cluster;

const HELP: &str = "\
Serves a few pages from a cluster until Ctrl-C or SIGTERM.

  --url URL      the cluster, as redis://[user:password@]host[:port][,host[:port]...];
                 REDIS_URL in the environment says the same;
                 without either, one of 3 primaries and 3 replicas is started and removed
  --listen ADDR  where to listen (127.0.0.1:3000, with --try any free port)
  --try          send it requests, kill a primary, show the answers, and end
  -h, --help     this text
";

/// A caller does not wait as long as a client does by default.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a request in hand may still take when the server ends.
const GRACE: Duration = Duration::from_secs(10);

/// What each handler gets a clone of.
#[derive(Clone)]
struct App {
    client: Client,
    /// Cancelled when the server is to end.
    stop: CancellationToken,
}

fn pages(app: App) -> Router {
    Router::new()
        .route("/users/{name}", get(user).put(new_user))
        .route("/users/{name}/visits", post(visit))
        .route("/jobs", post(new_job))
        .route("/jobs/next", post(next_job))
        .route("/health", get(health))
        .with_state(app)
}

async fn user(State(app): State<App>, Path(name): Path<String>) -> Result<Response, Failure> {
    let about: Option<String> =
        app.client.get(key_of(&name)).timeout(PATIENCE).await.map_err(Failure::of_read)?;
    Ok(about.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response))
}

/// Who is there already is not overwritten: 409 then.
async fn new_user(
    State(app): State<App>,
    Path(name): Path<String>,
    about: String,
) -> Result<StatusCode, Failure> {
    let is_new: bool =
        app.client.set_options(key_of(&name), about, SetOptions::new().nx()).timeout(PATIENCE).await?;
    Ok(if is_new { StatusCode::CREATED } else { StatusCode::CONFLICT })
}

async fn visit(State(app): State<App>, Path(name): Path<String>) -> Result<String, Failure> {
    let visits = app.client.incr(format!("{}:visits", key_of(&name))).timeout(PATIENCE).await?;
    Ok(format!("{visits}\n"))
}

async fn new_job(State(app): State<App>, job: String) -> Result<StatusCode, Failure> {
    app.client.rpush(JOBS, job).timeout(PATIENCE).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Waits for a job, but not into the end of the server.
///
/// By `BLMOVE`, because this future may be dropped at the very moment when the job comes: by `BLPOP` the job would be
/// gone, so it is in the list of those that were taken, where whoever looks after lost jobs finds it.
async fn next_job(State(app): State<App>) -> Result<Response, Failure> {
    let job = app.client.blmove::<Option<String>>(JOBS, TAKEN, Side::Left, Side::Right, 5.0);
    match app.stop.run_until_cancelled(job).await {
        Some(job) => {
            Ok(job?.map_or_else(|| StatusCode::NO_CONTENT.into_response(), IntoResponse::into_response))
        }
        None => Ok((StatusCode::SERVICE_UNAVAILABLE, RETRY, "the server ends\n").into_response()),
    }
}

/// Whether this server is of use, for what sends it requests. Asks nobody: the figures are there.
///
/// One node that is down is no reason to say no: all servers would say it at once, and the other keys are served.
async fn health(State(app): State<App>) -> Response {
    let (map, stats) = (app.client.slot_map(), app.client.stats());
    let nodes = || map.shards().map(|shard| &shard.primary().addr);
    let of = |node| stats.nodes.get(node);
    let connected = nodes().filter(|node| of(node).is_some_and(|node| node.connections > 0)).count();
    let is_well = connected > 0 && !app.stop.is_cancelled();
    let mut page = format!(
        "{}: {connected} of {} primaries connected, {} of {} slots served\n",
        if is_well { "up" } else { "down" },
        nodes().count(),
        map.assigned_slots(),
        Slot::COUNT,
    );
    for node in nodes() {
        let Some(figures) = of(node) else { continue };
        let slow = figures.round_trips.percentile(99.0).unwrap_or_default();
        page += &format!(
            "{node}: {} connections, {} in flight, p99 {slow:.1?}, {} lost connections, errors {:?}\n",
            figures.connections, figures.in_flight, figures.disconnects, figures.errors
        );
    }
    (if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, page).into_response()
}

/// An error on its way to the caller.
struct Failure {
    error: keyslot::Error,
    /// Whether it does no harm to ask once more, whatever has happened.
    may_repeat: bool,
}

impl Failure {
    fn of_read(error: keyslot::Error) -> Self {
        Self { error, may_repeat: true }
    }
}

/// As of a write; a read says so.
impl From<keyslot::Error> for Failure {
    fn from(error: keyslot::Error) -> Self {
        Self { error, may_repeat: false }
    }
}

const RETRY: [(header::HeaderName, &str); 1] = [(header::RETRY_AFTER, "1")];

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // The text names nodes: it is for the log, not for the caller.
        eprintln!("error: {}", self.error);
        let status = status_of(&self.error, self.may_repeat);
        let text = format!("{:?}, {:?}\n", self.error.kind(), self.error.outcome());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => (status, RETRY, text).into_response(),
            _ => (status, text).into_response(),
        }
    }
}

/// What a caller can do decides, so the outcome comes first.
fn status_of(error: &keyslot::Error, may_repeat: bool) -> StatusCode {
    match (error.outcome(), error.kind()) {
        // Executed, and the reply is not what this program expects: a mistake of the program.
        (_, ErrorKind::Conversion) => StatusCode::INTERNAL_SERVER_ERROR,
        // Not executed, for a reason that passes: overload, a failover, a node that is down.
        (Outcome::NotSent, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Outcome::MaybeExecuted, _) if may_repeat => StatusCode::SERVICE_UNAVAILABLE,
        // Whoever repeats it blindly may do it twice.
        (Outcome::MaybeExecuted, _) => StatusCode::GATEWAY_TIMEOUT,
        (Outcome::Rejected, ErrorKind::Server) => match error.code() {
            // What is there is of another kind than what the caller wants to do with it.
            Some("WRONGTYPE") => StatusCode::CONFLICT,
            // Out of memory, or too few replicas: may be over soon.
            Some("OOM" | "NOREPLICAS") => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        // No permission, keys of several slots, a command in the wrong place: mistakes of the program or its settings.
        (Outcome::Rejected, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The tag is the user, so that all that belongs to one is in one slot.
fn key_of(name: &str) -> String {
    format!("keyslot:example:user:{{{name}}}")
}

const JOBS: &str = "keyslot:example:{jobs}:waiting";
/// In the slot of the waiting ones, by the tag.
const TAKEN: &str = "keyslot:example:{jobs}:taken";

struct Options {
    url: Option<String>,
    listen: Option<SocketAddr>,
    is_trial: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    url_option::run_with(HELP, parse, run).await
}

async fn run(Options { url, listen, is_trial }: Options) -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::at_url_or_new(url).await?;
    let client = cluster.connect().await?;
    let port = if is_trial { 0 } else { 3000 };
    let listener = TcpListener::bind(listen.unwrap_or(([127, 0, 0, 1], port).into())).await?;
    let address = listener.local_addr()?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(tell_of_changes(client.clone(), stop.clone()));
    let server = serve(listener, App { client: client.clone(), stop: stop.clone() });
    let tried = if is_trial {
        let trial = async {
            let tried = trial(&cluster, &client, address, &stop).await;
            stop.cancel();
            tried
        };
        let (served, tried) = tokio::join!(server, trial);
        served.and(tried)
    } else {
        println!(
            "Try  curl -X PUT -d 'a user' http://{address}/users/ann  and  curl http://{address}/health"
        );
        println!("Serving until Ctrl-C ...");
        let signal = async {
            let ended = end_is_wanted().await;
            println!("Ending: no new requests, those in hand have {GRACE:?} ...");
            stop.cancel();
            ended
        };
        // The server ends by itself only with an error, and then no signal is waited for.
        tokio::select! {
            served = server => served,
            ended = signal => ended,
        }
    };
    // In this order: who uses the client first, the client last.
    stop.cancel();
    tasks.close();
    timeout(GRACE, tasks.wait()).await?;
    let begin = Instant::now();
    client.close_within(GRACE).await;
    println!("Ended: the client took {:.1?} to close.", begin.elapsed());
    tried
}

/// Answers requests until the token says stop, and then those in hand.
async fn serve(listener: TcpListener, app: App) -> Result<(), Box<dyn Error>> {
    let stop = app.stop.clone();
    let server = axum::serve(listener, pages(app)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let out_of_patience = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = out_of_patience => Err("requests were cut off when their time was over".into()),
    }
}

/// A task in the background as most servers have some: it ends with the token, between two events.
async fn tell_of_changes(client: Client, stop: CancellationToken) {
    let mut events = client.topology_events();
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        println!("The cluster has changed: {event}");
    }
}

/// Ctrl-C, or SIGTERM as service managers and Kubernetes send it.
async fn end_is_wanted() -> Result<(), Box<dyn Error>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

/// Requests of all kinds, and through a failover.
async fn trial(
    cluster: &Cluster,
    client: &Client,
    address: SocketAddr,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let visits = format!("{}:visits", key_of("ann"));
    let keys = [key_of("ann"), key_of("bo"), visits.clone(), JOBS.to_owned(), TAKEN.to_owned()];
    if client.exists(&keys).await? > 0 {
        return Err("keys of the name keyslot:example:* exist already, and this would change them".into());
    }
    // Something of another type, where a user should be.
    client.sadd(key_of("bo"), "not a text").await?;
    let tried = async {
        for (method, path, body) in [
            ("PUT", "/users/ann", "a user"),
            ("PUT", "/users/ann", "another of this name"),
            ("GET", "/users/ann", ""),
            ("GET", "/users/eve", ""),
            ("GET", "/users/bo", ""),
            ("POST", "/users/ann/visits", ""),
            ("POST", "/jobs", "paint"),
            ("POST", "/jobs/next", ""),
            ("GET", "/health", ""),
        ] {
            let (status, answer) = request(address, method, path, body).await?;
            println!("{method:<4} {path:<18} {status}  {}", answer.trim_end().replace('\n', "\n        "));
        }
        let slot = Slot::of_key(visits.as_bytes());
        let primary =
            client.slot_map().primary_of(slot).map(|node| node.addr.clone()).ok_or("nobody serves it")?;
        let before: u64 = client.get(&visits).await?;
        if cluster.kill(&primary)? {
            println!("\n{primary} is killed, and four callers POST /users/ann/visits all the time:");
            through_failover(client, address, &visits, before).await?;
        } else {
            println!("\nA primary is killed only on a cluster of its own (without --url).");
        }
        println!("\nThe server is to end while a caller waits for a job:");
        let waiting = request(address, "POST", "/jobs/next", "");
        let ending = async {
            sleep(Duration::from_millis(300)).await;
            client.del(&keys).await?;
            stop.cancel();
            Ok::<_, Box<dyn Error>>(())
        };
        let ((status, answer), ()) = tokio::try_join!(waiting, ending)?;
        println!("POST /jobs/next         {status}  {}\n", answer.trim_end());
        Ok(())
    };
    let tried = tried.await;
    if !stop.is_cancelled() {
        client.del(&keys).await?;
    }
    tried
}

/// Callers post visits until all is well again; what they were told is held against what was counted.
async fn through_failover(
    client: &Client,
    address: SocketAddr,
    visits: &str,
    before: u64,
) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let caller = || async {
        let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
        while begin.elapsed() < Duration::from_secs(8) {
            let (status, _) = request(address, "POST", "/users/ann/visits", "").await?;
            *statuses.entry(status).or_default() += 1;
            sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, Box<dyn Error>>(statuses)
    };
    let (a, b, c, d) = tokio::try_join!(caller(), caller(), caller(), caller())?;
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    for (status, count) in [a, b, c, d].into_iter().flatten() {
        *statuses.entry(status).or_default() += count;
    }
    for (status, count) in &statuses {
        println!("{count:>6} times {status}");
    }
    let after: u64 = client.get(visits).await?;
    println!(
        "Counted: {}. A 200 was counted, a 503 was not, and a 504 was or was not.",
        after.saturating_sub(before)
    );
    let (status, answer) = request(address, "GET", "/health", "").await?;
    println!("GET  /health            {status}\n{}", answer.trim_end());
    Ok(())
}

/// The status line and the body. As `curl` does, but for one request of this program to itself.
async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(String, String), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split_once(' ')).map_or("no status", |(_, status)| status);
    let retry = lines.find_map(|line| line.strip_prefix("retry-after: "));
    let retry = retry.map(|seconds| format!(" (Retry-After: {seconds})")).unwrap_or_default();
    Ok((format!("{status}{retry}"), body.to_owned()))
}

/// `None` if help is wanted.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { url: url_option::from_environment(), listen: None, is_trial: false };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("listen") => options.listen = Some(parser.value()?.parse()?),
            Long("try") => options.is_trial = true,
            Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(options))
}
