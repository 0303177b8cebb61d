//! A `gantry standalone` of our own: started on free ports, measured, killed, told to stop.
//!
//! Invariant: it dies with its handle, and nothing else is ever signalled.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use proto::Text;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::course::{Course, Stop};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How a server is started, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    gantry: PathBuf,
    pub(crate) data: PathBuf,
    log: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    user: Option<u32>,
    files: Option<u64>,
}

impl Plan {
    /// A server with its data in the course's folder `data` and its output in `gantry.log`.
    pub(crate) fn new(course: &Course, flush: &str) -> Self {
        let mut plan = Self {
            gantry: course.gantry.clone(),
            data: course.path("data"),
            log: course.path("gantry.log"),
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            files: None,
        };
        let ports = ["namesrv", "broker", "http", "admin"];
        for port in ports {
            plan.args.push(format!("--{port}-port").into());
            plan.args.push("0".into());
        }
        plan.args.extend(["--flush".into(), flush.into()]);
        plan
    }

    /// With its data elsewhere.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    /// With a key of the broker's settings.
    pub(crate) fn set(mut self, key_value: &str) -> Self {
        self.args.extend(["--set".into(), key_value.into()]);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// As somebody else.
    pub(crate) fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// With so many open files at most.
    pub(crate) fn files(mut self, most: u64) -> Self {
        self.files = Some(most);
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<House, Stop> {
        self.forget_ports();
        let mut house = self.spawn()?;
        match house.ready().await? {
            Ok(()) => Ok(house),
            Err(status) => Err(Stop::Failed(format!(
                "gantry ended by itself: {status}: {}",
                house.said()
            ))),
        }
    }

    /// Starts it although it is expected to end by itself: with which code, and what it said.
    pub(crate) async fn start_in_vain(&self) -> Result<(Option<i32>, String), Stop> {
        let mut house = self.spawn()?;
        let code = house.ends(START_TIMEOUT).await?;
        Ok((code, house.said()))
    }

    /// Left behind by a process that was killed.
    pub(crate) fn forget_ports(&self) {
        drop(std::fs::remove_file(self.data.join("ports.json")));
    }

    /// The next start finds nothing.
    pub(crate) fn forget_store(&self) -> Result<(), Stop> {
        std::fs::remove_dir_all(&self.data).map_err(Stop::io("cannot remove the store"))
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&self) -> Result<House, Stop> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Stop::io(format!("cannot write {}", self.log.display())))?;
        let said_before = output.metadata().map_err(Stop::io("gantry.log"))?.len();
        let errors = output.try_clone().map_err(Stop::io("gantry.log"))?;
        let begun = Instant::now();
        let mut command = self.command();
        if let Some(user) = self.user {
            command.uid(user);
        }
        let process = command
            .arg("standalone")
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Stop::io(format!("cannot run {}", self.gantry.display())))?;
        Ok(House {
            process,
            data: self.data.clone(),
            log: self.log.clone(),
            said_before,
            begun,
            ports: None,
            ready: Duration::ZERO,
        })
    }

    fn command(&self) -> Command {
        let Some(files) = self.files else {
            return Command::new(&self.gantry);
        };
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        shell.arg("-c").arg(limited).arg(&self.gantry);
        shell
    }

    /// What `gantry store check` says about the store; an error unless all is well.
    pub(crate) fn audit(&self) -> Result<String, Stop> {
        let output = Command::new(&self.gantry)
            .args(["store", "check"])
            .arg(&self.data)
            .output()
            .map_err(Stop::io("cannot run gantry store check"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(text)
        } else {
            Err(Stop::Failed(format!("gantry store check says: {text}")))
        }
    }
}

/// Of `ports.json`.
#[derive(Clone, Debug, Deserialize)]
struct Ports {
    listen: String,
    namesrv: u16,
    broker: u16,
    vip: u16,
    http: u16,
    admin: u16,
}

/// A server that runs, or ran.
#[derive(Debug)]
pub(crate) struct House {
    process: Child,
    data: PathBuf,
    log: PathBuf,
    /// How long its log was when it started.
    said_before: u64,
    begun: Instant,
    ports: Option<Ports>,
    /// From its start to "ready".
    pub(crate) ready: Duration,
}

impl House {
    /// Waits until it is ready, or ended by itself.
    pub(crate) async fn ready(&mut self) -> Result<Result<(), ExitStatus>, Stop> {
        let path = self.data.join("ports.json");
        while self.begun.elapsed() < START_TIMEOUT {
            if let Ok(text) = std::fs::read(&path) {
                let ports = serde_json::from_slice(&text).map_err(Stop::failed)?;
                self.ports = Some(ports);
                self.ready = self.begun.elapsed();
                return Ok(Ok(()));
            }
            if let Some(status) = self.process.try_wait().map_err(Stop::io("gantry"))? {
                return Ok(Err(status));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Stop::failed("gantry was not ready in time"))
    }

    fn at(&self, port: impl FnOnce(&Ports) -> u16) -> Text {
        let ports = self.ports.as_ref().expect("it was ready");
        format!("{}:{}", ports.listen, port(ports)).into()
    }

    pub(crate) fn namesrv(&self) -> Text {
        self.at(|ports| ports.namesrv)
    }

    pub(crate) fn broker(&self) -> Text {
        self.at(|ports| ports.broker)
    }

    pub(crate) fn vip(&self) -> Text {
        self.at(|ports| ports.vip)
    }

    pub(crate) fn http(&self) -> Text {
        self.at(|ports| ports.http)
    }

    pub(crate) fn admin(&self) -> Text {
        self.at(|ports| ports.admin)
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Stop> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(drop).map_err(Stop::io("cannot kill gantry"))
    }

    /// SIGTERM, SIGSTOP and the like.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Stop> {
        kill_process(Pid::from_child(&self.process), signal)
            .map_err(|why| Stop::Failed(format!("cannot signal gantry: {why}")))
    }

    /// Waits until it ends by itself: its exit code, none after a signal.
    pub(crate) async fn ends(&mut self, within: Duration) -> Result<Option<i32>, Stop> {
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = self.process.try_wait().map_err(Stop::io("gantry"))? {
                return Ok(status.code());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Stop::Failed(format!(
            "gantry still runs after {} ms",
            within.as_millis()
        )))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Everything that it wrote to stdout and stderr.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(self.said_before).unwrap_or(0);
        String::from_utf8_lossy(log.get(from..).unwrap_or_default()).into_owned()
    }

    /// Resident memory without pages of mapped files.
    pub(crate) fn anonymous_bytes(&self) -> u64 {
        self.status("RssAnon:") * 1024
    }

    /// Processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        // The name in parentheses may hold blanks; user and system time are 12 and 13 behind it.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Of the open files, those that are connections or wait for some.
    pub(crate) fn sockets(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.process.id());
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let leads_to = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        leads_to
            .filter(|to| to.to_string_lossy().starts_with("socket:"))
            .count()
    }

    fn status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let number = value.and_then(|value| value.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Killed before, or at its end; either way nobody waits for more.
        drop(self.kill());
    }
}
