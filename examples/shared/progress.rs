//! A bar while an example works; where nobody looks at a terminal, a line a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Awaits `work` and shows meanwhile how far `done` has come on its way to `all`.
pub(crate) async fn shown<T>(all: u64, what: &str, done: &AtomicU64, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::new(all);
    // The template is good; if it were not, the bar would look plainer.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut tick = 0_u64;
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                bar.finish_and_clear();
                return result;
            }
            _ = ticks.tick() => {
                let done = done.load(Ordering::Relaxed);
                bar.set_position(done);
                tick += 1;
                if bar.is_hidden() && tick.is_multiple_of(10) {
                    eprintln!("{done} of {all} {what}");
                }
            }
        }
    }
}
