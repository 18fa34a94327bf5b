//! A failover that a person agrees to in the page.

use std::time::Duration;

use pgvigil::lab::{LabError, wait_until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Outcome;
use super::audit::{assert_accessible, assert_fits_a_telephone, assert_keyboard_reaches_all};
use super::chromium::Browser;
use crate::failover::stage::{OVER, Play, SOON_AFTER, Stage};
use crate::live::client::get;

const OPS: &str = "Authorization: Bearer ops-token-0123456789\r\n";
const PASSWORD: &str = "a-password-of-the-test";
/// What the page shows of a run follows within this.
const FOLLOWS: Duration = Duration::from_secs(10);

/// Lets in by password alone: `ann`, who may approve, and `eve`, who may look.
async fn secure(stage: &Stage) -> Result<(), LabError> {
    let hash = bcrypt::hash(PASSWORD, 4).expect("a hash");
    let users = format!("basic_auth_users:\n  ann: \"{hash}\"\n  eve: \"{hash}\"\n");
    std::fs::write(stage.lab.path().join("web.yml"), users).expect("a file in the lab");
    let text = std::fs::read_to_string(&stage.config).expect("the config");
    let access = "web_config: web.yml\naccess:\n  - {name: ann, role: approver, user: ann}\n";
    stage.vigil.replace_config(&text.replace("access:\n", access));
    wait_until("passwords to be asked for", SOON_AFTER, async || {
        match get(stage.vigil.port(), "/-/ready", "").await.status {
            401 => Ok(()),
            other => Err(format!("{other}\n{}", stage.vigil.process().log_tail(5))),
        }
    })
    .await
}

impl Stage {
    fn page(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.vigil.port())
    }

    /// A browser in which this user has said who he is.
    async fn browser_of(&self, user: &str) -> Result<Browser, LabError> {
        let browser = Browser::open(&self.lab, &format!("browser-of-{user}")).await?;
        // Chromium shows by itself what it was asked for, but not to addresses that have a password in them.
        browser.goto(&format!("http://{user}:{PASSWORD}@127.0.0.1:{}/", self.vigil.port())).await;
        Ok(browser)
    }

    async fn newest_run(&self) -> Value {
        let runs = get(self.vigil.port(), "/api/v1/runs", OPS).await.json();
        runs["runs"][0].clone()
    }

    async fn until_phase(&self, phase: &str) -> Result<Value, LabError> {
        wait_until(format!("a run that is {phase}"), OVER, async || {
            let run = self.newest_run().await;
            if run["phase"] == phase { Ok(run) } else { Err(run.to_string()) }
        })
        .await
    }
}

async fn until_shown(browser: &Browser, id: &str, phase: &str, within: Duration) -> Outcome {
    let script = format!("return document.querySelector('article[data-run=\"{id}\"][data-phase={phase}]') && true");
    let words =
        "return document.querySelector('article[data-run]')?.outerHTML.slice(0, 300) ?? document.body.innerText";
    browser.until(&format!("the page to show {phase}"), within, &script, words).await.map(drop)
}

/// Serves a page of another site, with a form that posts to `action` as it is loaded.
async fn other_site(action: &str, plan: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
    let page = format!(
        "<!DOCTYPE html><title>other</title><form id=f method=post action=\"{action}\">\
         <input type=hidden name=plan value=\"{plan}\"><button>Win a prize</button></form>"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_is_clicked_runs_the_runbook_to_its_end() -> Outcome {
    let stage = Stage::open(Play { mode: "manual", ..Play::default() }).await?;
    secure(&stage).await?;
    let client = stage.written().await?;
    stage.a.kill_postmaster()?;
    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_phase("awaiting").await?;
    let (id, plan) = (run["id"].as_str().unwrap().to_owned(), run["plan"].as_str().unwrap().to_owned());
    let path = format!("/runs/{id}");

    // Eve may look, and has nothing to press.
    let viewer = stage.browser_of("eve").await?;
    viewer.goto(&stage.page(&path)).await;
    until_shown(&viewer, &id, "awaiting", FOLLOWS).await?;
    let seen = viewer.read("return [document.querySelectorAll('form, button').length, document.body.innerText]").await;
    assert_eq!(seen[0], 0, "eve may press something: {seen:#}");
    assert!(seen[1].as_str().unwrap().contains("pgvigil runbook approve"), "no way to go on from here: {seen:#}");
    viewer.picture("run-viewer").await;
    viewer.assert_no_error().await;
    // A form that she makes herself is refused.
    let forge = format!(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '{path}/approve';
         const plan = document.createElement('input'); plan.name = 'plan'; plan.value = '{plan}';
         form.append(plan); document.body.append(form); form.submit()"
    );
    viewer.read(&forge).await;
    let refused = "return document.body.innerText.includes('does not allow') || null";
    viewer.until("the refusal of eve", FOLLOWS, refused, "return document.body.innerText").await?;
    assert_eq!(stage.newest_run().await["phase"], "awaiting");

    let browser = stage.browser_of("ann").await?;
    browser.goto(&stage.page(&path)).await;
    until_shown(&browser, &id, "awaiting", FOLLOWS).await?;
    assert_accessible(&browser).await;
    assert_keyboard_reaches_all(&browser).await;
    browser.picture("run-awaiting").await;
    browser.goto(&stage.page("/clusters/lab")).await;
    until_shown(&browser, &id, "awaiting", FOLLOWS).await?;
    assert_accessible(&browser).await;
    browser.picture("during-failover").await;
    let action = format!("http://127.0.0.1:{}{path}/approve", stage.vigil.port());
    browser.goto(&other_site(&action, &plan).await).await;
    browser.click("button").await;
    browser
        .until(
            "the refusal",
            FOLLOWS,
            "return document.body.innerText.includes('another site') || null",
            "return document.body.innerText",
        )
        .await?;
    assert_eq!(stage.newest_run().await["phase"], "awaiting");
    assert_eq!(stage.fenced(), [""; 0]);
    drop(browser.console().await);

    browser.goto(&stage.page(&path)).await;
    let text = browser.read("return document.querySelector('form[action$=\"/approve\"] button').innerText").await;
    assert!(text.as_str().unwrap().starts_with("Approve"), "{text}");
    browser.click("form[action$='/approve'] button").await;
    browser
        .until(
            "to be back at the run",
            FOLLOWS,
            &format!("return location.pathname === '{path}' || null"),
            "return location.href",
        )
        .await?;
    browser.picture("run-acting").await;
    until_shown(&browser, &id, "succeeded", OVER).await?;
    let run = stage.until_phase("succeeded").await?;
    assert_eq!(run["approved_by"], "ann");
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    wait_until("a row on the new primary", SOON_AFTER, async || client.first_by(&candidate).ok_or_else(String::new))
        .await?;
    browser.picture("run-succeeded").await;
    assert_accessible(&browser).await;
    browser.assert_no_error().await;

    browser.goto(&stage.page("/clusters/lab")).await;
    let primary = format!("return document.querySelector('tr[data-node={candidate}][data-role=primary]') && true");
    browser
        .until("the new primary", FOLLOWS, &primary, "return document.querySelector('#topology')?.innerText")
        .await?;
    let view = browser.view().await;
    assert_ne!(view.rows["a"].role, "primary", "{view:?}");
    assert_eq!(view.split_brain, None);
    browser.picture("after-failover").await;
    browser.be_a_telephone().await;
    browser.goto(&stage.page(&path)).await;
    assert_fits_a_telephone(&browser).await;
    browser.picture("run-phone").await;
    browser.click("form[action$='/ack'] button").await;
    wait_until("the acknowledgement", FOLLOWS, async || {
        let run = stage.newest_run().await;
        if run["acknowledged_by"] == "ann" { Ok(()) } else { Err(run.to_string()) }
    })
    .await?;
    browser.assert_no_error().await;
    Ok(())
}
