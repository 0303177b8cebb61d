//! One row for each thing that a request may be or do wrong, without a socket.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use proto::message::Properties;
use proto::remoting::ResponseCode;
use runtime::Tasks;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::super::{App, Door};
use super::fake::{Fake, Next};
use crate::config::Config;
use crate::messaging::Messaging;

struct House {
    app: App,
    broker: Arc<Fake>,
}

impl House {
    fn new() -> Self {
        Self::with(Config::default(), CancellationToken::new())
    }

    fn with(config: Config, stop: CancellationToken) -> Self {
        let broker = Arc::new(Fake::default());
        let messaging = Messaging::new(broker.client(&Tasks::root()));
        let app = App::new(config, messaging, stop);
        Self { app, broker }
    }

    /// `POST /t/x` and then `name: value` lines.
    async fn ask(&self, head: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
        let mut lines = head.lines();
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "h");
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.app.answer(Door::Data, request).await
    }
}

async fn json(response: Response<Full<Bytes>>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

fn header<'a>(response: &'a Response<Full<Bytes>>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_post_is_stored_and_the_answer_says_where() {
    let house = House::new();
    let response = house.ask("POST /t/orders:created", "hello").await;
    assert_eq!(response.status(), 201);
    let id = header(&response, "mq-message-id").to_owned();
    assert_eq!(
        header(&response, "location"),
        format!("/v1/topics/orders/messages/{id}")
    );
    assert_eq!(header(&response, "mq-queue-id"), "0");
    assert_eq!(header(&response, "mq-queue-offset"), "0");
    let expected = serde_json::json!({
        "id": id, "topic": "orders", "tag": "created", "broker": "broker-a",
        "queue": 0, "offset": 0, "status": "ok",
    });
    assert_eq!(json(response).await, expected);
    let sends = house.broker.sends.lock();
    assert_eq!(
        (&*sends[0].fields.topic, &sends[0].body[..]),
        ("orders", &b"hello"[..])
    );
    assert_eq!(
        Properties::new(sends[0].properties()).find("TAGS"),
        Some("created")
    );
}

#[tokio::test]
async fn metadata_arrives_as_keys_tag_and_properties() {
    let house = House::new();
    let head = "PUT /t/orders?p.Region=e%20u&key=o-42&key=c-7&shard=u\n\
                mq-property: Name=%C3%A9%3D\n\
                mq-tag: paid\n\
                mq-timeout: 2s\n\
                content-type: image/png\n\
                traceparent: 00-1-2-01";
    assert_eq!(house.ask(head, "b").await.status(), 201);
    let sends = house.broker.sends.lock();
    let properties = Properties::new(sends[0].properties());
    let pairs: Vec<_> = properties
        .iter()
        .filter(|(name, _)| *name != "UNIQ_KEY")
        .collect();
    assert_eq!(
        pairs,
        [
            ("TAGS", "paid"),
            ("KEYS", "o-42 c-7"),
            ("__SHARDINGKEY", "u"),
            ("Name", "é="),
            ("Region", "e u"),
            ("traceparent", "00-1-2-01"),
            ("contentType", "image/png"),
        ]
    );
}

#[tokio::test]
async fn what_curl_sends_by_itself_is_not_remembered_as_a_type() {
    let house = House::new();
    let head = "POST /v1/topics/a%7Cb/messages\n\
                content-type: application/x-www-form-urlencoded\nmq-request-id: mine-1";
    let response = house.ask(head, "b").await;
    assert_eq!(
        (
            response.status().as_u16(),
            header(&response, "mq-request-id")
        ),
        (201, "mine-1")
    );
    assert!(header(&response, "location").starts_with("/v1/topics/a%7Cb/messages/"));
    let sends = house.broker.sends.lock();
    assert_eq!(
        Properties::new(sends[0].properties()).find("contentType"),
        None
    );
}

#[tokio::test]
async fn weaker_promises_of_the_broker_are_a_202_that_names_them() {
    for (code, status) in [
        (ResponseCode::FLUSH_DISK_TIMEOUT, "flush_disk_timeout"),
        (ResponseCode::FLUSH_SLAVE_TIMEOUT, "flush_slave_timeout"),
        (ResponseCode::SLAVE_NOT_AVAILABLE, "slave_not_available"),
    ] {
        let house = House::new();
        house.broker.next.lock().push_back(Next::Say(code));
        let response = house.ask("POST /t/orders", "hello").await;
        assert_eq!(response.status(), 202);
        assert_eq!(json(response).await["status"], status);
    }
}

/// Request, body, status, code.
const ROWS: [(&str, &str, u16, &str); 42] = [
    ("POST /", "b", 404, "not_found"),
    ("POST /t/", "b", 404, "not_found"),
    ("POST /t/..", "b", 404, "not_found"),
    ("POST /t/a/b", "b", 404, "not_found"),
    ("POST /v1/topics//messages", "b", 404, "not_found"),
    ("GET /livez", "", 404, "admin_not_here"),
    ("GET /t/orders", "", 405, "method_not_allowed"),
    ("DELETE /t/orders", "", 405, "method_not_allowed"),
    (
        "PUT /v1/topics/orders/messages",
        "b",
        405,
        "method_not_allowed",
    ),
    ("TRACE /t/orders", "", 405, "method_not_allowed"),
    ("BREW /t/orders", "", 501, "unsupported_method"),
    ("POST /t/%zz", "b", 400, "bad_path"),
    ("POST /t/%ff", "b", 400, "bad_path"),
    ("POST /t/a%00", "b", 400, "bad_path"),
    ("POST /t/o?tag=%2", "b", 400, "bad_path"),
    ("POST /t/a.b", "b", 400, "illegal_topic"),
    ("POST /t/:tag", "b", 400, "illegal_topic"),
    ("POST /t/a%2Fb", "b", 400, "illegal_topic"),
    ("POST /t/%25RETRY%25g", "b", 403, "system_topic"),
    ("POST /t/rmq_sys_x", "b", 403, "system_topic"),
    ("POST /t/o:a%7Cb", "b", 400, "illegal_message_tag"),
    ("POST /t/o:%20", "b", 400, "illegal_message_tag"),
    ("POST /t/o:a%01", "b", 400, "illegal_message_tag"),
    ("POST /t/o:a\nmq-tag: b", "b", 400, "conflicting_metadata"),
    (
        "POST /t/o?key=a\nmq-key: b",
        "b",
        400,
        "conflicting_metadata",
    ),
    ("POST /t/o?p.a=1&p.a=2", "b", 400, "conflicting_metadata"),
    (
        "POST /t/o?shard=a\nmq-sharding-key: b",
        "b",
        400,
        "conflicting_metadata",
    ),
    ("POST /t/o?tag=a&tag=a", "b", 400, "repeated_parameter"),
    ("POST /t/o?delay=3s", "b", 400, "unknown_parameter"),
    ("POST /t/o\nmq-delay: 3s", "b", 400, "unknown_header"),
    ("POST /t/o\nmq-key: a b", "b", 400, "illegal_message_key"),
    ("POST /t/o?key=", "b", 400, "illegal_message_key"),
    ("POST /t/o?shard=", "b", 400, "illegal_message_group"),
    (
        "POST /t/o?p.UNIQ_KEY=x",
        "b",
        400,
        "illegal_message_property_key",
    ),
    (
        "POST /t/o\nmq-property: a",
        "b",
        400,
        "illegal_message_property_key",
    ),
    (
        "POST /t/o\nmq-property: a=%02",
        "b",
        400,
        "illegal_message_property_key",
    ),
    ("POST /t/o\nmq-key: %zz", "b", 400, "bad_request"),
    ("POST /t/o\nmq-timeout: soon", "b", 400, "bad_duration"),
    ("POST /t/o?timeout=31s", "b", 400, "bad_duration"),
    ("POST /t/o", "", 422, "message_body_empty"),
    (
        "POST /t/o\ncontent-encoding: gzip",
        "b",
        415,
        "unsupported_encoding",
    ),
    (
        "POST /t/o\ncontent-type: application/vnd.mq.message+json",
        "b",
        415,
        "unsupported_media_type",
    ),
];

#[tokio::test]
async fn every_bad_input_gets_its_answer_and_stores_nothing() {
    let house = House::new();
    for (head, body, status, code) in ROWS {
        let response = house.ask(head, body).await;
        assert_eq!(
            header(&response, "content-type"),
            "application/problem+json",
            "{head}"
        );
        let told = response.status().as_u16();
        let problem = json(response).await;
        assert_eq!(
            (told, problem["code"].as_str()),
            (status, Some(code)),
            "{head}: {problem}"
        );
        assert_eq!(problem["status"], status, "{head}");
    }
    assert!(house.broker.sends.lock().is_empty());
}

#[tokio::test]
async fn limits_are_told_and_typos_are_guessed() {
    let house = House::new();
    let many: String = (0..129).map(|n| format!("p.{n}=v&")).collect();
    let long = "v".repeat(7000);
    let big = format!("POST /t/o?p.a={long}\nmq-property: b={long}\nmq-property: c={long}");
    for (head, status, code) in [
        (
            format!("POST /t/o?{many}"),
            431,
            "message_properties_too_large",
        ),
        (big, 431, "message_properties_too_large"),
        (
            format!("POST /t/o?p.a={}", "v".repeat(9000)),
            414,
            "target_too_long",
        ),
        (format!("POST /t/{}", "t".repeat(128)), 400, "illegal_topic"),
    ] {
        let problem = json(house.ask(&head, "b").await).await;
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&status.into(), &code.into())
        );
    }
    let body = vec![b'x'; (4 << 20) + 1];
    let problem = json(house.ask("POST /t/o", body).await).await;
    assert_eq!(
        (&problem["code"], &problem["max"]),
        (&"message_body_too_large".into(), &(4 << 20).into())
    );
    let problem = json(house.ask("POST /t/o\nmq-tags: a", "b").await).await;
    assert_eq!(problem["did_you_mean"], serde_json::json!(["mq-tag"]));
    let problem = json(house.ask("POST /t/o?kye=a", "b").await).await;
    assert_eq!(problem["did_you_mean"], serde_json::json!(["key"]));
}

#[tokio::test]
async fn a_largest_body_and_a_binary_one_pass_unchanged() {
    let house = House::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(4 << 20).collect();
    assert_eq!(house.ask("POST /t/o", bytes.clone()).await.status(), 201);
    assert!(house.broker.sends.lock()[0].body == bytes);
}

#[tokio::test]
async fn what_the_broker_says_is_told_with_its_outcome() {
    for (code, status, name, outcome) in [
        (ResponseCode::SYSTEM_BUSY, 503, "broker_busy", "not_stored"),
        (
            ResponseCode::SERVICE_NOT_AVAILABLE,
            503,
            "no_broker",
            "not_stored",
        ),
        (
            ResponseCode::NO_PERMISSION,
            403,
            "no_permission_on_topic",
            "not_stored",
        ),
        (
            ResponseCode::MESSAGE_ILLEGAL,
            413,
            "message_body_too_large",
            "not_stored",
        ),
        (ResponseCode::SYSTEM_ERROR, 502, "broker_error", "unknown"),
    ] {
        let house = House::new();
        house
            .broker
            .next
            .lock()
            .extend([0; 3].map(|_| Next::Say(code)));
        let response = house.ask("POST /t/o?timeout=200ms", "b").await;
        assert_eq!(
            header(&response, "retry-after"),
            if status == 503 { "1" } else { "" }
        );
        let problem = json(response).await;
        assert_eq!(
            (
                &problem["status"],
                &problem["code"],
                &problem["outcome"],
                &problem["remoting_code"]
            ),
            (
                &status.into(),
                &name.into(),
                &outcome.into(),
                &code.0.into()
            )
        );
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_leaves_the_outcome_unknown() {
    let house = House::new();
    house.broker.next.lock().push_back(Next::Forget);
    let problem = json(house.ask("POST /t/o?timeout=50ms", "b").await).await;
    assert_eq!(
        (
            &problem["status"],
            &problem["code"],
            &problem["outcome"],
            &problem["retryable"]
        ),
        (
            &504.into(),
            &"broker_timeout".into(),
            &"unknown".into(),
            &true.into()
        )
    );
}

#[tokio::test]
async fn an_unknown_topic_is_a_404_where_brokers_create_none() {
    let house = House::new();
    *house.broker.knows_nothing.lock() = true;
    let problem = json(house.ask("POST /t/ordrs", "b").await).await;
    assert_eq!(
        (
            &problem["status"],
            &problem["gantry_code"],
            &problem["instance"]
        ),
        (&404.into(), &40402.into(), &"/t/ordrs".into())
    );
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_refused_before_they_are_read() {
    let config = Config {
        budget_bytes: 10,
        ..Config::default()
    };
    let house = House::with(config, CancellationToken::new());
    let _held = house.app.budget.take(6).unwrap();
    let problem = json(house.ask("POST /t/o", "12345").await).await;
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&503.into(), &"overloaded".into())
    );
    let problem = json(house.ask("POST /t/o", "12345678901").await).await;
    assert_eq!(problem["code"], "message_body_too_large");
}

#[tokio::test]
async fn a_stopping_gateway_takes_nothing_more() {
    let stop = CancellationToken::new();
    stop.cancel();
    let house = House::with(Config::default(), stop);
    let problem = json(house.ask("POST /t/o", "b").await).await;
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&503.into(), &"draining".into())
    );
}

#[tokio::test]
async fn plain_text_is_one_line_for_who_asks_for_it() {
    let house = House::new();
    let response = house.ask("POST /nothing\naccept: text/plain", "").await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "404 not_found: There is nothing at this path.\n");
}

#[tokio::test]
async fn options_and_405_tell_the_methods() {
    let house = House::new();
    let response = house.ask("OPTIONS /t/o", "").await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "allow")),
        (204, "POST, PUT, OPTIONS")
    );
    let response = house.ask("GET /v1/topics/o/messages", "").await;
    assert_eq!(header(&response, "allow"), "POST, OPTIONS");
}
