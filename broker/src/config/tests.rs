//! Tests of the broker's settings: what a file does, what is derived, what is refused.
//! Invariant: every row of the table shows what it reads.

use super::*;
use runtime::conf_file;

fn read(text: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::from_entries(&conf_file::parse(text, "broker.conf").unwrap())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn the_file_that_apache_ships_is_honoured_without_a_warning() {
    let (config, warnings) = read(
        "brokerClusterName = DefaultCluster\nbrokerName = broker-a\nbrokerId = 0\ndeleteWhen = 04\n\
         fileReservedTime = 48\nbrokerRole = ASYNC_MASTER\nflushDiskType = ASYNC_FLUSH\n",
    )
    .unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.names.broker.as_str(), "broker-a");
    assert_eq!(
        (config.flush.mode, config.retention.keep_hours),
        (FlushMode::Async, 48)
    );
    assert_eq!(config.retention.delete_at.as_slice(), [4]);
}

#[test]
fn without_a_file_an_acknowledgement_means_on_disk_and_others_cannot_connect() {
    let (config, _) = read("").unwrap();
    assert_eq!(config.flush.mode, FlushMode::Sync);
    assert!(config.listen.bind.is_loopback());
    assert_eq!(config.listen.port, 10911);
}

#[test]
fn what_is_not_said_follows_from_what_is() {
    let (config, _) = read(
        "storePathRootDir=/data/s\nbindAddress=10.1.2.3\nmappedFileSizeConsumeQueue=21\nbrokerId=7",
    )
    .unwrap();
    assert_eq!(config.files.log, "/data/s/commitlog");
    assert_eq!(
        (config.listen.ip1.as_str(), config.listen.ip2.as_str()),
        ("10.1.2.3", "10.1.2.3")
    );
    assert_eq!((config.files.queue_segment_bytes, config.names.id), (40, 0));
    assert!(!config.names.broker.is_empty());
    let (config, _) = read("listenPort=0\nstorePathCommitLog=/fast\nbrokerIP1=h").unwrap();
    assert_eq!(config.files.log, "/fast");
    assert_eq!(config.listen.ip2, "h");
}

#[test]
fn the_printed_text_reads_back_to_itself() {
    let (config, _) =
        read("deleteWhen=3;23\nnamesrvAddr=a:1; b:2;\ndiskSpaceWarningLevelRatio=1").unwrap();
    let text = config.to_properties_text();
    assert!(text.contains("\ndeleteWhen=03;23\n"), "{text}");
    assert!(text.contains("\nnamesrvAddr=a:1;b:2\n"), "{text}");
    assert!(
        text.contains("\ndiskSpaceWarningLevelRatio=1.00\n"),
        "{text}"
    );
    let (again, warnings) = read(&text).unwrap();
    assert_eq!((again.to_properties_text(), warnings), (text, vec![]));
}

#[test]
fn what_would_be_dangerous_to_leave_out_is_refused() {
    assert_eq!(
        refused("\nbrokerRole=SLAVE"),
        "broker.conf:2: brokerRole=SLAVE: expected ASYNC_MASTER, because there is no replication yet"
    );
    assert!(refused("aclEnable=true").contains("no access control"));
}

#[test]
fn what_is_merely_missing_is_a_warning() {
    let (_, warnings) = read("sendMessageThreadPoolNums=16\nfoo=1").unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings[0].contains("sendMessageThreadPoolNums has no effect"),
        "{warnings:?}"
    );
    assert_eq!(warnings[1], "broker.conf:2: foo is not a known key");
}

#[test]
fn values_out_of_their_range_are_refused() {
    for (text, expected) in [
        ("brokerName=a/b", "letters, digits"),
        ("brokerName=..", "letters, digits"),
        ("brokerName=", "letters, digits"),
        ("namesrvAddr=localhost", "HOST:PORT"),
        ("namesrvAddr=:1", "HOST:PORT"),
        ("deleteWhen=24", "hours"),
        ("diskSpaceWarningLevelRatio=NaN", "0.10 to 1.00"),
        ("flushDiskType=SYNC", "SYNC_FLUSH or ASYNC_FLUSH"),
        ("bindAddress=here", "an IP address"),
        ("maxMessageSize=4194305", "1 to 4194304"),
        ("listenPort=2", "must exist"),
    ] {
        let told = refused(text);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_also_at_run_time() {
    assert!(refused("diskSpaceCleanForciblyRatio=0.95").contains("before writes are refused"));
    let (mut config, _) = read("").unwrap();
    let error = config
        .set("diskSpaceCleanForciblyRatio", "0.95")
        .unwrap_err();
    assert!(matches!(error, SetError::Contradiction { .. }), "{error}");
    assert_eq!(config.retention.delete_unexpired, Ratio::percent(85));
    assert_eq!(config.set("diskSpaceWarningLevelRatio", "0.97"), Ok(()));
    assert_eq!(
        config.set("listenPort", "1000"),
        Err(SetError::Fixed { key: "listenPort" })
    );
}

#[test]
fn a_ratio_is_its_hundredths() {
    assert!((Ratio::percent(90).as_f64() - 0.9).abs() < 1e-9);
}

#[test]
fn no_key_is_listed_twice() {
    let known = TABLE
        .groups
        .iter()
        .flat_map(|group| group.keys)
        .map(|row| row.name);
    let mut names: Vec<_> = known
        .chain(TABLE.absent.iter().map(|absent| absent.key()))
        .collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
