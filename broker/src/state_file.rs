//! A small table that must outlive the process: a JSON file in Apache's shape, and beside it a
//! journal of the changes since that file was written.
//!
//! ```text
//! topics.json           the whole table, as `runtime::state_file` keeps it
//! topics.json.journal   lines of `<8 hex digits of the crc of the rest> <change as JSON>`
//! ```
//! A change is one appended line, so a table of 50,000 topics is not rewritten for each new one.
//! Invariants: a change is acknowledged after its line is written; a torn last line is dropped, and a
//! line whose write failed is taken back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use runtime::state_file::{self, LoadError, beside, folder_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// A write failed, and may have left something behind the lines.
    is_torn: bool,
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
        let folder = folder_of(&path);
        let made =
            fs::create_dir_all(folder).and_then(|()| state_file::sync_folder(folder_of(folder)));
        made.map_err(failed)?;
        let parse = |text: &[u8]| proto::json::read(text).map_err(|error| error.to_string());
        let (snapshot, snapshot_bytes) = match state_file::load(&path, &parse)? {
            Some((table, bytes)) => (Some(table), bytes),
            None => (None, 0),
        };
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
            state_file::sync_folder(folder_of(&path))?;
            Ok(file)
        };
        let file = open().map_err(failed)?;
        let journal = Mutex::new(Journal {
            file,
            bytes: whole as u64,
            is_torn: false,
            snapshot_bytes,
        });
        Ok((Self { path, journal }, snapshot, changes))
    }

    /// Writes changes behind the others. They are one write, so all or a torn end of them survive.
    /// On a full disk it takes the room that is kept for it.
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
        state_file::with_room(folder_of(&self.path), || journal.append(&lines, how))
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
        journal.snapshot_bytes = state_file::replace(&self.path, serde_json::to_vec(&table())?)?;
        journal.file.set_len(0)?;
        journal.bytes = 0;
        Ok(())
    }
}

impl Journal {
    /// Whatever an earlier failure left goes first: what comes behind a torn line would not be read.
    fn append(&mut self, lines: &[u8], how: Durability) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.bytes)?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        if how == Durability::Synced {
            self.file.sync_data()?;
        }
        self.is_torn = false;
        self.bytes += lines.len() as u64;
        Ok(())
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The changes of all whole lines, and where the last one ends. A damaged line costs its change only.
fn read_journal<C: DeserializeOwned>(text: &[u8]) -> (Vec<C>, usize) {
    let (mut changes, mut whole, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if let Some(change) = read_line(line) {
            if whole < at {
                tracing::error!(
                    from = whole,
                    to = at,
                    "a damaged part of a journal is skipped"
                );
            }
            changes.push(change);
            whole = at + line.len();
        }
        at += line.len();
    }
    (changes, whole)
}

/// The damaged parts of a journal. What is torn at its end is none.
///
/// # Errors
/// What the system says.
pub fn damaged_lines(journal: &Path) -> io::Result<Vec<Range<usize>>> {
    let text = read_if_there(journal)?.unwrap_or_default();
    let (mut damaged, mut whole, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let begin = at;
        at += line.len();
        if read_line::<serde::de::IgnoredAny>(line).is_some() {
            if whole < begin {
                damaged.push(whole..begin);
            }
            whole = at;
        }
    }
    Ok(damaged)
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

/// Takes the bytes for a table and for a journal; what is read must be read again when written.
#[cfg(any(test, fuzzing))]
pub(crate) fn use_bytes<T, C>(bytes: &[u8])
where
    T: Serialize + DeserializeOwned,
    C: DeserializeOwned,
{
    let read = |text: Vec<u8>| serde_json::from_slice::<T>(&state_file::unseal(text).ok()?).ok();
    let write = |table: &T| state_file::seal(serde_json::to_vec(table).expect("tables serialize"));
    if let Some(table) = read(bytes.to_vec()) {
        let text = write(&table);
        let again = read(text.clone()).expect("a sealed table is one");
        assert_eq!(write(&again), text);
    }
    let (_, whole) = read_journal::<C>(bytes);
    assert!(whole == 0 || bytes.get(whole - 1) == Some(&b'\n'));
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
    fn a_damaged_line_costs_its_change_only() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.append(&[10, 11, 12], Durability::Written).unwrap();
        let journal = folder.path().join("config/table.json.journal");
        let whole = fs::read(&journal).unwrap();
        assert_eq!(damaged_lines(&journal).unwrap(), []);
        for bit in 0..12 * 8 {
            let mut flipped = whole.clone();
            flipped[12 + bit / 8] ^= 1 << (bit % 8);
            fs::write(&journal, &flipped).unwrap();
            // A flip of the line's end takes the next line with it; one that makes a digit of the CRC
            // upper case changes nothing.
            let (_, _, changes) = load(folder.path()).unwrap();
            let is_digit = changes == [10, 11, 12] && bit / 8 < 8 && bit % 8 == 5;
            assert!(
                changes == [10, 12] || changes == [10] || is_digit,
                "bit {bit}: {changes:?}"
            );
            let places = damaged_lines(&journal).unwrap();
            assert_eq!(places.is_empty(), changes != [10, 12], "bit {bit}");
            assert!(places.iter().all(|place| *place == (12..24)), "{places:?}");
        }
    }

    #[test]
    fn a_change_that_failed_leaves_nothing_that_hides_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ..) = load(folder.path()).unwrap();
        file.append(&[1], Durability::Written).unwrap();
        // What a write that found the disk full has left.
        let journal = folder.path().join("config/table.json.journal");
        let mut torn = OpenOptions::new().append(true).open(&journal).unwrap();
        torn.write_all(b"0123").unwrap();
        file.journal.lock().is_torn = true;
        file.append(&[2], Durability::Written).unwrap();
        assert_eq!(load(folder.path()).unwrap().2, [1, 2]);
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

    #[test]
    fn what_is_too_deep_to_be_read_is_not_written_and_the_file_stays() {
        type Any = serde_json::Value;
        let folder = tempfile::tempdir().unwrap();
        let load = || StateFile::load::<Any, Any>(folder.path().join("table.json")).unwrap();
        let (file, ..) = load();
        // What stands in strings does not count.
        let leaf = serde_json::json!({"k": "[[\\\"{"});
        let nested = |depth: usize| {
            let lists = (2..depth).fold(leaf.clone(), |inner, _| Any::Array(vec![inner]));
            serde_json::json!({ "k": lists })
        };
        for depth in [2, 127] {
            file.snapshot(|| nested(depth)).unwrap();
            assert_eq!(load().1, Some(nested(depth)));
        }
        let refused = file.snapshot(|| nested(128)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(load().1, Some(nested(127)));
    }
}
