//! A headless Chromium of the lab, led by its own chromedriver over the WebDriver protocol.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use pgvigil::lab::{Lab, LabError, Spawn, Spawned, chromedriver, chromium, wait_until};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Within this a browser has started, or answers to anything.
const ANSWERS: Duration = Duration::from_secs(30);
/// What the browser itself must not do: fetch, update, greet, draw scrollbars into pictures.
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--hide-scrollbars",
    "--window-size=1280,1600",
];

/// A browser with one window. Dropping it ends its driver and with it all its processes.
pub struct Browser {
    client: Client,
    driver: Arc<Spawned>,
}

impl Browser {
    /// Starts one; `name` is that of its log and of its profile in the lab.
    pub async fn open(lab: &Lab, name: &str) -> Result<Self, LabError> {
        let port = lab.free_port()?;
        // What a browser leaves behind goes with the lab.
        let spawn = Spawn::new(name, chromedriver()?).arg(format!("--port={port}")).env("TMPDIR", lab.path());
        let driver = lab.spawn(spawn)?;
        wait_until("chromedriver", ANSWERS, async || match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}\n{}", driver.log_tail(5))),
        })
        .await?;
        let profile = lab.own_dir(&format!("{name}-profile"))?;
        let flags = FLAGS.iter().map(|flag| (*flag).to_owned());
        let flags: Vec<String> = flags.chain([format!("--user-data-dir={}", profile.display())]).collect();
        let wanted = json!({
            "goog:chromeOptions": { "binary": chromium()?, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": ANSWERS.as_millis(), "pageLoad": ANSWERS.as_millis() },
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted.as_object().cloned().unwrap_or_default());
        let address = format!("http://127.0.0.1:{port}");
        let session = timeout(ANSWERS, builder.connect(&address)).await;
        let client = match session {
            Ok(Ok(client)) => client,
            failed => panic!("no browser: {failed:?}\n{}", driver.log_tail(20)),
        };
        Ok(Self { client, driver })
    }

    /// Goes to an address and waits until its page is loaded.
    pub async fn goto(&self, address: &str) {
        self.done(address, self.client.goto(address)).await;
    }

    /// What a script in the page returns. It sees one moment of the page, whatever changes it.
    pub async fn read(&self, script: &str) -> Value {
        self.done(script, self.client.execute(script, Vec::new())).await
    }

    /// The same of a script that calls back.
    pub async fn read_later(&self, script: &str) -> Value {
        self.done(script, self.client.execute_async(script, Vec::new())).await
    }

    /// Waits until a script returns something else than null, and returns that; `else_shows` is a script that says what
    /// is there instead.
    pub async fn until(&self, what: &str, within: Duration, script: &str, else_shows: &str) -> Result<Value, LabError> {
        let found = wait_until(what, within, async || match self.client.execute(script, Vec::new()).await {
            Ok(Value::Null) => Err(match self.client.execute(else_shows, Vec::new()).await {
                Ok(seen) => seen.to_string(),
                Err(error) => error.to_string(),
            }),
            Ok(value) => Ok(value),
            Err(error) => Err(error.to_string()),
        })
        .await;
        if found.is_err() {
            let name: String = what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            self.picture(&format!("failed-{name}")).await;
        }
        found
    }

    /// Presses the mouse on the first element that a CSS selector finds, where a person would.
    pub async fn click(&self, selector: &str) {
        let element = self.done(selector, self.client.find(fantoccini::Locator::Css(selector))).await;
        self.done(selector, element.click()).await;
    }

    /// Presses and releases the Tab key.
    pub async fn tab(&self) {
        for (kind, text) in [("rawKeyDown", "Tab"), ("keyUp", "Tab")] {
            let key = json!({"type": kind, "key": text, "code": text, "windowsVirtualKeyCode": 9});
            self.devtools("Input.dispatchKeyEvent", key).await;
        }
    }

    /// Where it is.
    pub async fn address(&self) -> String {
        self.done("address", self.client.current_url()).await.to_string()
    }

    /// The page's title.
    pub async fn title(&self) -> String {
        self.done("title", self.client.title()).await
    }

    /// What the reader prefers: `light` or `dark`.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// A telephone's screen, 360 pixels wide.
    pub async fn be_a_telephone(&self) {
        let screen = json!({ "width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Runs no script of any page from the next one on. [`Self::read`] still reads.
    pub async fn run_no_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Writes the whole page to `target/browser/NAME.png`.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.devtools("Page.captureScreenshot", asked).await;
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("a picture");
        let dir = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/browser"));
        std::fs::create_dir_all(&dir).expect("target/browser");
        let path = dir.join(format!("{name}.png"));
        std::fs::write(&path, bytes).expect("a file in target/browser");
        path
    }

    /// What the browser has told its console since it was last asked: level and text of each entry.
    pub async fn console(&self) -> Vec<(String, String)> {
        let entries = self.vendor("se/log", json!({ "type": "browser" })).await;
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| (text(entry, "level"), text(entry, "message"))).collect()
    }

    /// Fails if the console has an error.
    pub async fn assert_no_error(&self) {
        let errors: Vec<_> = self.console().await.into_iter().filter(|(level, _)| level == "SEVERE").collect();
        assert!(errors.is_empty(), "the console of {} says {errors:#?}", self.address().await);
    }

    /// A command of the DevTools protocol.
    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.vendor("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn vendor(&self, path: &'static str, body: Value) -> Value {
        let what = body.to_string();
        self.done(&what, self.client.issue_cmd(Vendor { path, body })).await
    }

    async fn done<T>(&self, what: &str, asked: impl Future<Output = Result<T, CmdError>>) -> T {
        match timeout(ANSWERS, asked).await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => panic!("{what}: {error}\n{}", self.driver.log_tail(5)),
            Err(_) => panic!("{what}: no answer within {ANSWERS:?}\n{}", self.driver.log_tail(5)),
        }
    }
}

/// A command that is chromedriver's own.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
