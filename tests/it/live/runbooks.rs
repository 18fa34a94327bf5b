//! Runbooks of a running pgvigil: who may read them, and when files that changed count.

use pgvigil::lab::{Lab, LabError, wait_until};
use rustix::process::Signal;

use super::client::{get, request};
use super::watch::{Node, SOON, Vigil};

const ROOT: &str = "Authorization: Bearer root-token-0123456789\r\n";
const DEV: &str = "Authorization: Bearer dev-token-0123456789\r\n";

#[tokio::test]
async fn a_file_that_changed_waits_for_a_person_and_a_bad_one_changes_nothing() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let write = |file: &str, text: &str| std::fs::write(lab.path().join(file), text).unwrap();
    write("root", "root-token-0123456789");
    write("dev", "dev-token-0123456789");
    std::fs::create_dir(lab.path().join("books")).unwrap();
    let says = |word: &str| write("books/Ours.md", &format!("---\nclass: human-only\n---\n# {word}\n"));
    says("first");
    let node = || [Node::with("a", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "")];
    let more = "runbook_dirs: [books]\naccess:\n  - {name: root, role: admin, token_file: root}\n";
    let vigil = Vigil::start_with(&lab, &node(), more).await?;
    let shows = async |word: &str| {
        let text = get(vigil.port(), "/runbooks/Ours", DEV).await.text();
        assert!(text.contains(&format!("<h1 id=\"{word}\">{word}</h1>")), "{word} in {text}");
    };
    assert_eq!(request(vigil.port(), "POST", "/runbooks/Ours", ROOT).await.status, 405, "nothing changes there");
    shows("first").await;
    assert!(get(vigil.port(), "/runbooks/", DEV).await.text().contains("<a href=\"Ours\">Ours</a>"));

    // The config file changes too, and is taken in by itself: now not everybody may look.
    says("second");
    let more = format!("{more}  - {{name: dev, role: viewer, token_file: dev}}\n");
    vigil.replace_config(&Vigil::config_text(&lab, vigil.port(), &node(), &more));
    let log_says = async |what: &str| {
        wait_until(&format!("the log says {what}"), SOON, async || match vigil.log().contains(what) {
            true => Ok(()),
            false => Err(vigil.log()),
        })
        .await
    };
    log_says("trigger=file").await?;
    for path in ["/runbooks/", "/runbooks/Ours", "/runbooks/Ours?raw", "/runbooks/Nobody"] {
        assert_eq!(get(vigil.port(), path, "").await.status, 401, "{path}");
    }
    shows("first").await;
    // So does what they may do.
    let waits = "runbooks or admin_dsn are others than before: that waits for SIGHUP";
    assert!(!vigil.log().contains(waits));
    let text = Vigil::config_text(&lab, vigil.port(), &node(), &more)
        .replace("\n    nodes:", "\n    runbooks: {mode: manual}\n    nodes:");
    vigil.replace_config(&text);
    log_says(waits).await?;
    shows("first").await;
    vigil.process().signal(Signal::HUP)?;
    log_says("trigger=signal").await?;
    shows("second").await;
    let said = vigil.log().matches(waits).count();
    vigil.replace_config(&format!("{text}# The same\n"));
    wait_until("another word of the file", SOON, async || match vigil.log().matches("trigger=file").count() {
        3.. => Ok(()),
        count => Err(format!("{count}: {}", vigil.log())),
    })
    .await?;
    assert_eq!(vigil.log().matches(waits).count(), said, "nothing waits any more");

    write("books/Bad.md", "---\nclass: nothing\n---\n# Bad\n");
    says("third");
    let reload = async || request(vigil.port(), "POST", "/-/reload", ROOT).await;
    let refused = reload().await;
    let why = "books/Bad.md:2:8: class is none that there is: use diagnose, reversible, failover or human-only";
    assert!(refused.status == 500 && refused.text().contains(why), "{}", refused.text());
    shows("second").await;
    std::fs::remove_file(lab.path().join("books/Bad.md")).unwrap();
    assert_eq!(reload().await.status, 200);
    shows("third").await;
    lab.stop().await;
    Ok(())
}
