//! A file system of its own in a file, to fill, to throttle, and to cut off from power.
//!
//! Invariant: it is not mounted any more when its handle is gone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::course::{Course, Stop};
use crate::shim::compile;

#[derive(Debug)]
pub(super) struct Image {
    file: PathBuf,
    pub(super) at: PathBuf,
    power: PathBuf,
}

impl Image {
    /// An ext4 of so many MiB, mounted in the course's folder; skipped where that cannot be done.
    pub(super) fn make(course: &Course, mib: u64) -> Result<Self, Stop> {
        let image = Self {
            file: course.path("image"),
            at: course.path("disk"),
            power: course.path("power"),
        };
        let made = std::fs::File::create(&image.file).and_then(|file| file.set_len(mib << 20));
        made.map_err(Stop::io("cannot make the image"))?;
        std::fs::create_dir_all(&image.at).map_err(Stop::io("disk"))?;
        let no_file_system = |why| Stop::Skipped(format!("cannot make and mount an ext4: {why}"));
        let flags = ["-q", "-F", "-m", "0"];
        run(Command::new("mkfs.ext4").args(flags).arg(&image.file)).map_err(no_file_system)?;
        image.mount_it().map_err(no_file_system)?;
        Ok(image)
    }

    fn mount_it(&self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&self.file)
            .arg(&self.at))
    }

    pub(super) fn mount(&self) -> Result<(), Stop> {
        self.mount_it().map_err(Stop::failed)
    }

    pub(super) fn unmount(&self) -> Result<(), Stop> {
        run(Command::new("umount").arg(&self.at)).map_err(Stop::failed)
    }

    pub(super) fn remount(&self, how: &str) -> Result<(), Stop> {
        let how = format!("remount,{how}");
        run(Command::new("mount").args(["-o", &how]).arg(&self.at)).map_err(Stop::failed)
    }

    /// Compiles what pulls the plug.
    pub(super) fn ready_to_cut(&self, course: &Course) -> Result<(), Stop> {
        compile(course, include_str!("../../shim/power.c"), &self.power, &[])
    }

    /// From now on nothing reaches the disk any more; how long `log` was at that moment.
    pub(super) fn cut_power(&self, log: &Path) -> Result<u64, Stop> {
        let length = said(Command::new(&self.power).arg(&self.at).arg(log))
            .map_err(|why| Stop::Skipped(format!("cannot cut the power: {why}")))?;
        length.trim().parse().map_err(Stop::failed)
    }

    /// Fills it to the last byte.
    pub(super) fn fill(&self) -> Result<(), Stop> {
        let mut balloon = std::fs::File::create(self.balloon()).map_err(Stop::io("the balloon"))?;
        let mut bytes = vec![7; 1 << 20];
        while !bytes.is_empty() {
            if balloon.write_all(&bytes).is_err() {
                bytes.truncate(bytes.len() / 2);
            }
        }
        Ok(())
    }

    pub(super) fn free(&self) -> Result<(), Stop> {
        std::fs::remove_file(self.balloon()).map_err(Stop::io("the balloon"))
    }

    fn balloon(&self) -> PathBuf {
        self.at.join("balloon")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg("-l").arg(&self.at)));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    said(command).map(drop)
}

/// Runs it to its end; what it printed.
fn said(command: &mut Command) -> Result<String, String> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|why| format!("{name}: {why}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", said.trim()))
}
