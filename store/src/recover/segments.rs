//! Which segments there are, and that none of them is missing or cut short.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Damage, OpenError, at, unfinished};
use crate::Config;
use crate::files::{Access, Disk};
use crate::segment::{Segment, file_name, parse_file_name};
use crate::store::Paths;

/// More missing segments than this are not made again.
const MISSING_MAX: usize = 10_000;

/// Opens all segments. They must follow each other, have the configured size and reach up to
/// `good_to`; with [`Config::salvage`] those that do not are made so, with zeros.
pub(super) fn load(
    config: &Config,
    disk: &dyn Disk,
    good_to: u64,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let found = list(config, disk)?;
    let (wanted, damage) = compare(config, &found, good_to)?;
    if !damage.is_empty() && !config.salvage {
        return Err(OpenError::Damaged(damage));
    }
    if !damage.is_empty() {
        unfinished::begin(disk, &Paths::of(&config.root).salvaging)?;
    }
    let (folder, configured) = (&config.commit_log_dir, config.segment_bytes);
    let open = |(base, size): (u64, u64)| {
        let path = folder.join(file_name(base));
        let open = || {
            if size == 0 {
                return Segment::create(disk, folder, base, configured);
            }
            if size < configured {
                disk.open(&path, Access::Write)?.set_size(configured)?;
            }
            Segment::open(disk, folder, base, configured)
        };
        open().map(Arc::new).map_err(at(&path))
    };
    wanted.into_iter().map(open).collect()
}

/// First offsets and sizes.
type Sizes = Vec<(u64, u64)>;

/// The segments that there must be, those that are missing with size 0, and what is wrong with them.
fn compare(
    config: &Config,
    found: &[(u64, u64)],
    good_to: u64,
) -> Result<(Sizes, Vec<Damage>), OpenError> {
    let configured = config.segment_bytes;
    let path = |base| config.commit_log_dir.join(file_name(base));
    let is_ours = found.iter().any(|(_, size)| *size == configured);
    let (mut wanted, mut damage) = (Vec::new(), Vec::new());
    let mut expected = found
        .first()
        .map_or(good_to / configured * configured, |(base, _)| *base);
    for &(base, size) in found {
        let is_cut = size < configured && (is_ours || base + size < good_to);
        if base % configured != 0 || base < expected || size != configured && !is_cut {
            return Err(OpenError::WrongSegmentSize {
                path: path(base),
                found: size,
                configured,
            });
        }
        damage.extend(missing(path(expected), expected, base));
        wanted.extend(names_between(config, expected, base).map(|base| (base, 0)));
        wanted.push((base, size));
        expected = base + configured;
        damage.extend(is_cut.then(|| Damage {
            file: path(base),
            offset: size,
            bytes: configured - size,
            reason: "the file is cut short".to_owned(),
        }));
    }
    damage.extend(missing(path(expected), expected, good_to));
    wanted.extend(names_between(config, expected, good_to).map(|base| (base, 0)));
    if wanted.len() > found.len() + MISSING_MAX {
        return Err(OpenError::Damaged(damage));
    }
    Ok((wanted, damage))
}

fn names_between(config: &Config, from: u64, to: u64) -> impl Iterator<Item = u64> + use<> {
    let step = usize::try_from(config.segment_bytes).unwrap_or(usize::MAX);
    (from..to).step_by(step).take(MISSING_MAX + 1)
}

fn missing(file: PathBuf, from: u64, to: u64) -> Option<Damage> {
    (from < to).then(|| Damage {
        file,
        offset: 0,
        bytes: to - from,
        reason: "the file is missing".to_owned(),
    })
}

/// First offsets and sizes of all files that could be segments of this log.
fn list(config: &Config, disk: &dyn Disk) -> Result<Sizes, OpenError> {
    let folder = &config.commit_log_dir;
    // A process that was killed may have left a segment whose name is not durable yet.
    disk.sync_folder(folder).map_err(at(folder))?;
    let mut found = Vec::new();
    for entry in disk.list(folder).map_err(at(folder))? {
        let path = folder.join(&entry.name);
        if let Some(base) = parse_file_name(&entry.name) {
            let size = || disk.open(&path, Access::Read)?.size_bytes();
            found.push((base, size().map_err(at(&path))?));
        } else if entry.name.ends_with(".tmp") && !entry.is_folder {
            // A segment whose making was interrupted.
            disk.remove_file(&path).map_err(at(&path))?;
        }
    }
    if let Some(&(base, 0)) = found.last() {
        // compat: RocketMQ leaves an empty last file when it is killed while making it.
        let path = folder.join(file_name(base));
        disk.remove_file(&path).map_err(at(&path))?;
        found.pop();
    }
    Ok(found)
}
