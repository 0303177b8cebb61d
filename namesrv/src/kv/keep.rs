//! Keeps the settings: readers see them at once, and changes one after the other. A change is stored
//! before it is seen and before its sender is told. Changes that wait are stored with one write.
//!
//! Invariant: what readers see is on disk. When more than `CHANGES_MAX` changes wait, further ones
//! are refused as "busy".

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use proto::json;
use proto::remoting::{Reply, ResponseCode};
use remoting::{Answer, Call, Replier};
use runtime::Tasks;
use runtime::state_file::{self, LoadError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use super::{Change, Settings};

const CHANGES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Kv {
    settings: Arc<RwLock<Settings>>,
    changes: mpsc::Sender<Asked>,
}

type Asked = (Change, Replier);

impl Kv {
    /// Reads what there is and keeps it until `tasks` end; what was asked by then is still stored.
    pub(crate) fn start(file: PathBuf, tasks: &Tasks) -> Result<Self, LoadError> {
        let settings = Arc::new(RwLock::new(load(&file)?));
        let (changes, inbox) = mpsc::channel(CHANGES_MAX);
        let (seen, stop) = (Arc::clone(&settings), tasks.token());
        tasks.spawn_essential("kv settings", async move {
            store_changes(inbox, &seen, &file, stop).await;
            Ok::<(), io::Error>(())
        });
        Ok(Self { settings, changes })
    }

    /// Reads the settings.
    pub(crate) fn read<T>(&self, what: impl FnOnce(&Settings) -> T) -> T {
        what(&self.settings.read())
    }

    /// Answers a call when its change is stored.
    pub(crate) fn change(&self, call: &mut Call, change: Change) -> Answer {
        match self.changes.try_reserve() {
            Ok(place) => {
                place.send((change, call.hold()));
                Answer::Held
            }
            Err(TrySendError::Full(())) => Answer::Now(Reply::refused(
                ResponseCode::SYSTEM_BUSY,
                "too many changes of the key-value settings wait",
            )),
            Err(TrySendError::Closed(())) => Answer::Now(Reply::refused(
                ResponseCode::SYSTEM_ERROR,
                "the name server stops",
            )),
        }
    }
}

async fn store_changes(
    mut inbox: mpsc::Receiver<Asked>,
    seen: &RwLock<Settings>,
    file: &Path,
    stop: CancellationToken,
) {
    loop {
        let asked = tokio::select! {
            asked = inbox.recv() => asked,
            () = stop.cancelled(), if !inbox.is_closed() => {
                inbox.close();
                continue;
            }
        };
        let Some(first) = asked else { return };
        let mut batch = vec![first];
        while let Ok(more) = inbox.try_recv() {
            batch.push(more);
        }
        store(batch, seen, file).await;
    }
}

async fn store(batch: Vec<Asked>, seen: &RwLock<Settings>, file: &Path) {
    let mut changed = seen.read().clone();
    let outcomes: Vec<_> = batch
        .into_iter()
        .map(|(change, replier)| (changed.apply(&change), replier))
        .collect();
    let (changed, saved) = save(file.to_owned(), changed).await;
    if saved.is_ok() {
        *seen.write() = changed;
    }
    for (outcome, replier) in outcomes {
        replier.send(match (outcome, &saved) {
            (Err(refused), _) => Reply::refused(ResponseCode::SYSTEM_ERROR, refused.to_string()),
            (Ok(()), Ok(())) => Reply::ok(),
            (Ok(()), Err(cause)) => {
                let told = format!("the key-value settings cannot be stored: {cause}");
                Reply::refused(ResponseCode::SYSTEM_ERROR, told)
            }
        });
    }
}

/// The settings in Apache's file; none where there is no file.
fn load(file: &Path) -> Result<Settings, LoadError> {
    let parse = |text: &[u8]| json::read(text).map_err(|error| error.to_string());
    let loaded = state_file::load(file, &parse)?;
    Ok(loaded.map_or_else(Settings::default, |(settings, _)| settings))
}

async fn save(file: PathBuf, settings: Settings) -> (Settings, io::Result<()>) {
    let work = tokio::task::spawn_blocking(move || {
        let saved = state_file::replace(&file, json::write(&settings).to_vec());
        (settings, saved.map(drop))
    });
    let done = work.await;
    done.unwrap_or_else(|lost| (Settings::default(), Err(io::Error::other(lost))))
}
