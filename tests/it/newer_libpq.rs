//! What takes OpenSSL's headers or a libpq newer than the installed one, run by hand: `make prove-openssl`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use pgvigil::lab::LabError;

use crate::fixture::{ROOT, update};
use crate::live::libpq::Stage;

/// The first libpq with `sslrootcert=system`.
const FIRST: u32 = 16;

/// The directory of the newest libpq that scripts/bootstrap put on this machine.
fn newest_libpq() -> Option<(u32, String)> {
    let output = Command::new(Path::new(ROOT).join("scripts/bootstrap")).arg("where").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let found = lines.lines().filter_map(|line| {
        let (major, bin) = line.split_once(' ')?;
        let lib = Path::new(bin).parent()?.join("lib");
        let major = major.parse().ok().filter(|major| *major >= FIRST && lib.join("libpq.so.5").exists())?;
        Some((major, lib.display().to_string()))
    });
    found.max()
}

/// psql's own library is taken from elsewhere; it is what reads connection strings.
#[tokio::test]
async fn sslrootcert_system_means_what_it_means_to_psql() -> Result<(), LabError> {
    let trusted = Path::new(ROOT).join("tests/fixtures/tls/ca.crt").display().to_string();
    if std::env::var("SSL_CERT_FILE").ok().as_deref() != Some(&trusted) {
        // Only a process of its own can trust others than this one.
        let again = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "newer_libpq::sslrootcert_system_means_what_it_means_to_psql", "--nocapture"])
            .env("SSL_CERT_FILE", &trusted)
            .env_remove("SSL_CERT_DIR")
            .status();
        assert!(again.unwrap().success());
        return Ok(());
    }
    let (major, lib) = newest_libpq().expect("no libpq 16 or newer: scripts/bootstrap versions");
    let mut stage = Stage::new().await?;
    stage.around_psql =
        [("LD_LIBRARY_PATH", lib), ("SSL_CERT_FILE", trusted)].map(|(name, value)| (name.to_owned(), value)).into();
    let tried = stage.try_all("system.yml").await?;
    println!("{} forms of sslrootcert=system as in libpq {major}", tried.forms);
    assert!(tried.wrong.is_empty(), "{} of {}:\n{}", tried.wrong.len(), tried.forms, tried.wrong.join("\n"));
    assert!(tried.forms >= 20 && tried.deviations == 0, "{} forms", tried.forms);
    stage.lab.stop().await;
    Ok(())
}

/// With the feature; without it there is nothing to try.
#[tokio::test]
async fn what_rustls_refuses_is_as_in_psql_with_openssl() -> Result<(), LabError> {
    if !cfg!(feature = "tls-openssl") {
        return Ok(());
    }
    let mut stage = Stage::new().await?;
    let tried = stage.try_all("forms.yml").await?;
    assert!(tried.wrong.is_empty(), "{} of {}:\n{}", tried.wrong.len(), tried.forms, tried.wrong.join("\n"));
    let version = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let psql = version(&stage.lab.binaries().dir().join("psql").display().to_string(), "--version");
    let mut page = format!(
        "# With OpenSSL\n\nWritten by `UPDATE=1 make prove-openssl` (`tests/it/newer_libpq.rs`): a build with the feature \
         `tls-openssl` beside {psql}, with {}.\n\nOf {} forms (`tests/it/libpq/forms.yml`) {} are on purpose otherwise \
         ([libpq](../libpq.md)), and the others as in psql. These are among them, and otherwise in a build with rustls:\n\n\
         | the server shows | the connection string, without host, port, user and database | the server saw |\n|---|---|---|\n",
        version("openssl", "version"),
        tried.forms,
        tried.deviations,
    );
    for (certificate, dsn, outcome) in &tried.of_rustls {
        let plain = ["host", "hostaddr", "port", "user", "dbname", "password"];
        let told = dsn.split(' ').filter(|word| word.split_once('=').is_some_and(|(name, _)| !plain.contains(&name)));
        let told: Vec<_> = told.map(|word| word.replace("$TLS/", "")).collect();
        let seen = outcome.as_ref().map_or("– (refused)", String::as_str);
        let _ = writeln!(page, "| {certificate} | `{}` | {seen} |", told.join(" "));
    }
    println!("{page}");
    if update() {
        std::fs::write(Path::new(ROOT).join("docs/measured/openssl.md"), page).unwrap();
    }
    stage.lab.stop().await;
    Ok(())
}
