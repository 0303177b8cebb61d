//! A small table that must outlive the process: a JSON file in Apache's shape, and beside it a
//! journal of the changes since that file was written.
//!
//! ```text
//! topics.json           the whole table; ends with ,"crc32":"<8 hex digits>"} over what stands before
//! topics.json.bak       the one before
//! topics.json.journal   lines of `<8 hex digits of the crc of the rest> <change as JSON>`
//! ```
//! A change is one appended line, so a table of 50,000 topics is not rewritten for each new one.
//! Invariants: a change is acknowledged after its line is written; a broken or missing file falls
//! back to `.bak`, never to an empty table while either is there; a torn last line is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a table could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} and its .bak are both damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
}

/// How sure an acknowledged change must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Survives the end of the process.
    Written,
    /// Survives a power loss too.
    Synced,
}

#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    journal: Mutex<Journal>,
}

#[derive(Debug)]
struct Journal {
    file: File,
    /// Those of whole lines.
    bytes: u64,
    /// An append failed: there may be a part of a line behind the whole ones.
    torn: bool,
    /// Size of the file that the journal adds to.
    snapshot_bytes: u64,
}

/// Below this a journal is not worth folding into its file.
const JOURNAL_BYTES_MIN: u64 = 64 << 10;

/// Files of rare changes are rewritten at once up to this size.
const SMALL_BYTES_MAX: u64 = 256 << 10;
/// Files up to this size are rewritten soon after a change, larger ones when the journal is long.
const REWRITTEN_BYTES_MAX: u64 = 1 << 20;

impl StateFile {
    /// Opens the table at `path`: its last whole snapshot, if any, and the changes since.
    ///
    /// # Errors
    /// When files are there but cannot be read, or no copy is whole.
    pub(crate) fn load<T, C>(path: PathBuf) -> Result<(Self, Option<T>, Vec<C>), LoadError>
    where
        T: DeserializeOwned,
        C: DeserializeOwned,
    {
        let failed = |source| LoadError::Io {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let (snapshot, snapshot_bytes) = read_snapshot(&path)?;
        let journal_path = beside(&path, "journal");
        let text = read_if_there(&journal_path)
            .map_err(failed)?
            .unwrap_or_default();
        let (changes, whole) = read_journal(&text);
        if whole < text.len() {
            tracing::warn!(file = %journal_path.display(), bytes = text.len() - whole, "dropped a torn end");
        }
        let open = || {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&journal_path)?;
            file.set_len(whole as u64)?;
            Ok(file)
        };
        let file = open().map_err(failed)?;
        let journal = Mutex::new(Journal {
            file,
            bytes: whole as u64,
            torn: false,
            snapshot_bytes,
        });
        Ok((Self { path, journal }, snapshot, changes))
    }

    /// Writes changes behind the others. They are one write, so all or a torn end of them survive.
    ///
    /// # Errors
    /// When they may not be there after a restart.
    pub(crate) fn append<C: Serialize>(&self, changes: &[C], how: Durability) -> io::Result<()> {
        let mut lines = Vec::new();
        for change in changes {
            let line = serde_json::to_vec(change)?;
            writeln!(
                lines,
                "{:08x} {}",
                crc32fast::hash(&line),
                String::from_utf8_lossy(&line)
            )?;
        }
        let mut journal = self.journal.lock();
        if journal.torn {
            // Behind a part of a line nothing would be found again.
            journal.file.set_len(journal.bytes)?;
        }
        journal.torn = true;
        journal.file.write_all(&lines)?;
        if how == Durability::Synced {
            journal.file.sync_data()?;
        }
        journal.bytes += lines.len() as u64;
        journal.torn = false;
        Ok(())
    }

    /// Is the journal long enough to be folded into the file?
    pub(crate) fn wants_snapshot(&self) -> bool {
        let journal = self.journal.lock();
        journal.bytes > JOURNAL_BYTES_MIN.max(journal.snapshot_bytes)
    }

    /// Is the file so small that each of its rare changes may rewrite it?
    pub(crate) fn is_small(&self) -> bool {
        self.journal.lock().snapshot_bytes <= SMALL_BYTES_MAX
    }

    /// Has the file missed changes, and is it small enough to be rewritten for Apache's sake?
    pub(crate) fn is_behind(&self) -> bool {
        let journal = self.journal.lock();
        journal.bytes > 0 && journal.snapshot_bytes <= REWRITTEN_BYTES_MAX
    }

    /// Replaces the file by `table()` and empties the journal. `table` is called while no change
    /// can be appended; it must therefore contain every change that was.
    ///
    /// # Errors
    /// When the new file may not be there after a restart; the old one and the journal then are.
    pub(crate) fn snapshot<T: Serialize>(&self, table: impl FnOnce() -> T) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let text = sealed(&table())?;
        write_new(&self.path, &text)?;
        journal.file.set_len(0)?;
        journal.bytes = 0;
        journal.torn = false;
        journal.snapshot_bytes = text.len() as u64;
        Ok(())
    }
}

/// Writes a file so that after a crash either the old or the new one is there, whole.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = beside(path, "tmp");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_data()?;
    match fs::rename(path, beside(path, "bak")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_snapshot<T: DeserializeOwned>(path: &Path) -> Result<(Option<T>, u64), LoadError> {
    let mut damage = None;
    for candidate in [path.to_owned(), beside(path, "bak")] {
        let failed = |source| LoadError::Io {
            path: candidate.clone(),
            source,
        };
        let Some(text) = read_if_there(&candidate).map_err(failed)? else {
            continue;
        };
        match unsealed(&text) {
            Ok(table) => return Ok((Some(table), text.len() as u64)),
            Err(reason) => {
                tracing::error!(file = %candidate.display(), reason, "damaged, trying the one before");
                damage = Some(reason);
            }
        }
    }
    match damage {
        None => Ok((None, 0)),
        Some(reason) => Err(LoadError::Damaged {
            path: path.to_owned(),
            reason,
        }),
    }
}

const SEAL: &[u8] = b",\"crc32\":\"";

/// The table as JSON with its checksum as last member, which Apache ignores.
fn sealed<T: Serialize>(table: &T) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(table)?;
    // The closing brace makes room for one more member.
    text.pop();
    let crc = crc32fast::hash(&text);
    text.extend_from_slice(SEAL);
    write!(text, "{crc:08x}\"}}")?;
    Ok(text)
}

fn unsealed<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let seal_at = text.len().saturating_sub(SEAL.len() + 10);
    let (table, seal) = text.split_at(seal_at);
    // A file that Apache wrote has no seal, and is taken as it is.
    if let Some(digits) = seal.strip_prefix(SEAL) {
        let wanted = digits
            .get(..8)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        if wanted != Some(&format!("{:08x}", crc32fast::hash(table))) {
            return Err("its checksum is wrong".into());
        }
        return proto::json::read(&[table, b"}"].concat()).map_err(|error| error.to_string());
    }
    proto::json::read(text).map_err(|error| error.to_string())
}

/// The changes up to the first line that is not whole, and where that line begins.
fn read_journal<C: DeserializeOwned>(text: &[u8]) -> (Vec<C>, usize) {
    let (mut changes, mut whole) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(change) = read_line(line) else { break };
        changes.push(change);
        whole += line.len();
    }
    (changes, whole)
}

fn read_line<C: DeserializeOwned>(line: &[u8]) -> Option<C> {
    let line = line.strip_suffix(b"\n")?;
    let (crc, change) = line.split_at_checked(8)?;
    let change = change.strip_prefix(b" ")?;
    let wanted = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if crc32fast::hash(change) != wanted {
        return None;
    }
    serde_json::from_slice(change).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Table = BTreeMap<String, i32>;

    fn load(folder: &Path) -> Result<(StateFile, Option<Table>, Vec<i32>), LoadError> {
        StateFile::load(folder.join("config/table.json"))
    }

    fn table(n: i32) -> Table {
        Table::from([("n".into(), n)])
    }

    #[test]
    fn snapshot_and_changes_survive_a_reopen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, snapshot, changes) = load(folder.path()).unwrap();
        assert_eq!((snapshot, changes), (None, vec![]));
        file.append(&[1, 2], Durability::Synced).unwrap();
        file.snapshot(|| table(2)).unwrap();
        file.append(&[3], Durability::Written).unwrap();
        drop(file);
        let (_, snapshot, changes) = load(folder.path()).unwrap();
        assert_eq!((snapshot, changes), (Some(table(2)), vec![3]));
    }

    #[test]
    fn a_torn_journal_keeps_its_whole_lines_at_every_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.append(&[10, 11, 12], Durability::Written).unwrap();
        let journal = folder.path().join("config/table.json.journal");
        let whole = fs::read(&journal).unwrap();
        for cut in 0..whole.len() {
            fs::write(&journal, &whole[..cut]).unwrap();
            let (file, _, changes) = load(folder.path()).unwrap();
            assert_eq!(changes, [10, 11, 12][..cut / 12], "cut at {cut}");
            file.append(&[13], Durability::Written).unwrap();
            assert_eq!(
                load(folder.path()).unwrap().2.last(),
                Some(&13),
                "appends go behind"
            );
        }
    }

    #[test]
    fn any_flipped_bit_of_the_file_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.snapshot(|| table(1)).unwrap();
        file.snapshot(|| table(2)).unwrap();
        let path = folder.path().join("config/table.json");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            let (_, snapshot, _) = load(folder.path()).unwrap();
            // A flip in the name of the seal leaves a file like Apache's: readable, and right.
            assert!(
                snapshot == Some(table(1)) || snapshot == Some(table(2)),
                "bit {at}: {snapshot:?}"
            );
        }
    }

    #[test]
    fn a_change_behind_one_that_was_written_in_part_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.append(&[1], Durability::Written).unwrap();
        {
            let mut journal = file.journal.lock();
            journal.file.write_all(b"0bad0bad 2").unwrap();
            journal.torn = true;
        }
        file.append(&[3], Durability::Written).unwrap();
        drop(file);
        assert_eq!(load(folder.path()).unwrap().2, [1, 3]);
    }

    #[test]
    fn two_damaged_copies_are_an_error_and_not_an_empty_table() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.snapshot(|| table(1)).unwrap();
        file.snapshot(|| table(2)).unwrap();
        for name in ["table.json", "table.json.bak"] {
            fs::write(folder.path().join("config").join(name), b"{").unwrap();
        }
        assert!(matches!(
            load(folder.path()),
            Err(LoadError::Damaged { .. })
        ));
    }

    #[test]
    fn a_file_of_apache_without_seal_and_with_bare_keys_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(folder.path().join("config/table.json"), b"{\n\t0:7\n}").unwrap();
        assert_eq!(
            load(folder.path()).unwrap().1,
            Some(Table::from([("0".into(), 7)]))
        );
    }
}
