//! Runs a fuzz target on its committed seeds, `fuzz/seeds/<target>/*`, as a plain test.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// # Panics
/// Names the seeds on which `run` panics.
pub(crate) fn every_seed(target: &str, run: fn(&[u8])) {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let seeds = folders
        .find_map(|folder| fs::read_dir(folder.join("fuzz/seeds").join(target)).ok())
        .unwrap_or_else(|| panic!("there are no seeds for {target}"));
    let (mut count, mut failed) = (0, Vec::new());
    for seed in seeds {
        let path = seed.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("a seed can be read");
        count += 1;
        if catch_unwind(|| run(&bytes)).is_err() {
            failed.push(path);
        }
    }
    assert!(
        failed.is_empty() && count > 0,
        "{count} seeds, of which failed: {failed:?}"
    );
}
