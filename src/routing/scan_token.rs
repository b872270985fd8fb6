//! The token of a scan: all of its state as one line of text, to be stored and gone on with in another process.
//!
//! `keyslot-scan-1;d=0-5460;...;x=<checksum>`: fields by letter, lists with commas, parts of a list's element with `:`;
//! names and patterns are percent-encoded, so that none of these can be in them.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc};
use litemap::LiteMap;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::error::Error;
use crate::routing::scan_filter::ScanFilter;
use crate::routing::scan_plan::{Claim, Half, Pass, ScanPlan};
use crate::slot::Slot;
use crate::topology::node_state::NodeId;
use crate::topology::slot_set::{SlotSet, read_range};

const VERSION: &str = "keyslot-scan-1";

/// Against a token that was cut or mistyped: it would leave out keys in silence.
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The token of a scan.
pub(crate) fn encode(filter: &ScanFilter, plan: &ScanPlan) -> String {
    let mut text = VERSION.to_owned();
    // Writing into a string cannot fail.
    if let Some(pattern) = &filter.pattern {
        _ = write!(text, ";m={}", percent_encode(pattern, NON_ALPHANUMERIC));
    }
    if let Some(of_type) = &filter.of_type {
        _ = write!(text, ";t={}", name(of_type));
    }
    _ = write!(text, ";d={}", plan.done);
    for Claim { owner, slots } in &plan.claims {
        _ = write!(text, ";c={}:{slots}", name(owner));
    }
    for (slot, Half { from, to }) in &plan.halves {
        _ = write!(text, ";h={slot}:{}:{}", name(from), name(to));
    }
    for (id, pass) in &plan.passes {
        let Pass { generation, cursor, is_through, settled, leaving, arriving } = pass;
        _ = write!(
            text,
            ";p={}:{}:{cursor}:{}:{settled}:{}:{}",
            name(id),
            name(generation),
            u8::from(*is_through),
            on_the_way(leaving),
            on_the_way(arriving)
        );
    }
    let checksum = CRC.checksum(text.as_bytes());
    _ = write!(text, ";x={checksum:08x}");
    text
}

/// Reads a token; the error says why it is none.
pub(crate) fn decode(token: &str) -> Result<(ScanFilter, ScanPlan), Error> {
    let refused = |why: &str| Error::usage(format!("the token of a scan cannot be used: {why}"));
    let token = token.trim();
    let Some(fields) = token.strip_prefix(VERSION) else {
        return Err(refused(if token.starts_with("keyslot-scan-") {
            "it is of another version"
        } else {
            "it does not begin as one"
        }));
    };
    let (body, checksum) = token.rsplit_once(";x=").ok_or_else(|| refused("its end is missing"))?;
    if u32::from_str_radix(checksum, 16).ok() != Some(CRC.checksum(body.as_bytes())) {
        return Err(refused("its checksum is wrong, so it was cut or changed"));
    }
    let mut read = (ScanFilter::default(), ScanPlan::default());
    let fields = fields.get(..body.len() - VERSION.len()).unwrap_or_default();
    for field in fields.split(';').filter(|field| !field.is_empty()) {
        read_field(field, &mut read).ok_or_else(|| refused("it has a part that is not understood"))?;
    }
    Ok(read)
}

fn read_field(field: &str, (filter, plan): &mut (ScanFilter, ScanPlan)) -> Option<()> {
    let (letter, value) = field.split_once('=')?;
    let mut parts = value.split(':');
    match letter {
        "m" => filter.pattern = Some(Bytes::from(percent_decode_str(parts.next()?).collect::<Vec<u8>>())),
        "t" => filter.of_type = Some(read_name(parts.next()?)?.into()),
        "d" => plan.done = read_slots(parts.next()?)?,
        "c" => plan.claims.push(Claim { owner: read_id(parts.next()?)?, slots: read_slots(parts.next()?)? }),
        "h" => {
            let slot = read_slot(parts.next()?)?;
            plan.halves.insert(slot, Half { from: read_id(parts.next()?)?, to: read_id(parts.next()?)? });
        }
        "p" => {
            let id = read_id(parts.next()?)?;
            let pass = Pass {
                generation: read_id(parts.next()?)?,
                cursor: parts.next()?.parse().ok()?,
                is_through: parts.next()? == "1",
                settled: read_slots(parts.next()?)?,
                leaving: read_on_the_way(parts.next()?)?,
                arriving: read_on_the_way(parts.next()?)?,
            };
            plan.passes.insert(id, pass);
        }
        _unknown => return None,
    }
    parts.next().is_none().then_some(())
}

fn name(text: &str) -> Cow<'_, str> {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).into()
}

fn on_the_way(slots: &LiteMap<Slot, NodeId>) -> String {
    let each: Vec<String> = slots.iter().map(|(slot, node)| format!("{slot}.{}", name(node))).collect();
    each.join(",")
}

fn read_name(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

fn read_id(text: &str) -> Option<Arc<str>> {
    read_name(text).map(Arc::from)
}

fn read_slot(text: &str) -> Option<Slot> {
    text.parse().ok().and_then(Slot::new)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|word| !word.is_empty())
}

fn read_slots(text: &str) -> Option<SlotSet> {
    let mut slots = SlotSet::default();
    for word in list(text) {
        slots.extend(read_range(word)?);
    }
    Some(slots)
}

fn read_on_the_way(text: &str) -> Option<LiteMap<Slot, NodeId>> {
    list(text)
        .map(|word| {
            let (slot, node) = word.split_once('.')?;
            Some((read_slot(slot)?, read_id(node)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use litemap::LiteMap;

    use super::{decode, encode};
    use crate::routing::scan_filter::ScanFilter;
    use crate::routing::scan_plan::{Claim, Half, Pass, ScanPlan};
    use crate::slot::Slot;
    use crate::topology::slot_set::SlotSet;

    fn full() -> (ScanFilter, ScanPlan) {
        let slot = |number: u16| Slot::new(number).unwrap();
        let some = |numbers: std::ops::Range<u16>| numbers.filter_map(Slot::new).collect::<SlotSet>();
        let pass = Pass {
            generation: "r1.h1".into(),
            cursor: u64::MAX,
            is_through: true,
            settled: some(500..600),
            leaving: LiteMap::from_iter([(slot(700), "b:;,=".into()), (slot(701), "".into())]),
            arriving: LiteMap::from_iter([(slot(702), "c".into())]),
        };
        let plan = ScanPlan {
            done: some(0..100),
            claims: vec![Claim { owner: "a".into(), slots: some(200..300) }],
            halves: LiteMap::from_iter([(slot(400), Half { from: "a".into(), to: "b".into() })]),
            passes: LiteMap::from_iter([
                ("a".into(), pass.clone()),
                ("".into(), Pass { is_through: false, ..pass }),
            ]),
        };
        let pattern = Some(Bytes::from_static(b"user:*;\xff\x00"));
        (ScanFilter { pattern, of_type: Some("hash".into()) }, plan)
    }

    #[test]
    fn a_token_has_all_of_a_scan() {
        for (filter, plan) in [full(), (ScanFilter::default(), ScanPlan::default())] {
            let token = encode(&filter, &plan);
            assert_eq!(decode(&token).unwrap(), (filter, plan), "{token}");
            assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_with_its_reason() {
        let (filter, plan) = full();
        let token = encode(&filter, &plan);
        for (wrong, why) in [
            (String::new(), "does not begin"),
            ("0".to_owned(), "does not begin"),
            (token.replace("scan-1", "scan-2"), "another version"),
            (token[..token.len() / 2].to_owned(), "end is missing"),
            (token.replace("d=0-99", "d=0-98"), "checksum"),
            (token[..token.len() - 1].to_owned(), "checksum"),
        ] {
            let error = decode(&wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_token_that_is_cut_or_changed_anywhere_is_refused() {
        let (filter, plan) = full();
        let token = encode(&filter, &plan);
        for length in 0..token.len() {
            assert!(decode(&token[..length]).is_err(), "{length}");
            let mut changed = token.clone().into_bytes();
            changed[length] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(decode(&changed).is_err(), "{changed}");
        }
    }
}
