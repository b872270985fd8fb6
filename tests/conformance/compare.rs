//! What makes the replies of two clusters comparable: names instead of addresses and ids, and an order where the
//! server promises none.

use super::script::{Compare, Line};
use super::side::{NODES, Outcome, Side, replaced};
use super::wire::Frame;

/// The outcome as it is compared and shown.
pub(crate) fn canonical(outcome: &Outcome, line: &Line, side: &Side<'_>) -> String {
    let mut shown = Vec::new();
    for frame in &outcome.frames {
        let mut frame = frame.clone();
        name_ports(&mut frame, side);
        frame.each_text(&mut |text| *text = named(text, side));
        if !line.fields.is_empty() {
            frame.each_text(&mut |text| *text = only_fields(text, &line.fields));
        }
        shown.push(arranged(masked(frame, &line.without), line.compare));
    }
    shown.extend(outcome.end.map(str::to_owned));
    shown.join(" ")
}

/// Whether the two are the same for this line.
pub(crate) fn agree(real: &Outcome, simulated: &Outcome, line: &Line, sides: (&Side<'_>, &Side<'_>)) -> bool {
    if let Compare::Near(distance) = line.compare {
        let number = |outcome: &Outcome| -> Option<i64> {
            std::str::from_utf8(outcome.frames.first()?.payload()?).ok()?.parse().ok()
        };
        if let (Some(real), Some(simulated)) = (number(real), number(simulated)) {
            return (real - simulated).abs() <= distance;
        }
    }
    canonical(real, line, sides.0) == canonical(simulated, line, sides.1)
}

/// Ports of `CLUSTER SLOTS` and `SHARDS`, which are numbers like others: the id stands behind them, or their name before.
fn name_ports(frame: &mut Frame, side: &Side<'_>) {
    let Frame::Many(_, Some(parts)) = frame else { return };
    for place in 0..parts.len() {
        let payload = |place: usize| parts.get(place).and_then(Frame::payload);
        let is_id = payload(place + 1).is_some_and(|next| side.ids.iter().any(|id| id.as_bytes() == next));
        let is_named = place > 0 && payload(place - 1) == Some(b"port");
        let names = NODES.iter().zip(&side.nodes);
        let port = names.filter(|_| is_id || is_named).find_map(|(name, addr)| {
            (payload(place)? == addr.port().to_string().as_bytes()).then(|| format!("<{name}.port>"))
        });
        match (port, &mut parts[place]) {
            (Some(port), Frame::Line(_, text)) => *text = port.into_bytes(),
            (_, part) => name_ports(part, side),
        }
    }
}

/// Addresses and ids by the names of their nodes, and what was kept by its own.
fn named(text: &[u8], side: &Side<'_>) -> Vec<u8> {
    let mut text = text.to_vec();
    // The longest first: the id of a stream's entry may begin with the number that was kept too.
    let mut kept: Vec<_> = side.kept.iter().filter(|(_, value)| value.len() > 3).collect();
    kept.sort_by_key(|(name, value)| (std::cmp::Reverse(value.len()), *name));
    for (name, value) in kept {
        text = replaced(&text, value, format!("<{name}>").as_bytes());
    }
    for (name, id) in NODES.iter().zip(&side.ids) {
        text = replaced(&text, id.as_bytes(), format!("<{name}.id>").as_bytes());
    }
    for (name, addr) in NODES.iter().zip(&side.nodes) {
        let port = addr.port().to_string();
        let bus = (u32::from(addr.port()) + 10_000).to_string();
        text = replaced(&text, addr.to_string().as_bytes(), format!("<{name}>").as_bytes());
        text = replaced(&text, format!("@{bus}").as_bytes(), b"@<bus>");
        // An address by name, or without a host.
        if text.starts_with(b"MOVED ") || text.starts_with(b"ASK ") {
            text = replaced(&text, format!(":{port}").as_bytes(), format!(":<{name}.port>").as_bytes());
        }
    }
    // Of a shard or a script.
    if text.len() == 40 && text.iter().all(u8::is_ascii_hexdigit) {
        text = b"<40 digits>".to_vec();
    }
    text
}

/// The text of a bulk or verbatim string.
fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text.strip_prefix(b"txt:").unwrap_or(text)).into_owned()
}

fn only_fields(text: &[u8], fields: &[String]) -> Vec<u8> {
    let text = plain(text);
    let lines = text.split("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or(line);
        fields.iter().any(|field| field == name)
    });
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}

fn arranged(frame: Frame, compare: Compare) -> String {
    match (compare, frame) {
        (Compare::Sorted, Frame::Many(kind, Some(mut parts))) => {
            parts.sort();
            Frame::Many(kind, Some(parts)).shown()
        }
        (Compare::Pairs, Frame::Many(kind, Some(parts))) => {
            let mut pairs: Vec<&[Frame]> = parts.chunks(2).collect();
            pairs.sort();
            Frame::Many(kind, Some(pairs.concat())).shown()
        }
        (Compare::Deep, frame) => deep(frame).shown(),
        (Compare::Shape, mut frame) => {
            frame.each_text(&mut |text| {
                let is_number = std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok());
                *text = if is_number { b"0".to_vec() } else { b"text".to_vec() };
            });
            frame.shown()
        }
        (Compare::Code, Frame::Line(b'-', text)) => {
            format!("-{}", String::from_utf8_lossy(text.split(|byte| *byte == b' ').next().unwrap_or(&text)))
        }
        (Compare::Nodes | Compare::Members, Frame::Bulk(kind, Some(text))) => {
            let text = plain(&text);
            let masked: &[usize] = if compare == Compare::Nodes { &[4, 5] } else { &[4, 5, 6] };
            let mut lines: Vec<String> = text.lines().map(|line| node_line(line, masked)).collect();
            lines.sort();
            format!("{} {}", char::from(kind), lines.join(" / "))
        }
        (Compare::Fields, Frame::Bulk(kind, Some(text))) => {
            let text = plain(&text);
            let names = text.split("\r\n").map(|line| line.split(':').next().unwrap_or(line));
            // Only kinds of messages that were sent already have a count.
            let is_kind =
                |name: &&str| name.starts_with("cluster_stats_messages_") && name.split('_').count() > 4;
            let names: Vec<&str> = names.filter(|name| !is_kind(name)).collect();
            format!("{} {}", char::from(kind), names.join(" "))
        }
        (Compare::Words, Frame::Bulk(kind, Some(text))) => {
            let text = plain(&text);
            let names = text.split(' ').map(|word| word.split('=').next().unwrap_or(word));
            format!("{} {}", char::from(kind), names.collect::<Vec<_>>().join(" "))
        }
        (_, frame) => frame.shown(),
    }
}

/// Sorts arrays that hold arrays, innermost first.
fn deep(frame: Frame) -> Frame {
    match frame {
        Frame::Many(kind, Some(parts)) => {
            let mut parts: Vec<Frame> = parts.into_iter().map(deep).collect();
            if kind != b'%' && parts.iter().all(|part| matches!(part, Frame::Many(..))) {
                parts.sort();
            }
            Frame::Many(kind, Some(parts))
        }
        other => other,
    }
}

/// Whether it is zero is all that is compared of what stands behind these names.
fn masked(frame: Frame, names: &[String]) -> Frame {
    let Frame::Many(kind, Some(parts)) = frame else { return frame };
    let mut parts: Vec<Frame> = parts.into_iter().map(|part| masked(part, names)).collect();
    for place in 1..parts.len() {
        let is_named = names.iter().any(|name| parts[place - 1].payload() == Some(name.as_bytes()));
        if is_named && parts[place].payload() != Some(b"0") {
            parts[place] = Frame::Line(b':', b"<any>".to_vec());
        }
    }
    Frame::Many(kind, Some(parts))
}

/// A line of `CLUSTER NODES` without its times of ping and pong, and perhaps the epoch.
fn node_line(line: &str, masked: &[usize]) -> String {
    let words = line.split(' ').enumerate();
    words.map(|(place, word)| if masked.contains(&place) { "*" } else { word }).collect::<Vec<_>>().join(" ")
}
