//! A disk that is really full: a file system in memory, which takes root to mount.
//!
//! Run by `cargo test --test process -- --ignored` as root; elsewhere reported as ignored.

use std::time::{Duration, Instant};

use super::*;

const MIB: usize = 1 << 20;

/// A file system of 64 MiB, unmounted when it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempdir().expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(
            mount.expect("mount runs").success(),
            "it takes root to mount"
        );
        Self(folder)
    }

    /// Takes all room that is left; the file that has it.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.path().join("ballast");
        let mut file = fs::File::create(&path).expect("a file");
        for bytes in [MIB, 4096] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(
            Command::new("umount")
                .args(["-l"])
                .arg(self.0.path())
                .status(),
        );
    }
}

/// Segments of 1 MiB, and queues and index to match.
/// How fast it is, `chaos` judges (S10).
const STUCK: Duration = Duration::from_secs(70);
const SMALL: [&str; 8] = [
    "--set",
    "mappedFileSizeCommitLog=1048576",
    "--set",
    "mappedFileSizeConsumeQueue=20000",
    "--set",
    "maxHashSlotNum=1000",
    "--set",
    "maxIndexNum=4000",
];

/// A client of the native protocol that can say three things.
struct Native(TcpStream);

impl Native {
    fn connect(server: &Server) -> Self {
        let address = format!("127.0.0.1:{}", server.port("broker"));
        Self(TcpStream::connect(address).expect("it listens"))
    }

    /// Code and parameters of the answer.
    fn ask(&mut self, code: i32, fields: &Value) -> (i64, Value) {
        let header = json!({
            "code": code, "language": "JAVA", "version": 0, "opaque": 1, "flag": 0,
            "extFields": fields,
        });
        let header = header.to_string();
        let length = u32::try_from(header.len()).expect("short");
        let mut frame = (length + 4).to_be_bytes().to_vec();
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(header.as_bytes());
        self.0.write_all(&frame).expect("it reads");
        let mut lengths = [0; 8];
        self.0.read_exact(&mut lengths).expect("it answers");
        let [frame, header] = [&lengths[..4], &lengths[4..]]
            .map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four")) & 0xFF_FFFF);
        let mut rest = vec![0; frame as usize - 4];
        self.0.read_exact(&mut rest).expect("it answers");
        let answer: Value = serde_json::from_slice(&rest[..header as usize]).expect("JSON");
        (
            answer["code"].as_i64().expect("a code"),
            answer["extFields"].clone(),
        )
    }

    fn commit(&mut self, offset: u64) -> i64 {
        let fields = json!({
            "consumerGroup": "g", "topic": "orders", "queueId": "0",
            "commitOffset": offset.to_string(),
        });
        self.ask(15, &fields).0
    }

    fn committed(&mut self) -> Value {
        let fields = json!({ "consumerGroup": "g", "topic": "orders", "queueId": "0" });
        self.ask(14, &fields).1["offset"].clone()
    }

    /// Makes the group, by pulling for it.
    fn make_group(&mut self) {
        let fields = json!({
            "consumerGroup": "g", "topic": "orders", "queueId": "0", "queueOffset": "0",
            "maxMsgNums": "1", "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0",
            "subscription": "*", "subVersion": "0", "expressionType": "TAG",
        });
        self.ask(11, &fields);
    }
}

#[test]
#[ignore = "it takes root to mount a small disk"]
fn commits_on_a_full_disk_survive_a_kill_and_it_comes_back_by_itself() {
    let disk = SmallDisk::mount();
    let folder = tempdir().unwrap();
    let data = disk.0.path().join("data");
    std::os::unix::fs::symlink(&data, folder.path().join("gantry-data")).unwrap();
    fs::create_dir(&data).unwrap();
    let mut server = Server::start(&folder, &SMALL);
    for n in 0..50 {
        server.send(&format!("message {n}"));
    }
    let mut native = Native::connect(&server);
    native.make_group();
    assert_eq!(native.commit(1), 0);

    let ballast = disk.fill();
    let begun = Instant::now();
    while server
        .http("http", "POST /t/orders:created", "x")
        .0
        .contains(" 201 ")
    {
        assert!(begun.elapsed() < STUCK, "sends are refused");
    }
    println!("refused after {} ms", begun.elapsed().as_millis());
    // Far more than the disk has room for, if it were not kept.
    for offset in 2..=30_000 {
        assert_eq!(native.commit(offset), 0, "commit {offset}");
    }
    assert_eq!(native.committed(), json!("30000"));
    let store = data.join("store");
    assert!(
        !store.join("config/reserve").exists(),
        "the room was needed"
    );
    server.child.kill().expect("it runs");
    server.child.wait().expect("it was started here");
    drop((native, server));

    // The disk is still full, and a broker starts all the same.
    let server = Server::start(&folder, &SMALL);
    let mut native = Native::connect(&server);
    assert_eq!(native.committed(), json!("30000"));
    assert_eq!(native.commit(30_001), 0);
    let refused = server.http("http", "POST /t/orders:created", "x");
    assert!(refused.0.contains(" 503 "), "{refused:?}");
    println!("while full: {}", refused.1);
    fs::remove_file(ballast).unwrap();
    let begun = Instant::now();
    while !server
        .http("http", "POST /t/orders:created", "x")
        .0
        .contains(" 201 ")
    {
        assert!(begun.elapsed() < STUCK, "sends are taken again");
    }
    println!("taken again after {} ms", begun.elapsed().as_millis());
    assert_eq!(server.stop().0, Some(0));
    let server = Server::start(&folder, &SMALL);
    assert_eq!(Native::connect(&server).committed(), json!("30001"));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
#[ignore = "it takes root to mount a small disk"]
fn default_sizes_fit_on_a_small_disk_and_it_starts_again_when_that_is_full() {
    let disk = SmallDisk::mount();
    let folder = tempdir().unwrap();
    let data = disk.0.path().join("data");
    std::os::unix::fs::symlink(&data, folder.path().join("gantry-data")).unwrap();
    fs::create_dir(&data).unwrap();
    let mut server = Server::start(&folder, &[]);
    let body = "x".repeat(MIB);
    let mut taken = 0;
    while server
        .http("http", "POST /t/orders:created", &body)
        .0
        .contains(" 201 ")
    {
        taken += 1;
        assert!(taken < 64, "more than the disk can hold");
    }
    println!("{taken} MiB were taken");
    assert!(taken > 64 / 4, "of 64 MiB only {taken} were used");
    disk.fill();
    server.child.kill().expect("it runs");
    server.child.wait().expect("it was started here");
    drop(server);

    let check = output(folder.path(), &["store", "check", "gantry-data"]);
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{said}");
    let server = Server::start(&folder, &[]);
    let refused = server.http("http", "POST /t/orders:created", "x");
    assert!(refused.0.contains(" 503 "), "{refused:?}");
    assert_eq!(server.stop().0, Some(0));
}
