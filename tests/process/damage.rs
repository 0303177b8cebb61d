//! A store that lost something: what is told of it, and how to go on without it.

use std::collections::BTreeSet;

use super::*;

const LOG: &str = "gantry-data/store/commitlog/00000000000000000000";

/// The bodies of all messages in `orders`, with the places that are lost as `None`.
fn dumped(folder: &TempDir) -> Vec<Option<String>> {
    let mut bodies = Vec::new();
    for queue in 0..8 {
        let queue = format!("orders/{queue}");
        let args = [
            "store",
            "dump",
            "gantry-data",
            "--queue",
            &queue,
            "--count",
            "1000",
        ];
        let dumped = output(folder.path(), &args);
        for line in String::from_utf8(dumped.stdout).expect("text").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            bodies.push(line["message"]["body"].as_str().map(str::to_owned));
        }
    }
    bodies
}

/// Where a body lies in the log.
fn place_of(folder: &TempDir, body: &str) -> u64 {
    let log = fs::read(folder.path().join(LOG)).expect("a log");
    let found = log
        .windows(body.len())
        .position(|window| window == body.as_bytes());
    found.expect("it was stored") as u64
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("a file");
    file.write_all_at(bytes, at).expect("writes");
}

/// Small segments, so that a test may read one.
const SMALL: [&str; 2] = ["--set", "mappedFileSizeCommitLog=1048576"];

fn start(folder: &TempDir, more: &[&str]) -> Server {
    Server::start(folder, &[&SMALL[..], more].concat())
}

fn filled(folder: &TempDir) -> Server {
    let server = start(folder, &[]);
    for n in 0..40 {
        server.send(&format!("message number {n}."));
    }
    server
}

fn everything_but(lost: usize) -> BTreeSet<Option<String>> {
    let all = (0..40).filter(|n| *n != lost);
    let mut all: BTreeSet<_> = all.map(|n| Some(format!("message number {n}."))).collect();
    all.insert(None);
    all
}

#[test]
fn damage_is_told_with_its_place_and_salvaged_when_asked() {
    let folder = tempdir().unwrap();
    assert_eq!(filled(&folder).stop().0, Some(0));
    let log = folder.path().join(LOG);
    overwrite(&log, place_of(&folder, "message number 17."), b"?");

    let checked = output(folder.path(), &["store", "check", "gantry-data"]);
    assert_eq!(checked.status.code(), Some(74));
    let report = String::from_utf8(checked.stdout).unwrap();
    let told = report
        .lines()
        .find(|line| line.starts_with("DAMAGED: "))
        .unwrap();
    assert!(
        told.contains("commitlog/00000000000000000000 at byte "),
        "{told}"
    );

    let server = start(&folder, &["--salvage"]);
    assert!(
        server.printed.contains("salvaged: 1 damaged places, "),
        "{}",
        server.printed
    );
    server.send("after the salvage");
    assert_eq!(server.stop().0, Some(0));
    let mut expected = everything_but(17);
    expected.insert(Some("after the salvage".to_owned()));
    assert_eq!(
        dumped(&folder).into_iter().collect::<BTreeSet<_>>(),
        expected
    );
    let kept: Vec<_> = fs::read_dir(folder.path().join("gantry-data/store/quarantine"))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(kept.len(), 1);
    let text = String::from_utf8_lossy(&kept[0]);
    assert!(
        text.contains("?essage number 17."),
        "the damaged bytes are kept"
    );

    // From now on it is a store like any other.
    let server = start(&folder, &[]);
    assert!(!server.printed.contains("salvaged"));
    assert_eq!(server.stop().0, Some(0));
    let checked = output(folder.path(), &["store", "check", "gantry-data"]);
    assert_eq!(
        checked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn a_damaged_log_refuses_to_start_with_74_and_a_list_and_is_left_as_it_was() {
    let folder = tempdir().unwrap();
    let mut server = filled(&folder);
    server.child.kill().expect("it runs");
    server.child.wait().expect("it was started here");
    drop(server);
    // Without a checkpoint a start reads all of the log.
    fs::remove_file(folder.path().join("gantry-data/store/checkpoint")).unwrap();
    let log = folder.path().join(LOG);
    for body in ["message number 5.", "message number 30."] {
        overwrite(&log, place_of(&folder, body), b"?");
    }
    let before = fs::read(&log).unwrap();
    for args in [
        &FREE_PORTS[..],
        &[
            "broker",
            "--set",
            "listenPort=0",
            "--set",
            "storePathRootDir=gantry-data/store",
        ],
    ] {
        let args = [args, &SMALL].concat();
        let refused = output(folder.path(), &args);
        let told = complaint(&refused);
        assert_eq!(refused.status.code(), Some(74), "{told}");
        let places = told.lines().filter(|line| line.contains(" at byte "));
        assert_eq!(places.count(), 2, "{told}");
        assert!(told.contains("--salvage"), "{told}");
        assert_eq!(fs::read(&log).unwrap(), before);
    }
    let server = start(&folder, &["--salvage"]);
    assert!(
        server.printed.contains("salvaged: 2 damaged places"),
        "{}",
        server.printed
    );
    assert_eq!(server.stop().0, Some(0));
    let found = dumped(&folder);
    assert_eq!(found.iter().flatten().count(), 38);
    assert_eq!(start(&folder, &[]).stop().0, Some(0));
}

#[test]
fn a_segment_cut_short_is_named_with_what_is_missing() {
    let folder = tempdir().unwrap();
    assert_eq!(filled(&folder).stop().0, Some(0));
    let cut = place_of(&folder, "message number 38.");
    let log = fs::OpenOptions::new()
        .write(true)
        .open(folder.path().join(LOG));
    log.unwrap().set_len(cut).unwrap();
    let refused = output(folder.path(), &[&FREE_PORTS[..], &SMALL].concat());
    let told = complaint(&refused);
    assert_eq!(refused.status.code(), Some(74), "{told}");
    let place = format!(
        "at byte {cut}, {} bytes: the file is cut short",
        1_048_576 - cut
    );
    assert!(told.contains(&place), "{told}");
    let server = start(&folder, &["--salvage"]);
    server.send("after the salvage");
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(dumped(&folder).iter().flatten().count(), 39);
}

#[test]
fn a_flipped_bit_in_any_file_is_told_with_its_place_and_costs_no_message() {
    let folder = tempdir().unwrap();
    assert_eq!(filled(&folder).stop().0, Some(0));
    let store = folder.path().join("gantry-data/store");
    let first = |folder: &Path| {
        let entry = fs::read_dir(folder).unwrap().next().unwrap();
        entry.unwrap().path()
    };
    let orders = store.join("consumequeue/orders");
    let flips = [
        (first(&first(&orders)), 7),
        (store.join("checkpoint"), 75),
        (store.join("queues.snapshot"), 20),
        (store.join("config/topics.json"), 30),
        (store.join("config/topics.json.bak"), 30),
        (store.join("config/subscriptionGroup.json"), 30),
        (store.join("config/consumerOffset.json"), 10),
    ];
    for (path, at) in flips {
        let whole = fs::read(&path).unwrap();
        let byte = whole[at];
        overwrite(&path, at as u64, &[byte ^ 4]);
        let checked = output(folder.path(), &["store", "check", "gantry-data"]);
        let report = String::from_utf8(checked.stdout).unwrap();
        assert_eq!(checked.status.code(), Some(74), "{report}");
        let name = path
            .strip_prefix(folder.path())
            .unwrap()
            .display()
            .to_string();
        let told = report.lines().filter(|line| line.starts_with("DAMAGED: "));
        let told: Vec<_> = told.collect();
        assert!(
            told.len() == 1 && told[0].contains(&name),
            "{name}: {report}"
        );
        // None of these is a reason not to start, or to lose a message.
        if !name.ends_with(".bak") {
            if name.contains("consumequeue") {
                fs::remove_dir_all(store.join("consumequeue")).unwrap();
            }
            let server = start(&folder, &[]);
            server.send("one more");
            assert_eq!(server.stop().0, Some(0), "{name}");
            let found = dumped(&folder);
            assert_eq!(
                found
                    .iter()
                    .flatten()
                    .filter(|body| body.starts_with("message"))
                    .count(),
                40
            );
            let checked = output(folder.path(), &["store", "check", "gantry-data"]);
            let report = String::from_utf8(checked.stdout).unwrap();
            assert_eq!(checked.status.code(), Some(0), "{name}: {report}");
        } else {
            fs::write(&path, whole).unwrap();
        }
    }
}
