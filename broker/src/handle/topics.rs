//! Topics as operators and tools handle them.

use std::sync::Arc;

use proto::json::ObjectKeyed;
use proto::message::QueueId;
use proto::names;
use proto::remoting::clients::MessageQueue;
use proto::remoting::config::{CreateTopic, TopicConfig, TopicOf};
use proto::remoting::stats::{GroupNames, QueueOffsets, TopicStats};
use proto::remoting::{Reply, ResponseCode};

use crate::broker::{Bounds, Broker};
use crate::refusal::Refusal;

/// Queues that one topic may have.
pub(crate) const QUEUES_MAX: i32 = 65_536;

pub(super) fn create(broker: &Arc<Broker>, create: &CreateTopic) -> Result<Reply, Refusal> {
    check_not_system(broker, &create.topic)?;
    names::check_topic(&create.topic)?;
    let queues = [create.read_queues, create.write_queues];
    if queues
        .iter()
        .any(|queues| !(0..=QUEUES_MAX).contains(queues))
    {
        let text = format!("a topic has 0 to {QUEUES_MAX} queues");
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    let old = broker.state.topics.find(&create.topic);
    let mut attributes = old.map(|old| old.attributes.clone()).unwrap_or_default();
    crate::topics::change_attributes(
        &mut attributes,
        create.attributes.as_deref().unwrap_or_default(),
    );
    let topic = TopicConfig {
        attributes,
        order: create.order,
        perm: create.perm,
        read_queue_nums: create.read_queues,
        topic_filter_type: create.filter_type.to_string(),
        topic_name: create.topic.to_string(),
        topic_sys_flag: create.sys_flag.unwrap_or(0),
        write_queue_nums: create.write_queues,
    };
    broker.add_topics(vec![topic])?;
    Ok(Reply::ok())
}

pub(super) fn delete(broker: &Arc<Broker>, topic: &TopicOf) -> Result<Reply, Refusal> {
    if topic.topic.trim().is_empty() {
        let text = "The specified topic is blank.";
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    check_not_system(broker, &topic.topic)?;
    broker.delete_topic(&topic.topic)?;
    Ok(Reply::ok())
}

/// compat: AdminBrokerProcessor#updateAndCreateTopic
fn check_not_system(broker: &Broker, topic: &str) -> Result<(), Refusal> {
    let own = &broker.config().names;
    if names::is_system_topic(topic) || [own.cluster.as_str(), own.broker.as_str()].contains(&topic)
    {
        let text = format!("The topic[{topic}] is conflict with system topic.");
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    Ok(())
}

pub(super) fn all(broker: &Broker) -> Reply {
    Reply::ok().body(proto::json::write(&broker.state.topics.all()))
}

fn find(broker: &Broker, topic: &str) -> Result<Arc<TopicConfig>, Refusal> {
    let missing = || {
        Refusal::new(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("topic[{topic}] not exist"),
        )
    };
    broker.state.topics.find(topic).ok_or_else(missing)
}

pub(super) fn config(broker: &Broker, topic: &TopicOf) -> Result<Reply, Refusal> {
    let Some(config) = broker.state.topics.find(&topic.topic) else {
        let text = format!("No topic in this broker. topic: {}", topic.topic);
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, text));
    };
    Ok(Reply::ok().body(proto::json::write(&*config)))
}

pub(super) fn stats(broker: &Broker, topic: &TopicOf) -> Result<Reply, Refusal> {
    let config = find(broker, &topic.topic)?;
    let queues = config.read_queue_nums.max(config.write_queue_nums);
    let rows = (0..queues).map(|queue_id| {
        let id = QueueId(queue_id.cast_unsigned());
        let Bounds { min, max } = broker.bounds(&topic.topic, id);
        let last = broker.store_time(&topic.topic, id, max - 1);
        let queue = broker.message_queue(&topic.topic, queue_id);
        (
            queue,
            QueueOffsets {
                last_update_timestamp: last,
                max_offset: max,
                min_offset: min,
            },
        )
    });
    let offset_table: ObjectKeyed<MessageQueue, _> = ObjectKeyed(rows.collect());
    Ok(Reply::ok().body(
        TopicStats {
            offset_table,
            topic_put_tps: 0.0,
        }
        .to_body(),
    ))
}

pub(super) fn groups(broker: &Broker, topic: &TopicOf) -> Reply {
    let mut groups = broker.clients.groups_of(&topic.topic);
    groups.extend(
        broker
            .state
            .offsets
            .groups_of(&topic.topic)
            .iter()
            .map(ToString::to_string),
    );
    groups.sort();
    groups.dedup();
    Reply::ok().body(proto::json::write(&GroupNames { group_list: groups }))
}
