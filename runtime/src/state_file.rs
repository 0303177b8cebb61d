//! Small JSON files that must outlive the process, whole after any crash, and writable on a full disk.
//!
//! ```text
//! x.json          ends with ,"crc32":"<8 hex digits>"} over what stands before
//! x.json.bak      the one before
//! x.json.broken   one that was found damaged, put aside when the one before was taken instead
//! reserve         room in the folder, given back when a write finds the disk full
//! ```
//!
//! Owns how such a file is replaced, checked and kept room for; what is in it is for the caller.
//! Invariants: a replacement that returned survives power loss; at every moment the file or its
//! `.bak` is whole; a damaged file never takes the place of a whole `.bak`; what could not be read
//! again is not written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Far above what the limits of any table let become of its file.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// No JSON is read that is nested deeper.
const DEPTH_MAX: usize = 127;
/// Room that is kept in a folder of such files: some ten thousand changes, or the rewriting of a table
/// of ordinary size.
const RESERVE_BYTES: usize = 4 << 20;
const RESERVE: &str = "reserve";
const SEAL: &[u8] = b",\"crc32\":\"";
const SEAL_BYTES_WRONG_MAX: usize = 3;

/// Why there is no table to start with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} and its .bak cannot be understood: {reason}", .path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// What one file is.
#[derive(Debug)]
pub enum Looked<T> {
    Absent,
    /// The table, and the size of its file.
    Whole(T, u64),
    Damaged(String),
}

/// Reads one file as it is. `parse` gets JSON without the seal.
///
/// # Errors
/// What the system says, but not that there is no such file.
pub fn look<T>(path: &Path, parse: &dyn Fn(&[u8]) -> Result<T, String>) -> io::Result<Looked<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Looked::Absent),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    let bytes = text.len() as u64;
    if bytes > FILE_BYTES_MAX {
        return Ok(Looked::Damaged(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(match unseal(text).and_then(|text| parse(&text)) {
        Ok(table) => Looked::Whole(table, bytes),
        Err(reason) => Looked::Damaged(reason),
    })
}

/// What was written last, and the size of its file; `None` where nothing ever was. A damaged file is
/// put aside and its `.bak` counts.
///
/// # Errors
/// When files are there but cannot be read, or none of them is whole.
pub fn load<T>(
    path: &Path,
    parse: &dyn Fn(&[u8]) -> Result<T, String>,
) -> Result<Option<(T, u64)>, LoadError> {
    let backup = beside(path, "bak");
    let look = |path: &Path| {
        look(path, parse).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })
    };
    let told = match look(path)? {
        Looked::Whole(table, bytes) => return Ok(Some((table, bytes))),
        Looked::Absent => None,
        Looked::Damaged(told) => Some(told),
    };
    match (look(&backup)?, told) {
        (Looked::Whole(table, bytes), told) => {
            if let Some(told) = told {
                tracing::error!(file = %path.display(), told, "damaged, its .bak is used");
                let aside = fs::rename(path, beside(path, "broken"));
                aside.map_err(|source| LoadError::Io {
                    path: path.to_owned(),
                    source,
                })?;
            }
            Ok(Some((table, bytes)))
        }
        (Looked::Absent, None) => Ok(None),
        (Looked::Absent, Some(reason)) | (Looked::Damaged(reason), _) => Err(LoadError::Damaged {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Replaces a file by a JSON object; the size of the new one. On a full disk it takes the room that
/// is kept for it.
///
/// # Errors
/// When the new one may not be there after a restart, or could not be read then; the old one is.
pub fn replace(path: &Path, json: Vec<u8>) -> io::Result<u64> {
    let text = seal(json);
    if text.len() as u64 > FILE_BYTES_MAX || depth(&text) > DEPTH_MAX {
        let told = format!("{}: too large or too deep to be read again", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, told));
    }
    let folder = folder_of(path);
    with_room(folder, || write_new(path, &text))?;
    Ok(text.len() as u64)
}

/// Writes a file so that after a crash either the old or the new one is there, whole.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        folder.ancestors().skip(1).try_for_each(sync_folder)?;
    }
    let fresh = beside(path, "tmp");
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(text)?;
        file.sync_data()
    };
    if let Err(error) = write() {
        // Half a file would only take more room from a disk that has none.
        drop(fs::remove_file(&fresh));
        return Err(error);
    }
    match fs::rename(path, beside(path, "bak")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&fresh, path)?;
    sync_folder(folder)
}

/// Writes something small into a folder; if the disk is full, once more with the room that was kept.
///
/// # Errors
/// Those of `write`.
pub fn with_room<T>(folder: &Path, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match write() {
        Err(error) if is_full(&error) && give_back_room(folder) => {
            tracing::warn!(folder = %folder.display(), "the disk is full: using the room kept for it");
            write()
        }
        outcome => outcome,
    }
}

/// Keeps room in a folder, unless it is kept already.
///
/// # Errors
/// When there is no room to keep.
pub fn keep_room(folder: &Path) -> io::Result<()> {
    let path = folder.join(RESERVE);
    if path.exists() {
        return Ok(());
    }
    let fresh = beside(&path, "tmp");
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&fresh)?;
        file.write_all(&vec![0; RESERVE_BYTES])?;
        file.sync_data()?;
        fs::rename(&fresh, &path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&fresh)))
}

/// Whether room is kept in a folder.
#[must_use]
pub fn has_room(folder: &Path) -> bool {
    folder.join(RESERVE).exists()
}

/// Gives the room back to the disk; `false` when there was none.
pub fn give_back_room(folder: &Path) -> bool {
    fs::remove_file(folder.join(RESERVE)).is_ok()
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A name next to a file's: `x.json` and `bak` give `x.json.bak`.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The folder of a file; that of a bare name is the working directory.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder == Path::new("") {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

/// A JSON object with its checksum as last member, which Apache ignores.
#[must_use]
pub fn seal(mut json: Vec<u8>) -> Vec<u8> {
    // The closing brace makes room for one more member. An empty object would need no comma.
    json.pop();
    let crc = crc32fast::hash(&json);
    json.extend_from_slice(SEAL);
    json.extend_from_slice(format!("{crc:08x}\"}}").as_bytes());
    json
}

/// The object without its checksum. A file that Apache wrote has none, and is taken as it is.
pub fn unseal(mut text: Vec<u8>) -> Result<Vec<u8>, String> {
    let (table, seal) = text.split_at(text.len().saturating_sub(SEAL.len() + 10));
    let (frame, digits) = seal.split_at(seal.len().min(SEAL.len()));
    // A few wrong bytes must not make the seal look absent.
    let right = frame
        .iter()
        .zip(SEAL)
        .filter(|(found, wanted)| found == wanted);
    if right.count() < SEAL.len() - SEAL_BYTES_WRONG_MAX {
        return Ok(text);
    }
    let wanted = digits.strip_suffix(b"\"}").filter(|_| frame == SEAL);
    if wanted != Some(format!("{:08x}", crc32fast::hash(table)).as_bytes()) {
        return Err("its checksum is wrong".into());
    }
    text.truncate(table.len());
    text.push(b'}');
    Ok(text)
}

/// How deep objects and arrays of a JSON text are nested.
#[must_use]
pub fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = String;

    fn json(value: &str) -> Vec<u8> {
        format!("{{\"k\":\"{value}\"")
            .into_bytes()
            .into_iter()
            .chain(*b"}")
            .collect()
    }

    fn parse(text: &[u8]) -> Result<Table, String> {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        let value = text.trim().strip_prefix("{\"k\":\"");
        let value = value.and_then(|text| text.strip_suffix("\"}"));
        value.map(str::to_owned).ok_or_else(|| "not ours".into())
    }

    fn loaded(path: &Path) -> Option<Table> {
        load(path, &parse).unwrap().map(|(table, _)| table)
    }

    #[test]
    fn what_was_written_last_is_loaded_and_a_missing_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x.json");
        assert_eq!(loaded(&path), None);
        for value in ["1", "2", "3"] {
            let bytes = replace(&path, json(value)).unwrap();
            assert_eq!(bytes, fs::metadata(&path).unwrap().len());
            assert_eq!(loaded(&path).as_deref(), Some(value));
        }
    }

    #[test]
    fn a_crash_between_the_two_renames_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        replace(&path, json("1")).unwrap();
        fs::rename(&path, beside(&path, "bak")).unwrap();
        assert_eq!(loaded(&path).as_deref(), Some("1"));
    }

    #[test]
    fn any_flipped_bit_falls_back_to_the_one_before_and_does_not_become_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        replace(&path, json("1")).unwrap();
        replace(&path, json("2")).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            fs::write(&path, &flipped).unwrap();
            assert_eq!(loaded(&path).as_deref(), Some("1"), "bit {at}");
            assert!(!path.exists() && beside(&path, "broken").exists());
        }
        replace(&path, json("3")).unwrap();
        assert_eq!(loaded(&beside(&path, "bak")).as_deref(), Some("1"));
    }

    #[test]
    fn two_damaged_files_are_an_error_and_not_an_empty_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        fs::write(&path, "").unwrap();
        let told = load(&path, &parse).unwrap_err().to_string();
        assert!(
            told.contains("x.json and its .bak cannot be understood"),
            "{told}"
        );
        fs::write(beside(&path, "bak"), "[").unwrap();
        assert!(matches!(
            load(&path, &parse),
            Err(LoadError::Damaged { .. })
        ));
        assert!(path.exists(), "nothing is put aside for nothing");
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = load(folder.path(), &parse).unwrap_err().to_string();
        assert!(told.starts_with('/'), "{told}");
    }

    #[test]
    fn a_full_disk_is_written_to_with_the_room_that_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let full = || Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull));
        assert!(with_room(folder.path(), full).is_err(), "no room was kept");
        keep_room(folder.path()).unwrap();
        keep_room(folder.path()).unwrap();
        let kept = fs::metadata(folder.path().join(RESERVE)).unwrap();
        assert_eq!(kept.len(), RESERVE_BYTES as u64);
        let wrote = with_room(folder.path(), || {
            if has_room(folder.path()) {
                full()
            } else {
                Ok(())
            }
        });
        assert!(wrote.is_ok() && !has_room(folder.path()));
        keep_room(folder.path()).unwrap();
        let denied = || Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(with_room(folder.path(), denied).is_err() && has_room(folder.path()));
    }
}
