use keyslot::json::{Json, to_json};
use keyslot::{Commands, FromValue, Request, Value};

use super::support::{Side, redis_since};

/// None of the servers that are tried has a JSON module: each must refuse the words as unknown. With a module, what
/// they answer is not looked at here.
pub(crate) async fn answer(side: &Side<'_>) {
    async fn refused<T: FromValue>(side: &Side<'_>, request: Request<'_, T>) {
        side.if_known(redis_since(u16::MAX, 0), request).await;
    }
    let client = side.client;
    let (j, path) = (&side.key("j"), "$.a");
    let document = to_json(&[1, 2]).unwrap();
    refused(side, client.json_set(j, "$", &document)).await;
    refused(side, client.json_set_nx(j, "$", &document)).await;
    refused(side, client.json_set_xx(j, "$", Json(serde_json::json!({"a": 1})))).await;
    refused(side, client.json_get::<Json<serde_json::Value>>(j, path)).await;
    refused(side, client.json_get_paths::<Value>(j, [path, "$.b"])).await;
    refused(side, client.json_mget::<Value>([j, j], path)).await;
    refused(side, client.json_mset([(j, path, &document)])).await;
    refused(side, client.json_merge(j, path, &document)).await;
    refused(side, client.json_del(j, path)).await;
    refused(side, client.json_forget(j, path)).await;
    refused(side, client.json_clear(j, path)).await;
    refused(side, client.json_type::<Value>(j, path)).await;
    refused(side, client.json_numincrby::<Value>(j, path, 1.5)).await;
    refused(side, client.json_nummultby::<Value>(j, path, 2.0)).await;
    refused(side, client.json_strappend::<Value>(j, path, "\"x\"")).await;
    refused(side, client.json_strlen::<Value>(j, path)).await;
    refused(side, client.json_toggle::<Value>(j, path)).await;
    refused(side, client.json_arrappend::<Value>(j, path, [1, 2])).await;
    refused(side, client.json_arrindex::<Value>(j, path, 1)).await;
    refused(side, client.json_arrinsert::<Value>(j, path, 0, [1])).await;
    refused(side, client.json_arrlen::<Value>(j, path)).await;
    refused(side, client.json_arrpop::<Value>(j, path, -1)).await;
    refused(side, client.json_arrtrim::<Value>(j, path, 0, 1)).await;
    refused(side, client.json_objkeys::<Value>(j, path)).await;
    refused(side, client.json_objlen::<Value>(j, path)).await;

    // JSON in a plain string needs no module.
    client.set(j, document).await.unwrap();
    assert_eq!(client.get::<Option<Json<Vec<i64>>>>(j).await.unwrap(), Some(Json(vec![1, 2])));
    let error = client.get::<Json<String>>(j).await.unwrap_err().to_string();
    assert!(error.starts_with("GET: ") && error.contains("invalid type: sequence"), "{error}");
}
