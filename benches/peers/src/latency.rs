//! Latencies of all tasks. Each thread has a histogram of its own, because one for each task would fall out of the
//! caches with 1024 tasks, and one for all would make threads wait for each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

type Shared = Arc<Mutex<Histogram<u64>>>;

static ALL: Mutex<Vec<Shared>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: Option<Shared> = register();
}

const LONGEST: u64 = 60_000_000_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` never happens: the bounds are good.
fn register() -> Option<Shared> {
    let mine = Arc::new(Mutex::new(Histogram::new_with_bounds(1, LONGEST, 3).ok()?));
    lock(&ALL).push(Arc::clone(&mine));
    Some(mine)
}

/// One request took so long.
pub(crate) fn record(took: Duration) {
    MINE.with(|mine| {
        if let Some(mine) = mine {
            lock(mine).saturating_record(took.as_nanos() as u64);
        }
    });
}

/// Forgets the warm-up.
pub(crate) fn reset() {
    lock(&ALL).iter().for_each(|one| lock(one).reset());
}

/// Microseconds at p50, p99 and p999.
pub(crate) fn quantiles() -> [f64; 3] {
    let Ok(mut sum) = Histogram::<u64>::new_with_bounds(1, LONGEST, 3) else { return [f64::NAN; 3] };
    for one in lock(&ALL).iter() {
        // The bounds are the same, so that all fits.
        let _added = sum.add(&*lock(one));
    }
    [0.5, 0.99, 0.999].map(|quantile| sum.value_at_quantile(quantile) as f64 / 1000.0)
}
