//! The command line of the examples: whose cluster it is, and what becomes of errors.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;

use crate::cluster;

/// Behind an example's own words in its help.
#[allow(dead_code, reason = "for the examples without options of their own")]
const OPTIONS: &str = "
  --url URL    the cluster, as redis://[user:password@]host[:port][,host[:port]...];
               REDIS_URL in the environment says the same; without either, a cluster
               of 3 primaries and 3 replicas is started and removed
  -h, --help   this text
";

/// The cluster that the environment names, if it names one; an option may say otherwise.
pub(crate) fn from_environment() -> Option<String> {
    env::var("REDIS_URL").ok().filter(|url| !url.is_empty())
}

/// Runs an example whose only option is the cluster; see [`run_with`].
#[allow(dead_code, reason = "for the examples without options of their own")]
pub(crate) async fn run<F>(help: &str, example: impl FnOnce(Option<String>) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Box<dyn Error>>>,
{
    run_with(&format!("{help}{OPTIONS}"), parse, example).await
}

/// Runs an example with the options that `parse` reads; none of them: help is wanted. The status is 0 if all went well, 1 if
/// not, 2 if an option or the URL is wrong.
#[allow(dead_code, reason = "not every example ends in an error or none")]
pub(crate) async fn run_with<O, F>(
    help: &str,
    parse: impl FnOnce(lexopt::Parser) -> Result<Option<O>, lexopt::Error>,
    example: impl FnOnce(O) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), Box<dyn Error>>>,
{
    let options = match parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match example(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            cluster::exit_code(error.as_ref())
        }
    }
}

/// The URL, if one is given; `None` if help is wanted.
#[allow(dead_code, reason = "for the examples without options of their own")]
fn parse(mut parser: lexopt::Parser) -> Result<Option<Option<String>>, lexopt::Error> {
    let mut url = from_environment();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => url = Some(parser.value()?.string()?),
            Long("release") => eprintln!("note: --release is cargo's: it goes before the --"),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(url))
}
