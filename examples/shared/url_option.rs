//! The command line of the examples whose only option is the cluster.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use lexopt::Arg::{Long, Short};
use lexopt::ValueExt;

use crate::cluster;

/// Behind an example's own words in its help.
const OPTIONS: &str = "
  --url URL    the cluster, as redis://[user:password@]host[:port][,host[:port]...];
               REDIS_URL in the environment says the same; without either, a cluster
               of 3 primaries and 3 replicas is started and removed
  -h, --help   this text
";

/// Runs the example on the cluster at the URL, if one is given. The status is 0 if all went well, 1 if not, 2 if an option
/// or the URL is wrong.
pub(crate) async fn run<F>(help: &str, example: impl FnOnce(Option<String>) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Box<dyn Error>>>,
{
    let url = match parse(lexopt::Parser::from_env()) {
        Ok(Some(url)) => url,
        Ok(None) => {
            print!("{help}{OPTIONS}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    match example(url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            cluster::exit_code(error.as_ref())
        }
    }
}

/// The URL, if one is given; `None` if help is wanted.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Option<String>>, lexopt::Error> {
    let mut url = env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
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
