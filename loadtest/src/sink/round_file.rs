//! One file of zeros that is written round and round: the least work that makes messages durable,
//! and so the ceiling that a broker is measured by. It keeps nothing that anybody could read back.
//!
//! Connections stage their bytes; one thread takes all that is staged, writes it with one call,
//! flushes it if asked to, and then everybody whose bytes were in it goes on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use runtime::{Stopped, Tasks, Watermark};

use crate::command::Flush;
use crate::failure::Failure;

pub(super) const FILE_BYTES: usize = 512 << 20;
/// Each write begins on a page.
const PAGE_BYTES: usize = 4096;
const ZEROS_BYTES: usize = 1 << 20;
/// How often an idle writer looks whether it should stop.
const TICK: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct RoundFile {
    size_bytes: usize,
    staged: Mutex<Staged>,
    more: Condvar,
    written: Watermark,
}

#[derive(Debug, Default)]
struct Staged {
    bytes: Vec<u8>,
    /// Bytes staged since the beginning.
    end: u64,
    /// The writer waits for more.
    idle: bool,
}

impl RoundFile {
    /// Makes `size_bytes` of zeros in `folder` (or takes those of before) and starts the writer.
    pub(super) fn start(
        folder: &Path,
        size_bytes: usize,
        flush: Flush,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, Failure> {
        let path = folder.join("sink.log");
        let failed = || Failure::io(format!("cannot write {}", path.display()));
        std::fs::create_dir_all(folder).map_err(failed())?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed())?;
        fill(&file, size_bytes).map_err(failed())?;
        let this = Arc::new(Self {
            size_bytes,
            staged: Mutex::default(),
            more: Condvar::new(),
            written: Watermark::default(),
        });
        let (writer, within) = (Arc::clone(&this), tasks.clone());
        let write = move || {
            let ended = writer.write_until_stopped(&file, flush, &within);
            writer.written.stop();
            ended
        };
        tasks
            .essential_thread("sink-writer", write)
            .map_err(Failure::io("no thread"))?;
        Ok(this)
    }

    /// Hands bytes to the writer; gives the mark to wait for.
    pub(super) fn stage(&self, bytes: &[u8]) -> u64 {
        let mut staged = self.staged.lock();
        staged.bytes.extend_from_slice(bytes);
        staged.end += bytes.len() as u64;
        let (end, wake) = (staged.end, std::mem::take(&mut staged.idle));
        drop(staged);
        if wake {
            self.more.notify_one();
        }
        end
    }

    /// Waits until everything below `mark` is written.
    pub(super) async fn written(&self, mark: u64) -> Result<(), Stopped> {
        self.written.wait(mark).await
    }

    fn write_until_stopped(&self, file: &File, flush: Flush, tasks: &Tasks) -> io::Result<()> {
        let mut taken = Vec::new();
        let mut at = 0;
        while !tasks.is_cancelled() {
            let mut staged = self.staged.lock();
            if staged.bytes.is_empty() {
                staged.idle = true;
                self.more.wait_for(&mut staged, TICK);
                staged.idle = false;
            }
            std::mem::swap(&mut staged.bytes, &mut taken);
            let end = staged.end;
            drop(staged);
            if taken.is_empty() {
                continue;
            }
            if at + taken.len() > self.size_bytes {
                at = 0;
            }
            file.write_all_at(&taken, at as u64)?;
            if matches!(flush, Flush::Sync) {
                file.sync_data()?;
            }
            at = (at + taken.len()).next_multiple_of(PAGE_BYTES);
            taken.clear();
            self.written.advance(end);
        }
        Ok(())
    }
}

fn fill(file: &File, size_bytes: usize) -> io::Result<()> {
    if file.metadata()?.len() < size_bytes as u64 {
        let zeros = vec![0; ZEROS_BYTES];
        for at in (0..size_bytes).step_by(ZEROS_BYTES) {
            file.write_all_at(&zeros, at as u64)?;
        }
    }
    file.sync_all()
}
