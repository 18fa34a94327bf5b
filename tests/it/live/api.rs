//! The API against its own description, service discovery with a real Prometheus, and what the command line makes of it.

use std::time::Duration;

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn, StandbyOptions, prometheus, wait_until};
use serde_json::{Value, json};

use super::client::get;
use super::watch::{Node, SOON, Vigil};

type Outcome = Result<(), LabError>;

pub const OPENAPI: &str = include_str!("../../../src/http/openapi.yaml");

/// The description, with a schema of its own for each path that answers JSON.
pub struct Description(Value);

impl Description {
    pub fn read() -> Self {
        Self(serde_saphyr::from_str(OPENAPI).expect("YAML"))
    }

    /// Panics unless `answer` is what the description says of `path` and `status`.
    fn hold(&self, path: &str, status: &str, answer: &Value) {
        self.hold_to("get", path, status, answer);
    }

    /// The same of any method.
    pub fn hold_to(&self, method: &str, path: &str, status: &str, answer: &Value) {
        let mut response = &self.0["paths"][path][method]["responses"][status];
        if let Some(reference) = response["$ref"].as_str() {
            response = self.0.pointer(reference.trim_start_matches('#')).expect("the response that is referred to");
        }
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{path} {status} has no schema");
        // The components stand where the references look for them.
        let schema = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let errors: Vec<_> =
            validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{path}: {errors:#?}");
    }
}

async fn hold_all(vigil: &Vigil, description: &Description) -> Value {
    let all = get(vigil.port(), "/api/v1/clusters", "").await;
    description.hold("/api/v1/clusters", "200", &all.json());
    let cluster = get(vigil.port(), "/api/v1/clusters/lab", "").await;
    description.hold("/api/v1/clusters/{cluster}", "200", &cluster.json());
    cluster.json()
}

#[tokio::test]
async fn every_answer_is_as_it_is_described() -> Outcome {
    let description = Description::read();
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    a.alter(&[("synchronous_standby_names", "b")]).await?;
    let nobody = Node::with("c", "host=127.0.0.1 port=1 user=nobody dbname=postgres", "");
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b), nobody]).await?;
    // From the first moment on.
    hold_all(&vigil, &description).await;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    vigil.until_state("c", "unreachable").await;
    let healthy = hold_all(&vigil, &description).await;
    let roles: Vec<_> = healthy["nodes"].as_array().unwrap().iter().map(|node| node["role"].clone()).collect();
    assert_eq!(roles, ["primary", "standby", "unknown"]);
    assert!(healthy["nodes"][2]["failure"].is_object() && healthy["nodes"][0]["verdicts"]["sync"].is_object());

    a.kill();
    vigil.until_state("a", "unreachable").await;
    let dead = hold_all(&vigil, &description).await;
    assert_eq!(dead["nodes"][0]["role"], "unknown");
    b.promote().await?;
    vigil
        .until("b is the primary", |page| {
            page.of_node("node_in_recovery", "b").filter(|it| *it == 0.0).ok_or("not yet".into())
        })
        .await;
    hold_all(&vigil, &description).await;

    let missing = get(vigil.port(), "/api/v1/clusters/nobody", "").await;
    assert_eq!(missing.status, 404);
    description.hold("/api/v1/clusters/{cluster}", "404", &missing.json());
    let targets = get(vigil.port(), "/sd", "").await;
    description.hold("/sd", "200", &targets.json());
    let served = get(vigil.port(), "/api/v1/openapi.yaml", "").await;
    assert_eq!((served.status, served.text().as_str()), (200, OPENAPI));
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_page_is_of_one_cluster_or_of_the_process() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let port = lab.free_port()?;
    let node = |name: &str| Node::with(name, &a.dsn(Role::Monitor), "");
    let one = Vigil::config_text(&lab, port, &[node("a")], "");
    let other =
        "  - name: other\n    nodes:\n      - {name: z, dsn: \"host=127.0.0.1 port=1 user=nobody dbname=postgres\"}\n";
    let config = lab.path().join("pgvigil.yml");
    lab.own_dir("state")?;
    std::fs::write(&config, format!("{one}{other}")).unwrap();
    let vigil = Vigil::start_at(&lab, config, port).await?;
    vigil.until_state("a", "up").await;
    let series = async |path: &str| {
        let text = get(port, path, "").await.text();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let lab_alone = series("/metrics?cluster=lab").await;
    assert!(lab_alone.len() > 50 && lab_alone.iter().all(|line| line.contains("cluster=\"lab\"")), "{lab_alone:#?}");
    let other_alone = series("/metrics?cluster=other").await;
    assert!(!other_alone.is_empty() && other_alone.iter().all(|line| line.contains("cluster=\"other\"")));
    let own = series("/metrics?self=1").await;
    assert!(
        own.iter().any(|line| line.starts_with("pgvigil_build_info")) && !own.iter().any(|line| line.contains("node="))
    );
    let names = |lines: &[String]| {
        lines
            .iter()
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            .collect::<std::collections::BTreeSet<_>>()
    };
    // A first reading or a failure's reason may come between two pages.
    wait_until("the parts are the whole", SOON, async || {
        let parts = [series("/metrics?cluster=lab").await, series("/metrics?cluster=other").await];
        let parts = names(&[parts.concat(), series("/metrics?self=1").await].concat());
        let whole = names(&series("/metrics").await);
        let between: Vec<_> = whole.symmetric_difference(&parts).collect();
        if between.is_empty() { Ok(()) } else { Err(format!("{between:#?}")) }
    })
    .await?;
    for (path, status) in [
        ("/metrics?cluster=nobody", 404),
        ("/metrics?cluster=", 404),
        ("/metrics?self=0", 400),
        ("/metrics?self=1&cluster=nobody", 404),
        ("/metrics?self=0&cluster=lab", 400),
        ("/metrics?clusters=lab", 400),
        ("/metrics?cluster=lab&cluster=other", 400),
    ] {
        assert_eq!(get(port, path, "").await.status, status, "{path}");
    }
    lab.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_real_prometheus_discovers_the_clusters() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a)]).await?;
    vigil.until_state("a", "up").await;
    let (port, config) = (lab.free_port()?, lab.path().join("prometheus.yml"));
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: pgvigil\n    honor_labels: true\n    \
         http_sd_configs:\n      - {{url: 'http://127.0.0.1:{}/sd', refresh_interval: 1s}}\n",
        vigil.port()
    );
    std::fs::write(&config, text).unwrap();
    let data = lab.own_dir("prometheus")?.join("data");
    let prometheus = Spawn::new("prometheus", prometheus()?)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _running = lab.spawn(prometheus)?;
    let query = "/api/v1/query?query=";
    let asked = async |expression: &str| -> Result<Value, String> {
        let answer = super::client::try_get(port, &format!("{query}{expression}")).await?;
        match answer.status {
            200 => Ok(answer.json()["data"]["result"].clone()),
            _ => Err(answer.text()),
        }
    };
    wait_until("both targets up", Duration::from_secs(30), async || {
        let up = asked("up").await?;
        let mut seen: Vec<_> = up.as_array().ok_or("no result")?.iter().collect();
        seen.sort_by_key(|target| target["metric"]["instance"].to_string());
        let own = format!("127.0.0.1:{}", vigil.port());
        let told: Vec<_> =
            seen.iter().map(|target| (target["metric"]["instance"].as_str(), target["value"][1].as_str())).collect();
        let expected = [(Some(own.as_str()), Some("1")), (Some(&*format!("{own}/lab")), Some("1"))];
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await?;
    let node_up = wait_until("the node's series", SOON, async || match asked("pgvigil_node_up").await? {
        Value::Array(series) if series.len() == 1 => Ok(series),
        other => Err(other.to_string()),
    })
    .await?;
    assert_eq!(node_up[0]["metric"]["cluster"], "lab");
    assert_eq!(node_up[0]["metric"]["instance"], format!("127.0.0.1:{}/lab", vigil.port()));
    assert!(node_up[0]["metric"].get("exported_cluster").is_none());
    lab.stop().await;
    Ok(())
}

/// Runs `pgvigil status` and gives what it printed, with its exit code.
pub async fn status(lab: &Lab, arguments: &[&str]) -> Result<(String, Option<i32>), LabError> {
    let mut command = Spawn::new("status", env!("CARGO_BIN_EXE_pgvigil")).arg("status");
    for argument in arguments {
        command = command.arg(argument);
    }
    let process = lab.spawn(command)?;
    let code = process.wait(SOON).await?.code();
    Ok((process.log(), code))
}

#[tokio::test]
async fn the_status_is_a_table_for_people_and_json_for_programs() -> Outcome {
    let lab = Lab::new()?;
    let a = lab.primary("a", ServerOptions::default()).await?;
    let b = lab.standby_of(&a, "b", StandbyOptions::default()).await?;
    let vigil = Vigil::start(&lab, &[Node::of(&a), Node::of(&b)]).await?;
    vigil.until_healthy(&["a", "b"], &["b"]).await;
    let config = lab.path().join("pgvigil.yml");
    let config = config.to_str().unwrap();
    let (table, code) = status(&lab, &["--config", config]).await?;
    assert_eq!(code, Some(0), "{table}");
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.starts_with("cluster lab: primary a; split brain no;"), "{table}");
    assert_eq!(lines[1], ["NODE", "STATE", "ROLE", "RECEIVED", "REPLAYED", "CONNECTED", "WHY"]);
    assert_eq!(&lines[2][..3], ["a", "up", "primary"]);
    assert_eq!(&lines[3][..3], ["b", "up", "standby"]);
    assert!(lines[3].contains(&"yes") && !table.contains('\x1b'), "{table}");

    let url = format!("http://127.0.0.1:{}", vigil.port());
    let (text, code) = status(&lab, &["--server", &url, "--json"]).await?;
    let answers: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((answers[0]["name"].as_str(), code), (Some("lab"), Some(0)));

    b.kill();
    vigil.until_state("b", "unreachable").await;
    // The first word may be that the connection was reset.
    wait_until("the table says why", SOON, async || match status(&lab, &["--config", config]).await {
        Ok((table, _)) if table.contains("unreachable") && table.contains("nothing listens at this address") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;

    let (refused, code) = status(&lab, &["--server", "http://127.0.0.1:1"]).await?;
    assert_eq!(code, Some(1));
    assert!(refused.contains("http://127.0.0.1:1/api/v1/clusters does not answer: Connection refused"), "{refused}");
    lab.stop().await;
    Ok(())
}
