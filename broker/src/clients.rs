//! Who is connected: producers by group, consumers by group with what they subscribe to. In memory
//! only; heartbeats rebuild it after a restart.
//!
//! Invariant: a channel is in a group from its heartbeat until it unregisters, its link closes, or
//! it has been silent for two minutes; whoever changes a group gets its name back, to tell the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::names;
use proto::remoting::clients::{
    ConnectedClient, Connections, ConsumerData, Heartbeat, Subscription,
};
use proto::remoting::header::Language;
use remoting::Peer;
use tokio::time::Instant;

/// compat: ConsumerManager#CHANNEL_EXPIRED_TIMEOUT
const SILENT_FOR: Duration = Duration::from_secs(120);

/// Groups that one heartbeat may name: all that the clients of a process have.
pub(crate) const GROUPS_MAX: usize = 1024;

/// What a group wants of a topic, ready to ask for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Sorted; `None`: everything.
    codes: Option<Vec<i32>>,
    pub(crate) version: i64,
    pub(crate) is_tags: bool,
}

impl Filter {
    pub(crate) fn new(subscription: &Subscription) -> Self {
        let all = matches!(subscription.sub_string.trim(), "" | "*");
        let codes = (!all).then(|| sorted(subscription.code_set.clone()));
        let kind = subscription.expression_type.as_str();
        Self {
            codes,
            version: subscription.sub_version,
            is_tags: matches!(kind, "" | "TAG"),
        }
    }

    /// Whether a subscription is one that a consumer may have. Of tags it has as many as its
    /// expression has room for.
    pub(crate) fn may_be(subscription: &Subscription, expression_bytes_max: usize) -> bool {
        names::check_topic(&subscription.topic).is_ok()
            && subscription.sub_string.len() <= expression_bytes_max
            && subscription.code_set.len() <= expression_bytes_max / 3
    }

    /// From an expression like `A || B`.
    pub(crate) fn parse(expression: &str, is_tags: bool) -> Self {
        let tags = expression
            .split("||")
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        let codes = sorted(tags.map(proto::message::java_string_hash).collect());
        let all = matches!(expression.trim(), "" | "*");
        Self {
            codes: (!all).then_some(codes),
            version: 0,
            is_tags,
        }
    }

    /// Whether a message with this tag code may be wanted. Codes collide; clients look again.
    pub(crate) fn wants(&self, tags_code: i64) -> bool {
        let Some(codes) = &self.codes else {
            return true;
        };
        i32::try_from(tags_code).is_ok_and(|code| codes.binary_search(&code).is_ok())
    }
}

fn sorted(mut codes: Vec<i32>) -> Vec<i32> {
    codes.sort_unstable();
    codes
}

/// One connection of a client, as member of a group.
#[derive(Clone, Debug)]
struct Channel {
    peer: Peer,
    /// Shared by the channels that one heartbeat makes in many groups.
    client_id: Arc<str>,
    language: Language,
    version: i32,
    seen: Instant,
}

impl Channel {
    fn describe(&self) -> ConnectedClient {
        ConnectedClient {
            client_id: self.client_id.to_string(),
            client_addr: self.peer.addr().to_string(),
            language: self.language.name().to_owned(),
            version: self.version,
        }
    }
}

type Channels = HashMap<u64, Channel>;

#[derive(Debug, Default)]
struct ConsumerGroup {
    channels: Channels,
    consume_type: String,
    message_model: String,
    consume_from_where: String,
    subscriptions: BTreeMap<String, (Subscription, Arc<Filter>)>,
}

impl ConsumerGroup {
    fn is_broadcast(&self) -> bool {
        self.message_model == "BROADCASTING"
    }

    /// Takes what the newest heartbeat says; true when a subscription changed.
    fn subscribe(&mut self, data: ConsumerData) -> bool {
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let wanted: BTreeSet<_> = data
            .subscription_data_set
            .iter()
            .map(|s| s.topic.clone())
            .collect();
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| wanted.contains(topic));
        let mut changed = self.subscriptions.len() != before;
        for new in data.subscription_data_set {
            let old = self.subscriptions.get(&new.topic);
            if old.is_some_and(|(old, _)| old.sub_version >= new.sub_version) {
                continue;
            }
            changed |= old.is_none_or(|(old, _)| old.sub_string != new.sub_string);
            let filter = Arc::new(Filter::new(&new));
            self.subscriptions.insert(new.topic.clone(), (new, filter));
        }
        changed
    }
}

/// What a pull finds of its group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    NoGroup,
    NoSubscription,
    Subscribed {
        filter: Arc<Filter>,
        broadcast: bool,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    consumers: HashMap<String, ConsumerGroup>,
    producers: HashMap<String, Channels>,
    /// Who ever sent a heartbeat and is not gone; nobody else is in a group.
    known: HashSet<u64>,
}

/// Who sent a heartbeat.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) peer: Peer,
    pub(crate) language: Language,
    pub(crate) version: i32,
}

impl Clients {
    /// Takes a heartbeat of groups that may exist; the groups whose members must be told.
    pub(crate) fn heartbeat(&self, sender: &Sender, beat: Heartbeat, now: Instant) -> Vec<String> {
        let channel = Channel {
            peer: sender.peer.clone(),
            client_id: beat.client_id.into(),
            language: sender.language,
            version: sender.version,
            seen: now,
        };
        let id = sender.peer.id();
        let mut table = self.0.lock();
        table.known.insert(id);
        for data in beat.producer_data_set {
            let group = table.producers.entry(data.group_name).or_default();
            group.insert(id, channel.clone());
        }
        let mut changed = Vec::new();
        for data in beat.consumer_data_set {
            let name = data.group_name.clone();
            let group = table.consumers.entry(name.clone()).or_default();
            let joined = group.channels.insert(id, channel.clone()).is_none();
            let resubscribed = !beat.without_sub && group.subscribe(data);
            if (joined || resubscribed) && !group.is_broadcast() {
                changed.push(name);
            }
        }
        changed
    }

    pub(crate) fn leave_producers(&self, peer: &Peer, group: &str) {
        if let Some(channels) = self.0.lock().producers.get_mut(group) {
            channels.remove(&peer.id());
        }
    }

    /// True when the rest of the group must be told.
    pub(crate) fn leave_consumers(&self, peer: &Peer, group: &str) -> bool {
        let mut table = self.0.lock();
        let Some(found) = table.consumers.get_mut(group) else {
            return false;
        };
        let left = found.channels.remove(&peer.id()).is_some();
        let tell = left && !found.is_broadcast();
        table.drop_empty();
        tell
    }

    /// The link to `peer` is gone; the groups whose members must be told.
    pub(crate) fn disconnected(&self, peer: &Peer) -> Vec<String> {
        let mut table = self.0.lock();
        // Most links that close never joined a group, and many may close at once.
        if !table.known.remove(&peer.id()) {
            return Vec::new();
        }
        table.remove(|channels| drop(channels.remove(&peer.id())))
    }

    /// Drops who has been silent for too long; the groups whose members must be told.
    pub(crate) fn expire(&self, now: Instant) -> Vec<String> {
        let stays = |channel: &Channel| channel.seen + SILENT_FOR > now && channel.peer.is_open();
        self.0
            .lock()
            .remove(|channels| channels.retain(|_, channel| stays(channel)))
    }

    /// The connections of a consumer group.
    pub(crate) fn peers_of(&self, group: &str) -> Vec<Peer> {
        let table = self.0.lock();
        let channels = table
            .consumers
            .get(group)
            .map(|group| group.channels.values());
        channels
            .into_iter()
            .flatten()
            .map(|channel| channel.peer.clone())
            .collect()
    }

    pub(crate) fn peer_of(&self, group: &str, client_id: &str) -> Option<Peer> {
        let table = self.0.lock();
        let mut channels = table.consumers.get(group)?.channels.values();
        channels
            .find(|channel| *channel.client_id == *client_id)
            .map(|channel| channel.peer.clone())
    }

    /// The clients of a consumer group, each once, sorted.
    pub(crate) fn ids_of(&self, group: &str) -> Vec<String> {
        let table = self.0.lock();
        let channels = table
            .consumers
            .get(group)
            .map(|group| group.channels.values());
        let ids = channels
            .into_iter()
            .flatten()
            .map(|channel| channel.client_id.to_string());
        ids.collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(crate) fn find(&self, group: &str, topic: &str) -> Found {
        let table = self.0.lock();
        let Some(group) = table.consumers.get(group) else {
            return Found::NoGroup;
        };
        match group.subscriptions.get(topic) {
            None => Found::NoSubscription,
            Some((_, filter)) => Found::Subscribed {
                filter: Arc::clone(filter),
                broadcast: group.is_broadcast(),
            },
        }
    }

    pub(crate) fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.0.lock();
        let group = table.consumers.get(group);
        group
            .map(|group| group.subscriptions.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = self.0.lock();
        let groups = table
            .consumers
            .iter()
            .filter(|(_, g)| g.subscriptions.contains_key(topic));
        groups.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn consumer_connections(&self, group: &str) -> Option<Connections> {
        let table = self.0.lock();
        let group = table.consumers.get(group)?;
        let subscriptions = group
            .subscriptions
            .iter()
            .map(|(t, (s, _))| (t.clone(), s.clone()));
        Some(Connections {
            connection_set: group.channels.values().map(Channel::describe).collect(),
            consume_type: Some(group.consume_type.clone()),
            message_model: Some(group.message_model.clone()),
            consume_from_where: Some(group.consume_from_where.clone()),
            subscription_table: Some(subscriptions.collect()),
        })
    }

    pub(crate) fn producer_connections(&self, group: &str) -> Option<Connections> {
        let table = self.0.lock();
        let channels = table
            .producers
            .get(group)
            .filter(|channels| !channels.is_empty())?;
        let connection_set = channels.values().map(Channel::describe).collect();
        Some(Connections {
            connection_set,
            ..Connections::default()
        })
    }
}

impl Table {
    /// Has `leave` take who is gone out of each group; the groups whose members must be told.
    fn remove(&mut self, leave: impl Fn(&mut Channels)) -> Vec<String> {
        self.producers.values_mut().for_each(&leave);
        let mut changed = Vec::new();
        for (name, group) in &mut self.consumers {
            let before = group.channels.len();
            leave(&mut group.channels);
            if group.channels.len() != before && !group.is_broadcast() {
                changed.push(name.clone());
            }
        }
        self.drop_empty();
        changed
    }

    fn drop_empty(&mut self) {
        self.consumers.retain(|_, group| !group.channels.is_empty());
        self.producers.retain(|_, channels| !channels.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proto::remoting::clients::ProducerData;
    use remoting::{Unserved, local_link};

    use super::*;

    fn sender() -> Sender {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = local_link(Arc::new(Unserved), Arc::new(Unserved), addr);
        Sender {
            peer,
            language: Language::JAVA,
            version: 479,
        }
    }

    fn beat(client: &str, model: &str, expression: &str, version: i64) -> Heartbeat {
        let subscription = Subscription {
            topic: "t".into(),
            sub_string: expression.into(),
            code_set: vec![proto::message::java_string_hash(expression)],
            sub_version: version,
            ..Subscription::default()
        };
        let data = ConsumerData {
            group_name: "g".into(),
            message_model: model.into(),
            subscription_data_set: vec![subscription],
            ..ConsumerData::default()
        };
        Heartbeat {
            client_id: client.into(),
            consumer_data_set: vec![data],
            ..Heartbeat::default()
        }
    }

    #[test]
    fn joining_resubscribing_and_leaving_change_a_group_and_a_repeated_beat_does_not() {
        let (clients, now, one, two) = (Clients::default(), Instant::now(), sender(), sender());
        assert_eq!(
            clients.heartbeat(&one, beat("a", "CLUSTERING", "*", 1), now),
            ["g"]
        );
        assert_eq!(
            clients.heartbeat(&one, beat("a", "CLUSTERING", "*", 1), now),
            [""; 0]
        );
        assert_eq!(
            clients.heartbeat(&two, beat("b", "CLUSTERING", "*", 1), now),
            ["g"]
        );
        assert_eq!(
            clients.heartbeat(&one, beat("a", "CLUSTERING", "A", 2), now),
            ["g"]
        );
        assert_eq!(clients.ids_of("g"), ["a", "b"]);
        assert_eq!(clients.disconnected(&two.peer), ["g"]);
        assert_eq!(clients.ids_of("g"), ["a"]);
        assert!(clients.leave_consumers(&one.peer, "g"));
        assert_eq!(clients.find("g", "t"), Found::NoGroup);
    }

    #[test]
    fn who_leaves_is_gone_from_all_its_groups_and_others_stay() {
        let (clients, now, one, two) = (Clients::default(), Instant::now(), sender(), sender());
        for (sender, client) in [(&one, "a"), (&two, "b")] {
            let mut both = beat(client, "CLUSTERING", "*", 1);
            let mut second = both.consumer_data_set[0].clone();
            second.group_name = "h".into();
            both.consumer_data_set.push(second);
            let producers = ["p", "q"].map(|name| ProducerData {
                group_name: name.into(),
            });
            both.producer_data_set = producers.into();
            clients.heartbeat(sender, both, now);
        }
        let mut told = clients.disconnected(&one.peer);
        told.sort();
        assert_eq!(told, ["g", "h"]);
        assert_eq!([clients.ids_of("g"), clients.ids_of("h")], [["b"], ["b"]]);
        let producers = |group| {
            clients
                .producer_connections(group)
                .map(|c| c.connection_set.len())
        };
        assert_eq!([producers("p"), producers("q")], [Some(1), Some(1)]);
        assert_eq!(
            clients.disconnected(&one.peer),
            [""; 0],
            "it is gone already"
        );
        assert_eq!(
            clients.disconnected(&sender().peer),
            [""; 0],
            "never was in a group"
        );
        assert_eq!(clients.disconnected(&two.peer).len(), 2);
        assert_eq!([producers("p"), producers("q")], [None, None]);
    }

    #[test]
    fn an_older_subscription_does_not_replace_a_newer_one() {
        let (clients, now, one) = (Clients::default(), Instant::now(), sender());
        clients.heartbeat(&one, beat("a", "CLUSTERING", "B", 5), now);
        clients.heartbeat(&one, beat("a", "CLUSTERING", "A", 4), now);
        let Found::Subscribed { filter, .. } = clients.find("g", "t") else {
            panic!("subscribed")
        };
        assert!(filter.wants(66) && !filter.wants(65));
    }

    #[test]
    fn broadcast_members_are_not_told_of_each_other() {
        let (clients, now) = (Clients::default(), Instant::now());
        assert_eq!(
            clients.heartbeat(&sender(), beat("a", "BROADCASTING", "*", 1), now),
            [""; 0]
        );
    }

    #[test]
    fn the_silent_are_dropped() {
        let (clients, now, one) = (Clients::default(), Instant::now(), sender());
        clients.heartbeat(&one, beat("a", "CLUSTERING", "*", 1), now);
        assert_eq!(clients.expire(now), [""; 0]);
        assert_eq!(clients.expire(now + SILENT_FOR), ["g"]);
    }

    #[test]
    fn expressions_are_or_ed_tags() {
        let filter = Filter::parse(" A || B ", true);
        assert_eq!(
            [65, 66, 67].map(|code| filter.wants(code)),
            [true, true, false]
        );
        assert!(Filter::parse("*", true).wants(0) && !filter.wants(0));
        assert!(Filter::parse("", true).wants(1 << 40) && !filter.wants(65 + (1 << 32)));
    }
}
