//! Tells when the config file says something else: by the kernel's word on its directory, and by looking now and then anyway.
//!
//! The directory is watched and not the file: an editor that renames a new file into place and a Kubernetes ConfigMap, which swaps a
//! link beside it, both leave a watch on the file with nothing to tell.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::patience::patiently;

/// Whoever writes a file may take several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// Where nobody tells of changes, as on NFS or in some containers, they are seen after so long.
const POLL: Duration = Duration::from_secs(30);
/// A look that takes longer counts for nothing: the file may say something else by then.
const READ_DEADLINE: Duration = Duration::from_secs(10);
/// No config is longer; of a longer one only so much counts here.
const MOST_BYTES: u64 = 4 << 20;

/// The changes of one file.
pub struct FileChanges {
    path: PathBuf,
    content: Content,
    hints: mpsc::Receiver<()>,
    hint: mpsc::Sender<()>,
    looker: Option<Looker>,
}

/// Looks at the file and its directories, which may take as long as their disk does.
struct Looker {
    path: PathBuf,
    hint: mpsc::Sender<()>,
    watcher: Option<(RecommendedWatcher, BTreeSet<Place>)>,
}

/// What a file says, as a number; `None` if it cannot be read.
type Content = Option<u64>;

/// A directory, with what tells it from another of that name.
type Place = (PathBuf, u64, u64);

impl FileChanges {
    /// The changes of the file at `path` from now on.
    pub async fn of(path: PathBuf) -> Self {
        // One hint is as good as many.
        let (hint, hints) = mpsc::channel(1);
        let mut changes = Self { content: None, path, hints, hint, looker: None };
        changes.content = changes.look().await;
        changes
    }

    /// Returns when the file says something else than before.
    pub async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.hints.recv() => sleep(SETTLE).await,
                () = sleep(POLL) => {}
            }
            while self.hints.try_recv().is_ok() {}
            let content = self.look().await;
            if std::mem::replace(&mut self.content, content) != content {
                return;
            }
        }
    }

    /// What the file says now. While its disk hangs nothing is said, and one thread waits.
    async fn look(&mut self) -> Content {
        loop {
            let looker = self.looker.take();
            let looker =
                looker.unwrap_or_else(|| Looker { path: self.path.clone(), hint: self.hint.clone(), watcher: None });
            let path = self.path.display();
            let late = || tracing::debug!("{path} does not answer");
            let Ok((looker, content)) = patiently(looker, READ_DEADLINE, Looker::look, late).await else { return None };
            self.looker = Some(looker);
            // What comes too late is looked at again.
            if let Some(content) = content {
                return content;
            }
        }
    }
}

impl Looker {
    fn look(&mut self) -> Content {
        self.arm();
        content(&self.path)
    }

    /// Watches the directories that the file is in, unless they are watched. One that was removed and made anew is another one.
    fn arm(&mut self) {
        let places = places(&self.path);
        if self.watcher.as_ref().is_some_and(|(_, watched)| *watched == places) {
            return;
        }
        let hint = self.hint.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and we read it.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = hint.try_send(());
            }
        });
        let armed = watcher.and_then(|mut watcher| {
            places.iter().try_for_each(|(dir, ..)| watcher.watch(dir, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        match armed {
            Ok(watcher) => self.watcher = Some((watcher, places)),
            Err(error) => {
                let path = self.path.display();
                tracing::debug!("changes of {path} are seen within {} s only: {error}", POLL.as_secs());
                self.watcher = None;
            }
        }
    }
}

/// The directory of the path as it is written, and that of the file itself where links lead elsewhere.
fn places(path: &Path) -> BTreeSet<Place> {
    let parent = |path: &Path| match path.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let real = path.canonicalize().ok();
    let dirs = std::iter::once(parent(path)).chain(real.as_deref().map(parent));
    dirs.filter_map(|dir| dir.metadata().ok().map(|it| (dir, it.dev(), it.ino()))).collect()
}

fn content(path: &Path) -> Content {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}
