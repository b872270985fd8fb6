use crate::commands::encoding::{Typed, encodes};

#[test]
fn publishing_is_encoded_as_the_servers_read_it() {
    encodes! {
        Typed::publish("c", "m") => "PUBLISH c m";
        Typed::spublish("c", "m") => "SPUBLISH c m";
        Typed::pubsub_channels() => "PUBSUB CHANNELS";
        Typed::pubsub_channels_matching("c*") => "PUBSUB CHANNELS c*";
        Typed::pubsub_numsub(["c", "d"]) => "PUBSUB NUMSUB c d";
        Typed::pubsub_numpat() => "PUBSUB NUMPAT";
        Typed::pubsub_shardchannels() => "PUBSUB SHARDCHANNELS";
        Typed::pubsub_shardchannels_matching("c*") => "PUBSUB SHARDCHANNELS c*";
        Typed::pubsub_shardnumsub(["c", "d"]) => "PUBSUB SHARDNUMSUB c d";
    }
}
