//! The captured files.

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use proto::remoting::frame::Frame;

/// Every file with its name, in the order of names.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/remoting");
    let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = files
        .filter_map(|file| {
            let name = file.file_name().into_string().unwrap();
            let name = name.strip_suffix(".bin")?.to_owned();
            Some((name, fs::read(file.path()).unwrap()))
        })
        .collect();
    files.sort_unstable();
    files
}

/// Those that are a whole frame.
pub(crate) fn frames() -> Vec<(String, Vec<u8>)> {
    let mut files = all();
    files.retain(|(name, _)| is_frame(name));
    files
}

/// Records and batch bodies.
pub(crate) fn records() -> Vec<(String, Vec<u8>)> {
    let mut files = all();
    files.retain(|(name, _)| !is_frame(name));
    files
}

fn is_frame(name: &str) -> bool {
    name.contains('.') || name.contains("-response")
}

pub(crate) fn frame(bytes: &[u8]) -> Frame {
    let mut stream = BytesMut::from(bytes);
    let frame = Frame::split_off(&mut stream, 1 << 24).unwrap().unwrap();
    assert!(stream.is_empty(), "one frame and nothing else");
    frame
}
