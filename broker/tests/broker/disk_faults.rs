//! What senders and readers are told when the disk is slow, full or broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::remoting::pull::{OffsetIs, Pulled};
use proto::remoting::{Reply, Request, ResponseCode};
use store::files::Space;

use crate::desk::{Client, Desk, WAIT, start_on};
use crate::faulty_disk::{FaultyDisk, Mode};
use crate::words::{bodies, fields, message, pull};

/// A broker on a disk with switches, a client on a socket, and one message in `t`.
async fn world(entries: &[(&str, &str)]) -> (FaultyDisk, Desk, Client) {
    let disk = FaultyDisk::default();
    let desk = start_on(Arc::new(disk.clone()), entries).await;
    let client = desk.dial().await;
    client.send("t", 0, "before").await;
    (disk, desk, client)
}

async fn send(client: &Client, body: &str) -> Reply {
    client.ask(Request::Send(message("t", 0, body))).await
}

/// Asks again and again until the answer is as wanted.
async fn until(limit: Duration, client: &Client, wanted: ResponseCode) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = send(client, "again").await;
        if reply.code == wanted {
            return reply;
        }
        assert!(begun.elapsed() < limit, "after {limit:?} still {reply:?}");
        tokio::task::yield_now().await;
    }
}

async fn stored(client: &Client) -> Vec<String> {
    bodies(&client.pull_all("t", 0).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_takes_too_long_is_answered_in_time_and_not_as_stored() {
    let (disk, desk, client) = world(&[("syncFlushTimeout", "200")]).await;
    disk.flushes(Mode::Stalls);
    let begun = Instant::now();
    let late = send(&client, "late").await;
    assert_eq!(late.code, ResponseCode::FLUSH_DISK_TIMEOUT);
    assert_eq!(late.remark.as_deref(), Some("FLUSH_DISK_TIMEOUT"));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    // Nobody reads what may still be lost, and reading does not wait for it.
    assert_eq!(stored(&client).await, ["before"]);
    disk.flushes(Mode::Works);
    assert_eq!(send(&client, "after").await.code, ResponseCode::SUCCESS);
    // The outcome was unknown; it was stored after all.
    assert_eq!(stored(&client).await, ["before", "late", "after"]);
    let folder = desk.stop().await;
    assert!(!folder.path().join("abort").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_does_not_wait_for_the_flush_is_told_when_it_is_written() {
    let (disk, desk, client) = world(&[]).await;
    disk.flushes(Mode::Stalls);
    let mut careless = message("t", 0, "careless");
    careless.fields.properties = Some("WAIT\u{1}false\u{2}".into());
    let reply = client.ask(Request::Send(careless)).await;
    assert_eq!(reply.code, ResponseCode::SUCCESS);
    disk.flushes(Mode::Works);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_sends_serves_everything_else_and_comes_back_by_itself() {
    let (disk, desk, client) = world(&[]).await;
    client
        .ask(Request::Heartbeat(crate::words::consumer(
            "c", "g", "t", "*",
        )))
        .await;
    let space = |free_bytes| {
        Some(Space {
            total_bytes: 100 << 20,
            free_bytes,
        })
    };
    // Above the ratio, and without room for two segments of 1 MiB.
    for free_bytes in [5 << 20, 2 << 20, (2 << 20) - 1, 0] {
        disk.space(space(free_bytes));
        let refused = until(
            Duration::from_secs(1),
            &client,
            ResponseCode::SERVICE_NOT_AVAILABLE,
        );
        let refused = refused.await;
        let remark = refused.remark.as_deref().unwrap_or_default();
        assert!(
            remark.contains("the broker's disk is full [CL:  0.9") || remark.contains("[CL:  1.0"),
            "{remark}"
        );
        assert_eq!(
            stored(&client).await.first().map(String::as_str),
            Some("before")
        );
        client.commit("g", "t", 0, 1).await;
        let committed: OffsetIs = fields(&client.query_offset("g", "t", 0).await);
        assert_eq!(committed.offset, 1);
        client.create_topic(&format!("made-{free_bytes}"), 1).await;
        disk.space(None);
        until(Duration::from_secs(10), &client, ResponseCode::SUCCESS).await;
    }
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_for_a_slow_disk_is_refused_as_busy_at_once() {
    let (disk, desk, client) = world(&[("syncFlushTimeout", "600000")]).await;
    disk.writes(Mode::Stalls);
    // 64 MiB may wait, and what the writer took before.
    let body = "x".repeat(900_000);
    let mut waiting = tokio::task::JoinSet::new();
    let client = Arc::new(client);
    let mut busy = 0;
    for _ in 0..120 {
        let asking = Arc::clone(&client);
        let body = body.clone();
        waiting.spawn(async move { send(&asking, &body).await });
    }
    let first = tokio::time::timeout(WAIT, waiting.join_next()).await;
    let refused = first.unwrap().unwrap().unwrap();
    assert_eq!(refused.code, ResponseCode::SYSTEM_BUSY);
    let remark = refused.remark.as_deref().unwrap_or_default();
    assert!(
        remark.contains("broker busy, start flow control"),
        "{remark}"
    );
    disk.writes(Mode::Works);
    let mut taken = 1;
    while let Some(reply) = waiting.join_next().await {
        match reply.unwrap().code {
            ResponseCode::SUCCESS => taken += 1,
            ResponseCode::SYSTEM_BUSY => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    // Exactly what was acknowledged is there.
    let end = client.ask(Request::Pull(pull("t", 0, 1 << 40, "*"))).await;
    let pulled: Pulled = end.read().unwrap();
    assert_eq!(pulled.max_offset, taken, "{busy} more were refused");
    drop(client);
    desk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_or_write_acknowledges_nothing_and_ends_the_broker() {
    for is_flush in [true, false] {
        let (disk, desk, client) = world(&[]).await;
        if is_flush {
            disk.flushes(Mode::Fails);
        } else {
            disk.writes(Mode::Fails);
        }
        let unlucky = message("t", 0, "unlucky");
        // An answer that is no success, or none at all.
        if let Ok(reply) = client.peer.call(Request::Send(unlucky), WAIT).await {
            assert_eq!(reply.code, ResponseCode::SYSTEM_ERROR, "{reply:?}");
        }
        desk.tasks.cancelled().await;
        let ended = desk.tasks.ended().map(|ended| ended.why);
        let wanted = if is_flush { "flushed" } else { "written" };
        assert!(
            ended.as_ref().is_some_and(|why| why.contains(wanted)),
            "{ended:?}"
        );
        // A disk that works again changes nothing.
        disk.flushes(Mode::Works);
        disk.writes(Mode::Works);
        if let Ok(reply) = client
            .peer
            .call(Request::Send(message("t", 0, "more")), WAIT)
            .await
        {
            assert_ne!(reply.code, ResponseCode::SUCCESS);
        }
        let folder = desk.kill().await;
        let again = crate::desk::start_in(folder, &[], Vec::new())
            .await
            .unwrap();
        let found = stored(&again.client()).await;
        assert_eq!(found.first().map(String::as_str), Some("before"));
        assert!(!found.contains(&"more".to_owned()), "{found:?}");
        again.stop().await;
    }
}
