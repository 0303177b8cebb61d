//! The route table with plain values: who registers, leaves, is silent, and what clients then see.

use super::*;

const CLUSTER: &str = "c1";

fn broker(name: &str, id: i64, addr: &str) -> RegisterBroker {
    RegisterBroker {
        broker_name: name.into(),
        broker_addr: addr.into(),
        cluster_name: CLUSTER.into(),
        ha_server_addr: format!("{addr}1").into(),
        broker_id: id,
        heartbeat_timeout_ms: None,
        acting_master: Some(false),
        compressed: None,
        body_crc32: None,
        is_part: None,
    }
}

fn queues(perm: i32) -> Queues {
    Queues {
        perm,
        read_queue_nums: 8,
        write_queue_nums: 4,
        topic_sys_flag: 0,
    }
}

fn version(counter: i64) -> DataVersion {
    DataVersion {
        counter,
        state_version: 0,
        timestamp: 1,
    }
}

fn topics(counter: i64, names: &[&str]) -> Registration {
    Registration {
        version: version(counter),
        topics: names
            .iter()
            .map(|name| ((*name).to_owned(), queues(6)))
            .collect(),
    }
}

fn at(seconds: u64) -> Arrival {
    Arrival {
        link: 1,
        now: Duration::from_secs(seconds),
        is_whole: false,
    }
}

fn on(link: u64) -> Arrival {
    Arrival { link, ..at(0) }
}

fn of(name: &str, addr: &str) -> BrokerOf {
    BrokerOf {
        broker_name: name.into(),
        broker_addr: addr.into(),
        cluster_name: CLUSTER.into(),
        broker_id: 0,
    }
}

/// A table with the master of broker `a`, which has the topics `t` and `u`.
fn table() -> RouteTable {
    let mut table = RouteTable::default();
    table
        .register(&broker("a", 0, "a:1"), topics(1, &["t", "u"]), on(1))
        .unwrap();
    table
}

/// A broker's name, addresses and permission in a route.
type Seen = (String, BTreeMap<i64, String>, i32);

fn route(table: &RouteTable, topic: &str) -> Vec<Seen> {
    let Some(route) = table.route(topic) else {
        return Vec::new();
    };
    let names = |route: &[proto::remoting::naming::QueueData]| {
        let names = route.iter().map(|queues| queues.broker_name.clone());
        names.collect::<Vec<_>>()
    };
    let brokers = route.broker_datas.iter().map(|data| &data.broker_name);
    assert!(names(&route.queue_datas).iter().eq(brokers), "one order");
    let queues = route.queue_datas.iter();
    route
        .broker_datas
        .iter()
        .zip(queues)
        .map(|(data, queues)| {
            let (name, addrs) = (data.broker_name.clone(), data.broker_addrs.clone());
            (name, addrs, queues.perm)
        })
        .collect()
}

fn only(name: &str, addrs: &[(i64, &str)], perm: i32) -> Vec<Seen> {
    let addrs = addrs.iter().map(|(id, addr)| (*id, (*addr).to_owned()));
    vec![(name.to_owned(), addrs.collect(), perm)]
}

#[test]
fn a_registered_topic_has_a_route_and_others_have_none() {
    let table = table();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    assert_eq!(table.route("other"), None);
}

#[test]
fn brokers_are_listed_in_the_order_of_their_names() {
    let mut table = RouteTable::default();
    for name in ["b", "c", "a"] {
        let from = broker(name, 0, &format!("{name}:1"));
        table
            .register(&from, topics(1, &["t", "u"]), on(1))
            .unwrap();
    }
    let names = |route: Vec<Seen>| route.into_iter().map(|r| r.0);
    assert!(names(route(&table, "t")).eq(["a", "b", "c"]));
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(
        table.cluster().cluster_addr_table,
        BTreeMap::from([(CLUSTER.to_owned(), names)])
    );
}

#[test]
fn one_topic_does_not_make_a_broker_but_is_added_to_one() {
    let mut table = RouteTable::default();
    let from = broker("a", 0, "a:1");
    let refused = table.register(&from, topics(1, &["t"]), on(1));
    assert_eq!(refused, Err(Refused::OneTopicFirst));
    assert_eq!(table.cluster(), proto::remoting::naming::Cluster::default());
    table.register(&from, topics(1, &[]), on(1)).unwrap();
    table.register(&from, topics(2, &["t"]), on(1)).unwrap();
    table.register(&from, topics(3, &["u"]), on(1)).unwrap();
    assert_eq!(table.topics().topic_list, ["t", "u"]);
}

#[test]
fn a_whole_registration_forgets_what_it_does_not_name() {
    let mut table = table();
    let whole = Arrival {
        is_whole: true,
        ..on(1)
    };
    table
        .register(&broker("a", 0, "a:1"), topics(2, &["u", "v"]), whole)
        .unwrap();
    assert_eq!(table.topics().topic_list, ["u", "v"]);
}

#[test]
fn topics_change_only_with_the_version() {
    let mut table = table();
    let from = broker("a", 0, "a:1");
    let changed = |counter| Registration {
        topics: BTreeMap::from([("t".to_owned(), queues(4)), ("v".to_owned(), queues(4))]),
        version: version(counter),
    };
    table.register(&from, changed(1), on(1)).unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    assert_eq!(route(&table, "v"), only("a", &[(0, "a:1")], 4), "new here");
    table.register(&from, changed(2), on(1)).unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 4));
}

#[test]
fn wiped_topics_stay_closed_until_they_are_registered_anew() {
    let mut table = table();
    let from = broker("a", 0, "a:1");
    assert_eq!(table.wipe_write_perm("a"), 2);
    assert_eq!(table.wipe_write_perm("nobody"), 0);
    table
        .register(&from, topics(1, &["t", "u"]), on(1))
        .unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 4));
    table
        .register(&from, topics(2, &["t", "u"]), on(1))
        .unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    table.wipe_write_perm("a");
    assert_eq!(table.add_write_perm("a"), 2);
    assert_eq!(route(&table, "u"), only("a", &[(0, "a:1")], 6));
}

#[test]
fn a_replica_is_told_its_master_and_changes_no_topics() {
    let mut table = table();
    let from = broker("a", 1, "a:2");
    let master = table.register(&from, topics(9, &["x", "y"]), on(2));
    let told = BrokerRegistered {
        ha_server_addr: Some("a:11".into()),
        master_addr: Some("a:1".into()),
    };
    let registered = Registered {
        is_new: true,
        master: told,
    };
    assert_eq!(master, Ok(registered));
    assert_eq!(table.topics().topic_list, ["t", "u"]);
    let both = [(0, "a:1"), (1, "a:2")];
    assert_eq!(route(&table, "t"), only("a", &both, 6));
}

#[test]
fn the_least_replica_of_a_new_broker_registers_topics() {
    let mut table = RouteTable::default();
    let from = broker("a", 2, "a:2");
    table
        .register(&from, topics(1, &["t", "u"]), on(1))
        .unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(2, "a:2")], 6));
    let mut acting = broker("b", 1, "b:1");
    acting.acting_master = Some(true);
    table
        .register(&acting, topics(1, &["v", "w"]), on(2))
        .unwrap();
    assert_eq!(route(&table, "v"), only("b", &[(1, "b:1")], 4));
    let mut old = broker("c", 1, "c:1");
    old.acting_master = None;
    table.register(&old, topics(1, &["x", "y"]), on(3)).unwrap();
    assert_eq!(table.route("x"), None, "4.x says nothing of acting masters");
}

#[test]
fn a_lost_master_closes_topics_only_where_a_replica_acts_for_it() {
    for (acting, perm) in [(false, 6), (true, 4)] {
        let mut table = table();
        let mut replica = broker("a", 1, "a:2");
        replica.acting_master = Some(acting);
        table.register(&replica, topics(1, &[]), on(2)).unwrap();
        table.link_closed(1);
        assert_eq!(route(&table, "t"), only("a", &[(1, "a:2")], perm));
    }
}

#[test]
fn a_replica_that_became_the_master_is_a_member_once() {
    let mut table = table();
    table
        .register(&broker("a", 1, "a:2"), topics(1, &[]), on(2))
        .unwrap();
    table.link_closed(1);
    let master = table.register(&broker("a", 0, "a:2"), topics(2, &["t", "u"]), on(2));
    assert_eq!(master.map(|master| master.is_new), Ok(false));
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:2")], 6));
}

#[test]
fn of_two_that_want_one_id_the_later_state_wins() {
    let mut table = RouteTable::default();
    let state = |state_version| {
        let mut what = topics(1, &["t", "u"]);
        what.version.state_version = state_version;
        what
    };
    table
        .register(&broker("a", 0, "a:1"), state(5), on(1))
        .unwrap();
    let ignored = table.register(&broker("a", 0, "a:2"), state(4), on(2));
    assert_eq!(ignored.map(|ignored| ignored.is_new), Ok(false));
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    table
        .register(&broker("a", 0, "a:3"), state(5), on(3))
        .unwrap();
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:3")], 6));
}

#[test]
fn the_last_member_takes_its_broker_and_topics_along() {
    let mut table = table();
    table
        .register(&broker("a", 1, "a:2"), topics(1, &[]), on(2))
        .unwrap();
    assert_eq!(table.unregister(&of("a", "nobody")), []);
    assert_eq!(table.unregister(&of("a", "a:1")).len(), 1);
    assert_eq!(route(&table, "t"), only("a", &[(1, "a:2")], 6));
    let gone = Gone {
        broker: "a".to_owned(),
        id: 1,
        addr: "a:2".to_owned(),
    };
    assert_eq!(table.unregister(&of("a", "a:2")), [gone]);
    assert_eq!(table.topics().topic_list, Vec::<String>::new());
    assert_eq!(table.cluster(), proto::remoting::naming::Cluster::default());
}

#[test]
fn a_closed_connection_takes_those_who_registered_on_it_last() {
    let mut table = table();
    table
        .register(&broker("b", 0, "b:1"), topics(1, &["t", "u"]), on(1))
        .unwrap();
    table
        .register(&broker("a", 0, "a:1"), topics(1, &["t", "u"]), on(2))
        .unwrap();
    assert_eq!(table.link_closed(1).len(), 1, "a came back on another one");
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    assert_eq!(table.link_closed(3), []);
}

#[test]
fn silence_ends_a_registration_after_the_time_it_announced() {
    let mut table = RouteTable::default();
    let mut hasty = broker("b", 0, "b:1");
    hasty.heartbeat_timeout_ms = Some(10_000);
    table.register(&hasty, topics(1, &[]), at(0)).unwrap();
    table
        .register(&broker("a", 0, "a:1"), topics(1, &[]), at(0))
        .unwrap();
    let mut gone = |seconds| {
        let gone = table.expire(Duration::from_secs(seconds));
        gone.into_iter().map(|gone| gone.broker).collect::<Vec<_>>()
    };
    assert_eq!(gone(10), Vec::<String>::new());
    assert_eq!(gone(11), ["b"]);
    assert_eq!(gone(120), Vec::<String>::new());
    assert_eq!(gone(121), ["a"]);
}

#[test]
fn asking_for_the_version_is_a_sign_of_life() {
    let mut table = table();
    let later = Duration::from_secs(100);
    assert_eq!(table.heard_from("a", "a:1", later), Some(version(1)));
    assert_eq!(table.heard_from("a", "a:2", later), None);
    assert_eq!(table.heard_from("b", "a:1", later), None);
    assert_eq!(table.expire(Duration::from_secs(220)), []);
    assert_eq!(table.expire(Duration::from_secs(221)).len(), 1);
}

#[test]
fn a_topic_is_deleted_in_one_cluster_or_in_all() {
    let mut table = table();
    let mut other = broker("b", 0, "b:1");
    other.cluster_name = "c2".into();
    table
        .register(&other, topics(1, &["t", "v"]), on(2))
        .unwrap();
    assert_eq!(table.topics_of("c2").topic_list, ["t", "v"]);
    assert_eq!(table.topics_of("c3").topic_list, Vec::<String>::new());
    table.delete_topic("t", Some("c2"));
    assert_eq!(route(&table, "t"), only("a", &[(0, "a:1")], 6));
    table.delete_topic("t", None);
    assert_eq!(table.topics().topic_list, ["u", "v"]);
    let system = table.system_topics();
    assert_eq!(system.topic_list, ["a", "b", "c1", "c2"]);
    assert_eq!(system.broker_addr.as_deref(), Some("a:1"));
}

#[test]
fn names_that_would_break_a_route_are_refused() {
    let none = || topics(1, &[]);
    let refusal = |change: fn(&mut RegisterBroker), what: Registration| {
        let mut table = table();
        let mut from = broker("b", 0, "b:1");
        change(&mut from);
        let refused = table.register(&from, what, on(2)).unwrap_err();
        assert_eq!(table.cluster().broker_addr_table.len(), 1);
        refused
    };
    let cases: [(&str, Refused); 6] = [
        (
            "brokerAddr",
            refusal(|b| b.broker_addr = "b:1,c:1".into(), none()),
        ),
        ("brokerAddr", refusal(|b| b.broker_addr = "".into(), none())),
        ("brokerName", refusal(|b| b.broker_name = "".into(), none())),
        (
            "clusterName",
            refusal(|b| b.cluster_name = "".into(), none()),
        ),
        (
            "haServerAddr",
            refusal(|b| b.ha_server_addr = "x".repeat(256).into(), none()),
        ),
        (
            "topic",
            refusal(|_| {}, topics(1, &["t", &"x".repeat(256)])),
        ),
    ];
    for (field, refused) in cases {
        assert_eq!(refused, Refused::Illegal(field));
    }
}

#[test]
fn a_full_table_refuses_what_is_new_and_takes_what_it_knows() {
    let mut table = RouteTable::default();
    for n in 0..BROKERS_MAX {
        let from = broker(&format!("b{n}"), 0, "b:1");
        table.register(&from, topics(1, &[]), on(1)).unwrap();
    }
    let mut register = |name: &str, id, addr: &str| {
        let registered = table.register(&broker(name, id, addr), topics(1, &[]), on(1));
        registered.map(|registered| registered.is_new)
    };
    assert_eq!(
        register("one-more", 0, "b:1"),
        Err(Refused::Full(BROKERS_MAX, "brokers"))
    );
    for id in 1..64 {
        assert_eq!(register("b0", id, &format!("b:{id}0")), Ok(true));
    }
    assert_eq!(
        register("b0", 64, "b:640"),
        Err(Refused::Full(MEMBERS_MAX, "members of a broker"))
    );
    assert_eq!(register("b0", 63, "b:630"), Ok(false));
}

#[test]
fn the_limit_of_topics_counts_those_of_all_brokers() {
    let mut table = RouteTable::default();
    let many = (0..100_000).map(|n| (n.to_string(), queues(6)));
    let many: BTreeMap<_, _> = many.collect();
    for n in 0..10 {
        let from = broker(&format!("b{n}"), 0, "b:1");
        table.register(&from, topics(1, &[]), on(1)).unwrap();
        table.brokers.get_mut(&*from.broker_name).unwrap().topics = many.clone();
    }
    let full = Err(Refused::Full(TOPICS_MAX, "topics"));
    let again = table.register(&broker("b0", 0, "b:1"), topics(2, &["7"]), on(1));
    assert_eq!(again.map(|again| again.is_new), Ok(false));
    let more = table.register(&broker("b0", 0, "b:1"), topics(3, &["more"]), on(1));
    assert_eq!(more, full);
}
