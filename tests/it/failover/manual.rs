//! A failover that a person agrees to, on the command line.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::Outcome;
use super::crash::{kinds, records};
use super::loss;
use super::stage::{BOOK, Play, SOON_AFTER, Stage, VIEWER, WEBHOOK};
use super::writable::Writable;
use pgvigil::lab::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_until_somebody_agrees_to_the_plan() -> Outcome {
    let stage = Stage::open(Play { mode: "manual", ..Play::default() }).await?;
    let client = stage.written().await?;
    let writable = Writable::watch(&stage.servers()).await?;
    client.wait_more(50).await?;
    stage.a.kill_postmaster()?;
    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_run("awaiting").await?;
    let (id, plan) = (run["id"].as_str().unwrap(), run["plan"].as_str().unwrap());

    let said = stage.says(&["plan", BOOK, "--cluster", "lab"]).await.1;
    assert!(said.contains("primary    a of timeline 1") && said.contains("1  fence: "), "{said}");
    // Standbys that keep up with each other may change places until somebody is asked about one of them.
    let said = stage.said(&["show", id], true).await;
    let now = stage.run(id).await["plan"].as_str().unwrap().to_owned();
    assert!(said.contains("stands     awaiting, 0 of 4 steps done") && said.contains(&now), "{plan} {now} {said}");
    let said = stage.said(&["approve", id, "--plan", "0123456789abcdef"], false).await;
    assert!(said.contains("is another now") && said.contains(&now), "{said}");
    let path = format!("/api/v1/runs/{id}/approve");
    let refused = stage.post(&path, WEBHOOK, &json!({ "plan": plan })).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(stage.run(id).await["phase"], "awaiting");
    let said = stage.said(&["reject", id, "--comment", "not yet"], true).await;
    assert!(said.contains("rejected"), "{said}");
    assert_eq!(stage.fenced(), [""; 0]);

    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_run("awaiting").await?;
    let id = run["id"].as_str().unwrap();
    let plan = wait_until("an approval of the plan as it is now", SOON_AFTER, async || {
        let plan = stage.run(id).await["plan"].as_str().unwrap().to_owned();
        let (agreed, said) = stage.says(&["approve", id, "--plan", &plan, "--comment", "seen"]).await;
        if agreed { Ok(plan) } else { Err(said) }
    })
    .await?;
    let run = stage.until_run("succeeded").await?;
    assert_eq!(run["approved_by"], "ops");
    let candidate = run["candidate"].as_str().unwrap().to_owned();
    wait_until("a row on the new primary", SOON_AFTER, async || client.first_by(&candidate).ok_or_else(String::new))
        .await?;
    let said = stage.said(&["ack", id, "--comment", "well done"], true).await;
    assert!(said.contains("noted by   ops"), "{said}");
    let (whole, said) = stage.command(&["runbook", "history"]).await;
    assert!(whole && said.contains("not yet") && said.contains("well done"), "{said}");
    assert_eq!(writable.never_two(), ["a", candidate.as_str()]);
    loss::judge(client, &run, &stage, stage.server(&candidate)).await?;

    let text = std::fs::read_to_string(&stage.config).unwrap();
    let viewer = "access:\n  - {name: eye, role: viewer, token_file: viewer}\n";
    stage.vigil.replace_config(&text.replace("access:\n", viewer));
    wait_until("a viewer that is known", SOON_AFTER, async || {
        let answer = stage.post(&path, VIEWER, &json!({ "plan": plan })).await;
        if answer.status == 403 { Ok(()) } else { Err(answer.text()) }
    })
    .await
}

/// Longer than the rest between two looks at what a person is asked, and shorter than what makes it void.
const SLOW_TO_ANSWER: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_outlives_standbys_that_are_slow_to_answer() -> Outcome {
    let stage = Stage::open(Play { mode: "manual", ..Play::default() }).await?;
    let client = stage.written().await?;
    stage.a.kill_postmaster()?;
    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_run("awaiting").await?;
    let (id, candidate) = (run["id"].as_str().unwrap(), run["candidate"].as_str().unwrap());
    let slow = async || -> Outcome {
        stage.b.freeze()?;
        stage.c.freeze()?;
        sleep(SLOW_TO_ANSWER).await;
        stage.b.thaw()?;
        stage.c.thaw()
    };
    slow().await?;
    assert_eq!(stage.run(id).await["phase"], "awaiting");

    let (approved, frozen) = tokio::join!(
        async {
            let plan = stage.run(id).await["plan"].as_str().unwrap().to_owned();
            stage.said(&["approve", id, "--plan", &plan], true).await;
            stage.until_run("ready").await
        },
        slow(),
    );
    approved?;
    frozen?;
    let run = stage.until_run("succeeded").await?;
    assert_eq!((&run["id"], &run["candidate"]), (&json!(id), &json!(candidate)));
    wait_until("a row on the new primary", SOON_AFTER, async || client.first_by(candidate).ok_or_else(String::new))
        .await?;
    // On a busy machine the promotion may have to wait for a standby once more; nobody is asked anew.
    let happened = kinds(&records(&stage.journal()));
    assert!(happened.starts_with("opened received planned awaiting approved "), "{happened}");
    assert_eq!(happened.matches("awaiting").count(), 1, "{happened}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_that_comes_later_is_asked_about_anew_and_standbys_that_are_gone_void_the_plan() -> Outcome {
    let stage = Stage::open(Play { mode: "manual", ..Play::default() }).await?;
    let client = stage.written().await?;
    stage.a.kill_postmaster()?;
    assert_eq!(stage.alert().await.status, 202);
    let run = stage.until_run("awaiting").await?;
    let id = run["id"].as_str().unwrap();
    stage.b.freeze()?;
    stage.c.freeze()?;
    stage.until_run("blocked").await?;
    stage.b.thaw()?;
    stage.c.thaw()?;
    stage.until_run("awaiting").await?;

    let begins = json!({"action": "start", "clusters": ["lab"], "for": "10m"});
    assert_eq!(stage.ask("/api/v1/maintenance", &begins).await.status, 200);
    let run = wait_until("the doubt in what is asked", SOON_AFTER, async || {
        let run = stage.run(id).await;
        let doubted = run["guards"]
            .as_array()
            .unwrap()
            .iter()
            .any(|seen| seen["guard"] == "no_maintenance" && seen["answer"] == "block");
        if doubted && run["phase"] == "awaiting" { Ok(run) } else { Err(run.to_string()) }
    })
    .await?;
    stage.said(&["approve", id, "--plan", run["plan"].as_str().unwrap()], true).await;
    let run = stage.until_run("succeeded").await?;
    assert_eq!(run["id"], id);
    let candidate = run["candidate"].as_str().unwrap();
    wait_until("a row on the new primary", SOON_AFTER, async || client.first_by(candidate).ok_or_else(String::new))
        .await?;
    Ok(())
}

impl Stage {
    /// What `pgvigil runbook` says with the token of a person who may do all.
    async fn said(&self, args: &[&str], content: bool) -> String {
        let (done, said) = self.says(args).await;
        assert_eq!(done, content, "{args:?}: {said}");
        said
    }

    /// The same, whether it is content or not.
    async fn says(&self, args: &[&str]) -> (bool, String) {
        let token = self.lab.path().join("ops").display().to_string();
        let all: Vec<&str> =
            ["runbook"].into_iter().chain(args.iter().copied()).chain(["--token-file", &token]).collect();
        let (done, said) = self.command(&all).await;
        println!("$ pgvigil runbook {}\n{said}", args.join(" "));
        (done, said)
    }
}
