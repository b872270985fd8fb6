//! Who owns which slot. Pure: no clock, socket, task or lock. Imports floors 0 and 1 only; never `connection`.

pub(crate) mod changes;
pub(crate) mod diff;
pub(crate) mod discovery;
pub(crate) mod node_columns;
pub(crate) mod node_state;
pub(crate) mod patch;
pub(crate) mod slot_map;
pub(crate) mod slot_set;
