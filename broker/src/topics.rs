//! The topics of this broker: file `topics.json`, the system topics that exist from the start, and
//! what a topic is like that is created by the first message sent to it.

use std::collections::BTreeMap;
use std::path::Path;

use proto::names;
use proto::remoting::config::{DataVersion, INHERIT, READ, TopicConfig, TopicTable, WRITE};
use runtime::state_file::LoadError;

use crate::config::Config;
use crate::config_table::{ConfigTable, Row};

pub(crate) type Topics = ConfigTable<TopicConfig>;

impl Row for TopicConfig {
    type File = TopicTable;
    const KIND: &'static str = "topic";

    fn name(&self) -> &str {
        &self.topic_name
    }

    fn into_file(version: DataVersion, rows: BTreeMap<String, Self>) -> TopicTable {
        TopicTable {
            data_version: version,
            topic_config_table: rows,
            ..TopicTable::default()
        }
    }

    fn from_file(file: TopicTable) -> (DataVersion, BTreeMap<String, Self>) {
        (file.data_version, file.topic_config_table)
    }
}

/// Loads the topics and adds the system's that are missing.
///
/// # Errors
/// When the files are there but no copy is whole, or the new rows cannot be written.
pub(crate) fn load(config_dir: &Path, config: &Config, now_ms: i64) -> Result<Topics, LoadError> {
    let path = config_dir.join("topics.json");
    let topics = Topics::load(path.clone())?;
    let missing = system_topics(config)
        .into_iter()
        .filter(|t| topics.find(&t.topic_name).is_none());
    let missing: Vec<_> = missing.collect();
    topics
        .add_system(missing, now_ms)
        .map_err(|source| LoadError::Io { path, source })?;
    Ok(topics)
}

/// compat: TopicConfigManager#init creates these; tools and clients expect to find them.
fn system_topics(config: &Config) -> Vec<TopicConfig> {
    let (cluster, broker) = (config.names.cluster.as_str(), config.names.broker.as_str());
    let (rw, all) = (READ | WRITE, READ | WRITE | INHERIT);
    let queues = i32::try_from(config.topics.queues).unwrap_or(i32::MAX);
    let cluster_perm = if config.topics.cluster_topic {
        all
    } else {
        INHERIT
    };
    let broker_perm = if config.topics.broker_topic {
        all
    } else {
        INHERIT
    };
    let mut topics = vec![
        TopicConfig::new(names::SELF_TEST_TOPIC, 1, rw),
        TopicConfig::new(names::BENCHMARK_TOPIC, 1024, rw),
        TopicConfig::new(cluster, 16, cluster_perm),
        TopicConfig::new(broker, 1, broker_perm),
        TopicConfig::new(names::OFFSET_MOVED_TOPIC, 1, rw),
        TopicConfig::new(names::SCHEDULE_TOPIC, 18, rw),
        TopicConfig::new(&format!("{cluster}_REPLY_TOPIC"), 1, rw),
        TopicConfig::new(names::HALF_TOPIC, 1, rw),
        TopicConfig::new(names::OP_HALF_TOPIC, 1, rw),
    ];
    if config.topics.auto_create {
        topics.push(TopicConfig::new(names::AUTO_CREATE_TOPIC, queues, all));
    }
    if config.topics.trace_topic {
        topics.push(TopicConfig::new(
            config.topics.trace_topic_name.as_str(),
            1,
            rw,
        ));
    }
    topics
}

/// The topic that a first message makes: like its template, with at most the queues that the client
/// asks for. `None` when the template does not allow it.
pub(crate) fn from_template(
    topics: &Topics,
    name: &str,
    template: &str,
    wanted: i32,
) -> Option<TopicConfig> {
    let template = topics
        .find(template)
        .filter(|template| template.perm & INHERIT != 0)?;
    let queues = wanted.min(template.write_queue_nums).max(0);
    let mut topic = TopicConfig::new(name, queues, template.perm & !INHERIT);
    topic
        .topic_filter_type
        .clone_from(&template.topic_filter_type);
    topic.topic_sys_flag = 0;
    Some(topic)
}

/// Applies `+key=value,-key` to attributes, as requests carry them.
pub(crate) fn change_attributes(attributes: &mut BTreeMap<String, String>, changes: &str) {
    for change in changes.split(',').filter(|change| !change.is_empty()) {
        match (
            change.strip_prefix('+').and_then(|set| set.split_once('=')),
            change.strip_prefix('-'),
        ) {
            (Some((key, value)), _) => drop(attributes.insert(key.into(), value.into())),
            (None, Some(key)) => drop(attributes.remove(key)),
            (None, None) => {}
        }
    }
}
