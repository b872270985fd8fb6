use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{GeoOrigin, GeoSearchOptions, GeoStoreOptions, GeoUnit, GeoaddOptions};

#[test]
fn places_are_encoded_as_the_servers_read_them() {
    let near = || GeoOrigin::member("Rome").radius(500.0, GeoUnit::Km);
    encodes! {
        Typed::geoadd("p", [(12.5, 41.9, "Rome"), (10.7, 59.9, "Oslo")]) => "GEOADD p 12.5 41.9 Rome 10.7 59.9 Oslo";
        Typed::geoadd_options("p", [(12.5, 41.9, "Rome")], GeoaddOptions::new().nx().xx().ch())
            => "GEOADD p XX CH 12.5 41.9 Rome";
        Typed::geodist("p", "Rome", "Oslo", GeoUnit::Mi) => "GEODIST p Rome Oslo mi";
        Typed::geohash("p", ["Rome", "Oslo"]) => "GEOHASH p Rome Oslo";
        Typed::geopos("p", "Rome") => "GEOPOS p Rome";
        Typed::geosearch("p", near()) => "GEOSEARCH p FROMMEMBER Rome BYRADIUS 500 km";
        Typed::geosearch("p", GeoOrigin::position(12.5, 41.9).rectangle(10.0, 20.0, GeoUnit::Ft))
            => "GEOSEARCH p FROMLONLAT 12.5 41.9 BYBOX 10 20 ft";
        Typed::geosearch_options("p", near(),
            GeoSearchOptions::new().desc().asc().count(5).withcoord().withdist().withhash())
            => "GEOSEARCH p FROMMEMBER Rome BYRADIUS 500 km ASC COUNT 5 WITHCOORD WITHDIST WITHHASH";
        Typed::geosearch_options("p", near(), GeoSearchOptions::new().desc().count_any(5))
            => "GEOSEARCH p FROMMEMBER Rome BYRADIUS 500 km DESC COUNT 5 ANY";
        Typed::geosearchstore("d", "p", near(), GeoStoreOptions::new().count(3).storedist())
            => "GEOSEARCHSTORE d p FROMMEMBER Rome BYRADIUS 500 km COUNT 3 STOREDIST";
        Typed::geosearchstore("d", "p", near(), GeoStoreOptions::new().count_any(3))
            => "GEOSEARCHSTORE d p FROMMEMBER Rome BYRADIUS 500 km COUNT 3 ANY";
    }
}
