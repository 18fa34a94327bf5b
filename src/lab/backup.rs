//! A copy of a running server, made by the low-level backup functions: the one way that works on every version and
//! needs no `pg_basebackup`.

use std::path::Path;

use super::template::copy_tree;
use super::{LabError, Server};

/// Directories whose content belongs to the running server alone; the copy gets them empty.
const EMPTY: &[&str] = &[
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_wal/archive_status",
    "pg_wal/summaries",
];

/// Files that are the source's own, or that the copy gets anew.
const LEFT_OUT: &[&str] = &[
    "postmaster.pid",
    "postmaster.opts",
    "postgresql.auto.conf",
    "backup_label",
    "tablespace_map",
    "standby.signal",
    "recovery.signal",
    "lab.conf",
    "pg_internal.init",
];

/// Copies `source`, a primary or a standby, to `data`, with the WAL that the copy needs to become consistent.
pub(super) async fn take(source: &Server, data: &Path) -> Result<(), LabError> {
    let client = source.connect().await?;
    let (start, stop) = if source.major() >= 15 {
        ("SELECT pg_backup_start('lab', true)", "SELECT * FROM pg_backup_stop(false)")
    } else {
        ("SELECT pg_start_backup('lab', true, false)", "SELECT * FROM pg_stop_backup(false, false)")
    };
    let segment = "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'";
    let segment = source.value(segment).await?.and_then(|bytes| bytes.parse::<u64>().ok());
    // The backup lasts as long as this connection.
    source.query_on(&client, start).await?;
    let root = source.inner.lab.root();
    copy_tree(source.data_dir(), data, root, wanted).await?;
    copy_control(source.data_dir(), data)?;
    let mut row = source.query_on(&client, stop).await?.pop().unwrap_or_default().into_iter().flatten();
    let fail = |why: &str| LabError::Backup { server: source.name().to_owned(), why: why.to_owned() };
    let (stop, label) = row.next().zip(row.next()).ok_or_else(|| fail("the backup ended without a label"))?;
    root.write(&data.join("backup_label"), &label)?;
    if let Some(map) = row.next().filter(|map| !map.is_empty()) {
        // The copy would write into the tablespace of the source.
        return Err(fail(&format!("it has tablespaces ({})", map.trim())));
    }
    let (first, last) =
        wal_range(&label, &stop, segment).ok_or_else(|| fail("its backup label has no WAL location"))?;
    let needed = move |path: &Path| {
        let name = path.to_string_lossy();
        let place = name.get(8..).filter(|_| name.len() == 24);
        place.is_some_and(|place| (first.as_str()..=last.as_str()).contains(&place)) || name.ends_with(".history")
    };
    copy_tree(&source.data_dir().join("pg_wal"), &data.join("pg_wal"), root, needed).await
}

fn wanted(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().unwrap_or(Path::new(""));
    let wal = parent == Path::new("pg_wal") && !EMPTY.iter().any(|dir| Path::new(dir) == path);
    !wal && !EMPTY.iter().any(|dir| Path::new(dir) == parent)
        && !LEFT_OUT.contains(&name.as_ref())
        && !name.starts_with("pgsql_tmp")
}

/// Copies `pg_control` last, as a backup of a standby demands, and until two readings agree: the server may write it
/// at the same moment.
fn copy_control(from: &Path, to: &Path) -> Result<(), LabError> {
    let (from, to) = (from.join("global/pg_control"), to.join("global/pg_control"));
    let read = || std::fs::read(&from).map_err(LabError::io("read", &from));
    let mut control = read()?;
    for _ in 0..100 {
        let again = read()?;
        if again == control {
            break;
        }
        control = again;
    }
    std::fs::write(&to, control).map_err(LabError::io("write", &to))
}

/// The names of the first and last WAL segment of a backup, without their timeline.
fn wal_range(label: &str, stop: &str, segment: Option<u64>) -> Option<(String, String)> {
    let first = label.split("(file ").nth(1)?.get(8..24)?.to_owned();
    let (high, low) = stop.split_once('/')?;
    let (high, low) = (u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?);
    Some((first, format!("{high:08X}{:08X}", low.checked_div(segment?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_range_spans_label_and_stop() {
        let label = "START WAL LOCATION: 0/2000028 (file 000000030000000000000020)\nCHECKPOINT LOCATION: 0/2000060\n";
        let range = wal_range(label, "1/2300100", Some(1 << 20));
        assert_eq!(range, Some(("0000000000000020".to_owned(), "0000000100000023".to_owned())));
        assert_eq!(wal_range("", "1/0", Some(1 << 20)), None);
    }

    #[test]
    fn the_copy_leaves_out_what_belongs_to_the_source() {
        let keeps = |path| wanted(Path::new(path));
        assert!(keeps("base/1/1259") && keeps("pg_wal") && keeps("pg_wal/archive_status") && keeps("pg_replslot"));
        assert!(!keeps("pg_wal/000000010000000000000001") && !keeps("pg_replslot/b") && !keeps("postmaster.pid"));
        assert!(!keeps("pg_wal/archive_status/000000010000000000000001.ready"));
    }
}
