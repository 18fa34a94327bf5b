//! Labs whose owner was killed: found by the directory's name, ended by their markers, removed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::proc::{self, ProcessId};
use super::spawn;

const PREFIX: &str = "pgvigil-lab";

/// The name of a lab's directory: it says which process of which pid namespace owns it, and the how many-th this is.
pub(super) fn directory_name(owner: ProcessId, number: u32) -> String {
    format!("{PREFIX}.{}.{}.{}.{number}", namespace(), owner.pid, owner.started)
}

/// Ends the processes and removes the directories of labs whose owner is gone, and returns those directories.
///
/// An owner is known by pid and start time, both in the directory's name. Of the processes that its markers name only
/// those are killed whose start time and working directory still are what the marker says, and beside them what runs
/// with a working directory inside that lab and was started by it.
pub fn reap_leftovers() -> Vec<PathBuf> {
    let mut reaped = Vec::new();
    for (path, _) in known().into_iter().filter(|(_, owner)| !owner.alive()) {
        end_processes(&path);
        if !path.join("keep").exists() && std::fs::remove_dir_all(&path).is_ok() {
            reaped.push(path);
        }
    }
    reaped
}

/// The directories of our labs whose owner lives, in any process.
pub fn running() -> Vec<PathBuf> {
    known().into_iter().filter(|(_, owner)| owner.alive()).map(|(path, _)| path).collect()
}

/// Ends what runs in a lab: what its markers name, and what they started.
pub(super) fn end_processes(root: &Path) {
    let mut victims = spawn::marked(root);
    victims.extend(proc::inside(root, root));
    let killed: Vec<_> = victims.iter().flat_map(|victim| victim.kill_tree().unwrap_or_default()).collect();
    proc::await_gone(&killed);
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        spawn::release_shared_memory(&entry.path().join("data"));
    }
}

/// Our labs on this machine, with their owners.
fn known() -> Vec<(PathBuf, ProcessId)> {
    let own_uid = rustix::process::geteuid().as_raw();
    let mut bases = vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    bases.sort();
    bases.dedup();
    let entries = bases.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| {
        // Not somebody else's directory with a name like ours, and not a link to one.
        std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == own_uid)
    });
    paths.filter_map(|path| owner(&path).map(|owner| (path, owner))).collect()
}

/// The process that a lab directory's name speaks of, if it is of our pid namespace.
fn owner(path: &Path) -> Option<ProcessId> {
    let mut words = path.file_name()?.to_str()?.split('.');
    let ours = words.next() == Some(PREFIX) && words.next() == Some(namespace().as_str());
    let (pid, started) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    ours.then_some(ProcessId { pid, started })
}

/// The pid namespace: a pid of another container says nothing about the processes here.
fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_its_owner() {
        let owner_of = |name: &str| owner(&Path::new("/tmp").join(name));
        let id = ProcessId { pid: 12, started: 345 };
        assert_eq!(owner_of(&directory_name(id, 6)), Some(id));
        assert_eq!(owner_of("pgvigil-lab.1.12.345.6"), None, "of another pid namespace");
        assert_eq!(owner_of("pgvigil-lab"), None);
    }
}
