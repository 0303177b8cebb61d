//! Starting, stopping, being killed, and what is there afterwards.

use std::sync::Arc;

use broker::{Running, StartError};
use proto::json;
use proto::remoting::config::{GroupConfig, GroupTable, TopicConfig};
use proto::remoting::{Reply, Request, ResponseCode};
use runtime::Tasks;
use store::OpenError;
use store::files::MemoryDisk;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::desk::{Client, Desk, config, start, start_in, start_on};
use crate::tools::topic_config;
use crate::words::{bodies, consumer, offset_is, pull};

/// Leaves something of each kind in a broker.
async fn fill(desk: &Desk) {
    let client = desk.client();
    client.create_topic("t", 3).await;
    client.send("t", 2, "one").await;
    client.send("t", 2, "two").await;
    let mut own = GroupConfig::new("own");
    own.retry_max_times = 3;
    client.ask(Request::UpdateGroup(own)).await;
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    client.commit("g", "t", 2, 1).await;
}

async fn groups(client: &Client) -> GroupTable {
    let reply = client.ask(Request::AllGroupConfigs).await;
    json::read(&reply.whole_body()).unwrap()
}

/// Finds all of it again.
async fn check(desk: &Desk) {
    let client = desk.client();
    assert_eq!(
        topic_config(&client, "t").await,
        TopicConfig::new("t", 3, 6)
    );
    let retry = topic_config(&client, "%RETRY%g").await;
    assert_eq!(retry, TopicConfig::new("%RETRY%g", 1, 6));
    assert_eq!(client.query_offset("g", "t", 2).await, offset_is(1));
    assert_eq!(bodies(&client.pull_all("t", 2).await), ["one", "two"]);
    let groups = groups(&client).await.subscription_group_table;
    let mut own = GroupConfig::new("own");
    own.retry_max_times = 3;
    assert_eq!(groups.get("own"), Some(&own));
    assert_eq!(groups.get("g"), Some(&GroupConfig::new("g")));
    assert_eq!(client.send("t", 2, "three").await.queue_offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_clean_stop() {
    let desk = start().await;
    fill(&desk).await;
    let folder = desk.stop().await;
    assert!(!folder.path().join("abort").exists());
    let desk = start_in(folder, &[], Vec::new()).await.unwrap();
    let opened = desk.running.opened();
    assert_eq!((opened.was_clean, opened.torn_bytes), (true, 0));
    assert!(desk.path("abort").exists());
    check(&desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill() {
    for mode in ["SYNC_FLUSH", "ASYNC_FLUSH"] {
        let entries = [("flushDiskType", mode)];
        let folder = TempDir::new().unwrap();
        let desk = start_in(folder, &entries, Vec::new()).await.unwrap();
        fill(&desk).await;
        let folder = desk.kill().await;
        assert!(folder.path().join("abort").exists(), "{mode}");
        let desk = start_in(folder, &entries, Vec::new()).await.unwrap();
        let opened = desk.running.opened();
        assert_eq!((opened.was_clean, opened.torn_bytes), (false, 0), "{mode}");
        check(&desk).await;
    }
}

/// What gets the offset of a message that was lost was not consumed.
#[tokio::test(flavor = "multi_thread")]
async fn no_offset_is_behind_the_end_of_its_queue_when_queues_are_made_again() {
    let desk = start().await;
    let client = desk.client();
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    for _ in 0..2 {
        client.send("t", 0, "x").await;
    }
    for (queue_id, offset) in [(0, 5), (1, 1)] {
        client.commit("g", "t", queue_id, offset).await;
    }
    drop(client);
    let folder = desk.stop().await;
    std::fs::remove_dir_all(folder.path().join("consumequeue")).unwrap();
    let desk = start_in(folder, &[], Vec::new()).await.unwrap();
    for (queue_id, offset) in [(0, 2), (1, 0)] {
        let found = desk.client().query_offset("g", "t", queue_id).await;
        assert_eq!(found, offset_is(offset), "{queue_id}");
    }
}

/// What is 125 deep in a request is 127 deep in the file of the groups, as deep as one can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_too_deep_or_too_large_to_be_kept_is_refused_and_the_broker_starts_again() {
    let desk = start().await;
    let client = desk.client();
    let group = |name: &str, depth: usize, text: &str| -> GroupConfig {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let policy = format!(r#"{{"type":"X","a":{open}"{text}"{close}}}"#);
        let body = format!(r#"{{"groupName":"{name}","groupRetryPolicy":{policy}}}"#);
        json::read(body.as_bytes()).unwrap()
    };
    let kept = group("kept", 6, &"x".repeat(7000));
    assert_eq!(
        client.ask(Request::UpdateGroup(kept.clone())).await,
        Reply::ok()
    );
    for (depth, text, limit) in [
        (7, "", "is nested more than 8 deep"),
        (123, "", "is nested more than 8 deep"),
        (124, "", "is nested more than 8 deep"),
        (125, "", "is nested more than 8 deep"),
        (1, &*"x".repeat(8192), "has more than 8192 bytes"),
    ] {
        let name = format!("g{depth}");
        let refused = Reply::refused(
            ResponseCode::INVALID_PARAMETER,
            format!("group {name} {limit}"),
        );
        let update = Request::UpdateGroup(group(&name, depth, text));
        assert_eq!(client.ask(update).await, refused, "{depth}");
    }
    drop(client);
    let desk = start_in(desk.stop().await, &[], Vec::new()).await.unwrap();
    let table = groups(&desk.client()).await.subscription_group_table;
    assert!(table.get("kept") == Some(&kept) && table.keys().all(|name| !name.starts_with('g')));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_on_the_same_store_does_not_start_and_harms_nothing() {
    let desk = start().await;
    fill(&desk).await;
    let second = Running::start(config(&desk.folder, &[]), Vec::new(), &Tasks::root()).await;
    let Err(StartError::Store(OpenError::Locked(_))) = second else {
        panic!("{second:?}")
    };
    check(&desk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_port_is_in_use_says_which_and_leaves_the_store_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let port = addr.port().to_string();
    let config = config(&folder, &[("listenPort", &port)]);
    let outcome = Running::start(config, Vec::new(), &Tasks::root()).await;
    let Err(StartError::Listen { addr: refused, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(refused, addr);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vip_port_is_two_below_takes_sends_and_refuses_pulls() {
    let desk = start().await;
    assert_eq!(
        desk.running.vip_addr().port(),
        desk.running.addr().port() - 2
    );
    let client = desk.dial_port(desk.running.vip_addr()).await;
    assert_eq!(client.send("t", 0, "one").await.queue_offset, 0);
    let refused = client.ask(Request::Pull(pull("t", 0, 0, "*"))).await;
    let text = " request type 11 not supported (PULL_MESSAGE)";
    let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
    assert_eq!(refused, Reply::refused(code, text));
    assert_eq!(bodies(&desk.dial().await.pull_all("t", 0).await), ["one"]);
}

/// Where the queues end is known only after the store was opened, and the next message may come before
/// the one after that.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_behind_the_end_come_back_after_a_power_failure_also_when_a_start_fails_first() {
    let disk = MemoryDisk::new();
    let desk = start_on(Arc::new(disk.clone()), &[]).await;
    let client = desk.client();
    for _ in 0..5 {
        client.send("t", 0, "kept").await;
    }
    let subscribed = consumer("c", "g", "t", "*");
    client.ask(Request::Heartbeat(subscribed)).await;
    // Stands in for messages that were lost.
    client.commit("g", "t", 0, 9).await;
    let folder = desk.kill().await;
    let restart = async || {
        let config = config(&folder, &[]);
        let tasks = Tasks::root();
        let started = Running::start_on(Arc::new(disk.clone()), config, Vec::new(), &tasks).await;
        (started, tasks)
    };
    disk.crash(&mut || true);
    let tables =
        ["topics.json", "topics.json.bak"].map(|name| folder.path().join("config").join(name));
    let whole = tables.each_ref().map(|table| std::fs::read(table).ok());
    for table in &tables {
        std::fs::write(table, "no table").unwrap();
    }
    let (refused, tasks) = restart().await;
    assert!(matches!(refused, Err(StartError::State(_))));
    tasks.close(crate::desk::WAIT).await.unwrap();
    disk.kill();
    for (table, whole) in tables.iter().zip(whole) {
        match whole {
            Some(whole) => std::fs::write(table, whole).unwrap(),
            None => std::fs::remove_file(table).unwrap(),
        }
    }
    let (started, tasks) = restart().await;
    let running = started.unwrap();
    let desk = Desk {
        running,
        tasks,
        folder: TempDir::new().unwrap(),
    };
    let client = desk.client();
    assert_eq!(client.query_offset("g", "t", 0).await, offset_is(5));
    desk.stop().await;
}
