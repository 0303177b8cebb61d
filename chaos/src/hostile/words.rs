//! H11 and H12: what a sender writes into a message and into names, and what is kept of it.

use std::time::Duration;

use proto::message::{StoredMessage, records};

use super::wire::{Wire, http, is_well, send};
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};

const LINE_BYTES_MAX: usize = 1024;

/// Sends a message with these properties and reads it back; what the broker refused is `None`.
async fn stored(
    wire: &mut Wire,
    topic: &str,
    properties: &str,
    more: &[(&str, &str)],
) -> Result<Option<(i32, Vec<(String, String)>)>, Stop> {
    let fields = [&[("b", topic), ("i", properties)], more].concat();
    let said = send(wire, &fields, b"body").await?;
    if said.code != 0 {
        return Ok(None);
    }
    let pull = [
        ("consumerGroup", "readers"),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", "0"),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
    ];
    let said = wire.ask(11, &pull, b"").await?;
    let last = records(&said.body).last();
    let Some(Ok(StoredMessage {
        topic: found,
        sys_flag,
        properties,
        ..
    })) = last
    else {
        return Err(Stop::Failed(format!("nothing in {topic}: {}", said.remark)));
    };
    must(found == topic, || {
        format!("the message is in {found}, not in {topic}")
    })?;
    let pairs = properties
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Ok(Some((sys_flag.0, pairs.collect())))
}

/// What brokers add.
const ADDED: [&str; 5] = ["UNIQ_KEY", "CLUSTER", "MSG_REGION", "TRACE_ON", "__CRC32#"];

pub(super) async fn separators(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync").env("GANTRY_LOG", "debug");
    let mut house = plan.start().await?;
    for cycle in course.numbers() {
        course.begin(cycle);
        let mut wire = Wire::to(&house.broker()).await?;
        let odd = [
            "\r\n",
            "\n",
            "\u{1b}[31m",
            "\u{1}",
            "\u{1}x",
            "\0",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "日",
        ];
        for (number, odd) in odd.iter().enumerate() {
            for (name, value) in [
                ("mine", format!("a{odd}b")),
                ("KEYS", format!("k{odd}l")),
                ("TAGS", format!("t{odd}u")),
            ] {
                let text = format!("{name}\u{1}{value}\u{2}");
                let topic = format!("words{number}{name}");
                let Some((_, mut pairs)) = stored(&mut wire, &topic, &text, &[]).await? else {
                    continue;
                };
                pairs.retain(|(name, _)| !ADDED.contains(&&**name));
                must(pairs == [(name.to_owned(), value.clone())], || {
                    format!("{name}={value:?} became {pairs:?}")
                })?;
            }
            let name = format!("x{odd}ERROR forged{odd}{}", "y".repeat(2000));
            say_it_where_it_is_logged(&house, &mut wire, &name).await?;
        }
        through_http(&house, &mut wire).await?;
        lines_are_clean(&house)?;
        is_well(&mut house).await?;
    }
    Ok(())
}

async fn say_it_where_it_is_logged(house: &House, wire: &mut Wire, name: &str) -> Result<(), Stop> {
    let beat = serde_json::json!({ "clientID": name, "consumerDataSet": [{ "groupName": name }] });
    wire.ask(34, &[], beat.to_string().as_bytes()).await?;
    wire.ask(25, &[], format!("brokerPermission=6\n{name}=1").as_bytes())
        .await?;
    let said = send(wire, &[("b", name)], b"x").await?;
    must(said.remark.len() <= 4096, || {
        "a remark quotes a name whole".into()
    })?;
    let mut names = Wire::to(&house.namesrv()).await?;
    let broker = [
        ("brokerName", name),
        ("brokerAddr", name),
        ("clusterName", name),
        ("haServerAddr", ""),
        ("brokerId", "0"),
    ];
    names.ask(103, &broker, b"{}").await?;
    // Its connection closes, and with it goes the broker; both are told.
    let header = format!("{{\"code\":{:?}}}", name);
    let mut broken = Wire::to(&house.broker()).await?;
    broken
        .send(&super::wire::frame(header.as_bytes(), b""))
        .await;
    must(broken.closes(Duration::from_secs(5)).await, || {
        "a broken header is taken".into()
    })
}

/// The same characters in headers and in the query.
async fn through_http(house: &House, wire: &mut Wire) -> Result<(), Stop> {
    for escaped in ["%01", "%02", "%0d%0a", "%1b[31m", "%00", "%7f", "%c2%85"] {
        for line in [
            format!("POST /t/words?p.a=b{escaped}c HTTP/1.1\r\n"),
            format!("POST /t/words?key=b{escaped}c HTTP/1.1\r\n"),
            format!("POST /t/words:b{escaped}c HTTP/1.1\r\n"),
            format!("POST /t/words HTTP/1.1\r\nMq-Property: a{escaped}=b\r\n"),
            format!("POST /t/words HTTP/1.1\r\nMq-Tag: b{escaped}c\r\n"),
        ] {
            let request =
                format!("{line}Host: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
            let status = http(&house.http(), request.as_bytes()).await;
            must(status == Some(400), || format!("{line:?}: {status:?}"))?;
        }
    }
    let said = wire.ask(351, &[("topic", "words")], b"").await?;
    must(said.code != 0, || "a refused request made a topic".into())
}

/// Every line begins as trace lines do, is short, and has nothing that moves a cursor.
fn lines_are_clean(house: &House) -> Result<(), Stop> {
    let said = house.said();
    let behind_banner = said
        .split_once("ready in ")
        .map_or("", |(_, behind)| behind);
    for line in behind_banner.lines().skip(1) {
        let begins = line.get(..5).is_some_and(|year| year.ends_with('-'));
        let is_clean = !line.chars().any(char::is_control);
        must(begins && is_clean && line.len() < LINE_BYTES_MAX, || {
            format!("the log has the line {line:?}")
        })?;
    }
    must(behind_banner.lines().count() > 10, || {
        "the log says nothing".into()
    })
}

/// What only brokers set, and the flags of transactions.
const FORGED: [&str; 22] = [
    "REAL_TOPIC",
    "REAL_QID",
    "POP_CK",
    "POP_CK_OFFSET",
    "1ST_POP_TIME",
    "INNER_MULTI_DISPATCH",
    "INNER_MULTI_QUEUE_OFFSET",
    "INNER_NUM",
    "INNER_BASE",
    "CLUSTER",
    "MSG_REGION",
    "TRACE_ON",
    "__CRC32#",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TRANSACTION_CHECK_TIMES",
    "TIMER_ENQUEUE_MS",
    "TIMER_DEQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "DLQ_ORIGIN_TOPIC",
    "DLQ_ORIGIN_MESSAGE_ID",
    "__RMQ.TRANSIENT.x",
];
/// What clients of Apache send with messages; it must arrive.
const CLIENTS_OWN: [&str; 14] = [
    "KEYS",
    "TAGS",
    "WAIT",
    "UNIQ_KEY",
    "INSTANCE_ID",
    "__SHARDINGKEY",
    "RETRY_TOPIC",
    "RECONSUME_TIME",
    "MAX_RECONSUME_TIMES",
    "ORIGIN_MESSAGE_ID",
    "CORRELATION_ID",
    "REPLY_TO_CLIENT",
    "TTL",
    "MSG_TYPE",
];

pub(super) async fn system(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync");
    let mut house = plan.start().await?;
    for cycle in course.numbers() {
        course.begin(cycle);
        let mut wire = Wire::to(&house.broker()).await?;
        for (number, name) in FORGED.iter().enumerate() {
            let text = format!("{name}\u{1}SCHEDULE_TOPIC_XXXX\u{2}");
            let found = stored(&mut wire, &format!("forged{number}"), &text, &[]).await?;
            let kept = found
                .is_some_and(|(_, pairs)| pairs.iter().any(|(_, v)| v == "SCHEDULE_TOPIC_XXXX"));
            must(!kept, || format!("{name} of a client is stored"))?;
        }
        for (number, name) in CLIENTS_OWN.iter().enumerate() {
            let text = format!("{name}\u{1}value\u{2}");
            let found = stored(&mut wire, &format!("own{number}"), &text, &[]).await?;
            let kept =
                found.is_some_and(|(_, pairs)| pairs.contains(&((*name).into(), "value".into())));
            must(kept, || format!("{name} is lost"))?;
        }
        for (name, value) in [
            ("DELAY", "3"),
            ("TRAN_MSG", "true"),
            ("TIMER_DELIVER_MS", "1"),
        ] {
            let text = format!("{name}\u{1}{value}\u{2}");
            let found = stored(&mut wire, "later", &text, &[]).await?;
            must(found.is_none(), || {
                format!("{name} is taken for a plain message")
            })?;
        }
        // Prepared, committed, rolled back; hosts of 16 bytes; inner batch.
        for flags in ["4", "8", "12", "16", "32", "128", "-1"] {
            let found = stored(&mut wire, "flags", "", &[("f", flags)]).await?;
            let kept = found.map_or(0, |(flags, _)| flags & !0x703);
            must(kept == 0, || {
                format!("of the flags {flags} {kept:#x} is kept")
            })?;
        }
        for topic in [
            "SCHEDULE_TOPIC_XXXX",
            "RMQ_SYS_TRANS_HALF_TOPIC",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        ] {
            let found = stored(&mut wire, topic, "", &[]).await?;
            must(found.is_none(), || {
                format!("{topic} takes messages of clients")
            })?;
        }
        is_well(&mut house).await?;
    }
    Ok(())
}
