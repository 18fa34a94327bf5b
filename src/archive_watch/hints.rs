//! Hints from the kernel that a directory changed. Only hints: the look itself tells what is there, and comes without them too, later.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::clock::Mono;

/// After a failure to watch it is tried again so much later.
const AGAIN: Duration = Duration::from_secs(60);

/// The watch on one directory.
pub(crate) struct Hints {
    hint: Arc<dyn Fn() + Send + Sync>,
    armed: Option<Armed>,
    problem: Option<(String, Mono)>,
}

struct Armed {
    /// Device and inode: a watch stays with the directory when another is put in its place.
    identity: (u64, u64),
    _watcher: RecommendedWatcher,
}

impl Hints {
    pub(crate) fn new(hint: impl Fn() + Send + Sync + 'static) -> Self {
        Self { hint: Arc::new(hint), armed: None, problem: None }
    }

    /// Sees to it that the directory of this identity is watched; says why it is not.
    pub(crate) fn arm(&mut self, path: &Path, identity: (u64, u64)) -> Option<String> {
        if self.armed.as_ref().is_some_and(|armed| armed.identity == identity) {
            return None;
        }
        if let Some((why, at)) = &self.problem
            && Mono::now().since(*at) < AGAIN
        {
            return Some(why.clone());
        }
        self.armed = None;
        match watch(path, self.hint.clone()) {
            Ok(watcher) => {
                self.armed = Some(Armed { identity, _watcher: watcher });
                self.problem = None;
            }
            Err(error) => self.problem = Some((in_words(&error), Mono::now())),
        }
        self.problem.as_ref().map(|(why, _)| why.clone())
    }
}

fn watch(path: &Path, hint: Arc<dyn Fn() + Send + Sync>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_hint(&event)) {
            hint();
        }
    })?;
    watcher.watch(path, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Whether a name came, went or changed, or events were lost. Our own looks are events too, and none of these.
fn is_hint(event: &Event) -> bool {
    let news =
        matches!(event.kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    news || event.need_rescan()
}

fn in_words(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "raise fs.inotify.max_user_watches".to_owned(),
        ErrorKind::Io(error) if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "raise fs.inotify.max_user_instances, or the limit on open files".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pgvigil-hints-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn identity(&self) -> (u64, u64) {
            let metadata = fs::metadata(&self.0).unwrap();
            (metadata.dev(), metadata.ino())
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn hints() -> (Hints, Receiver<()>) {
        let (sender, receiver) = channel();
        (Hints::new(move || sender.send(()).unwrap_or(())), receiver)
    }

    #[test]
    fn what_the_archiver_does_is_a_hint() {
        let dir = Dir::new("news");
        let (mut hints, received) = hints();
        assert_eq!(hints.arm(&dir.0, dir.identity()), None);
        let (ready, done) = (dir.0.join("1.ready"), dir.0.join("1.done"));
        fs::write(&ready, "").unwrap();
        received.recv_timeout(SOON).unwrap();
        while received.try_recv().is_ok() {}
        fs::rename(&ready, &done).unwrap();
        received.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn our_own_looks_are_no_news() {
        use notify::event::{AccessKind, AccessMode, CreateKind, Flag, MetadataKind, RemoveKind, RenameMode};
        let of = |kind| is_hint(&Event::new(kind));
        assert!(of(EventKind::Create(CreateKind::File)) && of(EventKind::Remove(RemoveKind::File)));
        assert!(of(EventKind::Modify(ModifyKind::Name(RenameMode::Both))));
        assert!(!of(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!of(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(!of(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any))));
        assert!(is_hint(&Event::new(EventKind::Other).set_flag(Flag::Rescan)), "the kernel's queue was full");
    }

    #[test]
    fn the_directory_in_its_place_is_watched_too() {
        let dir = Dir::new("place");
        let (mut hints, received) = hints();
        assert_eq!(hints.arm(&dir.0, dir.identity()), None);
        let before = dir.identity();
        let aside = Dir(dir.0.with_extension("aside"));
        fs::rename(&dir.0, &aside.0).unwrap();
        fs::create_dir(&dir.0).unwrap();
        assert_ne!(dir.identity(), before);
        assert_eq!(hints.arm(&dir.0, dir.identity()), None);
        while received.try_recv().is_ok() {}
        fs::write(dir.0.join("1.ready"), "").unwrap();
        received.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn what_cannot_be_watched_is_said_and_not_tried_at_once_again() {
        let dir = Dir::new("missing");
        let (mut hints, _received) = hints();
        let missing = dir.0.join("missing");
        let why = hints.arm(&missing, (1, 2)).unwrap();
        assert!(!why.is_empty());
        assert_eq!(hints.arm(&dir.0, dir.identity()), Some(why), "later");
    }
}
