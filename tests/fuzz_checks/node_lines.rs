//! Each line of `CLUSTER NODES` is left out or taken apart as it is: written anew from what was read, it is read as the same.

use std::collections::BTreeMap;

use keyslot::Slot;
use keyslot::internals::fuzz::{NodeLineRead, SlotsRead, read_node_lines};

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let read = read_node_lines(&text);
    assert!(read.len() <= text.lines().count());
    for line in read {
        // Columns are separated by one space each, and no two lines are taken for one.
        for column in [&line.id, &line.address, &line.link].into_iter().chain(&line.flags) {
            assert!(!column.contains([' ', '\n']), "{line:?}");
        }
        if let Some(slots) = &line.slots {
            let written = written(&line, slots);
            assert_eq!(read_node_lines(&written), [line], "{written}");
        }
    }
}

fn written(line: &NodeLineRead, slots: &SlotsRead) -> String {
    let NodeLineRead { id, address, flags, primary, epoch, link, .. } = line;
    let (flags, primary) = (flags.join(","), primary.as_deref().unwrap_or("-"));
    let mut text = format!("{id} {address} {flags} {primary} 0 0 {epoch} {link}");
    slots.owned.iter().for_each(|slot| text += &format!(" {slot}"));
    let mut marks = |marks: &BTreeMap<Slot, String>, arrow: &str| {
        marks.iter().for_each(|(slot, node)| text += &format!(" [{slot}{arrow}{node}]"));
    };
    marks(&slots.migrating, "->-");
    marks(&slots.importing, "-<-");
    text
}
