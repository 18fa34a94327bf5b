use std::fs;
use std::path::PathBuf;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::routing::{get, post};
use tower_service::Service;

use super::*;
use crate::config::{Environment, load};

const OPS: &str = "ops-token-0123456789";
const DEV: &str = "dev-token-0123456789";
const ROOT: &str = "root-token-0123456789";
const WEBHOOK: &str = "webhook-token-0123456789";

/// A directory with a config and what it names, gone at the end.
pub(in crate::http) struct House(pub(in crate::http) PathBuf);

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl House {
    pub(in crate::http) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgvigil-door-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (file, token) in [("ops", OPS), ("dev", DEV), ("root", ROOT), ("webhook", WEBHOOK)] {
            fs::write(path.join(file), format!("{token}\n")).unwrap();
        }
        Self(path)
    }

    pub(in crate::http) fn settings(&self, more: &str) -> crate::config::Settings {
        let text = format!("{more}\nclusters: [{{name: c, nodes: [{{name: a, dsn: host=db1 user=m}}]}}]\n");
        fs::write(self.0.join("pgvigil.yml"), text).unwrap();
        load(Some(&self.0.join("pgvigil.yml")), &Environment::default()).unwrap()
    }

    fn router(&self, more: &str) -> Router {
        let door = Arc::new(Door::open(&self.settings(more)).unwrap());
        let named = |caller: Option<Extension<Caller>>| async move {
            caller.map_or_else(|| "somebody".to_owned(), |Extension(caller)| caller.name.to_string())
        };
        Router::new()
            .route("/", get(named))
            .route("/alerts", guarded(Role::Ingest, post(named)))
            .route("/approve", guarded(Role::Approver, post(named).delete(named)))
            .route("/reload", guarded(Role::Admin, post(named)))
            .layer(from_fn_with_state(door, admit))
    }
}

/// Status, body, and what is asked for.
async fn send(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<String>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
    let asked = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let asked = asked.map(|value| value.to_str().unwrap().split(' ').next().unwrap().to_owned()).collect();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), asked)
}

async fn status(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    send(router, method, path, headers).await.0
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

const TOKENS: &str = "alertmanager: {bearer_token_file: webhook}\naccess:\n  - {name: ops, role: approver, token_file: ops}\n  - {name: root, role: admin, token_file: root}\n";
const METHODS: [&str; 5] = ["POST", "PUT", "DELETE", "PATCH", "BREW"];

#[tokio::test]
async fn without_access_everybody_may_look_and_nobody_may_change() {
    let house = House::new("none");
    let router = house.router("");
    for headers in [&[][..], &[("Authorization", "Bearer nobody's")], &[("Authorization", "Basic eDp5")]] {
        assert_eq!(status(&router, "GET", "/", headers).await, 200);
        for method in METHODS {
            for path in ["/", "/alerts", "/approve", "/reload", "/nowhere"] {
                assert_eq!(status(&router, method, path, headers).await, 403, "{method} {path}");
            }
        }
    }
    assert_eq!(status(&router, "GET", "/nowhere", &[]).await, 404);
    assert_eq!(status(&router, "GET", "/approve", &[]).await, 405);
}

#[tokio::test]
async fn each_role_may_what_it_may_and_is_known_by_its_name() {
    let house = House::new("roles");
    let more = format!("{TOKENS}  - {{name: dev, role: viewer, token_file: dev}}\n");
    let router = house.router(&more);
    for (token, name, may) in [
        (WEBHOOK, "alertmanager", [403, 200, 403, 403]),
        (DEV, "dev", [200, 403, 403, 403]),
        (OPS, "ops", [200, 200, 200, 403]),
        (ROOT, "root", [200, 200, 200, 200]),
        ("ops-token-012345678", "", [401, 403, 403, 403]),
        ("", "", [401, 403, 403, 403]),
    ] {
        let bearer = bearer(token);
        let headers = [("Authorization", bearer.as_str())];
        for ((method, path), expected) in
            [("GET", "/"), ("POST", "/alerts"), ("POST", "/approve"), ("POST", "/reload")].into_iter().zip(may)
        {
            let (status, body, _) = send(&router, method, path, &headers).await;
            assert_eq!(status, expected, "{token} {method} {path}");
            assert!(status != 200 || body == name, "{body}");
        }
    }
    // A viewer is named, and so the others may not look.
    assert_eq!(send(&router, "GET", "/", &[]).await.2, ["Bearer"]);
    let ops = bearer(OPS);
    assert_eq!(status(&router, "DELETE", "/approve", &[("Authorization", &ops)]).await, 200);
    assert_eq!(status(&router, "POST", "/nowhere", &[("Authorization", &ops)]).await, 404);
    assert_eq!(status(&router, "PUT", "/", &[("Authorization", &ops)]).await, 405);
    let two = [("Authorization", ops.as_str()), ("Authorization", ops.as_str())];
    assert_eq!(status(&router, "POST", "/approve", &two).await, 403, "whose are two credentials?");
    for odd in ["bearer  ops-token-0123456789", "BEARER ops-token-0123456789"] {
        assert_eq!(status(&router, "POST", "/approve", &[("Authorization", odd)]).await, 200, "{odd}");
    }
    for wrong in ["ops-token-0123456789", "Token ops-token-0123456789", "Bearer", "Bearer \u{e9}"] {
        assert_eq!(status(&router, "POST", "/approve", &[("Authorization", wrong)]).await, 403, "{wrong}");
    }
}

#[tokio::test]
async fn passwords_and_tokens_are_good_beside_each_other() {
    let house = House::new("both");
    let hash = |password| bcrypt::hash(password, 4).unwrap();
    let web = format!(
        "basic_auth_users: {{prom: \"{}\", ann: \"{}\"}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n",
        hash("open"),
        hash("sesame")
    );
    fs::write(house.0.join("web.yml"), web).unwrap();
    let router = house.router(&format!("web_config: web.yml\n{TOKENS}  - {{name: ann, role: approver, user: ann}}\n"));
    let (status_, _, asked) = send(&router, "GET", "/", &[]).await;
    assert_eq!((status_, asked), (401, vec!["Basic".to_owned(), "Bearer".to_owned()]));
    for (credential, look, approve) in [
        (basic("prom", "open"), 200, 403),
        (basic("ann", "sesame"), 200, 200),
        (basic("ann", "open"), 401, 403),
        (basic("eve", "open"), 401, 403),
        (basic("", ""), 401, 403),
        ("Basic !".to_owned(), 401, 403),
        ("Basic eDp5Og==".to_owned(), 401, 403),
        (bearer(OPS), 200, 200),
        (bearer(WEBHOOK), 403, 403),
        (bearer("open"), 401, 403),
    ] {
        let headers = [("Authorization", credential.as_str())];
        assert_eq!(status(&router, "GET", "/", &headers).await, look, "{credential}");
        assert_eq!(status(&router, "POST", "/approve", &headers).await, approve, "{credential}");
    }
    let ann = basic("ann", "sesame");
    for (header, value, expected) in [
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://vigil:10187", 200),
        ("Origin", "\u{e9}", 403),
        ("Sec-Fetch-Site", "\u{e9}", 403),
    ] {
        let headers = [("Authorization", ann.as_str()), ("Host", "vigil:10187"), (header, value)];
        assert_eq!(status(&router, "POST", "/approve", &headers).await, expected, "{header}: {value}");
    }
}

#[tokio::test]
async fn the_host_of_http2_counts_as_the_header_does() {
    let house = House::new("authority");
    let (router, ops) = (house.router(TOKENS), bearer(OPS));
    for (origin, expected) in [("https://vigil:10187", 200), ("https://evil:10187", 403)] {
        let headers = [("Authorization", ops.as_str()), ("Origin", origin)];
        assert_eq!(status(&router, "POST", "https://vigil:10187/approve", &headers).await, expected, "{origin}");
    }
}

#[tokio::test]
async fn a_credential_goes_no_further_than_the_door() {
    let house = House::new("gone");
    let more = format!("{TOKENS}  - {{name: dev, role: viewer, token_file: dev}}\n");
    let door = Arc::new(Door::open(&house.settings(&more)).unwrap());
    let seen = |headers: HeaderMap| async move { format!("{headers:?}") };
    let router = Router::new().route("/", get(seen)).layer(from_fn_with_state(door, admit));
    let dev = bearer(DEV);
    let (status, body, _) = send(&router, "GET", "/", &[("Authorization", &dev), ("X", "y")]).await;
    assert!(status == 200 && body.contains("\"x\"") && !body.contains(DEV), "{body}");
}

#[tokio::test]
async fn more_than_the_rate_is_turned_away_with_the_headers_on_it() {
    let house = House::new("rate");
    let web =
        "rate_limit: {interval: 1h, burst: 2}\nhttp_server_config: {headers: {X-Content-Type-Options: nosniff}}\n";
    fs::write(house.0.join("web.yml"), web).unwrap();
    let router = house.router("web_config: web.yml\n");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        let response = router.clone().call(request).await.unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        statuses.push((response.status().as_u16(), response.headers().contains_key(RETRY_AFTER)));
    }
    assert_eq!(statuses, [(200, false), (200, false), (429, true)]);
}
