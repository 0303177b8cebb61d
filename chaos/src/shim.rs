//! Faults of system calls: `shim/faults.c`, compiled here and loaded into a server, and the page of
//! memory through which both sides talk while it runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::course::{Course, Stop};
use crate::house::Plan;

const PAGE_BYTES: u64 = 4096;
/// Of `struct page` in `faults.c`.
const SYNC_US_AT: u64 = 48;
const CLOCK_AT: u64 = 56;
const WITHIN_AT: u64 = 64;
const WITHIN_BYTES: usize = 64;
const SEEN_AT: u64 = 128;

/// Which call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Call {
    Sync = 1,
    /// Of anything but zeros.
    Write,
    /// A write of zeros.
    Fill,
    Open,
    Rename,
    Truncate,
    Read,
    Mkdir,
    Unlink,
}

pub(crate) const EIO: u64 = 5;
pub(crate) const ENOSPC: u64 = 28;
pub(crate) const EACCES: u64 = 13;

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    /// The first call that goes wrong, counted from 1.
    pub(crate) at: u64,
    pub(crate) times: u64,
    /// 0: it does not fail, but is short.
    pub(crate) error: u64,
    /// So many percent of a write are written before.
    pub(crate) some: u64,
    /// How long the call takes that goes wrong.
    pub(crate) hold: Duration,
    /// What the path must contain.
    pub(crate) within: &'static str,
}

impl Fault {
    pub(crate) fn new(call: Call, at: u64, error: u64, within: &'static str) -> Self {
        Self {
            call,
            at,
            times: 1,
            error,
            some: 0,
            hold: Duration::ZERO,
            within,
        }
    }
}

/// What the library saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saw {
    /// Calls of the kind that goes wrong, on the files that were meant.
    pub(crate) calls: u64,
    pub(crate) hits: u64,
    /// When the first of them returned.
    pub(crate) hit_at: Option<Instant>,
}

/// The library, and the page of one server at a time.
#[derive(Debug)]
pub(crate) struct Shim {
    library: PathBuf,
    page_path: PathBuf,
    page: File,
}

impl Shim {
    /// Compiles the library into the course's folder.
    pub(crate) fn compile(course: &Course) -> Result<Self, Stop> {
        let library = course.path("faults.so");
        let flags = ["-shared", "-fPIC"];
        compile(course, include_str!("../shim/faults.c"), &library, &flags)?;
        let page_path = course.path("faults.page");
        let page = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&page_path)
            .and_then(|page| page.set_len(PAGE_BYTES).map(|()| page))
            .map_err(Stop::io("faults.page"))?;
        Ok(Self {
            library,
            page_path,
            page,
        })
    }

    /// A server that has the library in it.
    pub(crate) fn within(&self, plan: Plan) -> Plan {
        let data = plan.data.clone();
        plan.env("LD_PRELOAD", &self.library)
            .env("CHAOS_PAGE", &self.page_path)
            .env("CHAOS_DATA", data)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), Stop> {
        let written = self.page.write_all_at(bytes, at);
        written.map_err(Stop::io("faults.page"))
    }

    /// Nothing goes wrong (any more), and nothing was seen yet.
    pub(crate) fn clear(&self) -> Result<(), Stop> {
        self.put(0, &[0; 256])
    }

    /// From now on this goes wrong, and nothing else.
    pub(crate) fn set(&self, fault: &Fault) -> Result<(), Stop> {
        self.clear()?;
        let mut within = [0; WITHIN_BYTES];
        if let Some(place) = within.get_mut(..fault.within.len()) {
            place.copy_from_slice(fault.within.as_bytes());
        }
        self.put(WITHIN_AT, &within)?;
        let hold = u64::try_from(fault.hold.as_millis()).unwrap_or(0);
        let rest = [fault.times, fault.error, fault.some, hold];
        let rest: Vec<u8> = rest.iter().flat_map(|field| field.to_ne_bytes()).collect();
        self.put(16, &rest)?;
        self.put(0, &(fault.call as u64).to_ne_bytes())?;
        self.put(8, &fault.at.to_ne_bytes())
    }

    /// From now on each flush takes so much longer.
    pub(crate) fn slow_flush(&self, by: Duration) -> Result<(), Stop> {
        let us = u64::try_from(by.as_micros()).unwrap_or(0);
        self.put(SYNC_US_AT, &us.to_ne_bytes())
    }

    /// From now on the wall clock is off by so many seconds.
    pub(crate) fn clock_off(&self, secs: i64) -> Result<(), Stop> {
        self.put(CLOCK_AT, &(secs * 1_000_000_000).to_ne_bytes())
    }

    pub(crate) fn saw(&self) -> Result<Saw, Stop> {
        let mut fields = [0; 24];
        let read = self.page.read_exact_at(&mut fields, SEEN_AT);
        read.map_err(Stop::io("faults.page"))?;
        let field = |at: usize| {
            let bytes = fields.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        let hit_ns = field(16);
        Ok(Saw {
            calls: field(0),
            hits: field(8),
            hit_at: (hit_ns > 0).then(|| instant(hit_ns)),
        })
    }
}

/// A moment of CLOCK_MONOTONIC.
fn instant(monotonic_ns: u64) -> Instant {
    let now = clock_gettime(ClockId::Monotonic);
    let now_ns = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    let ago = now_ns.cast_unsigned().saturating_sub(monotonic_ns);
    Instant::now() - Duration::from_nanos(ago)
}

/// Compiles a C file; skipped where there is no compiler.
pub(crate) fn compile(
    course: &Course,
    source: &str,
    to: &Path,
    flags: &[&str],
) -> Result<(), Stop> {
    let file = course.path("source.c");
    std::fs::write(&file, source).map_err(Stop::io("source.c"))?;
    let output = Command::new("cc")
        .args(["-O2", "-Wall", "-o"])
        .arg(to)
        .args(flags)
        .arg(&file)
        .output()
        .map_err(|why| Stop::Skipped(format!("no C compiler: {why}")))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Stop::Failed(format!("cannot compile: {why}")))
}
