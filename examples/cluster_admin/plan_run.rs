//! A plan is shown, asked for and made true, with its progress told.

use std::io::Write;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use keyslot::admin::{Plan, Progress};
use serde_json::{Value, json};

use crate::options::Consent;
use crate::screen::Screen;
use crate::task::{Failure, ILL, WELL};

/// Between two lines of progress where no bar can be drawn, unless a step begins.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the plan and, if it is wanted, makes it true. Returns the exit status.
pub(crate) async fn carry_out(
    screen: &mut Screen,
    as_json: bool,
    consent: &Consent,
    plan: &Plan,
) -> Result<u8, Failure> {
    if !as_json {
        write!(screen.out, "{plan}")?;
        screen.out.flush()?;
    }
    if consent.dry_run || plan.is_empty() {
        if as_json {
            writeln!(screen.out, "{}", document(plan, consent.dry_run, false, None))?;
        }
        return Ok(WELL);
    }
    if !consent.yes {
        if as_json && screen.answers.is_some() {
            // Standard output is the document's; whoever is asked must see what for.
            write!(screen.err, "{plan}")?;
        }
        match screen.ask("Do this?")? {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was done, as you wished")),
            None => {
                return Err(Failure::usage(
                    "nothing was done: nobody is at a terminal to be asked; --yes does it, --dry-run only shows it",
                ));
            }
        }
    }
    let end = run(screen, plan).await.map_err(|(mut failure, last)| {
        failure.so_far = Some(document(plan, false, false, Some(&last)));
        failure
    })?;
    if as_json {
        writeln!(screen.out, "{}", document(plan, false, !end.stopped, Some(&end)))?;
    } else {
        writeln!(screen.out, "{}", summary(&end))?;
    }
    Ok(if end.stopped { ILL } else { WELL })
}

/// Everything about it in one document.
fn document(plan: &Plan, dry_run: bool, done: bool, progress: Option<&Progress>) -> Value {
    let plan: Value = serde_json::from_str(&plan.to_json()).unwrap_or_default();
    let progress = progress.map(|progress| {
        json!({
            "step": progress.step,
            "steps": progress.steps,
            "slots_done": progress.slots_done,
            "slots": progress.slots,
            "keys_done": progress.keys_done,
            "keys": progress.keys,
            "bytes_done": progress.bytes_done,
            "replaced": progress.replaced,
            "stopped": progress.stopped,
            "milliseconds": u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    });
    json!({"plan": plan, "dry_run": dry_run, "done": done, "progress": progress})
}

fn summary(end: &Progress) -> String {
    let mut text = match end.stopped {
        false => format!("Done in {:.1?}", end.elapsed),
        true => format!("Stopped at step {} of {} after {:.1?}", end.step, end.steps, end.elapsed),
    };
    if end.slots > 0 {
        let (slots, keys) = (HumanCount(end.slots_done as u64), HumanCount(end.keys_done));
        text += &format!(": {slots} slots, {keys} keys");
    }
    if end.bytes_done > 0 {
        text += &format!(", {}", HumanBytes(end.bytes_done));
    }
    if end.replaced > 0 {
        text += &format!("; {} copies of an earlier attempt were replaced", HumanCount(end.replaced));
    }
    text + if end.stopped { ". No slot is open; plan again for what is left." } else { "." }
}

/// Makes it true. With the failure comes how far it went.
async fn run(screen: &mut Screen, plan: &Plan) -> Result<Progress, (Failure, Progress)> {
    let stop = plan.stop_handle();
    let (bar, draws) = (Bar::new(screen.draws), screen.draws);
    let teller =
        Mutex::new(Teller { bar: &bar, err: &mut screen.err, told: None, last: Progress::default() });
    let tell = |progress: &Progress| teller.lock().unwrap_or_else(PoisonError::into_inner).tell(progress);
    let end = {
        let mut run = pin!(plan.run(tell));
        loop {
            tokio::select! {
                end = &mut run => break end.map_err(Failure::from),
                _interrupt = tokio::signal::ctrl_c() => {
                    if stop.is_stopped() {
                        break Err(Failure::failed(
                            "stopped at once: slots may be open, and are served all the same; `fix` brings them to their end",
                        ));
                    }
                    stop.stop();
                    let text = "Stopping when what is under way is at its end; Ctrl-C once more stops at once.";
                    if draws {
                        bar.0.println(text);
                    } else {
                        let mut teller = teller.lock().unwrap_or_else(PoisonError::into_inner);
                        let _nobody_reads = writeln!(teller.err, "{text}");
                    }
                }
            }
        }
    };
    bar.0.finish_and_clear();
    let last = teller.into_inner().unwrap_or_else(PoisonError::into_inner).last;
    end.map_err(|failure| (failure, last))
}

/// A bar of slots, or of steps where no slots move.
struct Bar(ProgressBar);

impl Bar {
    fn new(is_drawn: bool) -> Self {
        let bar = if is_drawn { ProgressBar::new(0) } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, progress: &Progress) {
        let left = match progress.remaining() {
            Some(left) if !left.is_zero() => format!(", {} left", HumanDuration(left)),
            Some(_) | None => String::new(),
        };
        let (done, all, unit) = match progress.slots {
            0 => (progress.step, progress.steps, "steps"),
            slots => (progress.slots_done, slots, "slots"),
        };
        // The first line is empty because a terminal that shows ^C shows it behind the last one, which is as wide as the screen:
        // the cursor is a line lower then than the bar believes, and the first line is left behind when the bar goes.
        let template =
            format!("\n{{spinner}} {{wide_msg}}\n  [{{bar:40}}] {{pos}} of {{len}} {unit}{{prefix}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            self.0.set_style(style.progress_chars("=> "));
        }
        let moved = match progress.slots {
            0 => left,
            _ => format!(", {}{}{left}", keys(progress), bytes(progress)),
        };
        self.0.set_length(all as u64);
        self.0.set_position(done as u64);
        self.0.set_prefix(moved);
        self.0.set_message(format!("{} of {}: {}", progress.step, progress.steps, progress.what));
    }
}

fn keys(progress: &Progress) -> String {
    let done = HumanCount(progress.keys_done);
    if progress.keys == 0 {
        format!("{done} keys")
    } else {
        format!("{done} of {} keys", HumanCount(progress.keys))
    }
}

fn bytes(progress: &Progress) -> String {
    if progress.bytes_done == 0 { String::new() } else { format!(", {}", HumanBytes(progress.bytes_done)) }
}

/// Tells the progress: by the bar, or by a line now and then.
struct Teller<'a> {
    bar: &'a Bar,
    err: &'a mut Box<dyn Write + Send>,
    /// The last line: of which step, and when.
    told: Option<(usize, Instant)>,
    last: Progress,
}

impl Teller<'_> {
    fn tell(&mut self, progress: &Progress) {
        self.last = progress.clone();
        if !self.bar.0.is_hidden() {
            self.bar.show(progress);
            return;
        }
        let is_news = |(step, at): (usize, Instant)| step != progress.step || at.elapsed() >= LINE_EVERY;
        if self.told.is_none_or(is_news) {
            self.told = Some((progress.step, Instant::now()));
            let mut line = format!("{} of {}: {}", progress.step, progress.steps, progress.what);
            if progress.slots > 0 {
                line += &format!(
                    "; {} of {} slots, {}{}",
                    progress.slots_done,
                    progress.slots,
                    keys(progress),
                    bytes(progress)
                );
            }
            // Who does not listen does not hinder.
            let _nobody_reads = writeln!(self.err, "{line}");
        }
    }
}
