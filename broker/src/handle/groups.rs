//! Consumer groups as operators and tools handle them, and how far they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::json::ObjectKeyed;
use proto::message::QueueId;
use proto::names;
use proto::remoting::config::{DeleteGroup, GroupConfig, GroupOf};
use proto::remoting::stats::{ConsumeStats, ConsumeStatsOf, QueueProgress, TopicNames};
use proto::remoting::{Reply, ResponseCode};

use crate::broker::Broker;
use crate::refusal::Refusal;

pub(super) fn update(broker: &Arc<Broker>, group: GroupConfig) -> Result<Reply, Refusal> {
    names::check_group(&group.group_name)?;
    broker.put_group(group)?;
    Ok(Reply::ok())
}

pub(super) fn delete(broker: &Arc<Broker>, group: &DeleteGroup) -> Result<Reply, Refusal> {
    broker.delete_group(&group.group, group.clean_offset == Some(true))?;
    Ok(Reply::ok())
}

pub(super) fn all(broker: &Broker) -> Reply {
    Reply::ok().body(proto::json::write(&broker.state.groups.all()))
}

pub(super) fn config(broker: &Broker, group: &GroupOf) -> Result<Reply, Refusal> {
    // compat: SubscriptionGroupManager#findSubscriptionGroupConfig makes the group it is asked for.
    match broker.group(&group.group)? {
        Some(config) => Ok(Reply::ok().body(proto::json::write(&*config))),
        None => {
            let text = format!("subscription group {} not exist", group.group);
            Err(Refusal::new(
                ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
                text,
            ))
        }
    }
}

/// The topics that a group has consumed or subscribes to.
fn topics_of(broker: &Broker, group: &str) -> BTreeSet<String> {
    let committed = broker.state.offsets.topics_of(group);
    let committed = committed.iter().map(ToString::to_string);
    committed.chain(broker.clients.topics_of(group)).collect()
}

pub(super) fn topics(broker: &Broker, group: &GroupOf) -> Reply {
    let topic_list = broker
        .state
        .offsets
        .topics_of(&group.group)
        .iter()
        .map(ToString::to_string)
        .collect();
    Reply::ok().body(proto::json::write(&TopicNames {
        topic_list,
        broker_addr: None,
    }))
}

pub(super) fn progress(broker: &Broker, of: &ConsumeStatsOf) -> Result<Reply, Refusal> {
    let named = of.topic.as_deref().filter(|topic| !topic.trim().is_empty());
    let topics = match named {
        Some(topic) => BTreeSet::from([topic.to_owned()]),
        None => topics_of(broker, &of.group),
    };
    let mut rows = Vec::new();
    for topic in topics {
        let Some(config) = broker.state.topics.find(&topic) else {
            continue;
        };
        for queue_id in 0..config.read_queue_nums {
            let id = QueueId(queue_id.cast_unsigned());
            let max = broker.bounds(&topic, id).max;
            // compat: AdminBrokerProcessor#getConsumeStats shows 0 where nothing is committed.
            let consumed = broker
                .state
                .offsets
                .find(&of.group, &topic, queue_id)
                .unwrap_or(0);
            let last = broker.store_time(&topic, id, consumed - 1);
            let progress = QueueProgress {
                broker_offset: max,
                consumer_offset: consumed,
                pull_offset: consumed,
                last_timestamp: last,
            };
            rows.push((broker.message_queue(&topic, queue_id), progress));
        }
    }
    let stats = ConsumeStats {
        consume_tps: 0.0,
        offset_table: ObjectKeyed(rows),
    };
    Ok(Reply::ok().body(stats.to_body()))
}
