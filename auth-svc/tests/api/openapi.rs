use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Browser, TestApp};

/// Returns the document and its operations, as method and path.
async fn openapi_document(app: &TestApp) -> (Value, Vec<(Method, String)>) {
    let response = app.browser().get("/openapi.json").await;
    assert_eq!(response.status, 200);
    let document: Value = serde_json::from_str(&response.body).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "head", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                let method = method.to_uppercase().parse().unwrap();
                operations.push((method, path.clone()));
            }
        }
    }
    (document, operations)
}

#[tokio::test]
async fn every_described_route_exists() {
    let app = TestApp::start().await;
    let (_, operations) = openapi_document(&app).await;
    assert!(operations.len() >= 15, "{operations:?}");
    for (method, path) in operations {
        let provider = if path.contains("oidc") {
            "demo"
        } else {
            "google"
        };
        let mut concrete = path.replace("{provider}", provider);
        while let Some((before, rest)) = concrete.split_once('{') {
            let rest = rest.split_once('}').unwrap().1;
            concrete = format!("{before}00000000-0000-4000-8000-000000000000{rest}");
        }
        let response = app.browser().json().send(method.clone(), &concrete).await;
        assert!(
            response.status != 405 && !response.body.contains("\"not_found\""),
            "{method} {concrete}: {} {}",
            response.status,
            response.body
        );
    }
}

// RFC 9110 section 9.1
#[tokio::test]
async fn every_path_that_supports_get_supports_head() {
    let app = TestApp::start().await;
    let (_, operations) = openapi_document(&app).await;
    for (method, path) in &operations {
        if method == Method::GET {
            assert!(operations.contains(&(Method::HEAD, path.clone())), "{path}");
        }
    }
    let signed_in = app.signed_in("ada").await;
    for (method, path) in operations {
        if method != Method::GET {
            continue;
        }
        let path = path.replace("{provider}", "google").replace(['{', '}'], "");
        let get = signed_in.clone().get(&path).await;
        let head = signed_in.clone().send(Method::HEAD, &path).await;
        assert_eq!(
            (head.status, head.headers.get("content-type")),
            (get.status, get.headers.get("content-type")),
            "{path}"
        );
        assert_eq!(head.body, "", "{path}");
    }
    for path in ["/healthz", "/readyz", "/version", "/metrics"] {
        let mut operator = Browser::new(app.health.clone());
        let head = operator.send(Method::HEAD, path).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
}

/// `http/router.rs` registers and describes a route with one call. No other file may
/// register routes, so that the description is complete.
#[test]
fn every_route_is_registered_with_its_description() {
    fn collect_routes(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect_routes(&path, found);
            } else if !path.ends_with("http/router.rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                for way in [
                    ".route(",
                    "web::resource(",
                    "web::scope(",
                    ".service(",
                    "#[get(",
                    "#[post(",
                    "#[actix_web::",
                ] {
                    if text.contains(way) && !(way == "#[actix_web::" && path.ends_with("main.rs"))
                    {
                        found.push(format!("{}: {way}", path.display()));
                    }
                }
            }
        }
    }
    let mut found = Vec::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect_routes(&source, &mut found);
    assert_eq!(found, Vec::<String>::new(), "use Routes::add");
}

#[tokio::test]
async fn the_description_lists_parameters_and_responses() {
    let app = TestApp::start().await;
    let (document, operations) = openapi_document(&app).await;
    let path = |path: &str| document["paths"][path].clone();
    let names: Vec<String> = path("/auth/{provider}")["get"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
        .collect();
    for name in ["provider", "returnTo", "workspaceId", "messageVisibility"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    for (method, place) in operations {
        let operation = &path(&place)[method.as_str().to_lowercase()];
        assert!(
            operation["responses"]
                .as_object()
                .is_some_and(|all| !all.is_empty())
                && (operation["summary"].is_string() || operation["description"].is_string()),
            "{method} {place}: {operation}"
        );
    }
    // Every schema that the document refers to is part of it.
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn search_engines_are_told_to_stay_away() {
    let app = TestApp::start().await;
    let response = app.browser().get("/robots.txt").await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, "User-agent: *\nDisallow: /\n")
    );
}
