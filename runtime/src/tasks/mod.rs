//! The tree of tasks and threads of one process.
//!
//! A `Tasks` is a scope: what runs in it is asked to stop by its token and waited for by `close`;
//! scopes below stop with it. A task that must not end before its scope ("essential") ends the whole
//! tree when it does, and so does any essential thread; the root keeps the first reason, from which
//! the binary makes its exit code. Nothing else in the house calls `spawn`.
//!
//! Invariant: everything spawned is in `running` until it is gone, so `close` can say who is late.

use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Wake, Waker},
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFuture},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How long tasks that were aborted at the end of the grace time may take to go away.
const ABORT_GRACE: Duration = Duration::from_millis(200);

/// Why the whole tree was told to stop: an essential part ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} ended: {why}")]
pub struct Ended {
    /// The task or thread.
    pub name: &'static str,
    /// Its error, or that it panicked.
    pub why: String,
}

/// Some tasks or threads outlived the grace time; tasks among them were aborted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("still running after the grace time: {}", .names.join(", "))]
pub struct Unfinished {
    /// Their names, sorted.
    pub names: Vec<&'static str>,
}

/// A scope of tasks and threads. Clones are handles to the same scope.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Scope>);

#[derive(Debug)]
struct Scope {
    root: Arc<Root>,
    cancel: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<Running>,
    below: Mutex<Vec<Weak<Self>>>,
}

#[derive(Debug)]
struct Root {
    runtime: Handle,
    cancel: CancellationToken,
    ended: Mutex<Option<Ended>>,
}

#[derive(Debug, Default)]
struct Running {
    next_id: u64,
    /// A thread has no `AbortHandle`, and a task not yet for the moment in which it starts.
    alive: HashMap<u64, (&'static str, Option<AbortHandle>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Tasks {
    /// The root of a tree that runs on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn root() -> Self {
        let cancel = CancellationToken::new();
        let root = Root {
            runtime: Handle::current(),
            cancel: cancel.clone(),
            ended: Mutex::default(),
        };
        Self(Arc::new(Scope::new(Arc::new(root), cancel)))
    }

    /// A scope below: it stops with this one, and can be closed before.
    #[must_use]
    pub fn child(&self) -> Self {
        let scope = Arc::new(Scope::new(
            Arc::clone(&self.0.root),
            self.0.cancel.child_token(),
        ));
        let mut below = self.0.below.lock();
        below.retain(|scope| scope.strong_count() > 0);
        below.push(Arc::downgrade(&scope));
        Self(scope)
    }

    /// Runs `task` to its end. A panic in it is logged and ends nothing else.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, false, task);
    }

    /// Runs `task`, which must not end, in whatever way, before the scope was told to stop.
    pub fn spawn_essential<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let scope = Arc::clone(&self.0);
        self.start(name, true, async move {
            scope.essential_ended(name, task.await)
        });
    }

    /// Runs `work` on an operating system thread of that name (15 bytes are shown by the system).
    /// It should watch [`Tasks::is_cancelled`]. `close` joins it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn thread<W>(&self, name: &'static str, work: W) -> io::Result<()>
    where
        W: FnOnce() + Send + 'static,
    {
        self.start_thread(name, false, work)
    }

    /// Like `thread`, for one that must not end before the scope was told to stop.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn essential_thread<W, E>(&self, name: &'static str, work: W) -> io::Result<()>
    where
        W: FnOnce() -> Result<(), E> + Send + 'static,
        E: Display,
    {
        let scope = Arc::clone(&self.0);
        self.start_thread(name, true, move || scope.essential_ended(name, work()))
    }

    /// Stops the whole tree because `name` cannot go on. The first reason is kept.
    pub fn fail(&self, name: &'static str, why: impl Display) {
        self.0.root.end(name, why.to_string());
    }

    /// Why the tree was stopped from inside, if it was.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.0.root.ended.lock().clone()
    }

    /// The token of this scope, for those who pass it on.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.cancel.clone()
    }

    /// Resolves when the scope is told to stop.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancel.cancelled()
    }

    /// Has the scope been told to stop?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }

    /// Rests a thread (never a task) for a time or until the scope is told to stop; false then. Needs
    /// no executor: a thread may outlive the one it was started from.
    #[must_use]
    pub fn rest(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut stopped = pin!(self.cancelled());
        while stopped.as_mut().poll(&mut cx).is_pending() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
        false
    }

    /// Tells the scope and those below to stop, without waiting.
    pub fn cancel(&self) {
        self.0.cancel.cancel();
    }

    /// Tells the scope to stop, waits until all in it and below is gone, and joins its threads. What
    /// is late is aborted (threads cannot be and are left behind).
    ///
    /// # Errors
    /// The names of those that were late.
    pub async fn close(&self, grace: Duration) -> Result<(), Unfinished> {
        self.cancel();
        let scopes = self.0.with_all_below();
        if timeout(grace, all_gone(&scopes)).await.is_ok() {
            scopes.iter().for_each(|scope| scope.join_threads());
            return Ok(());
        }
        let mut names: Vec<_> = scopes.iter().flat_map(|scope| scope.abort()).collect();
        names.sort_unstable();
        if timeout(ABORT_GRACE, all_gone(&scopes)).await.is_ok() {
            scopes.iter().for_each(|scope| scope.join_threads());
        }
        Err(Unfinished { names })
    }

    fn start<F>(&self, name: &'static str, essential: bool, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seat = Seat::take(&self.0, name, essential);
        let id = seat.id;
        let handle = self.0.root.runtime.spawn(async move {
            let _seat = seat;
            task.await;
        });
        if let Some(entry) = self.0.running.lock().alive.get_mut(&id) {
            entry.1 = Some(handle.abort_handle());
        }
    }

    fn start_thread<W>(&self, name: &'static str, essential: bool, work: W) -> io::Result<()>
    where
        W: FnOnce() + Send + 'static,
    {
        let seat = Seat::take(&self.0, name, essential);
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _seat = seat;
                work();
            })?;
        let threads = &mut self.0.running.lock().threads;
        threads.retain(|thread| !thread.is_finished());
        threads.push(handle);
        Ok(())
    }
}

impl Scope {
    fn new(root: Arc<Root>, cancel: CancellationToken) -> Self {
        let tracker = TaskTracker::new();
        Self {
            root,
            cancel,
            tracker,
            running: Mutex::default(),
            below: Mutex::default(),
        }
    }

    fn essential_ended<E: Display>(&self, name: &'static str, outcome: Result<(), E>) {
        match outcome {
            Err(why) => self.root.end(name, why.to_string()),
            Ok(()) if self.cancel.is_cancelled() => {}
            Ok(()) => self.root.end(name, "without being told to stop".to_owned()),
        }
    }

    fn with_all_below(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut all = vec![Arc::clone(self)];
        let mut at = 0;
        while let Some(scope) = all.get(at).cloned() {
            all.extend(scope.below.lock().iter().filter_map(Weak::upgrade));
            at += 1;
        }
        all
    }

    fn abort(&self) -> Vec<&'static str> {
        let running = self.running.lock();
        running
            .alive
            .values()
            .filter_map(|(_, task)| task.as_ref())
            .for_each(AbortHandle::abort);
        running.alive.values().map(|(name, _)| *name).collect()
    }

    /// Only after the tracker is empty: each thread is past its work, so this does not block.
    fn join_threads(&self) {
        let threads = std::mem::take(&mut self.running.lock().threads);
        for thread in threads {
            // A panic was reported by its seat.
            drop(thread.join());
        }
    }
}

async fn all_gone(scopes: &[Arc<Scope>]) {
    for scope in scopes {
        scope.tracker.close();
        scope.tracker.wait().await;
    }
}

impl Root {
    fn end(&self, name: &'static str, why: String) {
        tracing::error!(part = name, why, "an essential part ended, stopping");
        self.ended.lock().get_or_insert(Ended { name, why });
        self.cancel.cancel();
    }
}

/// Wakes a thread that rests.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Held by whatever runs; leaving it, by return, panic or abort, is how the scope learns.
struct Seat {
    scope: Arc<Scope>,
    id: u64,
    name: &'static str,
    essential: bool,
    _counted: TaskTrackerToken,
}

impl Seat {
    fn take(scope: &Arc<Scope>, name: &'static str, essential: bool) -> Self {
        let id = {
            let mut running = scope.running.lock();
            running.next_id += 1;
            let id = running.next_id;
            running.alive.insert(id, (name, None));
            id
        };
        let counted = scope.tracker.token();
        Self {
            scope: Arc::clone(scope),
            id,
            name,
            essential,
            _counted: counted,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.scope.running.lock().alive.remove(&self.id);
        if thread::panicking() {
            if self.essential {
                self.scope.root.end(self.name, "panicked".to_owned());
            } else {
                tracing::error!(part = self.name, "panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests;
