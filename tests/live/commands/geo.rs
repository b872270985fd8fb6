use keyslot::Commands;
use keyslot::options::{GeoOrigin, GeoSearchOptions, GeoStoreOptions, GeoUnit, GeoaddOptions};

use super::support::{Side, refusal};

pub(crate) async fn answer(side: &Side<'_>) {
    let client = side.client;
    let (p, d) = (&side.key("p"), &side.key("d"));
    assert_eq!(
        client
            .geoadd(p, [(13.361389, 38.115556, "Palermo"), (15.087269, 37.502669, "Catania")])
            .await
            .unwrap(),
        2
    );
    let only_new = GeoaddOptions::new().nx();
    assert_eq!(client.geoadd_options(p, [(0.0, 0.0, "Palermo")], only_new).await.unwrap(), 0);
    assert!(refusal(client.geoadd(p, [(0.0, 90.0, "pole")]).await).contains("invalid"));
    let distance = client.geodist(p, "Palermo", "Catania", GeoUnit::Km).await.unwrap().unwrap();
    assert!((distance - 166.2742).abs() < 0.01, "{distance}");
    assert_eq!(client.geodist(p, "Palermo", "none", GeoUnit::M).await.unwrap(), None);
    let hashes = client.geohash(p, ["Palermo", "none"]).await.unwrap();
    assert_eq!(hashes, [Some("sqc8b49rny0".to_owned()), None]);
    let places = client.geopos(p, ["Catania", "none"]).await.unwrap();
    assert!(places[1].is_none() && (places[0].unwrap().longitude - 15.087269).abs() < 0.001);
    let area = || GeoOrigin::position(15.0, 37.0).radius(200.0, GeoUnit::Km);
    let mut found: Vec<String> = client.geosearch(p, area()).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, ["Catania", "Palermo"]);
    let everything = GeoSearchOptions::new().asc().count(1).withcoord().withdist().withhash();
    let found = client.geosearch_options(p, area(), everything).await.unwrap();
    assert_eq!((found.len(), &found[0].member[..]), (1, &b"Catania"[..]));
    assert!((found[0].distance.unwrap() - 56.4413).abs() < 0.01);
    assert!(found[0].hash.is_some() && found[0].position.is_some());
    let around = GeoOrigin::member("Palermo").rectangle(400.0, 400.0, GeoUnit::Km);
    let found = client.geosearch_options(p, around.clone(), GeoSearchOptions::new().desc()).await.unwrap();
    assert_eq!((found.len(), found[0].distance), (2, None));
    assert_eq!(client.geosearchstore(d, p, around, GeoStoreOptions::new().storedist()).await.unwrap(), 2);
    assert!(client.zscore::<f64>(d, "Catania").await.unwrap() > 100.0);
}
