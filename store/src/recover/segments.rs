//! Which segments there are.

use std::sync::Arc;

use super::{Damage, OpenError, at};
use crate::Config;
use crate::files::{Access, Disk};
use crate::segment::{Segment, file_name, parse_file_name};

/// Opens all segments; they must follow each other and have the configured size.
pub(super) fn load(config: &Config, disk: &dyn Disk) -> Result<Vec<Arc<Segment>>, OpenError> {
    let folder = &config.commit_log_dir;
    // A process that was killed may have left a segment whose name is not durable yet.
    disk.sync_folder(folder).map_err(at(folder))?;
    let mut bases = Vec::new();
    for entry in disk.list(folder).map_err(at(folder))? {
        if let Some(base) = parse_file_name(&entry.name) {
            bases.push(base);
        } else if entry.name.ends_with(".tmp") && !entry.is_folder {
            // A segment whose making was interrupted.
            let path = folder.join(&entry.name);
            disk.remove_file(&path).map_err(at(&path))?;
        }
    }
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(bases.len());
    let last = bases.last().copied();
    for base in bases {
        let path = folder.join(file_name(base));
        let file = disk.open(&path, Access::Read).map_err(at(&path))?;
        let found = file.size_bytes().map_err(at(&path))?;
        if found == 0 && Some(base) == last {
            // compat: RocketMQ leaves an empty last file when it is killed while making it.
            disk.remove_file(&path).map_err(at(&path))?;
            continue;
        }
        let configured = config.segment_bytes;
        if found != configured || base % configured != 0 {
            return Err(OpenError::WrongSegmentSize {
                path,
                found,
                configured,
            });
        }
        let expected = segments
            .last()
            .map_or(base, |before| before.base + configured);
        if base != expected {
            return Err(OpenError::Damaged(vec![Damage {
                file: folder.join(file_name(expected)),
                offset: 0,
                bytes: base - expected,
                reason: "the file is missing".to_owned(),
            }]));
        }
        segments.push(Arc::new(
            Segment::open(disk, folder, base, configured).map_err(at(&path))?,
        ));
    }
    Ok(segments)
}
