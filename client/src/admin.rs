//! Administration: topics and groups on all brokers of the cluster, and what the cluster looks like.

use proto::remoting::Request;
use proto::remoting::config::{CreateTopic, DeleteGroup, GroupConfig, READ, TopicOf, WRITE};
use proto::remoting::naming::Cluster;
use proto::remoting::stats::{ConsumeStats, ConsumeStatsOf, KvTable, TopicNames, TopicStats};
use proto::{Text, json};
use serde::de::DeserializeOwned;

use crate::ask::{AskError, granted};
use crate::routes::TEMPLATE_TOPIC;
use crate::{Client, Inner};

/// A topic to create or change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: Text,
    /// On each broker.
    pub read_queues: i32,
    /// On each broker.
    pub write_queues: i32,
    /// Bits 4 (read) and 2 (write).
    pub perm: i32,
}

impl TopicSpec {
    /// Readable and writable.
    pub fn new(name: impl Into<Text>, queues: i32) -> Self {
        Self {
            name: name.into(),
            read_queues: queues,
            write_queues: queues,
            perm: READ | WRITE,
        }
    }
}

impl Client {
    /// Creates or changes a topic on every master.
    ///
    /// # Errors
    /// A broker did not answer or refused; others may have done it. So for all of these.
    pub async fn create_topic(&self, spec: &TopicSpec) -> Result<(), AskError> {
        let request = Request::CreateTopic(CreateTopic {
            topic: spec.name.clone(),
            default_topic: Some(Text::from_static(TEMPLATE_TOPIC)),
            read_queues: spec.read_queues,
            write_queues: spec.write_queues,
            perm: spec.perm,
            filter_type: Text::from_static("SINGLE_TAG"),
            sys_flag: Some(0),
            order: false,
            attributes: None,
        });
        self.0.ask_masters(&request).await?;
        self.0.refresh_route(&spec.name).await;
        Ok(())
    }

    /// Deletes a topic everywhere, with its messages.
    ///
    /// # Errors
    /// As above.
    pub async fn delete_topic(&self, name: impl Into<Text>) -> Result<(), AskError> {
        let name = name.into();
        self.0
            .ask_masters(&Request::DeleteTopic(named(name.clone())))
            .await?;
        let request = Request::DeleteTopicInNamesrv(named(name.clone()));
        for addr in &self.0.config.name_servers {
            granted(addr, self.0.ask(addr, request.clone()).await?)?;
        }
        self.0.routes.doubt(&name);
        self.0.refresh_route(&name).await;
        Ok(())
    }

    /// Creates or changes a consumer group on every master.
    ///
    /// # Errors
    /// As above.
    pub async fn create_group(&self, config: &GroupConfig) -> Result<(), AskError> {
        let request = Request::UpdateGroup(config.clone());
        self.0.ask_masters(&request).await.map(drop)
    }

    /// Deletes a consumer group on every master, with its offsets.
    ///
    /// # Errors
    /// As above.
    pub async fn delete_group(&self, name: impl Into<Text>) -> Result<(), AskError> {
        let request = Request::DeleteGroup(DeleteGroup {
            group: name.into(),
            clean_offset: Some(true),
        });
        self.0.ask_masters(&request).await.map(drop)
    }

    /// All topics, RocketMQ's own too.
    ///
    /// # Errors
    /// As above.
    pub async fn topics(&self) -> Result<Vec<String>, AskError> {
        let names: TopicNames = self.0.name_server_table(Request::AllTopicNames).await?;
        Ok(names.topic_list)
    }

    /// The brokers and their clusters.
    ///
    /// # Errors
    /// As above.
    pub async fn cluster(&self) -> Result<Cluster, AskError> {
        self.0.name_server_table(Request::ClusterTable).await
    }

    /// First and last offsets of every queue of a topic.
    ///
    /// # Errors
    /// As above.
    pub async fn topic_stats(&self, topic: impl Into<Text>) -> Result<TopicStats, AskError> {
        let topic = topic.into();
        let route = self.0.existing_route(&topic).await?;
        let mut all = TopicStats::default();
        for addr in route
            .brokers
            .iter()
            .filter_map(|broker| broker.master.as_ref())
        {
            let request = Request::TopicStats(named(topic.clone()));
            let part: TopicStats = self.0.table(addr, request).await?;
            all.offset_table.0.extend(part.offset_table.0);
            all.topic_put_tps += part.topic_put_tps;
        }
        Ok(all)
    }

    /// How far a group has got, in one topic or in all.
    ///
    /// # Errors
    /// As above.
    pub async fn consume_stats(
        &self,
        group: impl Into<Text>,
        topic: Option<Text>,
    ) -> Result<ConsumeStats, AskError> {
        let fields = ConsumeStatsOf {
            group: group.into(),
            topic,
        };
        let mut all = ConsumeStats::default();
        for reply in self.0.ask_masters(&Request::ConsumeStats(fields)).await? {
            let part: ConsumeStats = reply.table()?;
            all.offset_table.0.extend(part.offset_table.0);
            all.consume_tps += part.consume_tps;
        }
        Ok(all)
    }

    /// A broker's figures about itself.
    ///
    /// # Errors
    /// As above.
    pub async fn broker_runtime(&self, addr: &Text) -> Result<KvTable, AskError> {
        self.0.table(addr, Request::BrokerRuntime).await
    }
}

/// A granted answer and who gave it.
struct Granted {
    addr: Text,
    body: bytes::Bytes,
}

impl Granted {
    fn table<T: DeserializeOwned>(&self) -> Result<T, AskError> {
        json::read(&self.body).map_err(|why| AskError::unreadable(&self.addr, why))
    }
}

impl Inner {
    async fn table<T: DeserializeOwned>(&self, addr: &Text, ask: Request) -> Result<T, AskError> {
        let reply = granted(addr, self.ask(addr, ask).await?)?;
        json::read(&reply.whole_body()).map_err(|why| AskError::unreadable(addr, why))
    }

    async fn name_server_table<T: DeserializeOwned>(&self, ask: Request) -> Result<T, AskError> {
        let addr = Text::from_static("name server");
        let reply = granted(&addr, self.ask_name_server(ask).await?)?;
        json::read(&reply.whole_body()).map_err(|why| AskError::unreadable(&addr, why))
    }

    /// Asks every master of the cluster, one after the other.
    async fn ask_masters(&self, request: &Request) -> Result<Vec<Granted>, AskError> {
        let cluster: Cluster = self.name_server_table(Request::ClusterTable).await?;
        let mut answers = Vec::new();
        for broker in cluster.broker_addr_table.into_values() {
            let Some(addr) = broker
                .broker_addrs
                .get(&0)
                .map(|addr| Text::from(addr.as_str()))
            else {
                return Err(AskError::NoBroker(broker.broker_name.into()));
            };
            let reply = granted(&addr, self.ask(&addr, request.clone()).await?)?;
            let body = reply.whole_body();
            answers.push(Granted { addr, body });
        }
        Ok(answers)
    }
}

fn named(topic: Text) -> TopicOf {
    TopicOf {
        topic,
        cluster: None,
        standard_json: None,
    }
}
