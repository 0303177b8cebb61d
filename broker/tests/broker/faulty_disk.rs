//! The disk of this machine, with a switch: its log can be made to stall, to fail, or to look full.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use store::files::{Access, Disk, Entry, File, Mapping, OsDisk, Space};

/// What happens to writes or flushes of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Works,
    /// Waits until the mode changes.
    Stalls,
    Fails,
}

#[derive(Debug, Default)]
struct Switches {
    writes: Mode,
    flushes: Mode,
    space: Option<Space>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<(Mutex<Switches>, Condvar)>);

impl FaultyDisk {
    pub(crate) fn writes(&self, mode: Mode) {
        self.change(|switches| switches.writes = mode);
    }

    pub(crate) fn flushes(&self, mode: Mode) {
        self.change(|switches| switches.flushes = mode);
    }

    pub(crate) fn space(&self, space: Option<Space>) {
        self.change(|switches| switches.space = space);
    }

    fn change(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn pass(&self, mode: impl Fn(&Switches) -> Mode) -> io::Result<()> {
        let mut switches = self.0.0.lock();
        while mode(&switches) == Mode::Stalls {
            self.0.1.wait(&mut switches);
        }
        if mode(&switches) == Mode::Fails {
            return Err(io::Error::other("the disk is broken"));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let file = OsDisk.open(path, access)?;
        let folder = path.parent().and_then(Path::file_name);
        if folder.is_none_or(|folder| folder != "commitlog") {
            return Ok(file);
        }
        let disk = self.clone();
        Ok(Arc::new(LogFile { file, disk }))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        OsDisk.create_folders(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        OsDisk.list(folder)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsDisk.exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_folder(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        OsDisk.sync_folder(folder)
    }

    fn sync_everything(&self, folder: &Path) -> io::Result<()> {
        OsDisk.sync_everything(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        OsDisk.lock(path)
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let space = self.0.0.lock().space;
        space.map_or_else(|| OsDisk.space(folder), Ok)
    }

    fn boot_id(&self) -> [u8; 16] {
        OsDisk.boot_id()
    }
}

#[derive(Debug)]
struct LogFile {
    file: Arc<dyn File>,
    disk: FaultyDisk,
}

impl File for LogFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        // Zeros are room that is being made.
        if bytes.iter().any(|&byte| byte != 0) {
            self.disk.pass(|switches| switches.writes)?;
        }
        self.file.write_all_at(bytes, at)
    }

    fn reserve(&self, part: Range<u64>) -> io::Result<bool> {
        self.file.reserve(part)
    }

    fn fetch(&self, part: Range<u64>) -> io::Result<()> {
        self.file.fetch(part)
    }

    fn forget(&self, part: Range<u64>) -> io::Result<()> {
        self.file.forget(part)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.pass(|switches| switches.flushes)?;
        self.file.sync_data()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.file.size_bytes()
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.file.set_size(bytes)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        self.file.modified_ms()
    }

    fn data_after(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.file.data_after(from)
    }

    fn map(&self, bytes: u64) -> io::Result<Arc<dyn Mapping>> {
        self.file.map(bytes)
    }
}
