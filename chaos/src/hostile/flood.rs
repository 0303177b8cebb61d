//! H16: bad requests without end, and how much is written down of them.

use std::time::{Duration, Instant};

use super::wire::{Wire, frame, http, is_well, request};
use crate::course::{Course, Stop, must};
use crate::house::Plan;

/// In one cycle; a tenth of them on connections of their own.
const REQUESTS: u32 = 1000;
const BYTES_A_MINUTE_MAX: u64 = 1 << 20;

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "async");
    let mut house = plan.start().await?;
    let begun = Instant::now();
    let beat = serde_json::json!({ "clientID": "c",
        "consumerDataSet": [{ "groupName": "no/group".repeat(100) }] });
    let beat = request(34, &[], beat.to_string().as_bytes());
    let bad = [
        beat,
        request(310, &[("b", "no/topic")], b"x"),
        request(17, &[("topic", "../..")], b""),
        request(9999, &[], b""),
        request(11, &[("queueId", "x")], b""),
    ]
    .concat();
    let post = "POST /t/a.b HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let mut pipelined = Wire::to(&house.broker()).await?;
    for cycle in course.numbers() {
        course.begin(cycle);
        for _ in 0..REQUESTS * 9 / 10 / 5 {
            pipelined.send(&bad).await;
            for _ in 0..5 {
                let said = pipelined.next(Duration::from_secs(10)).await;
                must(said.is_some(), || "no answer to a bad request".into())?;
            }
        }
        for number in 0..REQUESTS / 10 {
            match number % 4 {
                0 => drop(http(&house.http(), post.as_bytes()).await),
                kind => {
                    let addr = if kind == 1 {
                        house.namesrv()
                    } else {
                        house.broker()
                    };
                    let mut wire = Wire::to(&addr).await?;
                    wire.send(&frame(b"{\"code\":\"x\x1b\"}", b"")).await;
                    wire.closes(Duration::from_secs(5)).await;
                }
            }
        }
    }
    let minutes = (begun.elapsed().as_secs() / 60).max(1);
    let written = house.said().len() as u64;
    course.figures.most("log_kib", (written >> 10) as f64);
    course
        .figures
        .most("requests", f64::from(REQUESTS * course.cycle));
    must(written <= BYTES_A_MINUTE_MAX * minutes, || {
        format!("{written} bytes of log in {minutes} min")
    })?;
    is_well(&mut house).await
}
