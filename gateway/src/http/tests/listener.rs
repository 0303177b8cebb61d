//! The listeners, spoken to with raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::{Tasks, conf_file::Entry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fake::Fake;
use crate::{Config, Gateway, TABLE};

struct House {
    gateway: Gateway,
    broker: Arc<Fake>,
    tasks: Tasks,
}

async fn house(change: impl FnOnce(&mut Config)) -> House {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config {
        http: any_port,
        admin: any_port,
        ..Config::default()
    };
    change(&mut config);
    let (tasks, broker) = (Tasks::root(), Arc::new(Fake::default()));
    let client = broker.client(&tasks);
    let gateway = Gateway::start(config, client, &tasks).await.unwrap();
    House {
        gateway,
        broker,
        tasks,
    }
}

/// Sends bytes and reads until the other side closes.
async fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

fn statuses(answers: &str) -> Vec<&str> {
    let starts = answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, start)| at + start.len());
    starts.filter_map(|at| answers.get(at..at + 3)).collect()
}

const POST: &str = "POST /t/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
const LAST: &str =
    "POST /t/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let house = house(|_| {}).await;
    let answers = exchange(
        house.gateway.http_addr,
        [POST, POST, LAST].concat().as_bytes(),
    )
    .await;
    assert_eq!(statuses(&answers), ["201", "201", "201"]);
    let offsets: Vec<_> = answers
        .lines()
        .filter(|line| line.starts_with("mq-queue-offset"))
        .collect();
    assert_eq!(
        offsets,
        [
            "mq-queue-offset: 0",
            "mq-queue-offset: 1",
            "mq-queue-offset: 2"
        ]
    );
}

#[tokio::test]
async fn a_chunked_body_is_joined_and_stored_whole() {
    let house = house(|_| {}).await;
    let request = "POST /t/orders HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
                   Connection: close\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    assert_eq!(
        statuses(&exchange(house.gateway.http_addr, request.as_bytes()).await),
        ["201"]
    );
    assert_eq!(&house.broker.sends.lock()[0].body[..], b"hello");
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let house = house(|_| {}).await;
    let head = "POST /t/orders HTTP/1.1\r\nHost: h\r\n";
    for (lines, body) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: 5, 5\r\n", "hello"),
        ("Content-Length : 5\r\n", "hello"),
        ("Transfer-Encoding: gzip\r\n", "hello"),
        ("Transfer-Encoding: chunked, identity\r\n", "hello"),
        ("Host: other\r\nContent-Length: 5\r\n", "hello"),
    ] {
        let request = format!("{head}{lines}\r\n{body}");
        let answer = exchange(house.gateway.http_addr, request.as_bytes()).await;
        assert_eq!(statuses(&answer), ["400"], "{lines}: {answer}");
    }
    assert!(house.broker.sends.lock().is_empty());
}

/// RFC 9112, 6.3, leaves it open; nobody stands behind us who could see two lengths.
#[tokio::test]
async fn the_same_length_said_twice_is_one_length() {
    let house = house(|_| {}).await;
    let request = LAST.replace(
        "Content-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
    );
    let answers = exchange(
        house.gateway.http_addr,
        [POST, &request].concat().as_bytes(),
    )
    .await;
    assert_eq!(statuses(&answers), ["201", "201"]);
    let bodies: Vec<_> = house
        .broker
        .sends
        .lock()
        .iter()
        .map(|send| send.body.clone())
        .collect();
    assert_eq!(bodies, ["hello", "hello"]);
}

#[tokio::test]
async fn nothing_behind_a_chunked_body_is_taken_for_a_request() {
    let house = house(|_| {}).await;
    let smuggling = format!(
        "POST /t/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{POST}"
    );
    let answers = exchange(house.gateway.http_addr, smuggling.as_bytes()).await;
    assert_eq!(statuses(&answers), ["201"]);
    assert_eq!(house.broker.sends.lock().len(), 1);
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let house = house(|_| {}).await;
    let request = POST.replace("Host: h\r\n", "");
    assert_eq!(
        statuses(&exchange(house.gateway.http_addr, request.as_bytes()).await),
        ["400"]
    );
}

#[tokio::test]
async fn a_refused_body_that_waits_for_leave_is_never_asked_for() {
    let house = house(|_| {}).await;
    let request = "POST /t/a.b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\
                   Expect: 100-continue\r\nConnection: close\r\n\r\n";
    assert_eq!(
        statuses(&exchange(house.gateway.http_addr, request.as_bytes()).await),
        ["400"]
    );
    let request = request.replace("a.b", "orders");
    let mut stream = TcpStream::connect(house.gateway.http_addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(statuses(&read_to_end(&mut stream).await), ["201"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_although_it_was_sent() {
    let house = house(|config| config.body_bytes_max = 1000).await;
    let body = "x".repeat(2 << 20);
    let request = format!(
        "POST /t/orders HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}{LAST}",
        body.len()
    );
    let answers = exchange(house.gateway.http_addr, request.as_bytes()).await;
    assert_eq!(statuses(&answers), ["413", "201"]);
}

#[tokio::test]
async fn heads_that_are_too_large_or_broken_are_refused() {
    let house = house(|_| {}).await;
    let huge = format!(
        "POST /t/o HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    assert_eq!(
        statuses(&exchange(house.gateway.http_addr, huge.as_bytes()).await),
        ["431"]
    );
    let garbage = exchange(house.gateway.http_addr, b"\x16\x03\x01 what\r\n\r\n").await;
    assert_eq!(statuses(&garbage), ["400"]);
}

#[tokio::test]
async fn heads_have_limits_and_what_is_just_within_them_is_taken() {
    // `Host`, `Content-Length` and `Connection` are three of the headers.
    let headers = |count: usize| LAST.replace("Host", &("X: y\r\n".repeat(count - 3) + "Host"));
    let target = |bytes: usize| {
        let query = "?p.a=".to_owned() + &"x".repeat(bytes - "/t/orders?p.a=".len());
        LAST.replace("/t/orders", &format!("/t/orders{query}"))
    };
    let head = |bytes: usize| {
        let more = bytes - (LAST.len() - "hello".len()) - "X: \r\n".len();
        LAST.replace("Host", &format!("X: {}\r\nHost", "x".repeat(more)))
    };
    let set = [
        ("maxHttpHeaders", "20"),
        ("maxHttpTargetBytes", "300"),
        ("maxHttpHeadBytes", "8192"),
    ];
    for (settings, headers_max, target_max, head_max) in
        [(&[][..], 100, 8192, 64 << 10), (&set, 20, 300, 8192)]
    {
        let house = house(|config| read(config, settings)).await;
        for (request, status) in [
            (headers(headers_max), "201"),
            (headers(headers_max + 1), "431"),
            (target(target_max), "201"),
            (target(target_max + 1), "414"),
            (head(head_max - 1000), "201"),
            // The limit is that of a buffer, which takes one more read.
            (head(head_max * 2), "431"),
        ] {
            let answer = exchange(house.gateway.http_addr, request.as_bytes()).await;
            assert_eq!(
                statuses(&answer),
                [status],
                "{} bytes: {answer}",
                request.len()
            );
        }
    }
}

fn read(config: &mut Config, settings: &[(&str, &str)]) {
    let entries: Vec<_> = settings
        .iter()
        .map(|(key, value)| Entry::new(*key, value, "test"))
        .collect();
    TABLE.read(config, &entries).unwrap();
}

#[tokio::test]
async fn other_versions_and_bare_line_ends_are_refused() {
    let house = house(|config| config.head_timeout = Duration::from_secs(1)).await;
    let addr = house.gateway.http_addr;
    let head = LAST.strip_suffix("hello").unwrap();
    for (request, status) in [
        (LAST.to_owned(), "201"),
        (format!("\r\n{LAST}"), "201"),
        (LAST.replace("hello", "he\nlo"), "201"),
        (LAST.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (LAST.replace("HTTP/1.1", "HTTP/2.0"), "400"),
        (LAST.replace("\r\n", "\n"), "400"),
        (LAST.replacen("\r\n", "\n", 1), "400"),
        (head.replace("\r\n\r\n", "\r\n\n") + "hello", "400"),
        (LAST.replace("Host: h\r\n", "Host: h\nX: y\r\n"), "400"),
        (LAST.replace("Host: h\r\n", "Host: h\rX: y\r\n"), "400"),
    ] {
        // Also in pieces.
        let mut stream = TcpStream::connect(addr).await.unwrap();
        for piece in request.as_bytes().chunks(7) {
            drop(stream.write_all(piece).await);
        }
        let answers = read_to_end(&mut stream).await;
        let alone = exchange(addr, request.as_bytes()).await;
        assert_eq!(status_of_last(&alone), Some(status), "{request:?}: {alone}");
        // Closing with the rest of its pieces unread may cost it the answer, not the refusal.
        let again = status_of_last(&answers);
        assert!(
            again == Some(status) || again.is_none() && status == "400",
            "{answers}"
        );
    }
}

fn status_of_last(answers: &str) -> Option<&str> {
    let mut lines = answers.lines().rev();
    let last = lines.find_map(|line| line.strip_prefix("HTTP/1."))?;
    last.get(2..5)
}

#[tokio::test]
async fn whoever_is_slow_is_closed() {
    let quick = [
        ("maxHttpHeadMillis", "100"),
        ("maxHttpIdleMillis", "100"),
        ("maxHttpBodyMillis", "100"),
    ];
    let house = house(|config| read(config, &quick)).await;
    let addr = house.gateway.http_addr;
    assert_eq!(exchange(addr, b"").await, "", "no request");
    let half = exchange(addr, b"POST /t/o HT").await;
    assert_eq!(statuses(&half), ["408"], "half a head");
    let second = exchange(addr, [POST, "GET /"].concat().as_bytes()).await;
    assert_eq!(statuses(&second), ["201", "408"], "half a second head");
    let answers = exchange(addr, POST.as_bytes()).await;
    assert_eq!(statuses(&answers), ["201"], "idle afterwards");
    let answers = exchange(addr, POST.trim_end_matches("lo").as_bytes()).await;
    assert_eq!(statuses(&answers), ["408"], "half a body");
}

/// Each limit counts from when it begins, whatever the other one is.
#[tokio::test]
async fn a_long_limit_does_not_make_the_short_one_longer() {
    let hour = "3600000";
    let short_head = [("maxHttpHeadMillis", "100"), ("maxHttpIdleMillis", hour)];
    let house_1 = house(|config| read(config, &short_head)).await;
    let mut stream = TcpStream::connect(house_1.gateway.http_addr).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 201");
    stream.write_all(b"POST /t/o HT").await.unwrap();
    let answers = read_to_end(&mut stream).await;
    assert_eq!(statuses(&answers), ["408"]);

    let short_idle = [("maxHttpHeadMillis", hour), ("maxHttpIdleMillis", "100")];
    let house_2 = house(|config| read(config, &short_idle)).await;
    let answers = exchange(house_2.gateway.http_addr, POST.as_bytes()).await;
    assert_eq!(statuses(&answers), ["201"]);
}

#[tokio::test]
async fn a_budget_below_the_largest_body_is_what_a_body_may_have() {
    let house = house(|config| config.budget_bytes = 10).await;
    let chunked = |size: usize| {
        let body = "x".repeat(size);
        format!(
            "POST /t/orders HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    for (request, status) in [(chunked(10), "201"), (chunked(11), "413")] {
        let answer = exchange(house.gateway.http_addr, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{answer}");
    }
}

#[tokio::test]
async fn bodies_that_were_only_announced_keep_nobody_out() {
    let house = house(|config| config.budget_bytes = 8 << 20).await;
    let addr = house.gateway.http_addr;
    let head = "POST /t/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\
                Expect: 100-continue\r\nConnection: close\r\n\r\n";
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is asked for once its share is taken.
        let mut leave = [0; 25];
        stream.read_exact(&mut leave).await.unwrap();
        assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
        waiting.push(stream);
    }
    let answer = exchange(addr, LAST.as_bytes()).await;
    assert_eq!(statuses(&answer), ["201"]);
    let mut first = waiting.swap_remove(0);
    first.write_all(&vec![b'x'; 4 << 20]).await.unwrap();
    let answer = read_to_end(&mut first).await;
    assert_eq!(statuses(&answer), ["201"], "one that comes has room");
    let stored = house.broker.sends.lock();
    assert_eq!(stored.last().unwrap().body.len(), 4 << 20);
}

#[tokio::test]
async fn stopping_finishes_what_is_being_answered() {
    let house = house(|_| {}).await;
    let addr = house.gateway.http_addr;
    let mut idle = TcpStream::connect(addr).await.unwrap();
    idle.write_all(POST.as_bytes()).await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    house.tasks.cancel();
    assert!(read_to_end(&mut idle).await.contains("mq-message-id"));
    house.tasks.close(Duration::from_secs(5)).await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn the_admin_listener_tells_health_and_version() {
    let house = house(|_| {}).await;
    let get = |path: &'static str| {
        let addr = house.gateway.admin_addr;
        async move {
            let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            let answer = exchange(addr, request.as_bytes()).await;
            let body = answer.lines().last().unwrap_or_default().to_owned();
            (statuses(&answer).concat(), body)
        }
    };
    assert_eq!(
        get("/livez").await,
        ("200".into(), r#"{"live":true}"#.into())
    );
    let version = format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION"));
    assert_eq!(get("/version").await, ("200".into(), version));
    let ready = r#"{"checks":{"broker":"ok"},"ready":true}"#;
    assert_eq!(get("/readyz").await, ("200".into(), ready.into()));
    *house.broker.knows_nothing.lock() = true;
    let not_ready = r#"{"checks":{"broker":"no_broker"},"ready":false}"#;
    assert_eq!(get("/readyz").await, ("503".into(), not_ready.into()));
    assert_eq!(get("/t/orders").await.0, "404");
}

#[tokio::test]
async fn a_port_in_use_is_told_by_listener_and_address() {
    let house = house(|_| {}).await;
    let config = Config {
        http: house.gateway.http_addr,
        ..Config::default()
    };
    let client = house.broker.client(&house.tasks);
    let error = Gateway::start(config, client, &house.tasks)
        .await
        .unwrap_err();
    let told = format!("the HTTP listener cannot use {}: ", house.gateway.http_addr);
    assert!(error.to_string().starts_with(&told), "{error}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_stores_nothing() {
    let house = house(|_| {}).await;
    let mut stream = TcpStream::connect(house.gateway.http_addr).await.unwrap();
    stream
        .write_all(POST.trim_end_matches("lo").as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    read_to_end(&mut stream).await;
    assert!(house.broker.sends.lock().is_empty());
}
