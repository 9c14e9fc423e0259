//! The OpenAPI document of our own API is one file in the repository.

use lightsout_server::http::{ROUTES, openapi_document};

#[test]
fn document_is_the_one_in_the_repository() {
    let document = serde_json::to_value(openapi_document()).expect("plain data");
    assert_eq!(document["openapi"], "3.1.0");
    insta::assert_json_snapshot!("openapi", document);
}

#[test]
fn every_route_of_our_own_api_is_in_the_document() {
    let document = serde_json::to_value(openapi_document()).expect("plain data");
    let own = ROUTES.iter().filter(|(_, path)| path.starts_with("/v1/") && *path != "/v1/openapi.json");
    for (method, path) in own {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not in the document");
    }
}
