//! What is in `deploy/` and the Dockerfile, held against what the program does: its port, its paths, its config, and how little it may.

use std::fs;
use std::path::Path;
use std::process::Command;

use pgvigil::lab::Lab;
use serde_json::Value;

use crate::fixture::ROOT;

/// Where the page is when nothing else is said.
const PORT: u64 = 10187;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    let parse = |part: &str| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{path}: {error}"));
    text(path).split("\n---\n").map(parse).collect()
}

/// The document of this kind among the manifests in `deploy/kubernetes`.
fn manifest(file: &str, kind: &str) -> Value {
    let found = yaml(&format!("deploy/kubernetes/{file}.yaml")).into_iter().find(|value| value["kind"] == kind);
    found.unwrap_or_else(|| panic!("{file}.yaml has no {kind}"))
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    elements(list).iter().find(|value| value["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// What `pgvigil check` says of a config, whose files `replace` puts where they are here.
fn checked(config: &str, files: &[(&str, &str)], replace: (&str, &str)) {
    let lab = Lab::new().unwrap();
    for (name, content) in files {
        fs::write(lab.path().join(name), content).unwrap();
    }
    let here = config.replace(replace.0, &format!("{}{}", lab.path().display(), replace.1));
    let path = lab.path().join("pgvigil.yml");
    fs::write(&path, here).unwrap();
    let program = env!("CARGO_BIN_EXE_pgvigil");
    let output = Command::new(program).env_clear().args(["check", "--config"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{config}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_example_listens_where_everything_else_asks() {
    let example = &yaml("deploy/pgvigil.example.yml")[0];
    assert_eq!(example["listen"], format!("127.0.0.1:{PORT}"));
    let routes = text("src/http/mod.rs");
    for path in ["/-/healthy", "/-/ready", "/metrics"] {
        assert!(routes.contains(&format!(".route(\"{path}\"")), "{path}");
    }
}

#[test]
fn the_unit_lets_hooks_live_and_starts_what_the_package_brings() {
    let unit = text("deploy/pgvigil.service");
    for line in ["KillMode=process", "Type=notify", "User=pgvigil", "NoNewPrivileges=yes", "CapabilityBoundingSet="] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let package = text("Cargo.toml");
    assert!(start.starts_with("/usr/bin/pgvigil serve --config /etc/pgvigil/pgvigil.yml"), "{start}");
    assert!(package.contains("[\"target/release/pgvigil\", \"usr/bin/\", \"755\"]"));
    assert!(package.contains("\"etc/pgvigil/pgvigil.yml\", \"640\"]"));
    let boards = fs::read_dir(Path::new(ROOT).join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    assert!(
        boards.filter(|path| path.extension().is_some_and(|end| end == "json")).count() > 0,
        "what scripts/deb takes"
    );
    assert!(text("deploy/acting.conf").lines().any(|line| line == "ProtectProc=default"));
}

#[test]
fn the_image_is_pinned_belongs_to_nobody_and_asks_itself() {
    let dockerfile = text("Dockerfile");
    let lines: Vec<_> = dockerfile.lines().filter(|line| !line.starts_with('#')).collect();
    let of = |word: &str| lines.iter().filter_map(|line| line.strip_prefix(word)).collect::<Vec<_>>();
    for from in of("FROM ") {
        assert!(from.starts_with("${"), "an image that cannot be chosen: {from}");
    }
    for image in of("ARG ").iter().filter_map(|argument| argument.split_once("_IMAGE=")) {
        let is_pinned = image.1 == "scratch" || image.1.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest");
        assert!(is_pinned, "{image:?}");
    }
    let users = of("USER ");
    let (user, group) = users.last().unwrap().split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0, "{users:?}");
    let last_stage = dockerfile.rsplit("FROM ").next().unwrap();
    assert!(!last_stage.contains("\nRUN ") && !last_stage.contains("ADD "), "there is no shell in it");
    assert!(last_stage.contains("CMD [\"/usr/local/bin/pgvigil\", \"healthcheck\"]"), "its HEALTHCHECK");
    assert_eq!(of("EXPOSE "), [PORT.to_string()]);
    assert!(dockerfile.contains(&format!("PGVIGIL_LISTEN=0.0.0.0:{PORT}")));
    let help = Command::new(env!("CARGO_BIN_EXE_pgvigil")).args(["healthcheck", "--help"]).output().unwrap();
    assert!(help.status.success());
}

#[test]
fn the_composed_services_are_pinned_and_reached_from_this_machine_alone() {
    let compose = &yaml("deploy/compose/compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 6, "{:?}", services.keys());
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        assert!(service.get("build").is_some() || image.contains(':') && !image.contains("latest"), "{name}: {image}");
        for port in elements(&service["ports"]) {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} is open to everybody: {port}");
        }
        for volume in elements(&service["volumes"]) {
            let volume = volume.as_str().unwrap();
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(volume.ends_with(":ro"), "{name} may write {source}");
                assert!(Path::new(ROOT).join("deploy/compose").join(source).exists(), "{source}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source}");
            }
        }
    }
    let ours = &services["pgvigil"];
    assert_eq!(ours["read_only"], true);
    assert_eq!(ours["ports"][0], format!("127.0.0.1:{PORT}:{PORT}"));
    let token = text("deploy/compose/webhook.token");
    checked(&text("deploy/compose/pgvigil.yml"), &[("webhook", &token)], ("/run/secrets", ""));
    let prometheus = &yaml("deploy/compose/prometheus.yml")[0]["scrape_configs"][0];
    assert_eq!((&prometheus["job_name"], &prometheus["honor_labels"]), (&"pgvigil".into(), &true.into()));
    assert_eq!(prometheus["static_configs"][0]["targets"][0], format!("pgvigil:{PORT}"));
    let alertmanager = text("deploy/compose/alertmanager.yml");
    assert!(alertmanager.contains(&format!("http://pgvigil:{PORT}{}", "/alertmanager")));
}

/// What a pod says of the container, whichever way it stands beside a server.
fn holds(pod: &Value) {
    let ours = named(&pod["containers"], "pgvigil");
    assert_eq!(named(&ours["ports"], "http")["containerPort"], PORT);
    let live = &ours["livenessProbe"]["httpGet"];
    assert_eq!((&live["path"], &live["port"]), (&"/-/healthy".into(), &"http".into()));
    let may = &ours["securityContext"];
    assert_eq!(may["readOnlyRootFilesystem"], true);
    assert_eq!(may["allowPrivilegeEscalation"], false);
    assert_eq!(may["capabilities"]["drop"][0], "ALL");
    let runs_as = |key: &str| if may[key].is_null() { pod["securityContext"][key].clone() } else { may[key].clone() };
    assert_eq!(runs_as("runAsNonRoot"), true);
    let user = text("Dockerfile").lines().find_map(|line| line.strip_prefix("USER ").map(str::to_owned)).unwrap();
    assert_eq!(format!("{}:{}", runs_as("runAsUser"), runs_as("runAsGroup")), user, "as in the image");
    for mount in elements(&ours["volumeMounts"]) {
        let volume = named(&pod["volumes"], mount["name"].as_str().unwrap());
        let is_state = volume.get("persistentVolumeClaim").is_some() || volume.get("emptyDir").is_some();
        assert_eq!(mount["readOnly"].as_bool().unwrap_or(false), !is_state, "{mount}");
    }
}

#[test]
fn the_manifests_agree_with_each_other_and_with_the_program() {
    let deployment = manifest("deployment", "Deployment");
    let pod = &deployment["spec"]["template"];
    holds(&pod["spec"]);
    holds(&yaml("deploy/kubernetes/sidecar.yaml")[0]["spec"]["template"]["spec"]);
    assert_eq!(named(&pod["spec"]["containers"], "pgvigil")["readinessProbe"]["httpGet"]["path"], "/-/ready");
    assert_eq!(deployment["spec"]["strategy"]["type"], "Recreate", "one writes the journal");
    let labels = &pod["metadata"]["labels"];
    let service = manifest("deployment", "Service");
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(named(&service["spec"]["ports"], "http")["port"], PORT);
    let monitor = manifest("monitoring", "ServiceMonitor");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]);
    let job = monitor["spec"]["jobLabel"].as_str().unwrap();
    assert_eq!(service["metadata"]["labels"][job], "pgvigil", "the job that the rules look for");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["port"], &endpoint["honorLabels"]), (&"http".into(), &true.into()));
    let policy = manifest("networkpolicy", "NetworkPolicy");
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], PORT);

    let secret = manifest("config", "Secret");
    let files: Vec<_> = secret["stringData"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let config = manifest("config", "ConfigMap");
    let config = config["data"]["pgvigil.yml"].as_str().unwrap();
    checked(config, &files, ("/etc/pgvigil/secrets", ""));
    for volume in elements(&pod["spec"]["volumes"]) {
        let name = [
            &volume["configMap"]["name"],
            &volume["secret"]["secretName"],
            &volume["persistentVolumeClaim"]["claimName"],
        ];
        assert!(name.contains(&&"pgvigil".into()), "{volume}");
    }
}
