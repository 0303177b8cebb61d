//! Tests of the task tree: who stops whom, and what `close` reports.
//! Invariant: waiting is done on what the tree itself signals, never on time.

use std::{convert::Infallible, future::pending, sync::mpsc};

use super::*;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn closing_a_scope_stops_it_and_those_below_but_not_those_above() {
    let root = Tasks::root();
    let child = root.child();
    for tasks in [child.clone(), child.child()] {
        let token = tasks.token();
        tasks.spawn("waits", async move { token.cancelled().await });
    }
    assert_eq!(child.close(LONG).await, Ok(()));
    assert!(!root.is_cancelled());
    assert!(root.0.running.lock().alive.is_empty());
}

#[tokio::test]
async fn an_essential_task_that_ends_early_ends_the_root_with_its_reason() {
    let root = Tasks::root();
    root.child()
        .spawn_essential("writer", async { Err("disk on fire") });
    root.cancelled().await;
    let ended = root.ended().unwrap();
    assert_eq!(
        ended,
        Ended {
            name: "writer",
            why: "disk on fire".into()
        }
    );
    assert_eq!(ended.to_string(), "writer ended: disk on fire");
}

#[tokio::test]
async fn an_essential_task_that_returns_unasked_ends_the_root_too() {
    let root = Tasks::root();
    root.spawn_essential("accept", async { Ok::<_, Infallible>(()) });
    root.cancelled().await;
    assert_eq!(root.ended().unwrap().why, "without being told to stop");
}

#[tokio::test]
async fn an_essential_task_that_ends_when_asked_is_no_failure() {
    let root = Tasks::root();
    let token = root.token();
    root.spawn_essential("accept", async move {
        token.cancelled().await;
        Ok::<_, Infallible>(())
    });
    assert_eq!(root.close(LONG).await, Ok(()));
    assert_eq!(root.ended(), None);
}

#[tokio::test]
async fn a_panic_ends_the_root_only_if_it_was_essential() {
    let root = Tasks::root();
    let (done, gone) = tokio::sync::oneshot::channel::<()>();
    root.spawn("one connection", async move {
        let _done = done;
        panic!("on purpose");
    });
    assert!(gone.await.is_err());
    assert!(!root.is_cancelled());

    root.essential_thread("flusher", || -> Result<(), Infallible> {
        panic!("on purpose")
    })
    .unwrap();
    root.cancelled().await;
    assert_eq!(
        root.ended(),
        Some(Ended {
            name: "flusher",
            why: "panicked".into()
        })
    );
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_time_is_named_and_aborted() {
    let root = Tasks::root();
    root.child().spawn("stubborn", pending());
    let late = root.close(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late.names, ["stubborn"]);
    assert_eq!(root.close(Duration::ZERO).await, Ok(()));
}

#[tokio::test]
async fn threads_bear_their_name_and_are_joined() {
    let root = Tasks::root();
    let (tell, told) = mpsc::channel();
    let watched = root.clone();
    root.thread("dispatch", move || {
        tell.send(thread::current().name().map(str::to_owned))
            .unwrap();
        while !watched.is_cancelled() {
            thread::yield_now();
        }
    })
    .unwrap();
    assert_eq!(root.close(LONG).await, Ok(()));
    assert_eq!(told.recv().unwrap().as_deref(), Some("dispatch"));
    assert!(root.0.running.lock().threads.is_empty());
}

#[tokio::test]
async fn a_task_may_be_started_from_a_thread_without_a_runtime() {
    let root = Tasks::root();
    let (tell, told) = tokio::sync::oneshot::channel();
    let tasks = root.clone();
    root.thread("starter", move || {
        tasks.spawn("started", async move { tell.send(7).unwrap() })
    })
    .unwrap();
    assert_eq!(told.await, Ok(7));
    assert_eq!(root.close(LONG).await, Ok(()));
}

#[tokio::test]
async fn a_thread_rests_until_the_time_is_over_or_the_scope_stops() {
    let root = Tasks::root();
    let (tell, told) = mpsc::channel();
    let resting = root.clone();
    root.thread("keeper", move || {
        tell.send(resting.rest(Duration::from_millis(1))).unwrap();
        tell.send(resting.rest(LONG)).unwrap();
    })
    .unwrap();
    assert_eq!(told.recv(), Ok(true));
    assert_eq!(root.close(LONG).await, Ok(()));
    assert_eq!(told.recv(), Ok(false));
}

#[test]
fn a_thread_may_rest_after_its_executor_is_gone() {
    let executor = tokio::runtime::Runtime::new().unwrap();
    let root = executor.block_on(async { Tasks::root() });
    drop(executor);
    assert!(root.rest(Duration::from_millis(1)));
    root.cancel();
    assert!(!root.rest(LONG));
}
