//! The file of the settings, `{"configTable":{"namespace":{"key":"value"}}}`, as Apache writes it.
//!
//! Invariant: a save that returned survives power loss. At every moment the file or the copy beside
//! it (`.bak`, the state before the last save) is whole, so that one of them can always be read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use proto::json::{self, JsonError};

use super::Settings;

/// Larger than anything that the limits of the settings let become of them, escapes included.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Why there are no settings to start with.
#[derive(Debug, thiserror::Error)]
pub enum KvFileError {
    #[error("cannot read {}: {cause}", .path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("{} and its .bak cannot be understood: {cause}", .path.display())]
    Broken { path: PathBuf, cause: String },
}

#[derive(Clone, Debug)]
pub(crate) struct KvFile {
    path: PathBuf,
}

/// Why one file gives no settings.
enum NotRead {
    Absent,
    Broken(String),
    Io(io::Error),
}

impl KvFile {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What was saved last. Where nothing ever was, nothing. A broken file is put aside, as `.broken`,
    /// and its `.bak` counts.
    pub(crate) fn load(&self) -> Result<Settings, KvFileError> {
        let backup = self.beside("bak");
        let told = match read(&self.path) {
            Ok(settings) => return Ok(settings),
            Err(NotRead::Io(cause)) => return Err(self.io(cause)),
            Err(NotRead::Absent) => None,
            Err(NotRead::Broken(told)) => Some(told),
        };
        match (read(&backup), told) {
            (Ok(settings), told) => {
                if let Some(told) = told {
                    tracing::warn!(file = %self.path.display(), told, "broken, its .bak is used");
                    let aside = fs::rename(&self.path, self.beside("broken"));
                    aside.map_err(|cause| self.io(cause))?;
                }
                Ok(settings)
            }
            (Err(NotRead::Absent), None) => Ok(Settings::default()),
            (Err(NotRead::Io(cause)), _) => Err(KvFileError::Io {
                path: backup,
                cause,
            }),
            (Err(NotRead::Absent), Some(cause)) | (Err(NotRead::Broken(cause)), _) => {
                let path = self.path.clone();
                Err(KvFileError::Broken { path, cause })
            }
        }
    }

    /// Replaces the file. An error leaves the old state to be found.
    pub(crate) fn save(&self, settings: &Settings) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            folder.ancestors().skip(1).try_for_each(sync_folder)?;
        }
        let fresh = self.beside("tmp");
        let mut file = File::create(&fresh)?;
        file.write_all(&json::write(settings))?;
        file.sync_data()?;
        match fs::rename(&self.path, self.beside("bak")) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        fs::rename(&fresh, &self.path)?;
        sync_folder(folder)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    fn io(&self, cause: io::Error) -> KvFileError {
        let path = self.path.clone();
        KvFileError::Io { path, cause }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder == Path::new("") {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

fn read(path: &Path) -> Result<Settings, NotRead> {
    let file = File::open(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => NotRead::Absent,
        _ => NotRead::Io(cause),
    })?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(NotRead::Io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(NotRead::Broken(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    json::read(&bytes).map_err(|cause: JsonError| NotRead::Broken(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn settings(value: &str) -> Settings {
        let entries = BTreeMap::from([("k".to_owned(), value.to_owned())]);
        Settings {
            config_table: BTreeMap::from([("ns".to_owned(), entries)]),
        }
    }

    #[test]
    fn what_was_saved_last_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = KvFile::new(folder.path().join("a/b/kv.json"));
        assert_eq!(file.load().unwrap(), Settings::default());
        for value in ["1", "2", "3"] {
            file.save(&settings(value)).unwrap();
            assert_eq!(file.load().unwrap(), settings(value));
        }
    }

    #[test]
    fn a_file_of_apache_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvConfig.json");
        fs::write(
            &path,
            "{\n\t\"configTable\":{\"ns\":{\"k\":\"v\"\n\t\t}\n\t}\n}",
        )
        .unwrap();
        assert_eq!(KvFile::new(path).load().unwrap(), settings("v"));
    }

    #[test]
    fn a_crash_between_the_two_renames_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = KvFile::new(folder.path().join("kv.json"));
        file.save(&settings("1")).unwrap();
        fs::rename(
            folder.path().join("kv.json"),
            folder.path().join("kv.json.bak"),
        )
        .unwrap();
        assert_eq!(file.load().unwrap(), settings("1"));
    }

    #[test]
    fn a_broken_file_gives_way_to_its_bak_and_does_not_become_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv.json");
        let file = KvFile::new(&path);
        file.save(&settings("1")).unwrap();
        file.save(&settings("2")).unwrap();
        fs::write(&path, "{\"configTable\":{\"ns\"").unwrap();
        assert_eq!(file.load().unwrap(), settings("1"));
        file.save(&settings("3")).unwrap();
        let kept = read(&folder.path().join("kv.json.bak")).ok();
        assert_eq!(
            (file.load().unwrap(), kept),
            (settings("3"), Some(settings("1")))
        );
    }

    #[test]
    fn two_broken_files_are_an_error_and_not_an_empty_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kv.json");
        fs::write(&path, "").unwrap();
        let told = KvFile::new(&path).load().unwrap_err().to_string();
        assert!(
            told.contains("kv.json and its .bak cannot be understood"),
            "{told}"
        );
        fs::write(folder.path().join("kv.json.bak"), "[").unwrap();
        assert!(matches!(
            KvFile::new(&path).load(),
            Err(KvFileError::Broken { .. })
        ));
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = KvFile::new(folder.path()).load().unwrap_err().to_string();
        assert!(told.starts_with("cannot read /"), "{told}");
    }
}
