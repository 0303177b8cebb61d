//! H2: captured frames with one byte changed, in the middle of a conversation.

use std::time::{Duration, Instant};

use super::wire::{Wire, is_well, native, request};
use crate::course::{Course, STUCK, Stop, must};
use crate::house::Plan;

/// What Apache's programs sent.
const FRAMES: [&[u8]; 8] = [
    include_bytes!("../../../proto/fixtures/remoting/send-v2.json.bin"),
    include_bytes!("../../../proto/fixtures/remoting/send-v2.rocketmq.bin"),
    include_bytes!("../../../proto/fixtures/remoting/send-batch.json.bin"),
    include_bytes!("../../../proto/fixtures/remoting/pull.json.bin"),
    include_bytes!("../../../proto/fixtures/remoting/pull.rocketmq.bin"),
    include_bytes!("../../../proto/fixtures/remoting/heartbeat.json.bin"),
    include_bytes!("../../../proto/fixtures/remoting/register-broker-compressed.rocketmq.bin"),
    include_bytes!("../../../proto/fixtures/remoting/lock-batch.rocketmq.bin"),
];
/// How long somebody else's request may take meanwhile.
const OTHERS_WITHIN: Duration = Duration::from_secs(1);
/// A frame that became longer waits for the rest of it.
const SILENCE: Duration = Duration::from_millis(100);

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "async");
    let mut house = plan.start().await?;
    let ports = native(&house);
    let mut others = Vec::new();
    for addr in &ports {
        others.push(Wire::to(addr).await?);
    }
    let (mut closed, mut answered) = (0_u32, 0_u32);
    for cycle in course.numbers() {
        let mut dice = course.begin(cycle);
        let mut frame = FRAMES[dice.within(0..FRAMES.len() as u64) as usize].to_vec();
        // The first bytes, lengths and header, three times as often as the rest.
        let end = if dice.within(0..4) > 0 {
            32
        } else {
            frame.len() as u64
        };
        let at = dice.within(0..end.min(frame.len() as u64)) as usize;
        frame[at] = [0, 0xff, frame[at] ^ 0x80, frame[at] ^ 1][dice.within(0..4) as usize];
        let which = dice.within(0..3) as usize;

        let mut wire = Wire::to(&ports[which]).await?;
        wire.ping().await?;
        let pings = request(9999, &[], b"");
        wire.send(&[&pings[..], &frame, &pings].concat()).await;
        must(wire.next(STUCK).await.is_some(), || {
            format!("byte {at}: the request before the wrong one is not answered")
        })?;
        match wire.next(SILENCE).await {
            Some(_) => answered += 1,
            None => closed += 1,
        }
        let begun = Instant::now();
        others[which].ping().await?;
        let took = begun.elapsed();
        course
            .figures
            .most("others_ms", took.as_secs_f64() * 1000.0);
        course.goal(took <= OTHERS_WITHIN, || {
            format!("others wait for {} ms", took.as_millis())
        })?;
    }
    course.say(format!(
        "{answered} were answered, {closed} closed or left waiting"
    ));
    is_well(&mut house).await
}
