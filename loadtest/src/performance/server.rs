//! A server under measurement: a child process in a folder of its own, or one that runs already.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use proto::Text;

use super::results::{CEILING, GANTRY};
use crate::command::{Flush, Other};
use crate::failure::Failure;
use crate::sink;

const SIGTERM: i32 = 15;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) broker: Text,
    pub(super) namesrv: Option<Text>,
    pub(super) http: Text,
    pub(super) pid: u32,
    /// What it said itself.
    pub(super) ready_ms: Option<f64>,
    child: Option<Process>,
}

/// A child that does not outlive us, with the pipe that it writes to.
#[derive(Debug)]
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Server {
    pub(super) fn ceiling(folder: &Path, flush: Flush) -> Result<Self, Failure> {
        let mut command = sink_command()?;
        command.args(["--flush", word(flush), "--dir"]);
        command.arg(folder.join("ceiling"));
        Self::sink(command)
    }

    pub(super) fn bare_http() -> Result<Self, Failure> {
        let mut command = sink_command()?;
        command.arg("--http");
        Self::sink(command)
    }

    fn sink(command: Command) -> Result<Self, Failure> {
        let mut process = Process::start(command)?;
        let said = process.lines_until(sink::READY)?;
        let addr = Text::from(word_behind(&said, sink::READY).unwrap_or_default());
        Ok(Self {
            name: CEILING.into(),
            broker: addr.clone(),
            http: addr,
            namesrv: None,
            pid: process.child.id(),
            ready_ms: None,
            child: Some(process),
        })
    }

    /// `store` stays, so that it can be started again.
    pub(super) fn gantry(binary: &Path, store: &Path, flush: Flush) -> Result<Self, Failure> {
        Self::gantry_with(&[], binary, store, flush)
    }

    /// With settings, `key=value`.
    pub(super) fn gantry_with(
        settings: &[&str],
        binary: &Path,
        store: &Path,
        flush: Flush,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(binary);
        command.arg("standalone").arg("--data-dir").arg(store);
        for setting in settings {
            command.args(["--set", setting]);
        }
        for port in [
            "--namesrv-port",
            "--broker-port",
            "--http-port",
            "--admin-port",
        ] {
            command.args([port, "0"]);
        }
        command.args(["--flush", word(flush)]);
        let mut process = Process::start(command)?;
        let said = process.lines_until("ready in")?;
        let addr = |name: &str| {
            let line = said
                .lines()
                .find_map(|line| line.trim_start().strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
                .map(Text::from)
        };
        let ready = said.split_once("ready in ").and_then(|(_, rest)| {
            let number = rest.split_whitespace().next()?;
            number.parse().ok()
        });
        let http = word_behind(&said, "http://").unwrap_or_default();
        Ok(Self {
            name: GANTRY.into(),
            broker: addr("broker").unwrap_or_default(),
            http: http.into(),
            namesrv: addr("name server"),
            pid: process.child.id(),
            ready_ms: ready,
            child: Some(process),
        })
    }

    pub(super) fn running(other: &Other) -> Self {
        Self {
            name: other.name.clone(),
            broker: other.addr.clone(),
            http: Text::new(),
            namesrv: None,
            pid: other.pid,
            ready_ms: None,
            child: None,
        }
    }

    /// Asks it to stop and waits.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let Some(mut process) = self.child.take() else {
            return Ok(());
        };
        let failed = || Failure::io("cannot stop a server");
        let pid = self.pid.to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .map_err(failed())?;
        let status = process.child.wait().map_err(failed())?;
        // A sink knows no signals and just ends by this one.
        if status.success() || status.signal() == Some(SIGTERM) {
            return Ok(());
        }
        let why = format!("{} did not stop cleanly: {status}", self.name);
        Err(Failure::Impossible(why))
    }

    /// MB of a kind of memory, such as `VmRSS`.
    pub(super) fn memory_mb(&self, kind: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let kb = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        kb.and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    }

    pub(super) fn cpu_time(&self) -> Duration {
        crate::report::cpu_time_of(&self.pid.to_string())
    }
}

impl Process {
    fn start(mut command: Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(Failure::io(format!("cannot start {program}")))?;
        let said = child
            .stdout
            .take()
            .ok_or_else(|| Failure::Impossible(format!("{program} has no output to read")))?;
        Ok(Self {
            child,
            said: BufReader::new(said),
        })
    }

    /// All it says up to the line with `mark`.
    fn lines_until(&mut self, mark: &str) -> Result<String, Failure> {
        let mut said = String::new();
        loop {
            let before = said.len();
            let read = self.said.read_line(&mut said);
            if read.map_err(Failure::io("cannot read what a server says"))? == 0 {
                let why = format!("a server ended and said only: {said}");
                return Err(Failure::Impossible(why));
            }
            if said.get(before..).is_some_and(|line| line.contains(mark)) {
                return Ok(said);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn sink_command() -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("cannot find this binary"))?;
    let mut command = Command::new(own);
    command.arg("sink");
    Ok(command)
}

/// The word behind `mark`.
fn word_behind<'a>(said: &'a str, mark: &str) -> Option<&'a str> {
    said.split_once(mark)?.1.split_whitespace().next()
}

fn word(flush: Flush) -> &'static str {
    super::table::flush_word(flush)
}
