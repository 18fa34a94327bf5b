//! A decision on the page of a run, by the form that a browser sends.

use super::Outcome;
use super::stage::{OPS, Play, Stage, WEBHOOK};
use crate::live::client::{Answer, exchange, get};

#[tokio::test(flavor = "multi_thread")]
async fn a_form_decides_for_those_who_may_and_for_no_other_site() -> Outcome {
    let stage = Stage::open(Play { mode: "manual", ..Play::default() }).await?;
    stage.a.kill_postmaster()?;
    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_run("awaiting").await?;
    let (id, plan) = (run["id"].as_str().unwrap(), run["plan"].as_str().unwrap());
    let port = stage.vigil.port();
    let ops = format!("Authorization: Bearer {OPS}\r\n");
    let page = get(port, &format!("/runs/{id}"), "").await.text();
    assert!(page.contains(&format!("pgvigil runbook approve {id} --plan {plan}")) && !page.contains("<form"), "{page}");
    let page = get(port, &format!("/runs/{id}"), &ops).await.text();
    assert!(page.contains(&format!("name=\"plan\" value=\"{plan}\"")), "{page}");
    assert!(get(port, "/", "").await.text().contains(&format!("<article data-run=\"{id}\" data-phase=\"awaiting\">")));

    let approve = format!("/runs/{id}/approve");
    let form = format!("plan={plan}&comment=seen+by+ops");
    for (headers, why) in [
        (String::new(), "no credential"),
        (format!("Authorization: Bearer {WEBHOOK}\r\n"), "the webhook's"),
        (format!("{ops}Sec-Fetch-Site: cross-site\r\n"), "another site's page"),
        (format!("{ops}Origin: http://evil.example\r\n"), "another site's page in an old browser"),
    ] {
        assert_eq!(send(port, &approve, &headers, &form).await.status, 403, "{why}");
    }
    let ours = format!("{ops}Sec-Fetch-Site: same-origin\r\n");
    let stale = send(port, &approve, &ours, "plan=0123456789abcdef&comment=").await;
    assert!(stale.status == 409 && stale.text().contains("is another now"), "{}", stale.text());
    assert_eq!(send(port, &approve, &ours, "plan=x&more=1").await.status, 400);
    assert_eq!(get(port, &approve, &ops).await.status, 405);
    assert_eq!(stage.run(id).await["phase"], "awaiting");

    let rejected = send(port, &format!("/runs/{id}/reject"), &ours, "comment=not+tonight").await;
    assert_eq!((rejected.status, rejected.header("location")), (303, Some(format!("/runs/{id}").as_str())));
    let page = get(port, &format!("/runs/{id}"), &ops).await.text();
    assert!(page.contains("data-phase=\"rejected\"") && page.contains("ops said no: not tonight"), "{page}");
    assert_eq!(stage.fenced(), [""; 0]);
    Ok(())
}

async fn send(port: u16, path: &str, headers: &str, form: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.0\r\nHost: lab\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}Content-Length: {}\r\n\r\n",
        form.len()
    );
    exchange(port, format!("{head}{form}").as_bytes()).await.expect("an answer")
}
