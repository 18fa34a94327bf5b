//! What a real Prometheus keeps of the histograms, with native histograms and without, and that rules and quantiles find it.

use std::sync::Arc;

use pgvigil::lab::{Lab, LabError, ServerOptions, Spawn, Spawned, StandbyOptions, prometheus, wait_until};

use super::client::get;
use super::watch::{Node, SOON, Vigil};
use crate::dashboards::board::{Filled, boards, filled};
use crate::faults::prometheus::Api;
use crate::fixture::ROOT;

const SAMPLED: &str = "pgvigil_standby_lag_sampled_seconds";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const TEXT: &str = "Accept: text/plain;version=0.0.4\r\n";

/// A Prometheus that scrapes this pgvigil each second, by the shipped rules.
fn watching(lab: &Lab, name: &str, vigil: u16, flags: &[&str]) -> Result<(Arc<Spawned>, Api), LabError> {
    let (dir, port) = (lab.own_dir(name)?, lab.free_port()?);
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{ROOT}/alerts/rules/objective.yml']\nscrape_configs:\n  - job_name: pgvigil\n    honor_labels: true\n    \
         static_configs: [{{targets: ['127.0.0.1:{vigil}']}}]\n"
    );
    let path = dir.join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let spawn = Spawn::new(name, prometheus()?)
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let spawn = flags.iter().fold(spawn, |spawn, flag| spawn.arg(*flag));
    Ok((lab.spawn(spawn)?, Api { port }))
}

/// Waits until the expression has a value that is a number, and tells the first.
async fn value(api: Api, expr: &str) -> Result<f64, LabError> {
    wait_until(expr, SOON, async || {
        let series = api.query(expr).await?;
        let mut values = series.iter().filter_map(|(_, samples)| samples.first()?.1.parse::<f64>().ok());
        // A primary has a histogram without a value, whose quantiles are no numbers.
        values.find(|value| value.is_finite()).ok_or_else(|| format!("{series:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_way_to_scrape_keeps_is_found_by_rules_and_quantiles() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let nodes = [Node::of(&a), Node::of(&b)];
    let auto = Vigil::start_with(&lab, &nodes, "exposition: {native_histograms: auto}\n").await?;
    let off = Vigil::start(&lab, &nodes).await?;
    let feature = &["--enable-feature=native-histograms"][..];
    // Who scrapes what, and whether it keeps native histograms or classic ones.
    let ways = [
        (watching(&lab, "native", auto.port(), feature)?, true),
        (watching(&lab, "classic", auto.port(), &[])?, false),
        (watching(&lab, "native-off", off.port(), feature)?, false),
    ];
    auto.until_healthy(&["a", "b"], &["b"]).await;

    let quantiles: Vec<_> = boards()
        .into_iter()
        .flat_map(|board| board.queries())
        .filter(|query| query.expr.contains("histogram_quantile"))
        .collect();
    assert_eq!(quantiles.len(), 3);
    let by = Filled { cluster: "lab", node: "(a|b)", rate_interval: "10s", range: "1m" };
    for ((_, api), is_native) in &ways {
        let (kept, other) = match is_native {
            true => (format!("histogram_count({SAMPLED}{{stage='replayed'}})"), format!("{SAMPLED}_bucket")),
            false => (format!("{SAMPLED}_bucket{{stage='replayed',le='+Inf'}}"), SAMPLED.to_owned()),
        };
        value(*api, &kept).await?;
        assert_eq!(api.query(&other).await, Ok(Vec::new()), "{kept}");
        // Each tick of a standby that keeps up is good, counted in whole numbers.
        let good = value(*api, "cluster_node_instance:pgvigil_lag_good_ticks:sum{node='b'} > 0").await?;
        let ticks = value(*api, "cluster_node_instance:pgvigil_lag_ticks:sum{node='b'}").await?;
        assert!(good.fract() == 0.0 && good <= ticks, "{good} of {ticks}");
        value(*api, "cluster_node:pgvigil_lag_bad:ratio_increase5m{node='b'}").await?;
        for query in &quantiles {
            let quantile = value(*api, &filled(&query.expr, &by)).await?;
            assert!((0.0..SOON.as_secs_f64()).contains(&quantile), "{}: {quantile}", query.place);
        }
        assert_eq!(value(*api, "min(up)").await?, 1.0);
    }

    // Protobuf is for who prefers it, where it is there; a reload turns it off, and no count begins anew.
    let protobuf = format!("Accept: {PROTOBUF},text/plain;version=0.0.4;q=0.5\r\n");
    let kind = async |vigil: &Vigil, accept: &str| {
        get(vigil.port(), "/metrics", accept).await.header("content-type").unwrap_or_default().to_owned()
    };
    assert!(kind(&auto, &protobuf).await.starts_with("application/vnd.google.protobuf; proto="));
    assert!(kind(&auto, TEXT).await.starts_with("text/plain; version=0.0.4"));
    assert!(kind(&off, &protobuf).await.starts_with("text/plain; version=0.0.4"));
    let count =
        |page: &super::watch::Page| page.get("standby_lag_sampled_seconds_count", "node=\"b\",stage=\"replayed\"");
    let before = count(&auto.page().await);
    auto.replace_config(&Vigil::config_text(&lab, auto.port(), &nodes, ""));
    wait_until("text alone", SOON, async || match kind(&auto, &protobuf).await {
        kind if kind.starts_with("text/plain") => Ok(()),
        kind => Err(kind),
    })
    .await?;
    assert!(before.is_some() && count(&auto.page().await) >= before, "{before:?}");
    drop(ways);
    lab.stop().await;
    Ok(())
}
