//! The threads and tasks that keep a broker going. Each is one small loop around a step that a part
//! offers; what each is woken by and how often stands at its function.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use runtime::{Tasks, clock, state_file};
use store::{DiskLevel, ExpireTime, PersistError, Store, WriteError};
use tokio::time::Instant;

use crate::broker::{Broker, Gates};
use crate::config::FlushMode;
use crate::figures::SAMPLE_SECONDS;
use crate::handle::answer_again;
use crate::start::{config_dir, retention};

/// How long the writer waits before it looks whether it should stop.
const WRITER_PATIENCE: Duration = Duration::from_millis(50);
const PERSIST_EVERY: Duration = Duration::from_secs(1);
/// compat: BrokerController persists consumer offsets as often.
const FOLD_EVERY: Duration = Duration::from_secs(5);
const CHECK_DISK_EVERY: Duration = Duration::from_millis(500);
const EXPIRE_EVERY: Duration = Duration::from_secs(10);
const EXPIRE_CLIENTS_EVERY: Duration = Duration::from_secs(10);
/// Zeros for 8 MiB a second. A log that grows faster has large flushes, which gain little by it.
const FILL_STEP_EVERY: Duration = Duration::from_millis(62);
/// With less free space than this, none is set aside.
const ROOM_TAKEN_ABOVE_BYTES: u64 = 16 << 20;
/// How long the filler sleeps at most before it looks whether it should stop.
const STOP_CHECK_EVERY: Duration = Duration::from_millis(200);

/// Starts everything that writes. It stops when `log_tasks` are told to, which must be after the
/// last append.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start_log(broker: &Arc<Broker>, log_tasks: &Tasks) -> io::Result<()> {
    let is_sync = broker.config().flush.mode == FlushMode::Sync;
    let filler = Arc::new(Filler::default());
    let (writer, wake, stop) = (Arc::clone(broker), Arc::clone(&filler), log_tasks.clone());
    log_tasks.essential_thread("log-writer", move || {
        after_the_cause(write_log(&writer, is_sync, &wake, &stop), &stop)
    })?;
    if !is_sync {
        let (flusher, stop) = (Arc::clone(broker), log_tasks.clone());
        log_tasks.essential_thread("log-flusher", move || {
            after_the_cause(flush_log(&flusher, &stop), &stop)
        })?;
    }
    let (filled, stop) = (Arc::clone(&broker.store), log_tasks.clone());
    log_tasks.essential_thread("log-filler", move || {
        after_the_cause(fill_ahead(&filled, &filler, &stop), &stop)
    })?;
    let (keeper, stop) = (Arc::clone(broker), log_tasks.clone());
    log_tasks.essential_thread("log-keeper", move || {
        after_the_cause(keep_log(&keeper, &stop), &stop)
    })
}

/// The thread whose write or flush failed says why the process ends; others that find the store
/// stopped let it speak first.
fn after_the_cause(outcome: Result<(), WriteError>, stop: &Tasks) -> Result<(), WriteError> {
    if matches!(outcome, Err(WriteError::Stopped)) {
        let _ended = stop.rest(PERSIST_EVERY);
    }
    outcome
}

/// When the writer ends, also by a panic, whoever waits for it hears that the outcome is unknown.
struct StopAtEnd<'a>(&'a Gates);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.written.stop();
        self.0.acknowledged.stop();
    }
}

/// Woken by appends. The heart of the broker: everything staged is written at once, with sync flush
/// made durable, made readable, and only then acknowledged; meanwhile the next batch gathers.
fn write_log(
    broker: &Broker,
    is_sync: bool,
    filler: &Filler,
    stop: &Tasks,
) -> Result<(), WriteError> {
    let (store, gates): (&Store, &Gates) = (&broker.store, &broker.gates);
    let _stopped = StopAtEnd(gates);
    loop {
        let Some(batch) = store.write_staged(WRITER_PATIENCE)? else {
            if stop.is_cancelled() {
                return Ok(());
            }
            continue;
        };
        let end = batch.end().0;
        gates.written.advance(end);
        if store.is_short_of_room() {
            filler.wake();
        }
        if is_sync {
            let durable_to = store.flush_once()?.0;
            assert!(
                end <= durable_to,
                "a flush covers what was written before it"
            );
        }
        let mut arrived = false;
        store.dispatch(batch, &mut |arrival| {
            let queue_id = arrival.queue_id.0.cast_signed();
            let mut arrivals = broker.polls.arrivals.lock();
            arrivals.note(arrival.topic, queue_id, arrival.tags_code);
            arrived = true;
        });
        gates.acknowledged.advance(end);
        if arrived {
            broker.polls.changed.notify_one();
        }
    }
}

/// With async flush, each interval. Counted from the beginning of the last flush: what came during a
/// slow one waits for one flush more, and for no interval besides.
fn flush_log(broker: &Broker, stop: &Tasks) -> Result<(), WriteError> {
    let mut took = Duration::ZERO;
    while stop.rest(broker.config().flush.interval.saturating_sub(took)) {
        let begun = Instant::now();
        broker.store.flush_once()?;
        took = begun.elapsed();
    }
    Ok(())
}

/// Wakes the thread that makes room in the log.
#[derive(Debug, Default)]
struct Filler {
    wanted: Mutex<bool>,
    changed: Condvar,
}

impl Filler {
    fn wake(&self) {
        *self.wanted.lock() = true;
        self.changed.notify_one();
    }

    fn wait(&self, at_most: Duration) {
        let mut wanted = self.wanted.lock();
        if !*wanted {
            self.changed.wait_for(&mut wanted, at_most);
        }
        *wanted = false;
    }
}

/// Woken by the writer when the prepared room gets short; keeps room ahead of it, so that it never
/// waits for any. Fills with zeros at a rate that leaves the disk to the messages.
fn fill_ahead(store: &Store, filler: &Filler, stop: &Tasks) -> Result<(), WriteError> {
    while !stop.is_cancelled() {
        match store.prepare_once() {
            Ok(true) => filler.wait(FILL_STEP_EVERY),
            Ok(false) => filler.wait(STOP_CHECK_EVERY),
            Err(WriteError::Write(error)) => {
                tracing::warn!(%error, "cannot make room in the log");
                filler.wait(PERSIST_EVERY);
            }
            Err(fatal) => return Err(fatal),
        }
    }
    Ok(())
}

/// Something that is due again and again.
struct Every {
    period: Duration,
    last: Instant,
}

impl Every {
    fn new(period: Duration, now: Instant) -> Self {
        Self { period, last: now }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.last + self.period;
        if due {
            self.last = now;
        }
        due
    }

    /// What took so long is not due again before four times as long.
    fn took(&mut self, spent: Duration) {
        self.last += (spent * 5).saturating_sub(self.period);
    }
}

/// Each second: queues, index and checkpoint to disk, offsets to their journal. Each few: tables
/// into the files where Apache looks for them. Each ten: what is too old goes.
fn keep_log(broker: &Broker, stop: &Tasks) -> Result<(), WriteError> {
    let started = Instant::now();
    let mut persist = Every::new(PERSIST_EVERY, started);
    let mut commit = Every::new(PERSIST_EVERY, started);
    let mut fold = Every::new(FOLD_EVERY, started);
    let mut expire = Every::new(EXPIRE_EVERY, started);
    let folder = config_dir(&broker.config());
    keep_room(broker, &folder);
    while stop.rest(CHECK_DISK_EVERY) {
        broker.store.set_retention(retention(&broker.config()));
        if let Err(error) = broker.store.check_disk() {
            tracing::warn!(%error, "cannot tell how full the disk is");
        }
        broker.store.check_segments()?;
        if let Err(error) = broker.store.trim_cache() {
            tracing::warn!(%error, "cannot give back memory of the log");
        }
        let now = Instant::now();
        if persist.is_due(now) {
            persist_caches(broker, &folder)?;
            // With a hundred thousand busy queues each round writes a hundred thousand files; the
            // log has it all meanwhile.
            persist.took(now.elapsed());
        }
        if commit.is_due(now)
            && let Err(error) = broker.state.offsets.persist(clock::now_ms())
        {
            tracing::warn!(%error, "cannot write consumer offsets");
        }
        if fold.is_due(now)
            && let Err(error) = fold_tables(broker)
        {
            tracing::warn!(%error, "cannot rewrite topics, groups or offsets");
        }
        if expire.is_due(now) {
            let monotonic_ms = u64::try_from((now - started).as_millis()).unwrap_or(u64::MAX);
            let before = broker.store.log_start();
            expire_segments(&broker.store, monotonic_ms);
            keep_room(broker, &folder);
            if broker.store.log_start() != before {
                // Until a checkpoint tells where queues begin now, a start has only their files.
                persist_caches(broker, &folder)?;
            }
        }
    }
    Ok(())
}

fn persist_caches(broker: &Broker, folder: &Path) -> Result<(), WriteError> {
    // On a full disk queues and index must not take the room for tables: they can be made again from
    // the log, an acknowledged commit cannot.
    if broker.store.disk_level() < DiskLevel::Full || state_file::has_room(folder) {
        match broker.store.persist_once() {
            Err(PersistError::Log(fatal)) => return Err(fatal),
            // The log is right; what was not written is tried again, or rebuilt from it.
            Err(error) => tracing::warn!(%error, "cannot write queues or index"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Keeps room for tables on a disk that may become full, once there is some to keep.
fn keep_room(broker: &Broker, folder: &Path) {
    let free = broker
        .store
        .check_disk()
        .map(|disk| disk.root_space.free_bytes);
    if !state_file::has_room(folder)
        && free.is_ok_and(|free| free >= ROOM_TAKEN_ABOVE_BYTES)
        && let Err(error) = state_file::keep_room(folder)
    {
        tracing::warn!(%error, "cannot keep room for topics, groups and offsets");
    }
}

fn fold_tables(broker: &Broker) -> io::Result<()> {
    broker.state.topics.fold_if_behind()?;
    broker.state.groups.fold_if_behind()?;
    broker.state.offsets.fold_if_behind(clock::now_ms())
}

fn expire_segments(store: &Store, monotonic_ms: u64) {
    let now_ms = clock::now_ms();
    let time = ExpireTime {
        now_ms,
        monotonic_ms,
    };
    if let Err(error) = store.expire_once(time) {
        tracing::warn!(%error, "cannot remove old files");
    }
}

/// Starts what looks after clients.
pub(crate) fn start_clients(broker: &Arc<Broker>, tasks: &Tasks) {
    let (waker, stop) = (Arc::clone(broker), tasks.clone());
    tasks.spawn("long-polls", async move { wake_polls(&waker, &stop).await });
    let keeper = Arc::clone(broker);
    each(EXPIRE_CLIENTS_EVERY, "clients", tasks, move || {
        let changed = keeper.clients.expire(Instant::now());
        keeper.tell_consumers(&changed);
        keeper.locks.lock().expire(Instant::now());
    });
    let counter = Arc::clone(broker);
    let sample_every = Duration::from_secs(SAMPLE_SECONDS);
    each(sample_every, "figures", tasks, move || {
        counter.figures.sample()
    });
}

/// Starts a task that does something now and each `period`.
fn each(
    period: Duration,
    name: &'static str,
    tasks: &Tasks,
    mut work: impl FnMut() + Send + 'static,
) {
    let stop = tasks.clone();
    tasks.spawn(name, async move {
        let mut tick = tokio::time::interval(period);
        loop {
            tokio::select! {
                _ = tick.tick() => work(),
                () = stop.cancelled() => return,
            }
        }
    });
}

/// Woken by arrivals in watched queues and by the earliest deadline. When stopped, whoever waits is
/// answered, and nobody waits any more.
async fn wake_polls(broker: &Broker, stop: &Tasks) {
    loop {
        let deadline = broker.polls.parked.lock().next_deadline();
        let due = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = broker.polls.changed.notified() => {}
            () = due => {}
            () = stop.cancelled() => break,
        }
        let arrivals = std::mem::take(&mut *broker.polls.arrivals.lock());
        for (topic, queue_id, tags_code) in arrivals.into_each() {
            let woken = broker
                .polls
                .parked
                .lock()
                .arrived(&topic, queue_id, tags_code);
            woken
                .into_iter()
                .for_each(|pull| answer_again(broker, pull, false));
            broker.stop_watching(&topic, queue_id);
        }
        let expired = broker.polls.parked.lock().expired(Instant::now());
        expired
            .into_iter()
            .for_each(|pull| answer_again(broker, pull, true));
    }
    let waiting = broker.polls.parked.lock().close();
    waiting
        .into_iter()
        .for_each(|pull| answer_again(broker, pull, true));
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use runtime::{Stopped, Watermark};

    use super::*;
    use crate::pressure::Pressure;

    #[test]
    fn nobody_waits_for_a_writer_that_panicked() {
        let gates = Gates {
            written: Watermark::starting_at(7),
            acknowledged: Watermark::default(),
            pressure: Pressure::new(std::time::Instant::now()),
        };
        let writer = catch_unwind(AssertUnwindSafe(|| {
            let _stopped = StopAtEnd(&gates);
            panic!("a broken invariant");
        }));
        assert!(writer.is_err());
        assert_eq!(gates.written.outcome(7), Some(Ok(())), "it was reached");
        assert_eq!(gates.written.outcome(8), Some(Err(Stopped)));
        assert_eq!(gates.acknowledged.outcome(1), Some(Err(Stopped)));
    }
}
