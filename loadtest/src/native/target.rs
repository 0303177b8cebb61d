//! Which brokers a load goes to, and where their queues end before it.

use std::time::Duration;

use client::{Client, Config, Queue, Tasks, TopicSpec};
use proto::Text;
use proto::remoting::Request;
use proto::remoting::config::{CreateTopic, READ, WRITE};

use tokio::task::JoinSet;

use crate::command::Target;
use crate::failure::Failure;
use crate::verify::{Run, Start};

/// Topics on their way to being created. Brokers write each to the disk, one after the other.
const CREATIONS_MAX: usize = 8;
/// One now and then waits for the whole table to be written.
const CREATION_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Found {
    pub client: Client,
    pub namesrv: Text,
    pub topic: Text,
    pub queues: u32,
    pub brokers: Vec<Broker>,
    /// Through a name server, so that everything can be read back.
    routed: bool,
}

#[derive(Clone, Debug)]
pub struct Broker {
    pub name: Text,
    pub addr: Text,
}

impl Found {
    /// Finds the brokers and creates the topic on them.
    pub async fn find(target: &Target, tasks: &Tasks) -> Result<Self, Failure> {
        let client = Client::connect(Config::new([target.namesrv.clone()]), tasks);
        let mut found = Self {
            client,
            namesrv: target.namesrv.clone(),
            topic: target.topic.clone(),
            queues: target.queues,
            brokers: Vec::new(),
            routed: target.broker.is_none(),
        };
        if let Some(addr) = &target.broker {
            create_at(&found.client, addr, found.topic.clone(), found.queues).await?;
            found.brokers.push(Broker {
                name: addr.clone(),
                addr: addr.clone(),
            });
            return Ok(found);
        }
        let cluster = found.client.cluster().await?;
        for (name, data) in cluster.broker_addr_table {
            if let Some(addr) = data.broker_addrs.get(&0) {
                found.brokers.push(Broker {
                    name: name.into(),
                    addr: addr.as_str().into(),
                });
            }
        }
        if found.brokers.is_empty() {
            let why = "the name server knows no broker that takes messages";
            return Err(Failure::Impossible(why.into()));
        }
        let queues = i32::try_from(found.queues).unwrap_or(i32::MAX);
        let spec = TopicSpec::new(found.topic.clone(), queues);
        found.client.create_topic(&spec).await?;
        Ok(found)
    }

    /// Creates topics with as many queues on one broker, whatever the name servers know.
    pub async fn create_all(
        &self,
        addr: &Text,
        topics: impl Iterator<Item = Text>,
        tasks: &Tasks,
    ) -> Result<(), Failure> {
        let mut config = self.client.config().clone();
        config.request_timeout = CREATION_MAX;
        let client = Client::connect(config, tasks);
        let mut created = JoinSet::new();
        for topic in topics {
            if created.len() == CREATIONS_MAX {
                one_created(&mut created).await?;
            }
            let (client, addr, queues) = (client.clone(), addr.clone(), self.queues);
            created.spawn(async move { create_at(&client, &addr, topic, queues).await });
        }
        while !created.is_empty() {
            one_created(&mut created).await?;
        }
        Ok(())
    }

    /// Every queue that is written to, with its broker's index.
    pub fn all_queues(&self) -> Vec<(u32, Queue)> {
        let brokers = (0..).zip(&self.brokers);
        brokers
            .flat_map(|(at, broker)| {
                (0..self.queues.cast_signed()).map(move |id| {
                    let queue = Queue {
                        topic: self.topic.clone(),
                        broker: broker.name.clone(),
                        id,
                    };
                    (at, queue)
                })
            })
            .collect()
    }

    /// What a log of this run says first.
    pub async fn run(&self, id: u64) -> Result<Run, Failure> {
        if !self.routed {
            let why = "only what is found through --namesrv can be read back";
            return Err(Failure::Impossible(why.into()));
        }
        let mut starts = Vec::new();
        for (broker, queue) in self.all_queues() {
            let offset = self.client.max_offset(&queue).await?;
            starts.push(Start {
                broker,
                queue: queue.id.cast_unsigned(),
                offset: offset.cast_unsigned(),
            });
        }
        Ok(Run {
            id,
            namesrv: self.namesrv.to_string(),
            topic: self.topic.to_string(),
            brokers: self
                .brokers
                .iter()
                .map(|broker| broker.name.to_string())
                .collect(),
            starts,
        })
    }
}

async fn create_at(client: &Client, addr: &Text, topic: Text, queues: u32) -> Result<(), Failure> {
    let queues = i32::try_from(queues).unwrap_or(i32::MAX);
    let request = Request::CreateTopic(CreateTopic {
        topic,
        default_topic: Some(Text::from_static("TBW102")),
        read_queues: queues,
        write_queues: queues,
        perm: READ | WRITE,
        filter_type: Text::from_static("SINGLE_TAG"),
        sys_flag: Some(0),
        order: false,
        attributes: None,
    });
    client.request(addr, request).await?;
    Ok(())
}

async fn one_created(created: &mut JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    match created.join_next().await {
        None => Ok(()),
        Some(one) => one.map_err(|why| Failure::Impossible(why.to_string()))?,
    }
}
