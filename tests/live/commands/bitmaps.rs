use keyslot::Commands;
use keyslot::options::{BitOperation, BitType, BitUnit, Bitfield, BitfieldReads, Overflow};

use super::support::{SINCE_7_0, Side, redis_since};

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (k, l) = (&side.key("k"), &side.key("l"));
    assert!(!client.setbit(k, 7, true).await.unwrap());
    assert!(client.setbit(k, 7, true).await.unwrap());
    assert!(client.getbit(k, 7).await.unwrap());
    assert!(!client.getbit(k, 700).await.unwrap());
    client.set(l, b"\xff\xf0\x00").await.unwrap();
    assert_eq!(client.bitcount(l).await.unwrap(), 12);
    assert_eq!(client.bitcount_range(l, 1, -1, BitUnit::Byte).await.unwrap(), 4);
    let bits = side.if_option_known(SINCE_7_0, client.bitcount_range(l, 5, 30, BitUnit::Bit)).await;
    assert!(bits.is_none_or(|bits| bits == 7));
    assert_eq!(client.bitpos(l, false).await.unwrap(), 12);
    assert_eq!(client.bitpos_from(l, true, 2).await.unwrap(), -1);
    assert_eq!(client.bitpos_range(l, true, 1, 2, BitUnit::Byte).await.unwrap(), 8);
    let place = side.if_option_known(SINCE_7_0, client.bitpos_range(l, true, 9, 20, BitUnit::Bit)).await;
    assert!(place.is_none_or(|place| place == 9));
    assert_eq!(client.bitop(BitOperation::And, side.key("d"), [k, l]).await.unwrap(), 3);
    assert_eq!(client.bitop(BitOperation::Not, side.key("d"), k).await.unwrap(), 1);
    let diff = client.bitop(BitOperation::Diff, side.key("d"), [l, k]);
    assert!(side.if_option_known(redis_since(8, 2), diff).await.is_none_or(|length| length == 3));

    let f = &side.key("f");
    let operations = Bitfield::new()
        .set(BitType::U(8), 0, 250)
        .overflow(Overflow::Fail)
        .incrby(BitType::U(8), "#0", 100)
        .overflow(Overflow::Sat)
        .incrby(BitType::U(8), "#0", 100)
        .get(BitType::I(8), 0);
    let answers: Vec<Option<i64>> = client.bitfield(f, operations).await.unwrap();
    assert_eq!(answers, [Some(0), None, Some(255), Some(-1)]);
    let reads = BitfieldReads::new().get(BitType::U(4), 4).get(BitType::U(4), "#2");
    assert_eq!(client.bitfield_ro::<Vec<i64>>(f, reads).await.unwrap(), [15, 0]);
}
