//! Which cluster manager left its traces in a server. It only ever forbids: that none is seen proves nothing.

use crate::pg::records::{DecodeError, Records};

/// Reads the traces; right on a primary and on a standby from version 10 on, as a role that is in `pg_monitor`.
pub const SQL: &str = include_str!("detect.sql");

/// A cluster manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Patroni.
    Patroni,
    /// repmgr.
    Repmgr,
    /// pg_auto_failover.
    PgAutoFailover,
    /// CloudNativePG.
    CloudNativePg,
}

impl Kind {
    /// Every one with its name.
    pub const ALL: [(&'static str, Self); 4] = [
        ("Patroni", Self::Patroni),
        ("repmgr", Self::Repmgr),
        ("pg_auto_failover", Self::PgAutoFailover),
        ("CloudNativePG", Self::CloudNativePg),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patroni => "Patroni",
            Self::Repmgr => "repmgr",
            Self::PgAutoFailover => "pg_auto_failover",
            Self::CloudNativePg => "CloudNativePG",
        }
    }
}

/// A manager that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// Which.
    pub kind: Kind,
    /// By what, for people: `its session Patroni`.
    pub by: String,
}

/// The first manager that these rows of [`SQL`] are traces of.
pub fn detect(records: &Records) -> Result<Option<Detected>, DecodeError> {
    for record in records.iter() {
        let (fact, value) = (record.need_text("fact")?, record.need_text("value")?);
        let seen = match fact {
            "application" => by_session(value).map(|kind| (kind, "a session of")),
            "file" => by_file(value).map(|kind| (kind, "a setting in")),
            "slot" => by_slot(value).map(|kind| (kind, "the slot")),
            "library" | "extension" => by_extension(value).map(|kind| (kind, "the extension")),
            "archive_command" => Some((Kind::CloudNativePg, "an archive_command that runs")),
            _ => None,
        };
        if let Some((kind, what)) = seen {
            let shown: String = value.chars().filter(|c| !c.is_control()).take(63).collect();
            return Ok(Some(Detected { kind, by: format!("{what} {shown}") }));
        }
    }
    Ok(None)
}

fn by_session(name: &str) -> Option<Kind> {
    match name {
        "repmgr" | "repmgrd" => Some(Kind::Repmgr),
        // `Patroni` up to 3, `Patroni heartbeat` and `Patroni restapi` from 4 on.
        "Patroni" => Some(Kind::Patroni),
        name if name.starts_with("Patroni ") => Some(Kind::Patroni),
        name if name.starts_with("pg_auto") => Some(Kind::PgAutoFailover),
        name if name.starts_with("cnpg") => Some(Kind::CloudNativePg),
        _ => None,
    }
}

fn by_file(name: &str) -> Option<Kind> {
    match name {
        "postgresql.base.conf" => Some(Kind::Patroni),
        "postgresql-auto-failover.conf" | "postgresql-auto-failover-standby.conf" => Some(Kind::PgAutoFailover),
        _ => None,
    }
}

fn by_slot(name: &str) -> Option<Kind> {
    match name {
        name if name.starts_with("_cnpg_") => Some(Kind::CloudNativePg),
        name if name.starts_with("pgautofailover_standby_") => Some(Kind::PgAutoFailover),
        _ => None,
    }
}

fn by_extension(name: &str) -> Option<Kind> {
    match name {
        "repmgr" => Some(Kind::Repmgr),
        "pgautofailover" => Some(Kind::PgAutoFailover),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(rows: &[(&str, &str)]) -> Option<Detected> {
        let cell = |text: &str| Some(text.to_owned());
        let rows = rows.iter().map(|(fact, value)| vec![cell(fact), cell(value)]).collect();
        detect(&Records::new(["fact".to_owned(), "value".to_owned()].into(), rows)).unwrap()
    }

    #[test]
    fn each_trace_leads_to_its_manager_and_others_to_none() {
        for (fact, value, kind) in [
            ("application", "Patroni", Kind::Patroni),
            ("application", "Patroni heartbeat", Kind::Patroni),
            ("application", "repmgrd", Kind::Repmgr),
            ("application", "pg_autoctl", Kind::PgAutoFailover),
            ("application", "cnpg_metrics_exporter", Kind::CloudNativePg),
            ("file", "postgresql.base.conf", Kind::Patroni),
            ("file", "postgresql-auto-failover.conf", Kind::PgAutoFailover),
            ("slot", "_cnpg_orders_2", Kind::CloudNativePg),
            ("slot", "pgautofailover_standby_2", Kind::PgAutoFailover),
            ("library", "repmgr", Kind::Repmgr),
            ("extension", "pgautofailover", Kind::PgAutoFailover),
            ("archive_command", "/controller/manager", Kind::CloudNativePg),
        ] {
            let detected = seen(&[("application", "psql"), (fact, value)]).unwrap();
            assert!(detected.kind == kind && detected.by.ends_with(value), "{detected:?}");
            assert!(Kind::ALL.contains(&(kind.as_str(), kind)));
        }
        for (fact, value) in [
            ("application", "Patronila"),
            ("application", "repmgr_a"),
            ("application", "my cnpg"),
            ("file", "postgresql.conf"),
            ("slot", "cnpg"),
            ("library", "pg_stat_statements"),
            ("else", "Patroni"),
        ] {
            assert_eq!(seen(&[(fact, value)]), None, "{fact} {value}");
        }
        assert_eq!(seen(&[]), None);
        let torn = Records::new(["fact".to_owned(), "value".to_owned()].into(), vec![vec![None, None]]);
        assert!(detect(&torn).is_err());
    }
}
