//! `/metrics` of real clusters in every state: as Prometheus and its tools take it, and as the catalogue says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use pgvigil::lab::{
    Archive, Lab, LabError, Role, Server, ServerOptions, Spawn, StandbyOptions, Writer, prometheus, wait_until,
};
use pgvigil::metric::catalog;
use pgvigil::metric::family::{Family, Kind};

use super::client::get;
use super::watch::{Node, SOON, Vigil};
use crate::golden::promtool;

type Outcome = Result<(), LabError>;

/// Who asks, by the header `Accept` of their releases, and whether they get OpenMetrics.
const CLIENTS: [(&str, &str, bool); 4] = [
    (
        "Prometheus 2.42",
        "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
         text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n",
        true,
    ),
    (
        "Prometheus 3",
        "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
        true,
    ),
    ("text/plain", "Accept: text/plain\r\n", false),
    ("nobody in particular", "", false),
];

/// A sample line: name, labels, value.
pub fn sample(line: &str) -> (&str, BTreeMap<&str, &str>, &str) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let Some((name, rest)) = series.split_once('{') else { return (series, BTreeMap::new(), value) };
    let mut labels = BTreeMap::new();
    let mut rest = rest.strip_suffix('}').unwrap();
    while let Some((label, quoted)) = rest.split_once("=\"") {
        // None of the lab's names needs an escape.
        let (text, more) = quoted.split_once('"').unwrap();
        assert!(labels.insert(label, text).is_none(), "{label} twice: {line}");
        rest = more.strip_prefix(',').unwrap_or(more);
    }
    (name, labels, value)
}

/// The family that a sample's name belongs to.
pub fn family_of(name: &str) -> Option<&'static Family> {
    let families = catalog::families();
    let of_kind = |name: &str, histogram: bool| {
        families.iter().copied().find(|family| family.name == name && (family.kind == Kind::Histogram) == histogram)
    };
    let parts = ["_bucket", "_sum", "_count"];
    of_kind(name, false).or_else(|| parts.iter().find_map(|part| of_kind(name.strip_suffix(part)?, true)))
}

fn is_lsn(text: &str) -> bool {
    let hex = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once('/').is_some_and(|(high, low)| hex(high) && hex(low))
}

fn has_address(text: &str) -> bool {
    let quads = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    text.contains("::") || quads.into_iter().any(|quad| quad.parse::<std::net::Ipv4Addr>().is_ok())
}

/// Holds any page of any test to what Prometheus accepts: promtool complains of nothing, and no series is there twice.
pub fn accepted(page: &str, open_metrics: bool) {
    let mut complaints = promtool(page);
    // Its parser is that of Prometheus text, where the comments of a counter bear the full name.
    let counters = catalog::families().into_iter().filter(|family| family.kind == Kind::Counter && open_metrics);
    let known: BTreeSet<_> = counters.map(|family| format!("{} no help text", family.name)).collect();
    complaints.retain(|complaint| !known.contains(complaint));
    assert_eq!(complaints, [""; 0]);
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').map(|(series, _)| series);
        assert!(series.is_some_and(|series| seen.insert(series)), "twice: {line}");
    }
}

/// What is wrong with a page, if anything.
fn judge(page: &str, open_metrics: bool) {
    accepted(page, open_metrics);
    assert_eq!(page.ends_with("# EOF\n"), open_metrics);
    for family in catalog::families() {
        let stem = if open_metrics { family.name.strip_suffix("_total") } else { None };
        let name = stem.unwrap_or(family.name);
        assert_eq!(page.matches(&format!("# HELP {name} {}\n", family.help)).count(), 1, "HELP of {name}");
        assert_eq!(page.matches(&format!("# TYPE {name} ")).count(), 1, "TYPE of {name}");
    }
    assert_eq!(page.matches("# TYPE ").count(), catalog::families().len(), "a family that the catalogue does not know");

    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, mut labels, value) = sample(line);
        assert!(seen.insert((name, labels.clone())), "twice: {line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = family_of(name).unwrap_or_else(|| panic!("not in the catalogue: {line}"));
        assert_eq!(labels.remove("le").is_some(), name.ends_with("_bucket"), "{line}");
        let expected: BTreeSet<_> = family.labels.iter().copied().collect();
        assert_eq!(labels.keys().copied().collect::<BTreeSet<_>>(), expected, "{line}");
        for (label, text) in labels {
            // The only identity that is a number: neither pids nor ports are.
            let number = text.parse::<u64>().is_ok() && label != "system_identifier";
            assert!(!number && !is_lsn(text) && !has_address(text), "{label}: {line}");
        }
    }
    assert!(seen.len() > 100, "{} series", seen.len());
}

/// Judges what each client gets, plain and compressed.
async fn judge_all(vigil: &Vigil, state: &str) {
    for (client, accept, open_metrics) in CLIENTS {
        let gzip = format!("{accept}Accept-Encoding: gzip\r\n");
        // The page is made anew now and then: until two looks around a third show the same one.
        let (plain, compressed) = wait_until(format!("one page in both codings, {state}"), SOON, async || {
            let before = get(vigil.port(), "/metrics", accept).await;
            let compressed = get(vigil.port(), "/metrics", &gzip).await;
            let after = get(vigil.port(), "/metrics", accept).await;
            if before.body == after.body { Ok((before, compressed)) } else { Err("another".to_owned()) }
        })
        .await
        .unwrap();
        println!("{state}: {client}: {} bytes, {} compressed", plain.body.len(), compressed.body.len());
        for answer in [&plain, &compressed] {
            assert_eq!(answer.status, 200, "{state}: {client}");
            let content_type = answer.header("content-type").unwrap();
            assert_eq!(content_type.starts_with("application/openmetrics-text"), open_metrics, "{content_type}");
        }
        assert_eq!((plain.header("content-encoding"), compressed.header("content-encoding")), (None, Some("gzip")));
        let mut unpacked = Vec::new();
        GzDecoder::new(&compressed.body[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain.body, "{state}: {client}: gzip is another page");
        assert!(compressed.body.len() * 4 < plain.body.len(), "{}", compressed.body.len());
        judge(&plain.text(), open_metrics);
    }
}

/// A primary that archives, a standby with a slot, a cascade behind it, and a standby that the archive alone feeds.
async fn family(lab: &Lab) -> Result<[Server; 4], LabError> {
    let archive = lab.server_dir("wal")?;
    let a = lab.primary("a", ServerOptions::default().archive(&Archive::Into(archive.clone()))).await?;
    let b = StandbyOptions { slot: Some("b".to_owned()), ..Default::default() };
    let b = lab.standby_of(&a, "b", b).await?;
    let c = lab.standby_of(&b, "c", StandbyOptions::default()).await?;
    let restore_command = Some(Archive::restore_command(&archive));
    let d = StandbyOptions { archive_only: true, restore_command, ..Default::default() };
    let d = lab.standby_of(&a, "d", d).await?;
    a.wait_streaming("b", SOON).await?;
    b.wait_streaming("c", SOON).await?;
    Ok([a, b, c, d])
}

async fn until_split_brain(vigil: &Vigil, state: &str) {
    vigil
        .until(&format!("split brain {state}"), |page| match page.one_of("cluster_split_brain", "") {
            seen if seen == state => Ok(()),
            seen => Err(seen),
        })
        .await;
}

#[tokio::test]
async fn in_every_state_the_page_is_what_prometheus_and_the_catalogue_expect() -> Outcome {
    let lab = Lab::new()?;
    let [a, b, c, d] = family(&lab).await?;
    let writer = Writer::start(&a, 50).await?;
    let vigil = Vigil::start(&lab, &[&a, &b, &c, &d].map(Node::of)).await?;
    vigil.until_healthy(&["a", "b", "c", "d"], &["b", "c"]).await;
    a.switch_wal().await?;
    vigil.until("d's lag known", |page| page.expect_known("d", "replayed", true)).await;
    judge_all(&vigil, "all well").await;

    c.freeze()?;
    vigil.until_state("c", "timeout").await;
    judge_all(&vigil, "a standby frozen").await;
    c.thaw()?;
    vigil.until_state("c", "up").await;

    b.kill();
    vigil.until_state("b", "unreachable").await;
    judge_all(&vigil, "a standby killed").await;
    b.start().await?;
    vigil.until_healthy(&["b"], &["b"]).await;

    d.promote().await?;
    until_split_brain(&vigil, "yes").await;
    judge_all(&vigil, "split brain").await;
    // It stays part of the cluster, but is no second primary any more.
    d.kill();
    until_split_brain(&vigil, "unknown").await;

    drop(writer);
    a.kill();
    vigil.until_state("a", "unreachable").await;
    judge_all(&vigil, "the primary gone").await;
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn before_the_first_reading_and_without_a_grant_the_page_is_whole_too() -> Outcome {
    let lab = Lab::new()?;
    let [a, b, ..] = family(&lab).await?;
    let nowhere = |name: &str| Node::with(name, "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let plain = |server: &Server| Node::with(server.name(), &server.dsn(Role::Plain), "");
    let vigil = Vigil::start(&lab, &[plain(&a), plain(&b), nowhere("c")]).await?;
    let page = vigil.page().await;
    assert!(page.matching(&["node_up"]).len() == 3, "every node has its verdict from the first page on");
    vigil.until_healthy(&["a", "b"], &[]).await;
    judge_all(&vigil, "a role without pg_monitor").await;
    lab.stop().await;
    Ok(())
}

/// The first value that Prometheus has for a query.
async fn query(port: u16, expression: &str) -> Result<f64, String> {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    let path = format!("/api/v1/query?query={}", expression.bytes().map(encode).collect::<String>());
    let answer = get(port, &path, "").await;
    let value = answer.json()["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("{expression}: {}", answer.text()))
}

#[tokio::test]
async fn a_real_prometheus_scrapes_it_and_its_histograms_answer() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.wait_streaming("b", SOON).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;

    let (port, config) = (lab.free_port()?, lab.path().join("prometheus.yml"));
    let job = format!(
        "scrape_configs:\n  - job_name: pgvigil\n    honor_labels: true\n    scrape_interval: 1s\n    \
         scrape_timeout: 1s\n    static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        vigil.port()
    );
    std::fs::write(&config, job).unwrap();
    let data = lab.own_dir("prometheus")?.join("data");
    let prometheus = Spawn::new("prometheus", prometheus()?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let prometheus = lab.spawn(prometheus)?;
    wait_until("Prometheus to listen", SOON, async || {
        match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}\n{}", prometheus.log_tail(5))),
        }
    })
    .await?;
    b.pause_replay().await?;
    let writer = Writer::start(&a, 50).await?;

    let until = async |what: &str, expression: &str, good: fn(f64) -> bool| {
        wait_until(what, 2 * SOON, async || match query(port, expression).await {
            Ok(value) if good(value) => Ok(value),
            Ok(value) => Err(format!("{expression} = {value}")),
            Err(error) => Err(error),
        })
        .await
    };
    until("a scrape that succeeds", "up{job=\"pgvigil\"}", |up| up == 1.0).await?;
    until("every sample taken in", "scrape_samples_post_metric_relabeling - scrape_samples_scraped", |left| {
        left == 0.0
    })
    .await?;
    // Replay is paused: the sampled lag rises through the buckets while what is received stays fresh.
    let quantile = |stage: &str| {
        format!(
            "histogram_quantile(0.9, sum by (le) (rate(pgvigil_standby_lag_sampled_seconds_bucket\
             {{cluster=\"lab\",node=\"b\",stage=\"{stage}\"}}[10s])))"
        )
    };
    let replayed = until("a quantile of the replayed lag", &quantile("replayed"), |lag| lag > 2.0).await?;
    let received = until("a quantile of the received lag", &quantile("received"), f64::is_finite).await?;
    assert!(received < replayed, "{received} {replayed}");
    let known = "sum(rate(pgvigil_standby_lag_ticks_total{node=\"b\",stage=\"replayed\",known=\"yes\"}[10s]))";
    until("ticks at the sample interval", known, |rate| (1.0..=3.0).contains(&rate)).await?;
    until("no series lost its labels to Prometheus", "count({exported_cluster=~\".+\"}) or vector(0)", |n| n == 0.0)
        .await?;
    let types = get(port, "/api/v1/metadata?metric=pgvigil_standby_lag_sampled_seconds", "").await.json();
    assert_eq!(types["data"]["pgvigil_standby_lag_sampled_seconds"][0]["type"], "histogram");
    writer.stop().await;
    lab.stop().await;
    Ok(())
}
