use std::fs;
use std::path::PathBuf;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower_service::Service;

use super::*;

/// The runbooks of `tests/fixtures/runbooks`, besides the built-in ones.
fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/runbooks"))
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(runbooks: &Arc<Runbooks>, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut router: Router<()> = routes(runbooks.clone());
    let response = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 8 << 20).await.unwrap();
    Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

fn served(dirs: &[PathBuf]) -> Arc<Runbooks> {
    Arc::new(Runbooks::new(Shelf::read(dirs).unwrap()))
}

#[tokio::test]
async fn a_page_is_html_for_people_and_the_file_for_who_asks_for_it() {
    let runbooks = served(&[fixtures()]);
    let page = ask(&runbooks, "/runbooks/Switchover", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, HTML));
    for part in [
        "<title>Switchover</title>",
        "width=device-width",
        "color-scheme:light dark",
        "<h1 id=\"switchover\">Switchover</h1>",
        "<h2 id=\"mitigation\">Mitigation</h2>",
        "<td>human-only</td><td>dry-run</td><td>none</td>",
        "href=\"Switchover?raw\"",
    ] {
        assert!(page.text.contains(part), "{part} in\n{}", page.text);
    }
    let acting = ask(&runbooks, "/runbooks/PostgresPrimaryUnreachable", &[]).await.text;
    assert!(acting.contains("fence, promote, repoint, run, sql, wait, verify</td>"), "{acting}");
    assert!(acting.contains("<a href=\"Switchover#mitigation\">the switch-over</a>"), "{acting}");

    let file = fs::read_to_string(fixtures().join("Switchover.md")).unwrap();
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, accept, raw) in [
        ("/runbooks/Switchover?raw", "", true),
        ("/runbooks/Switchover?raw=1", browser, true),
        ("/runbooks/Switchover?x&raw", "", true),
        ("/runbooks/Switchover?rawer", "", false),
        ("/runbooks/Switchover", "text/markdown", true),
        ("/runbooks/Switchover", "Text/Markdown, */*", true),
        ("/runbooks/Switchover", "text/html;q=0.5, text/markdown;q=0.6", true),
        ("/runbooks/Switchover", "text/html, text/markdown;q=0.6", false),
        ("/runbooks/Switchover", "text/html, text/markdown", false),
        ("/runbooks/Switchover", "text/markdown;q=0", false),
        ("/runbooks/Switchover", "text/markdown;q=much", false),
        ("/runbooks/Switchover", browser, false),
        ("/runbooks/Switchover", "*/*", false),
        ("/runbooks/Switchover", ";;,q=", false),
    ] {
        let answer = ask(&runbooks, path, &[("accept", accept)]).await;
        let wanted = if raw { MARKDOWN } else { HTML };
        assert_eq!((answer.status, answer.header("content-type")), (200, wanted), "{path} {accept}");
        assert_eq!(answer.text == file, raw, "{path} {accept}");
        assert_eq!((answer.header("vary"), answer.header("x-content-type-options")), ("Accept", "nosniff"));
        assert_eq!(answer.header("content-security-policy"), POLICY);
    }
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let runbooks = served(&[fixtures()]);
    let page = ask(&runbooks, "/runbooks/Switchover", &[]).await;
    let tag = page.header("etag").to_owned();
    assert!(tag.len() == 34 && tag.starts_with('"'), "{tag}");
    for (known, status) in [
        (tag.clone(), 304),
        (format!("\"a\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"a\"".to_owned(), 200),
        (tag.replace('"', ""), 200),
    ] {
        let again = ask(&runbooks, "/runbooks/Switchover", &[("if-none-match", &known)]).await;
        assert_eq!(
            (again.status, again.text.is_empty(), again.header("etag")),
            (status, status == 304, &*tag),
            "{known}"
        );
    }
    let raw = ask(&runbooks, "/runbooks/Switchover?raw", &[("if-none-match", &tag)]).await;
    assert_eq!(raw.status, 200, "the file is another thing");
    assert_eq!(ask(&runbooks, "/runbooks/Hostile", &[("if-none-match", &tag)]).await.status, 200);
}

#[tokio::test]
async fn what_a_page_holds_does_nothing() {
    let page = ask(&served(&[fixtures()]), "/runbooks/Hostile", &[]).await.text;
    for bad in ["<script", "<img", "<details", "<summary", "javascript:", "data:text", "evil.example/y", "onclick=\"a"]
    {
        let shown = bad.replace('<', "&lt;");
        let body = page.replace(&shown, "");
        assert!(!body.contains(bad) || bad == "onclick=\"a", "{bad} in\n{page}");
    }
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("href=\"https://good.example/\""),
        "{page}"
    );
    assert_eq!(page.matches("<a href").count(), 5, "two links of the page, and three of ours:\n{page}");
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_what_is() {
    let runbooks = served(&[fixtures()]);
    for (name, near) in [
        ("Switchovr", Some("Switchover")),
        ("switchover", Some("Switchover")),
        ("PostgresPrimaryUnreachabel", Some("PostgresPrimaryUnreachable")),
        ("HostileTo", Some("HostileToo")),
        ("%3Cscript%3E", None),
        ("..%2F..%2F..%2Fetc%2Fpasswd", None),
        ("..%2FSwitchover.md", Some("Switchover")),
        ("Switchover.md", Some("Switchover")),
        ("%00", None),
    ] {
        let answer = ask(&runbooks, &format!("/runbooks/{name}"), &[]).await;
        assert_eq!(answer.status, 404, "{name}");
        let link = near.map(|near| format!("Did you mean <a href=\"/runbooks/{near}\">{near}</a>?"));
        match link {
            Some(link) => assert!(answer.text.contains(&link), "{name}: {}", answer.text),
            None => assert!(!answer.text.contains("Did you mean"), "{name}: {}", answer.text),
        }
        assert!(!answer.text.contains("script") && !answer.text.contains("passwd"), "{}", answer.text);
    }
    assert_eq!(ask(&runbooks, "/runbooks/%ff", &[]).await.status, 400);
    assert_eq!(ask(&runbooks, &format!("/runbooks/{}", "x".repeat(5000)), &[]).await.status, 404);
    assert_eq!(ask(&runbooks, "/runbooks/../runbooks/Switchover", &[]).await.status, 404);
}

#[tokio::test]
async fn the_list_has_every_runbook_once_and_alerts_lead_to_their_page() {
    let runbooks = served(&[fixtures()]);
    let to_list = ask(&runbooks, "/runbooks", &[]).await;
    assert_eq!((to_list.status, to_list.header("location")), (308, "/runbooks/"));
    let list = ask(&runbooks, "/runbooks/", &[]).await;
    assert_eq!(list.status, 200);
    for name in ["Hostile", "PostgresPrimaryUnreachable", "Switchover"] {
        assert_eq!(list.text.matches(&format!("<a href=\"{name}\">")).count(), 1, "{name} in\n{}", list.text);
    }
    assert!(!list.text.contains("fixtures"), "a path of the machine: {}", list.text);
    let (one, other) =
        (ask(&runbooks, "/runbooks/Hostile", &[]).await, ask(&runbooks, "/runbooks/HostileToo", &[]).await);
    assert_eq!((one.status, one.text == other.text), (200, true));
    runbooks.take_in(Shelf::default());
    assert!(ask(&runbooks, "/runbooks/", &[]).await.text.contains("There are none."));
    assert_eq!(ask(&runbooks, "/runbooks/Hostile", &[]).await.status, 404);
}
