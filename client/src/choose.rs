//! Which queue a message goes to: in turn, or fixed by its sharding key.

use std::sync::atomic::Ordering;

use proto::message::java_string_hash;

use crate::routes::{Route, RouteBroker, RouteQueue};

/// The next queue in turn whose broker is not to be avoided; if all are, the next one anyway.
pub(crate) fn in_turn(route: &Route, avoid: impl Fn(&RouteBroker) -> bool) -> Option<RouteQueue> {
    let queues = &route.writable;
    let first = route.turn.fetch_add(1, Ordering::Relaxed);
    let turns =
        (0..queues.len()).filter_map(|turn| queues.get(first.wrapping_add(turn) % queues.len()));
    let usable = |queue: &RouteQueue| {
        let broker = route.broker(*queue);
        broker.is_some_and(|broker| broker.master.is_some() && !avoid(broker))
    };
    let mut turns = turns.copied();
    turns.clone().find(usable).or_else(|| turns.next())
}

/// The queue of a sharding key. It depends on nothing but the key and the writable queues: a queue
/// whose broker is away is not replaced, because that would break the order.
///
/// compat: SendMessageQueueSelector of RocketMQ's gRPC proxy: Guava's consistent hash of the key's
/// `String.hashCode`.
pub(crate) fn by_key(route: &Route, key: &str) -> Option<RouteQueue> {
    let at = jump_hash(i64::from(java_string_hash(key)), route.writable.len());
    route.writable.get(at).copied()
}

/// Jump consistent hash with the generator that Guava uses.
fn jump_hash(seed: i64, buckets: usize) -> usize {
    const MULTIPLIER: i64 = 2_862_933_555_777_941_757;
    const RANGE: f64 = (1_u64 << 31) as f64;
    let buckets = i32::try_from(buckets).unwrap_or(i32::MAX);
    let (mut state, mut chosen) = (seed, 0_i32);
    loop {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(1);
        let high = i32::try_from(state.cast_unsigned() >> 33).unwrap_or(i32::MAX);
        let random = (f64::from(high) + 1.0) / RANGE;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, as Java's cast does"
        )]
        let next = (f64::from(chosen + 1) / random) as i32;
        if !(0..buckets).contains(&next) {
            return usize::try_from(chosen).unwrap_or(0);
        }
        chosen = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::remoting::naming::{BrokerData, QueueData, TopicRoute};

    fn route(brokers: &[(&str, bool)]) -> Route {
        let mut answer = TopicRoute::default();
        for (name, has_master) in brokers {
            let id = i64::from(!has_master);
            answer.broker_datas.push(BrokerData {
                broker_addrs: [(id, format!("{name}:1"))].into(),
                broker_name: (*name).into(),
                ..BrokerData::default()
            });
            answer.queue_datas.push(QueueData {
                broker_name: (*name).into(),
                perm: 6,
                read_queue_nums: 2,
                write_queue_nums: 2,
                topic_sys_flag: 0,
            });
        }
        Route::new(answer, false)
    }

    #[test]
    fn queues_take_turns_and_avoided_brokers_are_passed_over() {
        let route = route(&[("a", true), ("b", true), ("c", false)]);
        let pick = |avoid: Option<&str>| {
            let queue = in_turn(&route, |broker| Some(&*broker.name) == avoid).unwrap();
            (queue.broker, queue.id)
        };
        let all: Vec<_> = (0..4).map(|_| pick(None)).collect();
        assert_eq!(all, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert!((0..12).all(|_| pick(Some("a")).0 == 1));
    }

    #[test]
    fn when_all_brokers_are_to_be_avoided_one_is_tried_anyway() {
        assert!(in_turn(&route(&[("a", true)]), |_| true).is_some());
        assert!(in_turn(&route(&[]), |_| false).is_none());
    }

    #[test]
    fn a_key_stays_on_its_queue_and_keys_spread() {
        let two = route(&[("a", true), ("b", true)]);
        let mut hits = [0; 4];
        for n in 0..400 {
            let key = format!("customer-{n}");
            let queue = by_key(&two, &key).unwrap();
            assert_eq!(by_key(&two, &key), Some(queue));
            hits[queue.broker * 2 + usize::try_from(queue.id).unwrap()] += 1;
        }
        assert!(hits.iter().all(|hits| (60..140).contains(hits)), "{hits:?}");
    }

    #[test]
    fn growing_from_four_to_five_queues_moves_only_the_keys_of_the_new_one() {
        for key in 0..1000 {
            let (before, after) = (jump_hash(key, 4), jump_hash(key, 5));
            assert!(after == before || after == 4, "{key}: {before} {after}");
        }
    }

    /// Printed by com.google.common.hash.Hashing.consistentHash(key.hashCode(), n).
    #[test]
    fn the_hash_equals_guavas() {
        for (key, of_4, of_16, of_1000) in [
            ("u-7", 3, 12, 519),
            ("customer-1", 2, 5, 753),
            ("polygenelubricants", 2, 2, 185),
            ("日本", 0, 8, 573),
            ("", 0, 0, 0),
            ("order-42", 3, 10, 753),
        ] {
            let seed = i64::from(java_string_hash(key));
            let chosen = [4, 16, 1000].map(|buckets| jump_hash(seed, buckets));
            assert_eq!(chosen, [of_4, of_16, of_1000], "{key}");
        }
    }
}
