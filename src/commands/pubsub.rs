//! Publishing, and asking who listens.

macro_rules! pubsub_commands {
    ($render:ident) => {
        $render! {
            /// [PUBLISH](https://redis.io/docs/latest/commands/publish/): sends a message to the subscribers of `channel` on all nodes; how many the node that was asked has itself.
            ///
            /// Since 2.0, O(n) in the number of its subscribers.
            fn publish(channel: impl ToArg, message: impl ToArg) -> u64 =
                known!("PUBLISH").arg(channel).arg(message);

            /// [SPUBLISH](https://redis.io/docs/latest/commands/spublish/): sends a message to the subscribers of a sharded channel; how many the primary of its slot has itself.
            ///
            /// Since 7.0, O(n) in the number of its subscribers.
            fn spublish(channel: impl ToArg, message: impl ToArg) -> u64 =
                known!("SPUBLISH").key(channel).arg(message);

            /// [PUBSUB CHANNELS](https://redis.io/docs/latest/commands/pubsub-channels/): the channels that have subscribers at the node that is asked.
            ///
            /// Any one node; for all ask with [`Request::to`](crate::Request::to) and `Target::AllNodes`.
            ///
            /// Since 2.8, O(n) in the number of channels.
            fn pubsub_channels<R>() -> R =
                known!("PUBSUB CHANNELS");

            /// [PUBSUB CHANNELS](https://redis.io/docs/latest/commands/pubsub-channels/): the channels that match a glob-style pattern; otherwise as `pubsub_channels`.
            ///
            /// Since 2.8, O(n) in the number of channels.
            fn pubsub_channels_matching<R>(pattern: impl ToArg) -> R =
                known!("PUBSUB CHANNELS").arg(pattern);

            /// [PUBSUB NUMSUB](https://redis.io/docs/latest/commands/pubsub-numsub/): how many subscribers channels have at the node that is asked: `HashMap<String, u64>`.
            ///
            /// Since 2.8, O(n) in the number of `channels`.
            fn pubsub_numsub<R>(channels: impl ToArgs) -> R =
                known!("PUBSUB NUMSUB").args(channels.into_args());

            /// [PUBSUB NUMPAT](https://redis.io/docs/latest/commands/pubsub-numpat/): how many patterns are subscribed to at the node that is asked.
            ///
            /// Since 2.8, O(1).
            fn pubsub_numpat() -> u64 =
                known!("PUBSUB NUMPAT");

            /// [PUBSUB SHARDCHANNELS](https://redis.io/docs/latest/commands/pubsub-shardchannels/): the sharded channels that have subscribers at the node that is asked.
            ///
            /// Since 7.0, O(n) in the number of channels.
            fn pubsub_shardchannels<R>() -> R =
                known!("PUBSUB SHARDCHANNELS");

            /// [PUBSUB SHARDCHANNELS](https://redis.io/docs/latest/commands/pubsub-shardchannels/): the sharded channels that match a glob-style pattern.
            ///
            /// Since 7.0, O(n) in the number of channels.
            fn pubsub_shardchannels_matching<R>(pattern: impl ToArg) -> R =
                known!("PUBSUB SHARDCHANNELS").arg(pattern);

            /// [PUBSUB SHARDNUMSUB](https://redis.io/docs/latest/commands/pubsub-shardnumsub/): how many subscribers sharded channels have at the node that is asked: `HashMap<String, u64>`.
            ///
            /// Since 7.0, O(n) in the number of `channels`.
            fn pubsub_shardnumsub<R>(channels: impl ToArgs) -> R =
                known!("PUBSUB SHARDNUMSUB").args(channels.into_args());
        }
    };
}

pub(crate) use pubsub_commands;
