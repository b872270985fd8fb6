//! Places: sorted sets of positions.

macro_rules! geo_commands {
    ($render:ident) => {
        $render! {
            /// [GEOADD](https://redis.io/docs/latest/commands/geoadd/): adds members with longitude and latitude, or moves them; how many are new.
            ///
            /// Latitudes beyond 85.05 degrees are an error.
            ///
            /// Since 3.2, O(log n) for each member.
            fn geoadd(key: impl ToArg, members: impl IntoIterator<Item = (f64, f64, impl ToArg)>) -> u64 =
                known!("GEOADD").key(key).triples(members);

            /// [GEOADD](https://redis.io/docs/latest/commands/geoadd/): adds members or moves them, on a condition; how many are new, or with [`ch`](crate::options::GeoaddOptions::ch) moved.
            ///
            /// Since 6.2, O(log n) for each member.
            fn geoadd_options(
                key: impl ToArg,
                members: impl IntoIterator<Item = (f64, f64, impl ToArg)>,
                options: options::GeoaddOptions
            ) -> u64 =
                known!("GEOADD").key(key).args(options.into_args()).triples(members);

            /// [GEODIST](https://redis.io/docs/latest/commands/geodist/): how far two members are from each other, nil if one of them is none.
            ///
            /// Since 3.2, O(1).
            fn geodist(key: impl ToArg, member: impl ToArg, other: impl ToArg, unit: options::GeoUnit) -> Option<f64> =
                known!("GEODIST").key(key).arg(member).arg(other).arg(unit);

            /// [GEOHASH](https://redis.io/docs/latest/commands/geohash/): the geohashes of members, nil for each that is none.
            ///
            /// Since 3.2, O(1) for each.
            fn geohash(key: impl ToArg, members: impl ToArgs) -> Vec<Option<String>> =
                known!("GEOHASH").key(key).args(members.into_args());

            /// [GEOPOS](https://redis.io/docs/latest/commands/geopos/): where members are, nil for each that is none.
            ///
            /// Since 3.2, O(1) for each.
            fn geopos(key: impl ToArg, members: impl ToArgs) -> Vec<Option<replies::GeoPosition>> =
                known!("GEOPOS").key(key).args(members.into_args());

            /// [GEOSEARCH](https://redis.io/docs/latest/commands/geosearch/): the members in an area.
            ///
            /// An origin that is no member is an error.
            ///
            /// Since 6.2, O(n + log m) in the number of members around the area and of those in it.
            fn geosearch<R>(key: impl ToArg, area: options::GeoArea) -> R =
                known!("GEOSEARCH").key(key).args(area.into_args());

            /// [GEOSEARCH](https://redis.io/docs/latest/commands/geosearch/): the members in an area, sorted and counted, with distance, position or hash.
            ///
            /// An origin that is no member is an error.
            ///
            /// Since 6.2, O(n + log m) in the number of members around the area and of those in it.
            fn geosearch_options(
                key: impl ToArg,
                area: options::GeoArea,
                options: options::GeoSearchOptions
            ) -> Vec<replies::GeoMatch> =
                known!("GEOSEARCH").key(key).args(area.into_args()).args(options.into_args());

            /// [GEOSEARCHSTORE](https://redis.io/docs/latest/commands/geosearchstore/): stores the members in an area at `destination`; how many there are.
            ///
            /// Both must be in one slot.
            ///
            /// Since 6.2, O(n + log m) in the number of members around the area and of those in it.
            fn geosearchstore(
                destination: impl ToArg,
                source: impl ToArg,
                area: options::GeoArea,
                options: options::GeoStoreOptions
            ) -> u64 =
                known!("GEOSEARCHSTORE").key(destination).key(source).args(area.into_args()).args(options.into_args());
        }
    };
}

pub(crate) use geo_commands;
