//! What a message costs on the link inside a process, with nothing behind it that does any work.
//!
//! `cargo bench -p remoting --bench local`. One thread that never sleeps: its time is its CPU.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::remoting::send::{Send, SendFields, Sent};
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Answer, Call, Gated, Peer, Serve, Unserved, local_link};
use runtime::Watermark;
use tokio::task::{JoinSet, yield_now};

const CALLERS: u64 = 64;
const MESSAGES: u64 = 1 << 20;
const WITHIN: Duration = Duration::from_secs(3);

/// Takes sends as a broker does, but keeps nothing.
struct Taker {
    gate: Watermark,
    taken: AtomicU64,
    is_gated: bool,
}

impl Serve for Taker {
    fn answer(&self, call: Call) -> Answer {
        let Request::Send(send) = call.request else {
            return Answer::Now(Reply::new(ResponseCode::SYSTEM_ERROR));
        };
        let reply = Reply::ok().with(Sent {
            message_id: "7F00000100002A9F000000000001E240".into(),
            queue_id: send.fields.queue_id,
            queue_offset: 7,
            transaction_id: None,
            region: None,
            trace_on: None,
        });
        let at = self.taken.fetch_add(1, Relaxed) + 1;
        if !self.is_gated {
            return Answer::Now(reply);
        }
        Answer::Gated(Gated {
            gate: self.gate.clone(),
            at,
            reply,
            within: WITHIN,
        })
    }
}

fn main() {
    println!("one thread, {CALLERS} callers, ns a message");
    println!("answered at once:      {:>6}", run(false));
    println!("answered at the gate:  {:>6}", run(true));
}

fn run(is_gated: bool) -> u128 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let gate = Watermark::starting_at(0);
        let taker = Arc::new(Taker {
            gate: gate.clone(),
            taken: AtomicU64::new(0),
            is_gated,
        });
        let addr = ([127, 0, 0, 1], 0).into();
        let broker = local_link(Arc::clone(&taker) as _, Arc::new(Unserved), addr);
        let body = Bytes::from(vec![7; 1024]);
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call(broker.clone(), body.clone()));
        }
        while taker.taken.load(Relaxed) < MESSAGES {
            gate.advance(taker.taken.load(Relaxed));
            yield_now().await;
        }
        gate.advance(MESSAGES);
        callers.join_all().await;
        begun.elapsed().as_nanos() / u128::from(MESSAGES)
    })
}

async fn call(broker: Peer, body: Bytes) {
    for _ in 0..MESSAGES / CALLERS {
        let fields = SendFields {
            producer_group: Some("producers".into()),
            topic: "orders".into(),
            default_topic: "TBW102".into(),
            default_topic_queues: 8,
            queue_id: 3,
            sys_flag: 0,
            born_timestamp: 1_763_652_000_000,
            flag: 0,
            properties: Some("UNIQ_KEY\u{1}7F0000010000000018B4000000000001\u{2}".into()),
            reconsume_times: None,
            unit_mode: None,
            max_reconsume_times: None,
            batch: None,
        };
        let body = body.clone();
        let reply = broker.call(Request::Send(Send { fields, body }), WITHIN);
        assert!(reply.await.is_ok_and(|reply| reply.is_ok()));
    }
}
