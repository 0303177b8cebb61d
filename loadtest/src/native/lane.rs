//! One lane of a load: a connection, made again when it breaks, with so many sends in flight.
//!
//! Invariants: an acknowledgement is in the log before it is counted; a send is never repeated; what
//! has no answer when its connection ends is "unanswered", which says nothing about it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::net::TcpStream;

use super::frame::{Answer, SENDS_MAX, SendFrame, To};
use super::load::Shared;
use super::payload::Payload;
use super::socket::Socket;
use crate::failure::Failure;
use crate::report;
use crate::verify::{Entry, Place};

/// Sends whose moments are remembered; more are never in flight.
const WINDOW: usize = 16_384;
/// Sequences announced to the log at a time.
const ANNOUNCED: u64 = 4096;
const RECONNECT: Duration = Duration::from_millis(20);
/// How long answers are waited for after the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What a lane measured.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) latency: Histogram<u64>,
    pub(super) taken: Histogram<u64>,
    pub(super) first_failure: Option<String>,
    pub(super) last_ack: Option<Instant>,
    /// The longest wait for any answer, also a refusal.
    pub(super) slowest: Duration,
    /// How often each code came that is not 0.
    pub(super) refusals: BTreeMap<i64, u64>,
    /// Messages of the schedule that were sent, over all connections.
    scheduled: u64,
    /// By sequence of the connection, modulo the window: when it was really sent.
    sent: Vec<Instant>,
}

/// Sends until the load's time is over.
pub(super) async fn run(shared: Arc<Shared>, index: usize) -> Result<Lane, Failure> {
    let plan = &shared.plan;
    let at = index % plan.brokers.len().max(1);
    let Some(broker) = plan.brokers.get(at) else {
        return Err(Failure::Impossible("there is no broker".into()));
    };
    let mut lane = Lane {
        latency: report::histogram(),
        taken: report::histogram(),
        first_failure: None,
        last_ack: None,
        slowest: Duration::ZERO,
        refusals: BTreeMap::new(),
        scheduled: 0,
        sent: vec![Instant::now(); WINDOW],
    };
    let size = usize::try_from(plan.shape.size).unwrap_or(usize::MAX);
    let frame = SendFrame::new(&plan.topic, size, plan.shape.ser.into());
    while Instant::now() < shared.until {
        let Ok(stream) = TcpStream::connect(&*broker.addr).await else {
            tokio::time::sleep(RECONNECT).await;
            continue;
        };
        stream
            .set_nodelay(true)
            .map_err(Failure::io("connection"))?;
        let producer = shared.counts.next_producer.fetch_add(1, Ordering::Relaxed);
        let mut wire = Wire {
            shared: &shared,
            lane: &mut lane,
            index,
            broker: u32::try_from(at).unwrap_or(0),
            producer: u32::try_from(producer).unwrap_or(u32::MAX),
            socket: Socket::new(stream).map_err(Failure::io("connection"))?,
            frame: frame.clone(),
            due: vec![0; WINDOW],
            next: 0,
            announced: 0,
            in_flight: 0,
            records: Vec::new(),
        };
        let ended = wire.serve().await;
        wire.give_up();
        match ended {
            Ok(()) => break,
            Err(Ended::Broken(error)) => {
                let broken = || format!("connection: {error}");
                lane.first_failure.get_or_insert_with(broken);
                tokio::time::sleep(RECONNECT).await;
            }
            Err(Ended::Failed(failure)) => return Err(failure),
        }
    }
    Ok(lane)
}

/// Why a connection ended before its time.
enum Ended {
    Broken(io::Error),
    Failed(Failure),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// One connection of a lane: one producer.
struct Wire<'a> {
    shared: &'a Shared,
    lane: &'a mut Lane,
    index: usize,
    broker: u32,
    producer: u32,
    socket: Socket,
    frame: SendFrame,
    /// By sequence, modulo the window: when it was due, in ns since the beginning + 1; 0: answered.
    due: Vec<u64>,
    next: u64,
    /// The log knows that sequences below this may be sent.
    announced: u64,
    in_flight: u32,
    records: Vec<u8>,
}

impl Wire<'_> {
    async fn serve(&mut self) -> Result<(), Ended> {
        let last = self.shared.until + LAST_ANSWERS;
        loop {
            self.send_what_may_be_sent()?;
            self.socket.write()?;
            let now = Instant::now();
            let over = now >= self.shared.until || self.to().is_none();
            if over && (self.in_flight == 0 || now >= last) {
                return Ok(());
            }
            let allowance = self.shared.schedule.as_ref();
            let allowance = allowance.and_then(|schedule| schedule.lanes.get(self.index));
            let next = if now < self.shared.until {
                self.shared.until
            } else {
                last
            };
            tokio::select! {
                ready = self.socket.ready() => ready?,
                () = async { match allowance {
                    Some(allowance) => allowance.more.notified().await,
                    None => std::future::pending().await,
                } } => continue,
                () = tokio::time::sleep_until(next.into()) => continue,
            }
            self.socket.read()?;
            self.take_answers()?;
        }
    }

    /// Encodes sends until enough are in flight or none is due.
    fn send_what_may_be_sent(&mut self) -> Result<(), Failure> {
        let plan = &self.shared.plan;
        let now = Instant::now();
        if now >= self.shared.until {
            return Ok(());
        }
        let checked = plan.log.is_some() || plan.stamped;
        while self.in_flight < plan.shape.depth && self.next < u64::from(SENDS_MAX) {
            let Some(to) = self.to() else {
                break;
            };
            let due = match &self.shared.schedule {
                None => now.saturating_duration_since(self.shared.begin),
                Some(schedule) => {
                    let allowed = schedule.lanes.get(self.index);
                    let allowed = allowed.map_or(0, |lane| lane.due.load(Ordering::Acquire));
                    if self.lane.scheduled >= allowed {
                        break;
                    }
                    schedule.due(self.index, self.lane.scheduled)
                }
            };
            let due_ns = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX - 1);
            let at = slot(self.next);
            let Some(slot) = self.due.get_mut(at).filter(|slot| **slot == 0) else {
                // An answer is that late: wait for it.
                break;
            };
            *slot = due_ns + 1;
            if let Some(sent) = self.lane.sent.get_mut(at) {
                *sent = now;
            }
            if let Some(log) = &plan.log
                && self.next >= self.announced
            {
                self.announced += ANNOUNCED;
                let mut record = Vec::new();
                let (producer, below) = (self.producer, self.announced);
                Entry::MaySend { producer, below }.put(&mut record);
                log.append(&record)?;
            }
            let payload = Payload {
                run: plan.run,
                producer: self.producer,
                sequence: self.next,
                due_ns,
            };
            self.frame
                .put(&mut self.socket.output, to, &payload, checked);
            self.next += 1;
            self.lane.scheduled += 1;
            self.in_flight += 1;
        }
        Ok(())
    }

    /// Where the next send goes; `None` when there is none.
    fn to(&self) -> Option<To> {
        let plan = &self.shared.plan;
        plan.to(self.index as u64, self.producer, self.next)
    }

    fn take_answers(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let mut acked = 0;
        while let Some(frame) = self.socket.next_frame()? {
            acked += u64::from(self.take_answer(&frame, now)?);
        }
        if acked == 0 {
            return Ok(());
        }
        self.lane.last_ack = Some(now);
        if let Some(log) = &self.shared.plan.log {
            log.append(&self.records)?;
            self.records.clear();
        }
        let counts = &self.shared.counts;
        counts.acked.fetch_add(acked, Ordering::Relaxed);
        if now >= self.shared.from && now < self.shared.until {
            counts.ok.fetch_add(acked, Ordering::Relaxed);
        }
        Ok(())
    }

    /// True for an acknowledgement.
    fn take_answer(&mut self, frame: &[u8], now: Instant) -> Result<bool, Ended> {
        let unreadable = || io::Error::other("an answer cannot be read");
        let answer = Answer::read(frame).ok_or_else(unreadable)?;
        let due = self.due.get_mut(slot(answer.sequence));
        let due = due.map_or(0, std::mem::take);
        if due == 0 || answer.sequence >= self.next {
            return Err(io::Error::other("an answer to nothing that was asked").into());
        }
        self.in_flight -= 1;
        let sent = self.lane.sent.get(slot(answer.sequence));
        let waited = sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(*sent));
        self.lane.slowest = self.lane.slowest.max(waited);
        if answer.code != 0 {
            *self.lane.refusals.entry(answer.code).or_default() += 1;
            self.shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            let refusal = || format!("code {}: {}", answer.code, answer.text());
            self.lane.first_failure.get_or_insert_with(refusal);
            return Ok(false);
        }
        if self.shared.plan.log.is_some() {
            let (queue, offset) = answer.place().ok_or_else(unreadable)?;
            let place = Place {
                broker: self.broker,
                queue,
                offset,
            };
            let (producer, sequence) = (self.producer, answer.sequence);
            Entry::Acked {
                producer,
                sequence,
                place,
            }
            .put(&mut self.records);
        }
        self.measure(due, now);
        if let Some(sent) = self.lane.sent.get(slot(answer.sequence)) {
            let taken = now.saturating_duration_since(*sent).as_micros();
            let taken = u64::try_from(taken).unwrap_or(u64::MAX);
            self.lane.taken.saturating_record(taken);
        }
        Ok(true)
    }

    fn moment(&self, due: u64) -> Instant {
        self.shared.begin + Duration::from_nanos(due - 1)
    }

    fn measure(&mut self, due: u64, now: Instant) {
        let due = self.moment(due);
        if due >= self.shared.from && due < self.shared.until {
            let latency = now.saturating_duration_since(due).as_micros();
            let latency = u64::try_from(latency).unwrap_or(u64::MAX);
            self.lane.latency.saturating_record(latency);
        }
    }

    /// The connection is over: what is still open will not be answered. It has taken this long at
    /// least.
    fn give_up(&mut self) {
        let unanswered = u64::from(self.in_flight);
        self.shared
            .counts
            .unanswered
            .fetch_add(unanswered, Ordering::Relaxed);
        let now = Instant::now();
        for due in std::mem::take(&mut self.due) {
            if due != 0 {
                self.measure(due, now);
            }
        }
    }
}

fn slot(sequence: u64) -> usize {
    usize::try_from(sequence % WINDOW as u64).unwrap_or(0)
}
