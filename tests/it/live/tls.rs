//! The ways to a server: TLS with its name compared, TLS where it can be had, and its socket. All carry the readings.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pgvigil::lab::{Lab, LabError, Role, ServerOptions, Spawn};
use rcgen::{CertificateParams, KeyPair};

use super::watch::{Node, SOON, Vigil};

/// A certificate for this name with its key, as the servers' account must have them.
pub async fn certificate(lab: &Lab, name: &str) -> Result<(PathBuf, PathBuf), LabError> {
    let dir = lab.server_dir("tls")?;
    let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
    let pair = KeyPair::generate().unwrap();
    let made = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&pair).unwrap();
    for (path, text) in [(&certificate, made.pem()), (&key, pair.serialize_pem())] {
        // A server takes no key that is not its own.
        let ours = lab.path().join("ours.pem");
        std::fs::write(&ours, text).unwrap();
        std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o644)).unwrap();
        let install = Spawn::new("install", "install").as_server().arg("-m").arg("600").arg(&ours).arg(path);
        assert_eq!(lab.spawn(install.cwd(&dir))?.wait(SOON).await?.code(), Some(0));
    }
    Ok((certificate, key))
}

#[tokio::test]
async fn every_way_to_a_server_carries_the_readings() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let (certificate, key) = certificate(&lab, "localhost").await?;
    let options = ServerOptions::default().set("ssl", "on");
    let options = options.set("ssl_cert_file", certificate.display()).set("ssl_key_file", key.display());
    let a = lab.primary("a", options).await?;
    let dsn = |host: &str, more: &str| {
        let dsn = a.dsn(Role::Monitor).replace("127.0.0.1", host);
        format!("{dsn} {more}")
    };
    let root = format!("sslmode=verify-full sslrootcert={}", certificate.display());
    let nodes = [
        Node::with("verified", &dsn("localhost", &root), ""),
        Node::with("preferred", &dsn("127.0.0.1", "sslmode=prefer"), ""),
        Node::with("socket", &dsn(&a.socket_dir().display().to_string(), ""), ""),
        Node::with("wrong-name", &dsn("127.0.0.1", &format!("dbname=template1 {root}")), ""),
    ];
    let vigil = Vigil::start(&lab, &nodes).await?;
    for (node, state) in [("verified", "up"), ("preferred", "up"), ("socket", "up"), ("wrong-name", "rejecting")] {
        vigil.until_state(node, state).await;
    }
    let reason = vigil.page().await.get("node_connect_failure", "node=\"wrong-name\",reason=\"tls\"");
    assert_eq!(reason, Some(1.0), "{}", vigil.log());
    // Two kept connections each; a login probe may come and go.
    let ways = "SELECT count(*) FILTER (WHERE ssl) >= 4 AND count(*) FILTER (WHERE NOT ssl AND client_addr IS NULL) >= 2 \
                AND count(*) FILTER (WHERE NOT ssl AND client_addr IS NOT NULL) = 0 \
                FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'pgvigil'";
    pgvigil::lab::wait_until("the connections of each way", SOON, async || match a.value(ways).await? {
        Some(all) if all == "t" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    lab.stop().await;
    Ok(())
}
