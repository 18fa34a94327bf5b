//! What every page is held to: axe-core, a narrow screen, a keyboard.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::chromium::Browser;

/// Lines of text that is too wide for a telephone are cut so.
const LONGEST: usize = 160;

/// The source of axe-core, as scripts/bootstrap pins it.
static AXE: LazyLock<String> = LazyLock::new(|| {
    let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bootstrap");
    let output = Command::new(bootstrap).arg("axe").output().expect("scripts/bootstrap");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path}: {error}: install axe-core with `scripts/bootstrap browser`"))
});

/// Fails on a serious or critical finding of axe-core, in light and dark, and prints it.
pub async fn assert_accessible(browser: &Browser) {
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let findings = axe(browser).await;
        let lines: Vec<String> = findings.iter().map(describe).collect();
        for line in &lines {
            println!("{scheme}: {line}");
        }
        let is_grave = |finding: &&Value| matches!(finding["impact"].as_str(), Some("serious" | "critical"));
        let grave = findings.iter().filter(is_grave).count();
        assert_eq!(grave, 0, "{} in {scheme}:\n{}", browser.address().await, lines.join("\n"));
    }
    browser.prefer("light").await;
}

async fn axe(browser: &Browser) -> Vec<Value> {
    if browser.read("return typeof axe").await == "undefined" {
        browser.read(&AXE).await;
    }
    let answer = browser
        .read_later(
            "const done = arguments[arguments.length - 1];
             axe.run(document, { resultTypes: ['violations'], preload: false }).then(
                 result => done({ passed: result.passes.length, violations: result.violations.map(found => ({
                     id: found.id, impact: found.impact, help: found.help,
                     nodes: found.nodes.map(node => ({ html: node.html, why: node.failureSummary })) })) }),
                 error => done({ error: String(error) }))",
        )
        .await;
    // An audit that looked at nothing finds nothing.
    assert!(answer["passed"].as_u64().is_some_and(|passed| passed > 5), "axe-core did not run: {answer}");
    answer["violations"].as_array().cloned().expect("a list of findings")
}

fn describe(finding: &Value) -> String {
    let nodes = finding["nodes"].as_array().cloned().unwrap_or_default();
    let nodes: Vec<String> =
        nodes.iter().take(5).map(|node| format!("\n    {} {}", node["html"], node["why"])).collect();
    format!("{} {}: {}{}", finding["impact"], finding["id"], finding["help"], nodes.concat())
}

/// Fails if the page is wider than a telephone of 360 pixels, and names what sticks out.
pub async fn assert_fits_a_telephone(browser: &Browser) {
    let seen = browser
        .read(
            "const contained = element => { for (let up = element.parentElement; up; up = up.parentElement)
                 if (getComputedStyle(up).overflowX !== 'visible') return true; return false };
             const out = [...document.body.querySelectorAll('*')].filter(element =>
                 element.getBoundingClientRect().right > 361 && !contained(element));
             return { width: document.documentElement.scrollWidth, out: out.slice(0, 8).map(element => element.outerHTML) }",
        )
        .await;
    let out = seen["out"].as_array().cloned().unwrap_or_default();
    let out: Vec<String> = out.iter().map(|html| html.to_string().chars().take(LONGEST).collect()).collect();
    let width = seen["width"].as_u64().unwrap_or(u64::MAX);
    assert!(width <= 360, "{} is {width} pixels wide:\n{}", browser.address().await, out.join("\n"));
}

/// Fails unless Tab leads to everything that can be pressed or filled in, each with a focus that is seen.
pub async fn assert_keyboard_reaches_all(browser: &Browser) {
    let wanted = browser
        .read(
            "document.activeElement.blur(); window.scrollTo(0, 0);
             window.wanted = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), textarea, select, summary')]
                 .filter(element => element.checkVisibility({ visibilityProperty: true }) && !element.disabled);
             window.plain = new Map(window.wanted.map(element => {
                 const style = getComputedStyle(element); return [element, style.boxShadow + style.backgroundColor + style.borderColor] }));
             return window.wanted.length",
        )
        .await;
    let wanted = wanted.as_u64().expect("a number");
    assert!(wanted > 0, "there is nothing to press at {}", browser.address().await);
    // A page that changes meanwhile may put another element there; twice around is enough.
    for _ in 0..(2 * wanted + 4) {
        browser.tab().await;
        browser
            .read(
                "const at = document.activeElement, style = getComputedStyle(at);
                 const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
                 const changed = style.boxShadow + style.backgroundColor + style.borderColor !== window.plain.get(at);
                 window.reached = window.reached || new Set(); window.unseen = window.unseen || new Set();
                 window.reached.add(at);
                 if (window.wanted.includes(at) && !outlined && !changed) window.unseen.add(at)",
            )
            .await;
    }
    let missed = browser
        .read(
            "const name = element => element.outerHTML.slice(0, 160);
             return { missed: window.wanted.filter(one => one.isConnected && !window.reached.has(one)).map(name),
                      unseen: [...window.unseen].map(name) }",
        )
        .await;
    let address = browser.address().await;
    assert_eq!(missed["missed"], serde_json::json!([]), "Tab does not lead to these of {address}");
    assert_eq!(missed["unseen"], serde_json::json!([]), "the focus is not seen on these of {address}");
}
