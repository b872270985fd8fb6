//! Each line of `CLUSTER NODES` is left out or read as what it says.

use keyslot::testkit::read_nodes;

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for node in read_nodes(&text) {
        let (id, port, ranges) = &node;
        let ranges: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let line = format!("{id} 127.0.0.1:{port}@1 master - 0 0 1 connected {}", ranges.join(" "));
        assert_eq!(read_nodes(&line), [node], "{line}");
    }
}
