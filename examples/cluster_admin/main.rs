//! Builds, checks, mends and reshapes a cluster: `keyslot::admin` as a command-line tool.
//!
//! ```text
//! cargo run --release --example cluster_admin -- --help
//! cargo run --release --example cluster_admin -- --url redis://127.0.0.1:7000 check
//! cargo run --release --example cluster_admin -- --url redis://127.0.0.1:7000 reshard --slots 1000 --to 127.0.0.1:7003 --dry-run
//! cargo run --release --example cluster_admin -- --url redis://127.0.0.1:7000 slots --svg slots.svg --heat keys
//! ```
//!
//! Each change is shown as a plan and asked for before it is made. It exits with 0 if all went well, with 1 if the cluster has
//! problems or something failed, with 2 if the command line is wrong.

use std::process::ExitCode;

mod node_name;
mod options;
mod plan_run;
mod restart;
mod screen;
mod slots_page;
mod task;

#[path = "../shared/slot_svg.rs"]
mod slot_svg;

#[tokio::main]
async fn main() -> ExitCode {
    let mut screen = screen::Screen::of_process();
    ExitCode::from(task::run(std::env::args_os(), &mut screen).await)
}
