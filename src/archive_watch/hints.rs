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
pub(super) struct Hints {
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
    pub(super) fn new(hint: impl Fn() + Send + Sync + 'static) -> Self {
        Self { hint: Arc::new(hint), armed: None, problem: None }
    }

    /// Sees to it that the directory of this identity is watched; says why it is not.
    pub(super) fn arm(&mut self, path: &Path, identity: (u64, u64)) -> Option<String> {
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
        // Our own looks are events too, and no news.
        if event.is_ok_and(|event| event.need_rescan() || is_news(event.kind)) {
            hint();
        }
    })?;
    watcher.watch(path, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

const fn is_news(kind: EventKind) -> bool {
    matches!(kind, EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
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
