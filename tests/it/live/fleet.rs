//! Many nodes, most of which say nothing; many clusters, most of which do not change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn, prometheus, wait_until};
use pgvigil::metric::{own, runbooks};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::client::{exchange, get, try_get};
use super::watch::{Page, SOON, Vigil};

const TOKEN: &str = "ops-token-0123456789";
/// How many servers accept and say nothing.
const SILENT: usize = 48;
/// How many connects may be under way.
const MOST: usize = 4;

/// Accepts and says nothing. How many clients it has, and the most that it had, are counted.
async fn silent() -> (u16, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counts = counted.clone();
            tokio::spawn(async move {
                let present = counts[0].fetch_add(1, Ordering::SeqCst) + 1;
                counts[1].fetch_max(present, Ordering::SeqCst);
                let mut bytes = [0; 1024];
                while let Ok(1..) = stream.read(&mut bytes).await {}
                counts[0].fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, counts)
}

fn process(page: &Page, name: &str) -> Option<f64> {
    page.series().get(name).copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_never_answer_hold_up_no_other() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (port, clients) = silent().await;
    let mut dead = String::new();
    for node in 0..SILENT {
        // No cluster has two nodes at one address.
        writeln!(dead, "  - name: dead{node:02}\n    nodes:").unwrap();
        writeln!(dead, "      - {{name: n, dsn: \"host=127.0.0.1 port={port} user=x dbname=x\"}}").unwrap();
    }
    let (listen, config) = (lab.free_port()?, lab.path().join("pgvigil.yml"));
    let text = format!(
        "listen: 127.0.0.1:{listen}\nstate_dir: {}\nsample_interval: 500ms\nmax_connects: {MOST}\n\
         timeouts: {{connect: 1s, query: 2s}}\nclusters:\n{dead}  - name: lab\n    nodes:\n      \
         - {{name: a, dsn: \"{}\"}}\n",
        lab.own_dir("state")?.display(),
        a.dsn(Role::Monitor),
    );
    std::fs::write(&config, text).unwrap();
    let vigil = Vigil::start_at(&lab, config, listen).await?;
    vigil.until_state("a", "up").await;
    vigil
        .until("all who are silent to be told so", |page| {
            let told = page.matching(&["pgvigil_node_state{cluster=\"dead", "state=\"timeout\""]);
            let told = told.iter().filter(|(_, value)| *value == 1.0).count();
            if told == SILENT { Ok(()) } else { Err(format!("{told} are")) }
        })
        .await;
    // From now on all who are silent are known to be, and ask again without end.
    for _ in 0..3 {
        let lost = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = 'pgvigil'";
        a.sql(lost).await?;
        let back = "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'pgvigil'";
        wait_until("pgvigil to be back", Duration::from_secs(4), async || match a.value(back).await {
            Ok(Some(count)) if count != "0" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    }
    let page = vigil.page().await;
    let waiting = process(&page, "pgvigil_connects_waiting").unwrap_or_default();
    assert!(waiting >= (SILENT / 2) as f64, "{waiting}");
    assert!(process(&page, "pgvigil_connects_open") <= Some(MOST as f64));
    // A client that leaves is counted here a little later.
    let most = clients[1].load(Ordering::SeqCst);
    assert!((2..=2 * MOST).contains(&most), "{most} at a time");
    lab.stop().await;
    Ok(())
}

/// The lines of a cluster, without comments and without what our own process says of it.
fn lines<'a>(page: &'a str, cluster: &str) -> Vec<&'a str> {
    let of_process: Vec<_> = own::FAMILIES.iter().chain(runbooks::FAMILIES).map(|family| family.name).collect();
    let label = format!("{{cluster=\"{cluster}\"");
    // In histograms `le` comes first.
    let bucket = format!(",cluster=\"{cluster}\"");
    let lines = page.lines().filter(|line| !line.starts_with('#') && (line.contains(&label) || line.contains(&bucket)));
    lines.filter(|line| !of_process.iter().any(|name| line.starts_with(name))).collect()
}

async fn text(vigil: &Vigil, path: &str, headers: &str) -> String {
    let answer = get(vigil.port(), path, headers).await;
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

/// How many readings this cluster had.
fn readings(page: &str, cluster: &str) -> BTreeMap<String, String> {
    let start = format!("pgvigil_collector_duration_seconds_count{{cluster=\"{cluster}\"");
    let counts = page.lines().filter(|line| line.starts_with(&start));
    counts.filter_map(|line| line.rsplit_once(' ')).map(|(series, count)| (series.into(), count.into())).collect()
}

/// Begins or ends the maintenance of `lab`.
async fn maintain(vigil: &Vigil, on: bool) {
    let body = match on {
        true => r#"{"action": "start", "clusters": ["lab"], "for": "1h"}"#,
        false => r#"{"action": "end", "clusters": ["lab"]}"#,
    };
    let request = format!(
        "POST /api/v1/maintenance HTTP/1.0\r\nHost: lab\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(exchange(vigil.port(), request.as_bytes()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_did_not_change_is_not_written_anew() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let (listen, config) = (lab.free_port()?, lab.path().join("pgvigil.yml"));
    std::fs::write(lab.path().join("ops"), TOKEN).unwrap();
    let cluster =
        |name: &str| format!("  - name: {name}\n    nodes:\n      - {{name: a, dsn: \"{}\"}}\n", a.dsn(Role::Monitor));
    let text_of_config = format!(
        "listen: 127.0.0.1:{listen}\nstate_dir: {}\nsample_interval: 5s\ncollect_interval: 1s\n\
         access: [{{name: ops, role: approver, token_file: ops}}]\nclusters:\n{}{}",
        lab.own_dir("state")?.display(),
        cluster("lab"),
        cluster("other"),
    );
    std::fs::write(&config, text_of_config).unwrap();
    let vigil = Vigil::start_at(&lab, config, listen).await?;
    vigil
        .until("both to be up", |page| {
            let up = page.matching(&["pgvigil_node_up"]).iter().filter(|(_, up)| *up == 1.0).count();
            if up == 2 { Ok(()) } else { Err(format!("{up} are")) }
        })
        .await;
    let is_on = AtomicBool::new(false);
    wait_until("one of two to be written anew", SOON, async || {
        let before = text(&vigil, "/metrics", "").await;
        // Both are read as often: when the one has news, the other would have them too.
        let after = wait_until("news of the one that changes", SOON, async || {
            let on = !is_on.fetch_not(Ordering::Relaxed);
            maintain(&vigil, on).await;
            let after = text(&vigil, "/metrics", "").await;
            let line = format!("pgvigil_maintenance{{cluster=\"lab\"}} {}", u8::from(on));
            assert!(after.lines().any(|found| found == line), "what changed is shown at once");
            if readings(&before, "lab") == readings(&after, "lab") { Err("none".to_owned()) } else { Ok(after) }
        })
        .await
        .map_err(|error| error.to_string())?;
        if lines(&before, "other") != lines(&after, "other") {
            return Err("the other was written anew too, or its time was over".to_owned());
        }
        // The page of a cluster is made of the same.
        let alone = text(&vigil, "/metrics?cluster=lab", "").await;
        assert_eq!(lines(&alone, "other"), [""; 0]);
        if lines(&alone, "lab") != lines(&after, "lab") {
            return Err("its time was over".to_owned());
        }
        assert!(lines(&after, "lab").len() > 300 && readings(&alone, "other").is_empty());
        Ok(())
    })
    .await?;
    lab.stop().await;
    Ok(())
}

/// Starts a pgvigil on one cluster of the document, whose servers are not there.
async fn shard(lab: &Lab, block: &str) -> Result<Vigil, LabError> {
    let name = block.lines().next().and_then(|line| line.strip_prefix("# ")).expect("the name of the file");
    let (port, config) = (lab.free_port()?, lab.path().join(name));
    let state = lab.own_dir(&format!("state-{name}"))?;
    // None of the addresses is of this machine.
    let block = block.replace("host=10.0.", "host=127.0.").replace("user=pgvigil", "port=1 user=pgvigil");
    std::fs::write(&config, format!("listen: 127.0.0.1:{port}\nstate_dir: {}\n{block}", state.display())).unwrap();
    Vigil::start_at(lab, config, port).await
}

#[tokio::test]
async fn a_real_prometheus_scrapes_two_shards_as_the_document_says() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let blocks = crate::fleet::blocks("yaml");
    let shards: Vec<_> = blocks.iter().filter(|block| block.contains("\nclusters:\n")).collect();
    let (one, two) = (shard(&lab, shards[0]).await?, shard(&lab, shards[1]).await?);
    let scrape = blocks.iter().find(|block| block.contains("pgvigil-2:10187")).expect("the scrape of both");
    let scrape = scrape
        .replace("pgvigil-1:10187/sd", &format!("127.0.0.1:{}/sd", one.port()))
        .replace("pgvigil-2:10187/sd", &format!("127.0.0.1:{}/sd", two.port()));
    let (port, config) = (lab.free_port()?, lab.path().join("prometheus.yml"));
    std::fs::write(&config, format!("global: {{scrape_interval: 1s}}\n{scrape}")).unwrap();
    let data = lab.own_dir("prometheus")?.join("data");
    let program = Spawn::new("prometheus", prometheus()?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _running = lab.spawn(program)?;
    wait_until("the clusters of both", Duration::from_secs(30), async || {
        let asked = "/api/v1/query?query=count%20by%20(cluster,observer_host)(pgvigil_node_up)";
        let answer = try_get(port, asked).await?;
        if answer.status != 200 {
            return Err(format!("Prometheus says {}", answer.text()));
        }
        let mut seen: Vec<_> = answer.json()["data"]["result"]
            .as_array()
            .ok_or("no result")?
            .iter()
            .map(|series| (series["metric"].to_string(), series["value"][1].to_string()))
            .collect();
        seen.sort();
        let expected = ["billing", "orders"]
            .map(|cluster| (format!(r#"{{"cluster":"{cluster}","observer_host":"127.0.0.1"}}"#), r#""2""#.to_owned()));
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await?;
    lab.stop().await;
    Ok(())
}
