//! The life of a server process: runtime, signals, grace time.
//!
//! The first SIGINT or SIGTERM, or a part that cannot go on, begins the orderly stop; the second
//! signal ends the process at once. Invariant: signals are taken over before any part starts, so
//! that none is lost in between.

use std::{process, time::Duration};

use runtime::{Signals, Tasks};

use crate::{
    exit::{Exit, Failure},
    output, trace,
};

/// How long a part may take to finish what is in flight.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Made when they are needed and gone ten seconds later.
const BLOCKING_THREADS_MAX: usize = 4096;

/// Runs `serve` on a fresh runtime. It starts the parts, waits in `Life::until_told_to_stop`, and
/// stops them; then whatever is left in the tree is closed.
pub(crate) fn run<S>(serve: S) -> Result<(), Failure>
where
    S: AsyncFnOnce(&mut Life) -> Result<(), Failure>,
{
    trace::start();
    runtime::raise_limit_of_open_files();
    let system = |cause| Failure::new(Exit::System, format_args!("cannot start: {cause}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Each connection that makes a topic or group blocks one for as long as the disk takes; when
        // there are no more, all others wait with it.
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(system)?;
    runtime.block_on(async {
        let tasks = Tasks::root();
        let mut life = Life {
            tasks: tasks.clone(),
            signals: Signals::listen().map_err(system)?,
        };
        let served = serve(&mut life).await;
        if let Err(unfinished) = tasks.close(GRACE).await {
            tracing::warn!(%unfinished, "stopped without them");
        }
        match tasks.ended() {
            Some(ended) => Err(Failure::new(Exit::Failed, ended)),
            None => served,
        }
    })
}

/// What a server process lives by.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) tasks: Tasks,
    signals: Signals,
}

impl Life {
    /// Waits for a signal or for a part that cannot go on. From then on a signal ends the process.
    pub(crate) async fn until_told_to_stop(&mut self) {
        tokio::select! {
            signal = self.signals.next() => tracing::info!(signal, "stopping"),
            () = self.tasks.cancelled() => {}
        }
    }

    /// Awaits the orderly `stop`, unless a second signal comes first.
    pub(crate) async fn stopping<T>(&mut self, stop: impl Future<Output = T>) -> T {
        tokio::select! {
            stopped = stop => stopped,
            signal = self.signals.next() => {
                output::complain(format_args!("{signal} again: stopped without finishing"));
                process::exit(Exit::Interrupted as i32);
            }
        }
    }
}
