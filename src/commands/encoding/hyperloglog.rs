use crate::commands::encoding::{Typed, encodes};

#[test]
fn hyperloglogs_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::pfadd("h", ["a", "b"]) => "PFADD h a b";
        Typed::pfcount(["h", "i"]) => "PFCOUNT h i";
        Typed::pfmerge("d", ["h", "i"]) => "PFMERGE d h i";
    }
}
