//! Several pgvigil that watch one cluster: one beside each node, one in the middle, two in the middle.

use std::sync::Arc;
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, Wire, WireMode, wait_until};
use pgvigil::metric::family::{Kind, Observers, Unit};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::client::{Answer, get};
use super::failures::PGVIGIL;
use super::pages::{family_of, sample};
use super::watch::{Node, Page, SOON, Vigil};
use super::web::bearer;
use crate::pki::{Authority, secure};

type Outcome = Result<(), LabError>;

/// With these a reading counts for 2.5 s.
const TIMEOUTS: &str = "timeouts: {connect: 1s, query: 2s}\n";
/// As long, and what a busy machine adds.
const WINDOW: Duration = Duration::from_secs(6);
/// Until several processes have all seen each other; long only where the machine is busy.
const TOGETHER: Duration = Duration::from_secs(40);

/// The config of an observer that listens on `port` and asks the others, by name and URL.
fn config(lab: &Lab, name: &str, port: u16, nodes: &[Node], others: &[(&str, String)]) -> String {
    let others: String = others.iter().map(|(name, url)| format!("  - {{name: {name}, url: '{url}'}}\n")).collect();
    let others = if others.is_empty() { others } else { format!("observers:\n{others}") };
    Vigil::config_text(lab, port, nodes, &format!("{TIMEOUTS}{others}"))
        .replace("/state\n", &format!("/state-{name}\n"))
}

async fn start(lab: &Lab, name: &str, port: u16, text: &str) -> Result<Vigil, LabError> {
    lab.own_dir(&format!("state-{name}"))?;
    let path = lab.path().join(format!("{name}.yml"));
    std::fs::write(&path, text).expect("a config file in the lab");
    Vigil::start_at(lab, path, port).await
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn agreement(page: &Page, node: &str, observer: &str) -> String {
    page.one_of("observer_agreement", &format!("node=\"{node}\",observer=\"{observer}\""))
}

/// Waits until `vigil` shows these agreements: node, observer, state.
async fn until_agreement(vigil: &Vigil, within: Duration, expected: &[(&str, &str, &str)]) {
    vigil
        .until_within("the agreement", within, |page| {
            let seen = |(node, observer, _): &(&str, &str, &str)| agreement(page, node, observer);
            let wrong: Vec<_> = expected.iter().filter(|one| seen(one) != one.2).map(|one| (one, seen(one))).collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("expected and seen: {wrong:?}")) }
        })
        .await;
}

/// The state of an observer, which is exactly one.
fn state_of(page: &Page, observer: &str) -> String {
    let states = page.matching(&["pgvigil_observer_state{", &format!("observer=\"{observer}\"")]);
    let on: Vec<_> = states.iter().filter(|(_, value)| *value == 1.0).map(|(series, _)| *series).collect();
    assert_eq!(on.len(), 1, "{states:?}");
    let up = page.series()[&format!("pgvigil_observer_up{{observer=\"{observer}\"}}")];
    let state = on[0].split("state=\"").nth(1).unwrap().trim_end_matches("\"}").to_owned();
    assert_eq!(up == 1.0, state == "up", "{observer} is {state} and observer_up is {up}");
    state
}

/// How many other processes see the node up, answering, down, or do not know.
async fn counts(vigil: &Vigil, node: usize) -> [u64; 4] {
    let answer = get(vigil.port(), "/api/v1/clusters/lab", "").await.json();
    let others = &answer["nodes"][node]["verdicts"]["others"];
    ["up", "answering", "down", "unknown"].map(|count| others[count].as_u64().unwrap())
}

async fn until_counts(vigil: &Vigil, node: usize, expected: [u64; 4]) -> Outcome {
    wait_until(format!("the counts {expected:?}"), TOGETHER, async || match counts(vigil, node).await {
        seen if seen == expected => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await
}

async fn until_states(vigil: &Vigil, expected: &[(&str, &str)]) {
    vigil
        .until_within("what each observer is", TOGETHER, |page| {
            let seen: Vec<_> = expected.iter().map(|(name, _)| (*name, state_of(page, name))).collect();
            let same = seen.iter().map(|(name, state)| (*name, state.as_str())).eq(expected.iter().copied());
            if same { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
}

fn through(wire: &Wire, server: &Server) -> Node {
    Node::with(server.name(), &Server::dsn_through(wire.port(), Role::Monitor), "")
}

#[tokio::test]
async fn beside_each_node_they_see_who_is_cut_off_who_is_gone_and_who_is_frozen() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let c = lab.standby_of(&a, "c", StandbyOptions::default()).await?;
    let wire = Wire::to(a.port()).await?;
    let names = ["va", "vb", "vc"];
    let ports = [lab.free_port()?, lab.free_port()?, lab.free_port()?];
    let mut vigils = Vec::new();
    for (name, port) in names.into_iter().zip(ports) {
        // The one beside b reaches the primary by a wire of its own.
        let first = if name == "vb" { through(&wire, &a) } else { Node::of(&a) };
        let others: Vec<_> = names.into_iter().zip(ports).filter(|(other, _)| *other != name).collect();
        let others: Vec<_> = others.into_iter().map(|(other, port)| (other, at(port))).collect();
        let text = config(&lab, name, port, &[first, Node::of(&b), Node::of(&c)], &others);
        vigils.push(start(&lab, name, port, &text).await?);
    }
    let [va, vb, vc] = &vigils[..] else { unreachable!() };
    let all = |others: [&'static str; 2], state: &'static str| {
        ["a", "b", "c"].into_iter().flat_map(|node| others.map(|other| (node, other, state))).collect::<Vec<_>>()
    };
    until_agreement(va, TOGETHER, &all(["vb", "vc"], "agrees")).await;
    until_agreement(vb, TOGETHER, &all(["va", "vc"], "agrees")).await;
    until_agreement(vc, TOGETHER, &all(["va", "vb"], "agrees")).await;
    until_counts(va, 0, [2, 0, 0, 0]).await?;

    wire.set(WireMode::BlackHole).await?;
    vb.until_state("a", "timeout").await;
    let disagree = [("a", "va", "disagrees"), ("a", "vc", "disagrees"), ("b", "va", "agrees"), ("c", "vc", "agrees")];
    until_agreement(vb, TOGETHER, &disagree).await;
    until_agreement(va, TOGETHER, &[("a", "vb", "disagrees"), ("a", "vc", "agrees"), ("b", "vb", "agrees")]).await;
    until_counts(vb, 0, [2, 0, 0, 0]).await?;
    until_counts(vc, 0, [1, 0, 1, 0]).await?;
    wire.set(WireMode::Pass).await?;
    until_agreement(vc, TOGETHER, &all(["va", "vb"], "agrees")).await;

    vc.process().terminate(SOON).await?;
    until_agreement(va, WINDOW, &[("a", "vc", "unknown"), ("c", "vc", "unknown"), ("a", "vb", "agrees")]).await;
    until_states(va, &[("vc", "unreachable"), ("vb", "up")]).await;

    vb.process().freeze()?;
    until_agreement(va, WINDOW, &all(["vb", "vc"], "unknown")).await;
    // Nobody else is there to see it up or down, and what others do changes nothing of what we see.
    until_counts(va, 0, [0, 0, 0, 2]).await?;
    until_states(va, &[("vc", "unreachable"), ("vb", "unreachable")]).await;
    va.until_state("a", "up").await;
    vb.process().thaw()?;
    until_agreement(va, TOGETHER, &[("a", "vb", "agrees"), ("b", "vb", "agrees"), ("c", "vb", "agrees")]).await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn what_two_observers_show_is_the_truth_and_nobody_counts_twice() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let wire = Wire::to(a.port()).await?;
    let (first, second) = (lab.free_port()?, lab.free_port()?);
    // One in the middle: nobody to ask, and nothing said of it.
    let nodes = [Node::of(&a), Node::of(&b)];
    let one = start(&lab, "one", first, &config(&lab, "one", first, &nodes, &[])).await?;
    one.until_healthy(&["a", "b"], &["b"]).await;
    assert!(one.page().await.matching(&["pgvigil_observer_"]).is_empty());

    // Two in the middle; the second has the first by two names, itself, and one that is not there.
    let others =
        [("one", at(first)), ("again", format!("http://localhost:{first}")), ("itself", at(second)), ("nobody", at(1))];
    let text = config(&lab, "two", second, &[through(&wire, &a), Node::of(&b)], &others);
    let two = start(&lab, "two", second, &text).await?;
    until_agreement(&two, TOGETHER, &[("a", "one", "agrees"), ("b", "one", "agrees"), ("a", "again", "unknown")]).await;
    let states = [("one", "up"), ("again", "twin"), ("itself", "ourselves"), ("nobody", "unreachable")];
    until_states(&two, &states).await;
    until_agreement(&two, TOGETHER, &[("a", "itself", "unknown"), ("a", "nobody", "unknown")]).await;
    until_counts(&two, 0, [1, 0, 0, 1]).await?;
    let said = ["is this very process", "is the same process as an observer named before"];
    wait_until("the log names both", SOON, async || match two.log() {
        log if said.iter().all(|said| log.contains(said)) => Ok(()),
        log => Err(log),
    })
    .await?;
    let instance = async |vigil: &Vigil| {
        let all = get(vigil.port(), "/api/v1/clusters", "").await.json()["instance"].clone();
        assert_eq!(get(vigil.port(), "/api/v1/clusters/lab", "").await.json()["instance"], all);
        all
    };
    assert_ne!(instance(&one).await, instance(&two).await);

    // The first learns of the second while it runs.
    one.replace_config(&config(&lab, "one", first, &nodes, &[("two", at(second))]));
    one.until("the second is asked", |page| match page.matching(&["pgvigil_observer_agreement", "agrees"]).len() {
        0 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    until_agreement(&one, TOGETHER, &[("a", "two", "agrees"), ("b", "two", "agrees")]).await;

    wire.set(WireMode::BlackHole).await?;
    two.until_state("a", "timeout").await;
    until_agreement(&one, TOGETHER, &[("a", "two", "disagrees"), ("b", "two", "agrees")]).await;
    let together = wait_until("the truth from both", TOGETHER, async || {
        let (whole, cut) = (one.page().await, two.page().await);
        together(&whole, &cut)
    })
    .await?;
    assert!(together > 200, "{together} series");
    lab.stop().await;
    Ok(())
}

async fn page_over_tls(port: u16, client: &Arc<ClientConfig>) -> Result<String, String> {
    let mut stream = secure(port, client).await.map_err(|error| error.to_string())?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: lab\r\n{}\r\n", bearer(TOKEN));
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.map_err(|_| "no answer")?;
    Answer::of(&answer).map(|answer| answer.text())
}

/// The token by which the observers know each other.
const TOKEN: &str = "observers-token-0123456789";

#[tokio::test]
async fn by_token_and_a_private_authority_they_ask_each_other_and_a_wrong_one_is_named() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (ours, other) = (Authority::new(), Authority::new());
    let dir = lab.path();
    let write = |name: &str, text: &str| {
        // Whole or not at all.
        std::fs::write(dir.join("new"), text).unwrap();
        std::fs::rename(dir.join("new"), dir.join(name)).unwrap();
    };
    let pair = ours.issue(&["127.0.0.1"]);
    for (name, text) in [("server.crt", pair.cert.as_str()), ("server.key", &pair.key), ("token", TOKEN)] {
        write(name, text);
    }
    write("web.yml", "tls_server_config: {cert_file: server.crt, key_file: server.key}\n");
    let ports = [lab.free_port()?, lab.free_port()?];
    let mut vigils = Vec::new();
    for (name, other, port, asked) in [("va", "vb", ports[0], ports[1]), ("vb", "va", ports[1], ports[0])] {
        write(&format!("ca-{name}.crt"), &ours.pem());
        write(&format!("token-{name}"), TOKEN);
        let more = format!(
            "{TIMEOUTS}web_config: web.yml\naccess: [{{name: observer, role: viewer, token_file: token}}]\nobservers:\n  \
             - {{name: {other}, url: 'https://127.0.0.1:{asked}', token_file: token-{name}, ca_file: ca-{name}.crt}}\n"
        );
        let text = Vigil::config_text(&lab, port, &[Node::of(&a)], &more);
        lab.own_dir(&format!("state-{name}"))?;
        let path = dir.join(format!("{name}.yml"));
        std::fs::write(&path, text.replace("/state\n", &format!("/state-{name}\n"))).unwrap();
        let spawn = Spawn::new(name, PGVIGIL).arg("serve").arg("--config").arg(path).env("RUST_LOG", "debug");
        vigils.push(lab.spawn(spawn)?);
    }
    let client = ours.client(&["http/1.1"], None);
    let expect = async |on: usize, line: &str| {
        wait_until(line.to_owned(), TOGETHER, async || {
            let page = page_over_tls(ports[on], &client).await?;
            if page.lines().any(|seen| seen == line) { Ok(()) } else { Err(page) }
        })
        .await
        .map_err(|error| panic!("{error}\n{}", vigils[on].log_tail(20)))
    };
    let is =
        |observer: &str, state: &str| format!("pgvigil_observer_state{{observer=\"{observer}\",state=\"{state}\"}} 1");
    let agrees = |observer: &str, state: &str| {
        format!("pgvigil_observer_agreement{{cluster=\"lab\",node=\"a\",observer=\"{observer}\",state=\"{state}\"}} 1")
    };
    let both_agree = async || {
        for (on, observer) in [(0, "vb"), (1, "va")] {
            expect(on, &is(observer, "up")).await?;
            expect(on, &agrees(observer, "agrees")).await?;
        }
        Ok::<_, LabError>(())
    };
    both_agree().await?;

    // What is wrong is on the one side alone: the other goes on asking it.
    for (file, wrong, right, state, said) in [
        ("token-va", "wrong-token-0123456789", TOKEN, "refused", "answers 401 Unauthorized"),
        ("token-va", "", TOKEN, "config", "does not hold one line with a token"),
        ("other.crt", &other.pem(), "nothing", "unreachable", "invalid peer certificate"),
        ("other.crt", "nothing", &ours.pem(), "config", "no certificate of an authority"),
    ] {
        write(file, wrong);
        // Certificates that were read do for as long as the connection lasts: only under another name they count at once.
        let config = std::fs::read_to_string(dir.join("va.yml")).unwrap();
        let named = config.split("ca_file: ").nth(1).unwrap().split('}').next().unwrap();
        if file.ends_with("crt") && named != file {
            write("va.yml", &config.replace(named, file));
        }
        expect(0, &is("vb", state)).await?;
        if state == "refused" {
            expect(0, &agrees("vb", "unknown")).await?;
        }
        expect(1, &is("va", "up")).await?;
        wait_until(said, SOON, async || match vigils[0].log() {
            log if log.contains(said) => Ok(()),
            log => Err(log),
        })
        .await?;
        write(file, right);
        if right != "nothing" {
            both_agree().await?;
        }
    }
    for vigil in &vigils {
        assert!(!vigil.log().contains(TOKEN), "{}", vigil.log());
    }
    lab.stop().await;
    Ok(())
}

/// Answers every request with these bytes and closes; with none it keeps the connection and says nothing.
async fn impostor(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("a port").port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            if answer.is_empty() {
                held.push(stream);
            }
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_observer_is_named_and_changes_nothing() -> Outcome {
    let lab = Lab::new()?;
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let node = r#"{"name": "a", "state": "up", "role": "primary", "age_seconds": -1e300, "since_seconds": 1e300}"#;
    let cluster = format!(r#"{{"instance": "x", "clusters": [{{"name": "lab", "nodes": [{node}]}}]}}"#);
    let nameless = format!(r#"{{"instance": "{}", "clusters": []}}"#, "x".repeat(65));
    let answers = [
        ("refuses", "refused", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno\x1b[2".to_owned()),
        (
            "leads-away",
            "refused",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        ("a-page", "strange", ok("<html>")),
        ("deep", "strange", ok(&"[".repeat(100_000))),
        ("nameless", "strange", ok(&nameless)),
        ("no-http", "unreachable", "SSH-2.0\r\n".to_owned()),
        ("cut-short", "unreachable", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned()),
        ("silent", "unreachable", String::new()),
        ("no-age", "up", ok(&cluster)),
    ];
    let (mut others, mut expected) = (Vec::new(), Vec::new());
    for (name, state, answer) in answers {
        others.push((name, at(impostor(answer).await)));
        expected.push((name, state));
    }
    let port = lab.free_port()?;
    let nobody = Node::with("a", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = start(&lab, "vigil", port, &config(&lab, "vigil", port, &[nobody], &others)).await?;
    until_states(&vigil, &expected).await;
    vigil.until_state("a", "unreachable").await;
    until_counts(&vigil, 0, [0, 0, 0, 9]).await?;
    assert!(!vigil.log().contains("\x1b[2"), "{}", vigil.log());
    lab.stop().await;
    Ok(())
}

/// Makes one value of each series by the catalogue, and holds it against what the one shows that sees everything.
fn together(whole: &Page, cut: &Page) -> Result<usize, String> {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    let both: std::collections::BTreeSet<_> = whole.series().keys().chain(cut.series().keys()).collect();
    for series in both {
        let line = format!("{series} 0");
        let (name, labels, _) = sample(&line);
        let Some(family) = family_of(name) else { return Err(format!("{name} is not in the catalogue")) };
        // Whoever may take over must be found fit by all: one that is cut off, and cannot say, is enough to hold it back.
        if name.starts_with("pgvigil_standby_promotable") || name == "pgvigil_failover_candidate" {
            continue;
        }
        let values = [whole, cut].map(|page| page.series().get(series).copied());
        let value = values.into_iter().flatten().reduce(match family.across(labels.into_iter()) {
            // Since each of them started: rates and quantiles are what compares.
            _ if family.kind == Kind::Histogram || name == "pgvigil_standby_lag_ticks_total" => continue,
            Observers::Own => continue,
            Observers::Max => f64::max,
            Observers::Min => f64::min,
        });
        // The two look at different moments.
        let tolerance = if family.unit == Unit::Seconds { 2.0 } else { 0.0 };
        // What the primary may have written since is more for the one who is cut off: too much, and never too little.
        let is_bound = series.contains("bound=\"estimated\"");
        let is_true = |truth: f64, value: f64| (truth - value).abs() <= tolerance || (is_bound && value > truth);
        let is_true = values[0].zip(value).is_some_and(|(truth, value)| is_true(truth, value));
        compared += 1;
        if !is_true {
            wrong.push(format!("{series}: {:?} and {:?} make {value:?}", values[0], values[1]));
        }
    }
    let up = whole.of_node("node_up", "a").zip(cut.of_node("node_up", "a"));
    if up != Some((1.0, 0.0)) {
        // Its last reading still counts for a moment, and what it says with it.
        return Err(format!("the primary is up for the two: {up:?}"));
    }
    let fit = |page: &Page| page.get("standby_promotable", "node=\"b\",state=\"yes\"");
    if fit(whole) != Some(1.0) {
        return Err("b cannot take over".to_owned());
    }
    // What the cut-off one last saw of the primary may be enough for it to say yes; where it is not, it says why.
    let blocks = cut.matching(&["pgvigil_standby_promotable_block", "node=\"b\""]);
    let is_blocked = blocks.iter().any(|(_, value)| *value > 0.0);
    assert_eq!(fit(cut) == Some(1.0), !is_blocked, "{blocks:?}");
    if wrong.is_empty() { Ok(compared) } else { Err(wrong.join("\n")) }
}
