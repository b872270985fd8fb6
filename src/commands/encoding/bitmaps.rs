use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{BitOperation, BitType, BitUnit, Bitfield, BitfieldReads, Overflow};

#[test]
fn bitmaps_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::setbit("k", 7, true) => "SETBIT k 7 1";
        Typed::getbit("k", 7) => "GETBIT k 7";
        Typed::bitcount("k") => "BITCOUNT k";
        Typed::bitcount_range("k", 0, -1, BitUnit::Byte) => "BITCOUNT k 0 -1";
        Typed::bitcount_range("k", 0, -1, BitUnit::Bit) => "BITCOUNT k 0 -1 BIT";
        Typed::bitpos("k", false) => "BITPOS k 0";
        Typed::bitpos_from("k", true, 2) => "BITPOS k 1 2";
        Typed::bitpos_range("k", true, 2, -1, BitUnit::Bit) => "BITPOS k 1 2 -1 BIT";
        Typed::bitop(BitOperation::AndOr, "d", ["a", "b"]) => "BITOP ANDOR d a b";
        Typed::bitfield("k", Bitfield::new()
            .get(BitType::U(4), 0)
            .overflow(Overflow::Fail)
            .set(BitType::I(5), "#2", -1)
            .incrby(BitType::U(63), 100, 1))
            => "BITFIELD k GET u4 0 OVERFLOW FAIL SET i5 #2 -1 INCRBY u63 100 1";
        Typed::bitfield_ro("k", BitfieldReads::new().get(BitType::I(8), "#1").get(BitType::U(1), 3))
            => "BITFIELD_RO k GET i8 #1 GET u1 3";
    }
}
