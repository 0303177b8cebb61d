//! How many connections a listener has, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct Seats {
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; leaving it is dropping it.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
}

impl Seats {
    pub(super) fn new(all_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            all_max,
            per_address_max,
            taken: Mutex::default(),
        })
    }

    /// `None` when the house is full, or this address has too many (loopback may have any number).
    pub(super) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let mut taken = self.taken.lock();
        let here = taken.by_address.get(&ip).copied().unwrap_or(0);
        if taken.all >= self.all_max || (here >= self.per_address_max && !ip.is_loopback()) {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(ip, here + 1);
        Some(Seat {
            seats: Arc::clone(self),
            ip,
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

    #[test]
    fn seats_are_limited_in_all_and_by_address_and_come_back() {
        let seats = Seats::new(3, 1);
        let far = IpAddr::from([10, 0, 0, 1]);
        let first = seats.take(far);
        assert!(first.is_some() && seats.take(far).is_none());
        let home = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (a, b) = (seats.take(home), seats.take(home));
        assert!(a.is_some() && b.is_some() && seats.take(home).is_none());
        drop(first);
        assert!(seats.take(far).is_some());
    }
}
