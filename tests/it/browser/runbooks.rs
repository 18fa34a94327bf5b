//! The pages that alerts lead to.

use pgvigil::lab::Lab;

use super::Outcome;
use super::audit::{assert_accessible, assert_fits_a_telephone, assert_keyboard_reaches_all};
use super::chromium::Browser;
use crate::live::watch::{Node, SOON, Vigil};

const BOOK: &str = "PostgresPrimaryUnreachable";

#[tokio::test(flavor = "multi_thread")]
async fn are_for_everybody_and_every_screen() -> Outcome {
    let lab = Lab::new()?;
    let nowhere = Node::with("a", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[nowhere]).await?;
    let browser = Browser::open(&lab, "browser").await?;
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", vigil.port());

    browser.goto(&at("/runbooks")).await;
    assert_eq!(browser.title().await, "Runbooks");
    assert_accessible(&browser).await;
    assert_keyboard_reaches_all(&browser).await;
    browser.click(&format!("a[href='{BOOK}']")).await;
    let there = format!("return document.title === '{BOOK}' || null");
    browser.until("the runbook", SOON, &there, "return document.title").await?;
    assert!(browser.address().await.ends_with(&format!("/runbooks/{BOOK}")));
    assert_accessible(&browser).await;
    assert_keyboard_reaches_all(&browser).await;
    browser.picture("runbook").await;

    browser.be_a_telephone().await;
    for path in ["/runbooks/", &format!("/runbooks/{BOOK}")] {
        browser.goto(&at(path)).await;
        assert_fits_a_telephone(&browser).await;
    }
    browser.picture("runbook-phone").await;
    browser.assert_no_error().await;
    lab.stop().await;
    Ok(())
}
