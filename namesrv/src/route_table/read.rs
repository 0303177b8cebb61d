//! The table as clients and tools see it. Every list is in the order of names, so that two answers
//! differ only where the table does: the Go client takes a list in another order for a change.

use std::collections::{BTreeMap, BTreeSet};

use proto::remoting::naming::{BrokerData, Cluster, QueueData, TopicRoute};
use proto::remoting::stats::TopicNames;

use super::{Broker, RouteTable};

impl RouteTable {
    /// Where a topic is, if it is anywhere.
    pub(crate) fn route(&self, topic: &str) -> Option<TopicRoute> {
        let mut route = TopicRoute::default();
        for (name, broker) in &self.brokers {
            let Some(queues) = broker.topics.get(topic) else {
                continue;
            };
            route.broker_datas.push(broker.data(name));
            route.queue_datas.push(QueueData {
                broker_name: name.clone(),
                perm: queues.perm,
                read_queue_nums: queues.read_queue_nums,
                topic_sys_flag: queues.topic_sys_flag,
                write_queue_nums: queues.write_queue_nums,
            });
        }
        (!route.queue_datas.is_empty()).then_some(route)
    }

    /// All brokers, and which cluster has which.
    pub(crate) fn cluster(&self) -> Cluster {
        let mut clusters = BTreeMap::<String, Vec<String>>::new();
        for (name, broker) in &self.brokers {
            let names = clusters.entry(broker.cluster.clone()).or_default();
            names.push(name.clone());
        }
        let brokers = self.brokers.iter();
        Cluster {
            broker_addr_table: brokers
                .map(|(name, broker)| (name.clone(), broker.data(name)))
                .collect(),
            cluster_addr_table: clusters,
        }
    }

    pub(crate) fn topics(&self) -> TopicNames {
        self.topics_where(|_| true)
    }

    pub(crate) fn topics_of(&self, cluster: &str) -> TopicNames {
        self.topics_where(|broker| broker.cluster == cluster)
    }

    fn topics_where(&self, is_meant: impl Fn(&Broker) -> bool) -> TopicNames {
        let brokers = self.brokers.values().filter(|broker| is_meant(broker));
        let topics: BTreeSet<_> = brokers.flat_map(|broker| broker.topics.keys()).collect();
        TopicNames {
            topic_list: topics.into_iter().cloned().collect(),
            broker_addr: None,
        }
    }

    /// The topics that every cluster has by itself: one named as it, one as each of its brokers.
    pub(crate) fn system_topics(&self) -> TopicNames {
        let names = |(name, broker): (&String, &Broker)| [broker.cluster.clone(), name.clone()];
        let topics: BTreeSet<_> = self.brokers.iter().flat_map(names).collect();
        let members = self
            .brokers
            .values()
            .flat_map(|broker| broker.members.values());
        TopicNames {
            topic_list: topics.into_iter().collect(),
            broker_addr: members.map(|member| member.addr.clone()).next(),
        }
    }
}

impl Broker {
    fn data(&self, name: &str) -> BrokerData {
        let members = self.members.iter();
        BrokerData {
            broker_addrs: members
                .map(|(&id, member)| (id, member.addr.clone()))
                .collect(),
            broker_name: name.to_owned(),
            cluster: self.cluster.clone(),
            enable_acting_master: self.acting_master,
        }
    }
}
