//! The binary as a user meets it: what it prints, what it leaves behind, how it ends. `damage.rs` is
//! about a store that lost something, `full_disk.rs` about a disk without room.
//!
//! Every server takes free ports and a folder of its own. Waiting is done on what the process prints
//! or on its end, never on time.

mod damage;
mod full_disk;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const FREE_PORTS: [&str; 8] = [
    "--namesrv-port",
    "0",
    "--broker-port",
    "0",
    "--http-port",
    "0",
    "--admin-port",
    "0",
];

/// `gantry ARGS`, without what the environment of the test may say.
fn gantry(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    let inherited = std::env::vars().map(|(name, _)| name);
    for name in inherited.filter(|name| name.starts_with("GANTRY_") || name == "NAMESRV_ADDR") {
        command.env_remove(name);
    }
    command.current_dir(folder).args(args);
    command
}

fn output(folder: &Path, args: &[&str]) -> Output {
    gantry(folder, args).output().expect("the binary runs")
}

/// A server that is ready; killed when it is dropped.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    printed: String,
    ports: Value,
}

impl Server {
    fn start(folder: &TempDir, more: &[&str]) -> Self {
        let args = [&FREE_PORTS[..], more].concat();
        Self::start_command(folder, gantry(folder.path(), &args))
    }

    fn start_command(folder: &TempDir, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut printed = String::new();
        while !printed.contains("ready in ") {
            let read = stdout.read_line(&mut printed).expect("it prints text");
            assert!(read > 0, "it ended before it was ready: {printed}");
        }
        let text = fs::read_to_string(folder.path().join("gantry-data/ports.json"));
        let ports = serde_json::from_str(&text.expect("ports are published")).expect("as JSON");
        Self {
            child,
            stdout,
            printed,
            ports,
        }
    }

    fn port(&self, name: &str) -> u64 {
        self.ports[name].as_u64().expect("a port is a number")
    }

    /// Status line and body of an answer.
    fn http(&self, port: &str, head: &str, body: &str) -> (String, String) {
        let address = format!("127.0.0.1:{}", self.port(port));
        let mut stream = TcpStream::connect(address).expect("it listens");
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (
            head.lines().next().unwrap_or_default().to_owned(),
            body.to_owned(),
        )
    }

    fn send(&self, body: &str) -> Value {
        let (status, answer) = self.http("http", "POST /t/orders:created", body);
        assert!(status.contains(" 201 "), "{status} {answer}");
        serde_json::from_str(&answer).expect("a receipt is JSON")
    }

    /// Asks it to stop and tells its exit code and the rest of what it printed.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .expect("kill runs")
                .success()
        );
        let mut rest = String::new();
        self.stdout
            .read_to_string(&mut rest)
            .expect("it prints text");
        let status = self.child.wait().expect("it was started here");
        (status.code(), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The one sentence on stderr.
fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_full_disk_under_the_trace_does_not_end_the_process() {
    let folder = tempdir().expect("a folder");
    let mut command = gantry(folder.path(), &FREE_PORTS);
    let full = fs::File::options().write(true).open("/dev/full");
    command.env("GANTRY_LOG", "debug");
    command.stderr(full.expect("Linux has it"));
    let server = Server::start_command(&folder, command);
    server.send("hello");
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn standalone_tells_where_it_listens_takes_a_message_and_stops_when_asked() {
    let folder = tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    for (part, port) in [
        ("name server", "namesrv"),
        ("broker", "broker"),
        ("HTTP", "http"),
        ("admin", "admin"),
    ] {
        let address = format!("127.0.0.1:{}", server.port(port));
        let line = server
            .printed
            .lines()
            .find(|line| line.trim_start().starts_with(part));
        assert!(
            line.is_some_and(|line| line.contains(&address)),
            "{part}: {}",
            server.printed
        );
    }
    let receipt = server.send("hello");
    assert_eq!(
        (&receipt["topic"], &receipt["status"]),
        (&json!("orders"), &json!("ok"))
    );
    assert!(server.http("admin", "GET /readyz", "").0.contains(" 200 "));

    assert_eq!(server.stop(), (Some(0), String::new()));
    assert!(!folder.path().join("gantry-data/ports.json").exists());
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let folder = tempdir().unwrap();
    let send_20 = |server: &Server| {
        let receipts = (0..20).map(|n| server.send(&format!("message {n}")));
        let places =
            receipts.map(|receipt| (receipt["queue"].as_u64(), receipt["offset"].as_u64()));
        places.collect::<Vec<_>>()
    };
    let mut first = Server::start(&folder, &[]);
    let mut places = send_20(&first);
    first.child.kill().expect("it runs");
    first.child.wait().expect("it was started here");
    places.extend(send_20(&Server::start(&folder, &[])));

    // Each queue goes on exactly where it was: no place is given twice and none is left out.
    places.sort_unstable();
    let mut next = BTreeMap::new();
    for (queue, offset) in places {
        let expected = next.entry(queue).or_insert(0);
        assert_eq!(offset, Some(*expected), "in queue {queue:?}");
        *expected += 1;
    }
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let second = output(folder.path(), &FREE_PORTS);
    assert_eq!(second.status.code(), Some(73));
    assert!(
        complaint(&second).contains("in use by another process"),
        "{}",
        complaint(&second)
    );
    assert!(folder.path().join("gantry-data/ports.json").exists());
    server.send("still there");
}

#[test]
fn a_port_in_use_is_named_with_the_part_that_wanted_it() {
    let folder = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flag, part) in [
        ("--namesrv-port", "name server"),
        ("--broker-port", "broker"),
        ("--http-port", "HTTP listener"),
    ] {
        let at = FREE_PORTS.iter().position(|arg| *arg == flag).unwrap();
        let mut args = FREE_PORTS;
        args[at + 1] = &port;
        let ended = output(folder.path(), &args);
        let told = format!("the {part} cannot listen on 127.0.0.1:{port}: the port is in use\n");
        assert_eq!(
            (ended.status.code(), complaint(&ended)),
            (Some(69), format!("gantry: {told}"))
        );
    }
}

#[test]
fn wrong_settings_stop_the_start_with_place_and_reason() {
    let folder = tempdir().unwrap();
    fs::write(
        folder.path().join("broker.conf"),
        "# ours\nflushDiskType=MAYBE\n",
    )
    .unwrap();
    for (args, told) in [
        (
            &["-c", "broker.conf"][..],
            "broker.conf:2: flushDiskType=MAYBE: expected SYNC_FLUSH or",
        ),
        (
            &["broker", "-c", "broker.conf"],
            "broker.conf:2: flushDiskType=MAYBE",
        ),
        (&["--listen", "0.0.0.0"], "--insecure"),
        (
            &["--set", "aclEnable=true"],
            "there is no access control yet",
        ),
    ] {
        let ended = output(folder.path(), args);
        assert_eq!(ended.status.code(), Some(78), "{args:?}");
        assert!(
            complaint(&ended).contains(told),
            "{args:?}: {}",
            complaint(&ended)
        );
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing was made"
    );
}

#[test]
fn settings_are_printed_in_the_syntax_in_which_they_are_read() {
    let folder = tempdir().unwrap();
    let printed = output(
        folder.path(),
        &["broker", "-p", "-n", "a:1", "--set", "brokerName=b"],
    );
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.contains("\nbrokerName=b\n") && text.contains("\nnamesrvAddr=a:1\n"),
        "{text}"
    );
    fs::write(folder.path().join("again.conf"), &text).unwrap();
    let again = output(folder.path(), &["broker", "-p", "-c", "again.conf"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    let printed = output(folder.path(), &["namesrv", "-p"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("listenPort=9876\n"));
}

#[test]
fn a_store_is_looked_into_without_changing_it() {
    let folder = tempdir().unwrap();
    let server = Server::start(&folder, &[]);
    let receipt = server.send("hello");
    let queue = format!("orders/{}", receipt["queue"]);
    assert_eq!(server.stop().0, Some(0));

    let checked = output(folder.path(), &["store", "check", "gantry-data"]);
    let report = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{report}");
    assert!(
        report.contains("1 records") && report.contains(&queue),
        "{report}"
    );

    let dumped = output(
        folder.path(),
        &["store", "dump", "gantry-data", "--queue", &queue],
    );
    let line: Value = serde_json::from_slice(&dumped.stdout).unwrap();
    assert_eq!(
        (&line["offset"], &line["message"]["body"]),
        (&json!(0), &json!("hello"))
    );
    assert_eq!(line["message"]["properties"]["TAGS"], json!("created"));

    let missing = output(
        folder.path(),
        &["store", "dump", "gantry-data", "--queue", "none/0"],
    );
    assert_eq!(missing.status.code(), Some(77));
    assert!(
        complaint(&missing).contains("has no queue none/0"),
        "{}",
        complaint(&missing)
    );
}
