//! Opening in spite of damage: every damaged byte is saved, then its place is made readable.
//!
//! ```text
//! log before   | record | damaged ......................... | record |
//! log after    | record | placeholder | placeholder | filler | record |
//! quarantine/<segment>-<offset>-<length>     the damaged bytes as they were
//! ```
//!
//! A placeholder is a record with the topic, queue and offset of a message that is lost, and the flag
//! `SysFlag::LOST`; so queues have no gaps, whoever reads one is led over it, and offsets are never
//! given out twice. Which messages are lost is told by the queue offsets around the damage and by the
//! ends of the queue files. What remains of a hole is filled with rolled-back records or, at the end
//! of a segment, a blank one: both are in no queue. All of them are RocketMQ's formats. The queues are
//! made again from this log.

mod plan;

use std::io;

use super::survey::Hole;
use super::{Damage, OpenError, Recovery, at, unfinished};
use crate::Config;
use crate::files::{Access, Disk};
use crate::store::Paths;
use plan::Plan;

impl Recovery {
    /// Looks at the whole log and makes what is damaged readable again; what that was.
    pub(super) fn salvage(&mut self) -> Result<Vec<Damage>, OpenError> {
        let start = self.segments.first().map_or(0, |segment| segment.base);
        let mut plan = Plan::new(self.sealed_from, self.config.segment_bytes);
        self.survey(start, &mut |found| plan.take(found))?;
        if plan.holes.is_empty() {
            return Ok(Vec::new());
        }
        self.keep_ends(start, &mut plan)?;
        let damage: Vec<Damage> = plan
            .holes
            .iter()
            .map(|filling| filling.hole.damage())
            .collect();
        // Whole records were there, so only a log that nobody wrote like that has such a hole.
        if plan
            .holes
            .iter()
            .any(|filling| !plan.can_fill(&filling.hole))
        {
            return Err(OpenError::Damaged(damage));
        }
        // From now on only a start that salvages opens this log: half of the damage may look sound.
        unfinished::begin(&*self.disk, &Paths::of(&self.config.root).salvaging)?;
        // All is saved before the first byte is changed.
        for filling in &plan.holes {
            self.quarantine(&filling.hole)?;
        }
        for filling in &plan.holes {
            let segment = &filling.hole.segment;
            let filled = plan.fill(filling).and_then(|()| segment.file.sync_data());
            filled.map_err(at(&segment.path))?;
        }
        for place in &damage {
            tracing::warn!(%place, "salvaged");
        }
        Ok(damage)
    }

    /// Keeps the places of messages at the ends of queues, of which no later record tells.
    fn keep_ends(&mut self, start: u64, plan: &mut Plan) -> Result<(), OpenError> {
        self.load_queues(start)?;
        for queue in self.queues.all() {
            let (min, end) = {
                let state = queue.state.lock();
                (state.min, state.end())
            };
            plan.take_end(&queue.topic, queue.id, min, end);
        }
        Ok(())
    }

    /// Copies the bytes of a hole away, durably. Of zeros there is no copy.
    fn quarantine(&self, hole: &Hole) -> Result<(), OpenError> {
        let damage = hole.damage();
        let folder = self.config.root.join("quarantine");
        let segment = damage
            .file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{segment}-{}-{}", damage.offset, damage.bytes);
        let copy = || {
            let disk = &*self.disk;
            disk.create_folders(&folder)?;
            let path = free_path(disk, &folder, &name)?;
            let temporary = folder.join(format!("{name}.tmp"));
            let file = disk.open(&temporary, Access::Create)?;
            file.set_size(0)?;
            file.set_size(damage.bytes)?;
            let (mut failed, mut is_blank) = (None, true);
            hole.segment.each_data_chunk(hole.from, |offset, bytes| {
                if offset >= hole.to {
                    return Some(());
                }
                let wanted = usize::try_from(hole.to - offset).unwrap_or(usize::MAX);
                let bytes = bytes.get(..wanted).unwrap_or(bytes);
                if bytes.iter().any(|&byte| byte != 0) {
                    is_blank = false;
                    failed = file.write_all_at(bytes, offset - hole.from).err();
                }
                failed.is_some().then_some(())
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if is_blank {
                return disk.remove_file(&temporary);
            }
            file.sync_data()?;
            disk.rename(&temporary, &path)?;
            disk.sync_folder(&folder)?;
            disk.sync_folder(&self.config.root)
        };
        copy().map_err(at(&folder.join(&name)))
    }
}

/// Whether this start resumes a salvage; one that does not salvage may not.
pub(super) fn refuse_unfinished(config: &Config, disk: &dyn Disk) -> Result<bool, OpenError> {
    let mark = Paths::of(&config.root).salvaging;
    let is_unfinished = unfinished::found(disk, &mark)?;
    if config.salvage || !is_unfinished {
        return Ok(is_unfinished);
    }
    Err(OpenError::Damaged(vec![Damage {
        file: mark,
        offset: 0,
        bytes: 0,
        reason: "a start with --salvage did not come to its end; it takes one more".to_owned(),
    }]))
}

/// A name that nothing has yet: what was saved before stays.
fn free_path(
    disk: &dyn Disk,
    folder: &std::path::Path,
    name: &str,
) -> io::Result<std::path::PathBuf> {
    let mut path = folder.join(name);
    let mut copies = 1;
    while disk.exists(&path)? {
        copies += 1;
        path = folder.join(format!("{name}.{copies}"));
    }
    Ok(path)
}
