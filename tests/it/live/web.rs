//! The door as the web config and `access` secure it: TLS, passwords, tokens, certificates, limits; with a real Prometheus.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Spawn, Spawned, prometheus, wait_until};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::api::status;
use super::client::{Answer, connect, exchange, get, read_all};
use super::watch::SOON;
use crate::pki::{Authority, Issued, secure};

type Outcome = Result<(), LabError>;

const OPS: &str = "ops-token-0123456789";
const WEBHOOK: &str = "webhook-token-0123456789";
const PASSWORD: &str = "Secret-in-basic-auth";
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const ACCESS: &str =
    "alertmanager: {bearer_token_file: webhook}\naccess:\n  - {name: ops, role: approver, token_file: ops}\n";

/// A node that nobody listens for.
const NOWHERE: &str = "{name: a, dsn: \"host=127.0.0.1 port=1 user=nobody dbname=postgres\"}";

/// A pgvigil with nothing to watch, behind a web config.
pub struct Secured {
    pub lab: Lab,
    pub dir: PathBuf,
    pub port: u16,
    pub process: Arc<Spawned>,
    pub authority: Authority,
}

impl Secured {
    async fn start(web: &str, more: &str) -> Result<Self, LabError> {
        Self::start_with(web, more, NOWHERE, "text", &[]).await
    }

    /// The same with another node, log format, and more files, which nobody else may read. `DIR` stands for their directory, and `PORT`
    /// for where it listens.
    pub async fn start_with(
        web: &str,
        more: &str,
        node: &str,
        format: &str,
        files: &[(&str, String)],
    ) -> Result<Self, LabError> {
        let (lab, authority) = (Lab::new()?, Authority::new());
        let (dir, port) = (lab.own_dir("door")?, lab.free_port()?);
        let write = |file: &str, text: &str| std::fs::write(dir.join(file), text).unwrap();
        write("ca.crt", &authority.pem());
        write("ops", OPS);
        write("webhook", WEBHOOK);
        write("web.yml", web);
        write_pair(&dir, &authority.issue(&["127.0.0.1"]));
        for (file, text) in files {
            write(file, text);
            std::fs::set_permissions(dir.join(file), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let text = format!(
            "listen: 127.0.0.1:{port}\nstate_dir: {}\nweb_config: web.yml\n{more}clusters:\n  - name: lab\n    nodes:\n      - {node}\n",
            lab.own_dir("state")?.display()
        );
        write("pgvigil.yml", &text.replace("DIR", dir.to_str().unwrap()).replace("PORT", &port.to_string()));
        let pgvigil = Spawn::new("pgvigil", env!("CARGO_BIN_EXE_pgvigil")).arg("serve").arg("--log-format").arg(format);
        let pgvigil = pgvigil.arg("--config");
        let process = lab.spawn(pgvigil.arg(dir.join("pgvigil.yml")).env("RUST_LOG", "trace"))?;
        let secured = Self { lab, dir, port, process, authority };
        secured.until_log("pgvigil is ready").await?;
        Ok(secured)
    }

    pub async fn until_log(&self, words: &str) -> Outcome {
        wait_until(words, SOON, async || match self.process.log().contains(words) {
            true => Ok(()),
            false => Err(self.process.log_tail(5)),
        })
        .await
    }

    pub fn write(&self, file: &str, text: &str) {
        // As an editor does it: whole or not at all.
        let new = self.dir.join(format!("{file}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.dir.join(file)).unwrap();
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        self.authority.client(&["http/1.1"], None)
    }

    pub async fn ask(
        &self,
        client: &Arc<ClientConfig>,
        method: &str,
        path: &str,
        headers: &str,
    ) -> Result<Answer, String> {
        let stream = secure(self.port, client).await.map_err(|error| error.to_string())?;
        // The answer may come before all is sent.
        let (mut reader, mut writer) = tokio::io::split(stream);
        let request = format!("{method} {path} HTTP/1.0\r\nHost: lab\r\n{headers}\r\n");
        let mut all = Vec::new();
        let sending = async {
            let _ = writer.write_all(request.as_bytes()).await;
            let _ = writer.flush().await;
        };
        let talk = async { tokio::join!(sending, reader.read_to_end(&mut all)).1 };
        let read = timeout(SOON, talk).await.map_err(|_| "no answer")?;
        Answer::of(&all).map_err(|error| format!("{error}; {read:?}"))
    }

    async fn status(&self, client: &Arc<ClientConfig>, method: &str, path: &str, headers: &str) -> u16 {
        match self.ask(client, method, path, headers).await {
            Ok(answer) => answer.status,
            Err(error) => panic!("{method} {path} {headers}: {error}\n{}", self.process.log_tail(20)),
        }
    }
}

fn write_pair(dir: &Path, issued: &Issued) {
    std::fs::write(dir.join("server.crt"), &issued.cert).unwrap();
    std::fs::write(dir.join("server.key"), &issued.key).unwrap();
}

fn users() -> String {
    format!("basic_auth_users:\n  prom: \"{}\"\n", bcrypt::hash(PASSWORD, 6).unwrap())
}

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

type Http2 = h2::client::SendRequest<axum::body::Bytes>;

async fn http2(stream: TlsStream<TcpStream>) -> Http2 {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask_http2(sender: &mut Http2, headers: &[(&str, &str)]) -> Result<u16, String> {
    let mut request = axum::http::Request::get("https://127.0.0.1/-/ready");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let talk = async {
        let mut ready = sender.clone().ready().await?;
        let (response, _) = ready.send_request(request.body(()).unwrap(), true)?;
        Ok::<_, h2::Error>(response.await?.status().as_u16())
    };
    timeout(SOON, talk).await.map_err(|_| "no answer")?.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_real_prometheus_comes_in_by_password_and_by_token_over_tls() -> Outcome {
    let secured = Secured::start(&format!("{TLS}{}", users()), ACCESS).await?;
    let lab = &secured.lab;
    let (port, config) = (lab.free_port()?, secured.dir.join("prometheus.yml"));
    secured.write("password", PASSWORD);
    let job = |name: &str, http2: bool, how: &str| {
        format!(
            "  - {{job_name: {name}, scheme: https, enable_http2: {http2}, scrape_interval: 1s, scrape_timeout: 1s, \
             tls_config: {{ca_file: ca.crt}}, static_configs: [{{targets: ['127.0.0.1:{}']}}]{how}}}\n",
            secured.port
        )
    };
    let by_token = "tls_config: {ca_file: ca.crt}, authorization: {type: Bearer, credentials_file: ops}";
    let jobs = [
        job("password", true, ", basic_auth: {username: prom, password_file: password}"),
        job("password1", false, ", basic_auth: {username: prom, password_file: password}"),
        job("token", true, ", authorization: {credentials_file: ops}"),
        job("nothing", true, ""),
        job("wrong", true, ", basic_auth: {username: prom, password: wrong}"),
        job("webhook", true, ", authorization: {credentials_file: webhook}"),
        // What is discovered says by itself that it speaks TLS.
        format!(
            "  - {{job_name: sd, honor_labels: true, scrape_interval: 1s, scrape_timeout: 1s, {by_token}, http_sd_configs: \
             [{{url: 'https://127.0.0.1:{}/sd', refresh_interval: 1s, {by_token}}}]}}\n",
            secured.port
        ),
    ];
    secured.write("prometheus.yml", &format!("scrape_configs:\n{}", jobs.concat()));
    let prometheus = Spawn::new("prometheus", prometheus()?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", lab.own_dir("prometheus")?.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus = lab.spawn(prometheus)?;
    wait_until("Prometheus to listen", SOON, async || match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{error}\n{}", prometheus.log_tail(5))),
    })
    .await?;
    let expected = [
        ("nothing", "server returned HTTP status 401 Unauthorized"),
        ("password", ""),
        ("password1", ""),
        ("sd", ""),
        ("sd", ""),
        ("token", ""),
        ("webhook", "server returned HTTP status 403 Forbidden"),
        ("wrong", "server returned HTTP status 401 Unauthorized"),
    ];
    wait_until("each job to fare as it should", 2 * SOON, async || {
        let answer = get(port, "/api/v1/targets", "").await;
        if answer.status != 200 {
            return Err(answer.head);
        }
        let targets = answer.json();
        let targets = targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let mut seen: Vec<_> = targets
            .iter()
            .filter(|target| target["health"] != "unknown")
            .map(|target| (target["labels"]["job"].as_str().unwrap(), target["lastError"].as_str().unwrap()))
            .collect();
        seen.sort_unstable();
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await?;
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn passwords_tokens_and_methods_over_tls() -> Outcome {
    let secured = Secured::start(&format!("{TLS}{}", users()), ACCESS).await?;
    let client = secured.client();
    let basic = |password: &str| {
        use base64::Engine;
        format!("Authorization: Basic {}\r\n", base64::prelude::BASE64_STANDARD.encode(format!("prom:{password}")))
    };
    for (headers, look, change) in [
        (String::new(), 401, 403),
        (basic(PASSWORD), 200, 405),
        (basic("wrong"), 401, 403),
        (bearer(OPS), 200, 405),
        (bearer(WEBHOOK), 403, 405),
        (bearer("wrong"), 401, 403),
        (format!("{}Sec-Fetch-Site: cross-site\r\n", basic(PASSWORD)), 200, 403),
        (format!("{}Origin: https://evil.example\r\n", basic(PASSWORD)), 200, 403),
        (format!("{}Origin: https://lab\r\n", basic(PASSWORD)), 200, 405),
    ] {
        for path in ["/", "/metrics", "/-/healthy", "/api/v1/clusters"] {
            assert_eq!(secured.status(&client, "GET", path, &headers).await, look, "GET {path} {headers}");
        }
        assert_eq!(secured.status(&client, "POST", "/metrics", &headers).await, change, "{headers}");
        let nowhere = secured.status(&client, "DELETE", "/nowhere", &headers).await;
        assert_eq!(nowhere, if change == 405 { 404 } else { 403 }, "{headers}");
    }
    let asked = secured.ask(&client, "GET", "/", "").await.unwrap();
    assert!(asked.head.contains("\r\nwww-authenticate: Basic realm=\"pgvigil\""), "{}", asked.head);
    assert!(asked.head.contains("\r\nwww-authenticate: Bearer realm=\"pgvigil\""), "{}", asked.head);

    let mut sender = http2(secure(secured.port, &secured.authority.client(&["h2"], None)).await.unwrap()).await;
    let given = format!("Bearer {OPS}");
    assert_eq!(ask_http2(&mut sender, &[("authorization", &given)]).await, Ok(200));
    assert_eq!(ask_http2(&mut sender, &[]).await, Ok(401));

    // The command line comes in likewise, and finds the way by the config.
    let (url, at) =
        (format!("https://127.0.0.1:{}", secured.port), |file: &str| secured.dir.join(file).display().to_string());
    let (ca, token, config) = (at("ca.crt"), at("ops"), at("pgvigil.yml"));
    let good = ["--ca-file", &ca, "--token-file", &token];
    for (arguments, code, says) in [
        ([&["--server", &url][..], &good].concat(), 0, "cluster lab: primary unknown"),
        ([&["--config", &config][..], &good].concat(), 0, "cluster lab: primary unknown"),
        (vec!["--server", &url, "--ca-file", &ca], 1, "answers 401 Unauthorized: This needs a credential."),
        (vec!["--server", &url, "--token-file", &token], 1, "invalid peer certificate: UnknownIssuer"),
    ] {
        let (said, ended) = status(&secured.lab, &arguments).await?;
        assert!(ended == Some(code) && said.contains(says), "{arguments:?}: {ended:?} {said}");
        assert!(!said.contains(OPS), "{said}");
    }

    // A token that is rotated counts at once, and the old one no more; one that cannot be used changes nothing.
    secured.write("ops", "rotated-token-0123456789");
    wait_until("the new token", SOON, async || {
        match secured.status(&client, "GET", "/", &bearer("rotated-token-0123456789")).await {
            200 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await?;
    assert_eq!(secured.status(&client, "GET", "/", &bearer(OPS)).await, 401);
    secured.write("ops", "Secret");
    secured.until_log("what was read before stays in force").await?;
    assert_eq!(secured.status(&client, "GET", "/", &bearer("rotated-token-0123456789")).await, 200);
    // As talkative as it can be, the log shows none of them.
    let log = secured.process.log();
    for secret in [OPS, WEBHOOK, PASSWORD, "rotated-token", "Secret", "cHJvbT", "$2b$", "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn http2_is_spoken_under_tls_alone_and_if_it_is_wanted() -> Outcome {
    let secured = Secured::start(TLS, "").await?;
    for (offered, taken) in
        [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let stream = secure(secured.port, &secured.authority.client(offered, None)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), taken, "{offered:?}");
        if taken == Some(b"h2") {
            let mut sender = http2(stream).await;
            assert_eq!(ask_http2(&mut sender, &[]).await, Ok(200));
            // A head that is too large costs its request alone.
            let huge = "x".repeat(64 << 10);
            let refused = ask_http2(&mut sender, &[("x", &huge)]).await;
            assert!(matches!(refused, Ok(431) | Err(_)), "{refused:?}");
        }
    }
    assert_eq!(secured.status(&secured.authority.client(&[], None), "GET", "/-/ready", "").await, 200);
    // A connection that is open keeps nobody from ending it.
    let mut kept = http2(secure(secured.port, &secured.authority.client(&["h2"], None)).await.unwrap()).await;
    assert_eq!(ask_http2(&mut kept, &[]).await, Ok(200));
    assert_eq!(secured.process.terminate(Duration::from_secs(3)).await?.code(), Some(0));
    secured.lab.stop().await;

    let secured = Secured::start(&format!("{TLS}http_server_config: {{http2: false}}\n"), "").await?;
    let stream = secure(secured.port, &secured.authority.client(&["h2", "http/1.1"], None)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    secured.lab.stop().await;

    let secured = Secured::start("", "").await?;
    let mut plain = connect(secured.port).await;
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let answer = read_all(&mut plain).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&answer));
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn certificates_say_who_comes_in_and_what_they_may() -> Outcome {
    let sans = "[prometheus.example, ops@example.com, 10.9.8.7, 'spiffe://example/ops']";
    let verified = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: {sans}\n"
    );
    let holders = "access:\n  - {name: ops, role: approver, client_san: ops@example.com}\n  \
                   - {name: prom, role: viewer, client_san: prometheus.example}\n";
    let secured = Secured::start(&verified, holders).await?;
    let stranger = Authority::new();
    let with = |issued: Option<&Issued>| secured.authority.client(&["http/1.1"], issued);
    for (names, look, change) in [
        (&["prometheus.example"][..], 200, 405),
        (&["mailto:ops@example.com", "other.example"], 200, 405),
        (&["10.9.8.7"], 401, 403),
        (&["spiffe://example/ops"], 401, 403),
    ] {
        let client = with(Some(&secured.authority.issue(names)));
        assert_eq!(secured.status(&client, "GET", "/metrics", "").await, look, "{names:?}");
        assert_eq!(secured.status(&client, "POST", "/metrics", "").await, change, "{names:?}");
    }
    for issued in [
        None,
        Some(secured.authority.issue(&["other.example"])),
        Some(secured.authority.issue(&["sub.prometheus.example", "https://prometheus.example"])),
        Some(secured.authority.issue(&[])),
        Some(stranger.issue(&["prometheus.example"])),
    ] {
        let outcome = secured.ask(&with(issued.as_ref()), "GET", "/metrics", "").await;
        assert!(outcome.is_err(), "{outcome:?}");
    }
    secured.until_log("a TLS handshake with 127.0.0.1 came to nothing").await?;
    secured.lab.stop().await;

    // A certificate that nobody vouches for may be needed to come in, and says nothing about who comes.
    let any = format!("{TLS}  client_auth_type: RequireAnyClientCert\n");
    let secured = Secured::start(&any, "").await?;
    let client = |issued: Option<&Issued>| secured.authority.client(&["http/1.1"], issued);
    assert!(secured.ask(&client(None), "GET", "/", "").await.is_err());
    let strange = client(Some(&stranger.issue(&["ops@example.com"])));
    assert_eq!(secured.status(&strange, "GET", "/", "").await, 200);
    secured.lab.stop().await;

    let if_given = format!("{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n");
    let secured = Secured::start(&if_given, holders).await?;
    let client = |issued: Option<&Issued>| secured.authority.client(&["http/1.1"], issued);
    assert_eq!(secured.status(&client(None), "GET", "/", "").await, 401);
    let prom = secured.authority.issue(&["prometheus.example"]);
    assert_eq!(secured.status(&client(Some(&prom)), "GET", "/", "").await, 200);
    // What is said aloud counts before what the connection says.
    assert_eq!(secured.status(&client(Some(&prom)), "GET", "/", &bearer("wrong")).await, 401);
    assert!(secured.ask(&client(Some(&stranger.issue(&["prometheus.example"]))), "GET", "/", "").await.is_err());
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_renewed_certificate_counts_and_ends_no_connection() -> Outcome {
    let secured = Secured::start(TLS, "").await?;
    let client = secured.authority.client(&["h2"], None);
    let leaf = async || {
        let stream = secure(secured.port, &client).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    };
    let mut kept = http2(secure(secured.port, &client).await.unwrap()).await;
    assert_eq!(ask_http2(&mut kept, &[]).await, Ok(200));
    let first = leaf().await.unwrap();

    let renewed = secured.authority.issue(&["127.0.0.1", "renewed.example"]);
    secured.write("server.crt", &renewed.cert);
    secured.write("server.key", &renewed.key);
    wait_until("the new certificate", SOON, async || match leaf().await {
        Ok(now) if now != first => Ok(()),
        other => Err(format!("{:?}", other.map(|_| "the old one"))),
    })
    .await?;
    let second = leaf().await.unwrap();
    assert_eq!(ask_http2(&mut kept, &[]).await, Ok(200), "the connection of before");

    // A key that is not the certificate's: the old pair stays, and that is said.
    secured.write("server.key", &secured.authority.issue(&["127.0.0.1"]).key);
    secured.until_log("is not the key of cert_file").await?;
    assert_eq!(leaf().await, Ok(second.clone()));
    std::fs::remove_file(secured.dir.join("server.key")).unwrap();
    secured.until_log("server.key does not exist").await?;
    assert_eq!(leaf().await, Ok(second.clone()));
    // With the right key all is well again, and it is read.
    secured.write("server.key", &renewed.key);
    wait_until("a reading", SOON, async || {
        let read = secured.process.log().matches("were read anew").count();
        if read >= 2 { Ok(()) } else { Err(format!("{read} readings")) }
    })
    .await?;
    assert_eq!(leaf().await, Ok(second));
    assert_eq!(ask_http2(&mut kept, &[]).await, Ok(200), "the connection of before");
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn slow_and_huge_requests_are_cut_off_under_tls_too() -> Outcome {
    let secured = Secured::start(TLS, ACCESS).await?;
    let (port, client) = (secured.port, secured.client());
    let client2 = secured.authority.client(&["h2"], None);
    let began = Instant::now();
    let silent = async {
        read_all(&mut connect(port).await).await;
    };
    let half_a_handshake = async {
        let mut stream = connect(port).await;
        stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
        read_all(&mut stream).await;
    };
    let gone = async |mut stream: TlsStream<TcpStream>, what: &str| {
        let mut rest = Vec::new();
        let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap_or_else(|_| panic!("{what} is still there"));
    };
    let says_nothing = async { gone(secure(port, &client).await.unwrap(), "one that says nothing").await };
    let says_nothing2 = async { gone(secure(port, &client2).await.unwrap(), "one that says nothing").await };
    let half_a_preface = async {
        let mut stream = secure(port, &client2).await.unwrap();
        stream.write_all(b"PRI * HT").await.unwrap();
        gone(stream, "half a preface").await;
    };
    let dribbles = async {
        let mut stream = secure(port, &client).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while stream.write_all(b"X: y\r\n").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(began.elapsed() < SOON, "a dribbling client is still there");
        }
    };
    let idle2 = async {
        // An HTTP/2 connection without a request: only its preface.
        let mut stream = secure(port, &client2).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        gone(stream, "an HTTP/2 connection without a request").await;
    };
    tokio::join!(silent, half_a_handshake, says_nothing, says_nothing2, half_a_preface, dribbles, idle2);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());

    let forgot = exchange(port, b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(forgot.status == 400 && forgot.text().contains("https"), "{}", forgot.text());
    let huge = "x".repeat(64 << 10);
    // The connection may be gone before the answer is read, as more was sent than anybody takes.
    match secured.ask(&client, "GET", "/", &format!("X: {huge}\r\n")).await {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(error) => assert!(error.starts_with("no end of the head"), "{error}"),
    }
    let body = format!("{}Content-Length: 1048576\r\n", bearer(OPS));
    assert_eq!(secured.status(&client, "POST", "/metrics", &body).await, 413);
    assert_eq!(secured.status(&client, "GET", "/-/ready", "").await, 200);
    secured.lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn more_than_the_rate_gets_429_and_every_answer_the_headers() -> Outcome {
    let web = "rate_limit: {interval: 1h, burst: 3}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n";
    let secured = Secured::start(web, "").await?;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = get(secured.port, "/-/ready", "").await;
        assert_eq!(answer.header("x-frame-options"), Some("deny"));
        assert_eq!(answer.header("retry-after").is_some(), answer.status == 429);
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    // Another limit is in force without a restart.
    secured.write("web.yml", "rate_limit: {interval: 0}\n");
    wait_until("no limit", SOON, async || match get(secured.port, "/-/ready", "").await.status {
        200 => Ok(()),
        other => Err(other.to_string()),
    })
    .await?;
    secured.lab.stop().await;
    Ok(())
}
