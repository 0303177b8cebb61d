//! What is promised besides messages (P8): topics that were created are there after a crash, and a
//! consumer's offset is never ahead of what it committed.

use std::time::{Duration, Instant};

use client::{Client, Config, Queue, Tasks, TopicSpec};

use crate::course::{Stop, must};
use crate::house::House;

const GROUP: &str = "chaos";
const EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(crate) struct Promised {
    tried: u32,
    topics: Vec<String>,
    /// What the broker said after its last start.
    offset_found: i64,
    /// The last one that was tried.
    offset_tried: i64,
}

impl Promised {
    /// Creates topics and commits offsets for so long, whatever the server does.
    pub(crate) async fn ask_for_more(&mut self, client: &Client, so_long: Duration) {
        let until = Instant::now() + so_long;
        while Instant::now() < until {
            self.tried += 1;
            let name = format!("chaos-{}", self.tried);
            let created = client.create_topic(&TopicSpec::new(name.clone(), 1)).await;
            if created.is_ok() {
                self.topics.push(name);
            }
            if let Some(queue) = queue(client).await {
                self.offset_tried += 1;
                drop(client.commit_offset(GROUP, &queue, self.offset_tried).await);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// After a restart.
    pub(crate) async fn check(&mut self, house: &House) -> Result<(), Stop> {
        let client = Client::connect(Config::new([house.namesrv()]), &Tasks::root());
        let there = client.topics().await.map_err(Stop::failed)?;
        let topics = self.topics.iter();
        let lost: Vec<_> = topics.filter(|name| !there.contains(name)).collect();
        must(lost.is_empty(), || format!("lost topics: {lost:?}"))?;
        let Some(queue) = queue(&client).await else {
            return Err(Stop::failed("the topic has no queues"));
        };
        let found = client.committed_offset(GROUP, &queue).await;
        let found = found.map_err(Stop::failed)?.unwrap_or(0);
        let right = self.offset_found..=self.offset_tried;
        must(right.contains(&found), || {
            format!("the consumer's offset is {found} and should be within {right:?}")
        })?;
        self.offset_found = found;
        Ok(())
    }
}

/// The one whose offset is committed.
async fn queue(client: &Client) -> Option<Queue> {
    client.queues("chaos").await.ok()?.into_iter().next()
}
