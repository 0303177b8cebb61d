//! What clients and tools ask: where a topic is, which brokers and topics there are.

use std::time::Duration;

use proto::json;
use proto::remoting::config::TopicOf;
use proto::remoting::stats::TopicNames;
use proto::remoting::{Reply, ResponseCode};

use crate::kv::ORDER_TOPICS;
use crate::server::NameServer;

impl NameServer {
    pub(super) fn route(&self, of: &TopicOf) -> Reply {
        let (ready_at, tells_order) = {
            let routes = &self.config.read().routes;
            let wait_s = if routes.refuse_while_waiting {
                routes.wait_for_brokers_s
            } else {
                0
            };
            (
                Duration::from_secs(wait_s.into()),
                routes.order_config_in_routes,
            )
        };
        if self.now() < ready_at {
            return Reply::refused(ResponseCode::SYSTEM_ERROR, "name server not ready");
        }
        let topic = &*of.topic;
        let Some(mut route) = self.table.read().route(topic) else {
            let told = format!(
                "No topic route info in name server for the topic: {topic}\n\
                 See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
            );
            return Reply::refused(ResponseCode::TOPIC_NOT_EXIST, told);
        };
        if tells_order {
            let order = self
                .kv
                .read(|kv| kv.value(ORDER_TOPICS, topic).map(str::to_owned));
            route.order_topic_conf = order;
        }
        Reply::ok().body(json::write(&route))
    }

    pub(super) fn cluster(&self) -> Reply {
        Reply::ok().body(json::write(&self.table.read().cluster()))
    }

    pub(super) fn all_topics(&self) -> Reply {
        let is_allowed = self.config.read().routes.list_all_topics;
        list(is_allowed, || self.table.read().topics())
    }

    pub(super) fn topics_of(&self, cluster: &str) -> Reply {
        let is_allowed = self.config.read().routes.list_topics_of_cluster;
        list(is_allowed, || self.table.read().topics_of(cluster))
    }

    pub(super) fn system_topics(&self) -> Reply {
        list(true, || self.table.read().system_topics())
    }

    pub(super) fn delete_topic(&self, of: &TopicOf) -> Reply {
        let cluster = of.cluster.as_deref().filter(|cluster| !cluster.is_empty());
        self.table.write().delete_topic(&of.topic, cluster);
        tracing::info!(topic = &*of.topic, cluster, "topic deleted");
        Reply::ok()
    }
}

fn list(is_allowed: bool, topics: impl FnOnce() -> TopicNames) -> Reply {
    if is_allowed {
        Reply::ok().body(json::write(&topics()))
    } else {
        Reply::refused(ResponseCode::SYSTEM_ERROR, "disable")
    }
}
