//! Accepting connections on one port: how many at once, from one address, and in one second.
//!
//! Owns the loop around `accept` and the count of what is open. Leaves to the caller what is spoken
//! on a connection. What comes too fast waits in the system's queue, what is too many is closed, and
//! neither fills the log: one line a kind and [`TOLD_EVERY`].
//!
//! Invariant: the loop waits for no connection and ends only when told to.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::Seldom;
use crate::open_files::{CROWD, OneFile};

/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// So much of a second's connections may come at one moment.
const BURST: Duration = Duration::from_millis(500);

/// What one port lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Open at the same time; more are closed at once.
    pub connections: usize,
    /// Of one address that is not loopback, likewise.
    pub per_address: usize,
    /// New ones a second; more wait in the system's queue.
    pub per_second: usize,
}

/// Accepts until `stop`, and hands over each connection with its seat, which it must keep for as
/// long as it is open.
pub async fn accept(
    listener: TcpListener,
    limits: AcceptLimits,
    stop: CancellationToken,
    mut take: impl FnMut(TcpStream, SocketAddr, Seat) + Send,
) {
    let seats = Seats::new(limits);
    let mut pace = Pace::new(limits.per_second, Instant::now());
    let (mut crowded, mut broken, mut fast) = (
        Seldom::new(TOLD_EVERY),
        Seldom::new(TOLD_EVERY),
        Seldom::new(TOLD_EVERY),
    );
    let serve = async {
        loop {
            let accepted = listener.accept().await;
            let now = Instant::now();
            match accepted {
                Ok((stream, from)) => {
                    match seats.take(from.ip()) {
                        Ok(seat) => take(stream, from, seat),
                        Err(Full(of)) => crowded.tell(now, |more| {
                            tracing::warn!(peer = %from, of, more, "too many connections, closing the newest");
                        }),
                    }
                    if let Some(until) = pace.passed(now) {
                        fast.tell(now, |more| {
                            tracing::warn!(peer = %from, more, "connections come too fast, they wait");
                        });
                        sleep_until(until).await;
                    }
                }
                Err(error) => {
                    broken.tell(now, |more| {
                        tracing::warn!(%error, more, "cannot accept a connection");
                    });
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    };
    tokio::select! {
        never = serve => never,
        () = stop.cancelled() => {}
    }
}

/// So many a second on average, and at most a [`BURST`] of them at once.
#[derive(Debug)]
struct Pace {
    each: Duration,
    /// When the last one would have come if all had kept the pace.
    steady: Instant,
}

impl Pace {
    fn new(per_second: usize, now: Instant) -> Self {
        let per_second = u32::try_from(per_second).unwrap_or(u32::MAX).max(1);
        Self {
            each: Duration::from_secs(1) / per_second,
            steady: now,
        }
    }

    /// One has passed: until when the next must wait, if it must.
    fn passed(&mut self, now: Instant) -> Option<Instant> {
        self.steady = self.steady.max(now) + self.each;
        let next = self.steady.checked_sub(BURST).unwrap_or(now);
        (next > now).then_some(next)
    }
}

/// The connections of one port.
#[derive(Debug)]
struct Seats {
    limits: AcceptLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; leaving it is dropping it.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
    _file: OneFile,
}

/// There is no seat, because there are too many of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Full(&'static str);

impl Seats {
    fn new(limits: AcceptLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::default(),
        })
    }

    /// Loopback may have any number of those that one address may have.
    fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Seat, Full> {
        let mut taken = self.taken.lock();
        let here = taken.by_address.get(&ip).copied().unwrap_or(0);
        if !ip.is_loopback() && here >= self.limits.per_address {
            return Err(Full("this address"));
        }
        if taken.all >= self.limits.connections {
            return Err(Full("this port"));
        }
        let file = CROWD.join().ok_or(Full("this process, see ulimit -n"))?;
        taken.all += 1;
        taken.by_address.insert(ip, here + 1);
        Ok(Seat {
            seats: Arc::clone(self),
            ip,
            _file: file,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.all -= 1;
        if let Some(here) = taken.by_address.get_mut(&self.ip) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn limits(connections: usize, per_address: usize) -> AcceptLimits {
        AcceptLimits {
            connections,
            per_address,
            per_second: 1000,
        }
    }

    #[test]
    fn seats_are_limited_in_all_and_by_address_and_come_back() {
        let seats = Seats::new(limits(3, 1));
        let far = IpAddr::from([10, 0, 0, 1]);
        let first = seats.take(far);
        assert!(first.is_ok());
        assert_eq!(seats.take(far).err(), Some(Full("this address")));
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (a, b) = (seats.take(home), seats.take(home));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(seats.take(home).err(), Some(Full("this port")));
        drop(first);
        assert!(seats.take(far).is_ok());
    }

    #[test]
    fn a_burst_passes_at_once_and_what_follows_keeps_the_pace() {
        let begin = Instant::now();
        let mut pace = Pace::new(1000, begin);
        let waits = (0..500).filter(|_| pace.passed(begin).is_some());
        assert_eq!(waits.count(), 0, "half a second's worth at once");
        let mut now = begin;
        for n in 1..=1000u32 {
            let next = pace.passed(now).expect("one too many");
            assert_eq!(next, begin + Duration::from_millis(1) * n);
            now = next;
        }
        let rested = now + Duration::from_secs(9);
        let waits = (0..501).filter(|_| pace.passed(rested).is_some());
        assert_eq!(waits.count(), 1, "resting earns a burst, no more");
    }

    #[tokio::test]
    async fn what_comes_too_fast_waits_and_nothing_is_lost() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, mut taken) = (CancellationToken::new(), Vec::new());
        let limits = AcceptLimits {
            per_second: 20,
            ..limits(100, 100)
        };
        let begun = Instant::now();
        let mut clients = Vec::new();
        let accepting = accept(listener, limits, stop.clone(), |stream, _, seat| {
            taken.push((stream, seat));
            if taken.len() == 15 {
                stop.cancel();
            }
        });
        let connecting = async {
            for _ in 0..15 {
                clients.push(TcpStream::connect(addr).await.unwrap());
            }
        };
        tokio::join!(accepting, connecting);
        // Ten at once and five at twenty a second; the last does not have to wait for a next one.
        assert!(begun.elapsed() >= Duration::from_millis(200), "{begun:?}");
        assert_eq!(taken.len(), 15);
    }
}
