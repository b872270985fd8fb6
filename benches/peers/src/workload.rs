//! [`Workload`]: what is measured, as data.

/// What one request of a task is. Pipelines are of `GET`s; the bulk loads are of `SET`s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Get,
    Set,
    /// `GET` and `SET` by turns at random, half of each.
    Mix,
    /// A pipeline over all slots.
    Pipeline(usize),
    /// A pipeline on one hash tag.
    Tagged(usize),
    /// `MGET` over all slots; counted per key.
    Mget(usize),
    /// Many new keys, each client in its own best way; the tasks are the client's choice.
    Bulk,
    /// Many new keys by single `SET`s.
    BulkSingles,
    /// Values of 64 KiB.
    LargeSet,
    LargeGet,
}

/// One line of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// 0: the client's choice.
    pub(crate) tasks: usize,
    pub(crate) shape: Shape,
}

const fn workload(name: &'static str, tasks: usize, shape: Shape) -> Workload {
    Workload { name, tasks, shape }
}

pub(crate) const ALL: &[Workload] = &[
    workload("get-1", 1, Shape::Get),
    workload("set-1", 1, Shape::Set),
    workload("mix-16", 16, Shape::Mix),
    workload("mix-64", 64, Shape::Mix),
    workload("mix-256", 256, Shape::Mix),
    workload("mix-1024", 1024, Shape::Mix),
    workload("pipe100-1", 1, Shape::Pipeline(100)),
    workload("pipe100-8", 8, Shape::Pipeline(100)),
    workload("tag50-1", 1, Shape::Tagged(50)),
    workload("tag50-8", 8, Shape::Tagged(50)),
    workload("mget100-1", 1, Shape::Mget(100)),
    workload("mget100-8", 8, Shape::Mget(100)),
    workload("bulk", 0, Shape::Bulk),
    workload("bulk-writers", 1024, Shape::BulkSingles),
    workload("large-set", 16, Shape::LargeSet),
    workload("large-get", 16, Shape::LargeGet),
];

impl Workload {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|workload| workload.name == name)
    }

    /// Operations of one request; of a bulk load's, 1, because its batches are the client's choice.
    pub(crate) fn ops(&self) -> u64 {
        match self.shape {
            Shape::Pipeline(many) | Shape::Tagged(many) | Shape::Mget(many) => many as u64,
            _ => 1,
        }
    }

    /// Writes a number of new keys instead of running for a time.
    pub(crate) fn is_bulk(&self) -> bool {
        matches!(self.shape, Shape::Bulk | Shape::BulkSingles)
    }
}
