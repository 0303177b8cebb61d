//! `<data-dir>/ports.json`: the ports in use, for scripts and tests that let the system choose them.
//!
//! Invariant: the file is there only while all of them are listened on (a killed process leaves it
//! behind, the next start removes it first), and it is never seen half written.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::exit::Failure;

/// What is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Ports {
    pub(crate) listen: IpAddr,
    pub(crate) namesrv: u16,
    pub(crate) broker: u16,
    pub(crate) vip: u16,
    pub(crate) http: u16,
    pub(crate) admin: u16,
}

impl Ports {
    /// How a part is reached.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.listen, port)
    }

    /// Publishes them.
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), Failure> {
        let path = path_in(data_dir);
        let draft = path.with_extension("json.tmp");
        let mut text = serde_json::to_string_pretty(self).expect("addresses and numbers are JSON");
        text.push('\n');
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|cause| Failure::file(&path, &cause))
    }
}

/// Removes what this process or an earlier one published.
pub(crate) fn remove(data_dir: &Path) -> Result<(), Failure> {
    let path = path_in(data_dir);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file(&path, &cause))
        }
        _ => Ok(()),
    }
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("ports.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_every_port_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports {
            listen: "127.0.0.1".parse().unwrap(),
            namesrv: 1,
            broker: 2,
            vip: 3,
            http: 4,
            admin: 5,
        };
        ports.write(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join("ports.json")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"listen": "127.0.0.1", "namesrv": 1, "broker": 2, "vip": 3,
                "http": 4, "admin": 5})
        );
        remove(folder.path()).unwrap();
        remove(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
