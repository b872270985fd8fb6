//! Heap allocations of the whole process: only in the build with `count-allocations`.

/// How many there were, and their bytes. A reallocation counts as one of its new size.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heap {
    pub(crate) allocations: u64,
    pub(crate) bytes: u64,
}

#[cfg(feature = "count-allocations")]
mod counting {
    use std::alloc::System;

    use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

    #[global_allocator]
    static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

    pub(super) fn now() -> super::Heap {
        let stats = GLOBAL.stats();
        super::Heap {
            allocations: (stats.allocations + stats.reallocations) as u64,
            bytes: stats.bytes_allocated as u64,
        }
    }
}

/// `None` in a build that does not count.
pub(crate) fn now() -> Option<Heap> {
    #[cfg(feature = "count-allocations")]
    return Some(counting::now());
    #[cfg(not(feature = "count-allocations"))]
    None
}
