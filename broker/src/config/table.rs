//! One row per key of `broker.conf`.
//!
//! Invariant: the names are Apache's where Apache has the key; ours are written alike.

use runtime::settings::{Group, Key, Table};

use super::{Config, absent::ABSENT};

/// All that a broker understands.
pub static TABLE: Table<Config> = Table {
    groups: &[
        Group {
            title: "Names",
            keys: NAMES,
        },
        Group {
            title: "Addresses",
            keys: LISTEN,
        },
        Group {
            title: "Topics, groups and messages",
            keys: TOPICS,
        },
        Group {
            title: "Files",
            keys: FILES,
        },
        Group {
            title: "Flushing",
            keys: FLUSH,
        },
        Group {
            title: "Retention",
            keys: RETENTION,
        },
        Group {
            title: "Pulls",
            keys: PULLS,
        },
        Group {
            title: "Requests of operators",
            keys: OPERATORS,
        },
        Group {
            title: "Limits of a connection",
            keys: &LIMITS,
        },
    ],
    absent: ABSENT,
};

type K = Key<Config>;

const NAMES: &[K] = &[
    K::new(
        "brokerClusterName",
        |c| &mut c.names.cluster,
        "The cluster it belongs to.",
    ),
    K::new(
        "brokerName",
        |c| &mut c.names.broker,
        "Its name. Default: the name of the machine.",
    ),
    K::new(
        "brokerId",
        |c| &mut c.names.id,
        "A master's is 0, whatever is written here.",
    ),
    K::new(
        "regionId",
        |c| &mut c.names.region,
        "Told to producers for their traces.",
    ),
];

const LISTEN: &[K] = &[
    K::new(
        "bindAddress",
        |c| &mut c.listen.bind,
        "The address to listen on. Other machines reach it only if it is not a loopback one, and \
         that needs `--insecure` until authentication exists.",
    ),
    K::new(
        "listenPort",
        |c| &mut c.listen.port,
        "The port of the native protocol; the VIP port is this - 2. 0: any free pair.",
    ),
    K::new(
        "haListenPort",
        |c| &mut c.listen.ha_port,
        "The replication port that is registered; 0: listenPort + 1. Nothing listens there yet.",
    ),
    K::new(
        "brokerIP1",
        |c| &mut c.listen.ip1,
        "The address that clients are told. Default: the one it listens on, or this machine's.",
    ),
    K::new(
        "brokerIP2",
        |c| &mut c.listen.ip2,
        "The address that replicas are told. Default: brokerIP1.",
    ),
    K::new(
        "namesrvAddr",
        |c| &mut c.listen.name_servers,
        "The name servers to register with, all of them: `HOST:PORT;HOST:PORT`.",
    ),
    K::new(
        "registerNameServerPeriod",
        |c| &mut c.listen.register_every,
        "Time between two registrations, in ms.",
    )
    .range(10_000, 60_000),
];

const TOPICS: &[K] = &[
    K::new(
        "autoCreateTopicEnable",
        |c| &mut c.topics.auto_create,
        "Whether the first message to a topic creates it.",
    )
    .live(),
    K::new(
        "autoCreateSubscriptionGroup",
        |c| &mut c.topics.auto_create_groups,
        "Whether the first consumer of a group creates it.",
    )
    .live(),
    K::new(
        "defaultTopicQueueNums",
        |c| &mut c.topics.queues,
        "The most queues of a topic that a message creates.",
    )
    .range(1, 1024)
    .live(),
    K::new(
        "brokerPermission",
        |c| &mut c.topics.permission,
        "What the broker allows: 6 read and write, 4 read, 2 write, 0 nothing.",
    )
    .range(0, 7)
    .live(),
    K::new(
        "clusterTopicEnable",
        |c| &mut c.topics.cluster_topic,
        "Whether the topic that bears the cluster's name has 16 queues instead of 1.",
    ),
    K::new(
        "brokerTopicEnable",
        |c| &mut c.topics.broker_topic,
        "Whether the topic that bears the broker's name may be used.",
    ),
    K::new(
        "traceTopicEnable",
        |c| &mut c.topics.trace_topic,
        "Whether the topic for message traces is created at the start.",
    ),
    K::new(
        "msgTraceTopicName",
        |c| &mut c.topics.trace_topic_name,
        "The topic for message traces.",
    ),
    K::new(
        "maxMessageSize",
        |c| &mut c.topics.message_bytes_max,
        "The largest body of a message or batch, in bytes. More: MESSAGE_ILLEGAL; so is an empty one.",
    )
    .range(1, 4 << 20)
    .live(),
    K::new(
        "maxMessageProperties",
        |c| &mut c.topics.properties_max,
        "Properties of a message; RocketMQ's clients add up to 32 to its sender's. More: \
         MESSAGE_ILLEGAL.",
    )
    .range(160, 4096)
    .live(),
    K::new(
        "maxBatchMessages",
        |c| &mut c.topics.batch_messages_max,
        "Messages of a batch; its body has the limit of a message's. More: MESSAGE_ILLEGAL, nothing of \
         it is stored.",
    )
    .range(1, 1024)
    .live(),
    K::new(
        "notifyConsumerIdsChangedEnable",
        |c| &mut c.topics.tell_consumers_of_changes,
        "Whether the consumers of a group are told when one joins or leaves.",
    )
    .live(),
];

const FILES: &[K] = &[
    K::new(
        "storePathRootDir",
        |c| &mut c.files.root,
        "The folder of the store.",
    ),
    K::new(
        "storePathCommitLog",
        |c| &mut c.files.log,
        "The folder of the log. Default: `commitlog` in the store.",
    ),
    K::new(
        "mappedFileSizeCommitLog",
        |c| &mut c.files.log_segment_bytes,
        "The size of a log segment, in bytes.",
    )
    .range(64 << 10, 1 << 30),
    K::new(
        "mappedFileSizeConsumeQueue",
        |c| &mut c.files.queue_segment_bytes,
        "The size of a queue segment, in bytes, rounded up to entries of 20.",
    )
    .range(20, 1 << 30),
    K::new(
        "maxHashSlotNum",
        |c| &mut c.files.index_slots,
        "Hash slots of one file of the key index.",
    )
    .range(1, 100_000_000),
    K::new(
        "maxIndexNum",
        |c| &mut c.files.index_entries,
        "Entries of one file of the key index.",
    )
    .range(2, 100_000_000),
    K::new(
        "enabledAppendPropCRC",
        |c| &mut c.files.record_crc,
        "Whether each record carries a checksum of the whole record.",
    ),
    K::new(
        "logCachePercent",
        |c| &mut c.files.log_cache_percent,
        "How much of the machine's memory the newest part of the log is left in the page cache, in \
         percent. What is older is read from the disk when somebody reads it. 100: as the system \
         likes.",
    )
    .range(1, 100),
];

const FLUSH: &[K] = &[
    K::new(
        "flushDiskType",
        |c| &mut c.flush.mode,
        "What an acknowledgement means: `SYNC_FLUSH` on disk, `ASYNC_FLUSH` written.",
    ),
    K::new(
        "flushIntervalCommitLog",
        |c| &mut c.flush.interval,
        "Time between two flushes with `ASYNC_FLUSH`, in ms.",
    )
    .range(1, 60_000),
    K::new(
        "syncFlushTimeout",
        |c| &mut c.flush.timeout,
        "How long a sender waits for the disk before it is told FLUSH_DISK_TIMEOUT, in ms.",
    )
    .range(1, 600_000)
    .live(),
    K::new(
        "waitTimeMillsInSendQueue",
        |c| &mut c.flush.wait_max,
        "While a message waits longer than this for its acknowledgement, and a MiB of others with \
         it, new ones are refused with SYSTEM_BUSY, in ms.",
    )
    .range(1, 600_000)
    .live(),
];

const RETENTION: &[K] = &[
    K::new(
        "deleteWhen",
        |c| &mut c.retention.delete_at,
        "The hours of the day in which expired segments are deleted, with `;` between them.",
    )
    .live(),
    K::new(
        "fileReservedTime",
        |c| &mut c.retention.keep_hours,
        "How long a segment is kept after its last message, in hours.",
    )
    .range(1, 1_000_000)
    .live(),
    K::new(
        "diskMaxUsedSpaceRatio",
        |c| &mut c.retention.used_percent_max,
        "Above this use of the disk expired segments are deleted at any hour, in percent.",
    )
    .range(10, 95)
    .live(),
    K::new(
        "diskSpaceCleanForciblyRatio",
        |c| &mut c.retention.delete_unexpired,
        "Above this use of the disk the oldest segments are deleted even if they are not expired \
         (0.10 to 1.00).",
    )
    .live(),
    K::new(
        "diskSpaceWarningLevelRatio",
        |c| &mut c.retention.refuse_writes,
        "Above this use of the disk sends are refused (0.10 to 1.00).",
    )
    .live(),
];

const PULLS: &[K] = &[
    K::new(
        "longPollingEnable",
        |c| &mut c.pulls.long_poll,
        "Whether a pull waits for a message as long as the consumer asks.",
    )
    .live(),
    K::new(
        "shortPollingTimeMills",
        |c| &mut c.pulls.short_poll,
        "How long it waits otherwise, in ms.",
    )
    .range(1, 60_000)
    .live(),
    K::new(
        "maxPullSuspendMillis",
        |c| &mut c.pulls.suspend_max,
        "How long a pull may wait, in ms; Apache's consumers ask for 15 to 20 s. Longer: so long it \
         waits.",
    )
    .range(1, 600_000)
    .live(),
    K::new(
        "maxFilterBytes",
        |c| &mut c.pulls.expression_bytes_max,
        "A filter expression, in bytes (tags; SQL is not supported). More: SUBSCRIPTION_PARSE_FAILED; \
         the group is left out of a heartbeat.",
    )
    .range(64, 32 << 10)
    .live(),
    K::new(
        "maxTransferBytesOnMessageInMemory",
        |c| &mut c.pulls.memory_bytes,
        "The bytes that one pull is given, but always one message. More: so many are given.",
    )
    .range(1, 4 << 20)
    .live(),
    K::new(
        "maxTransferCountOnMessageInMemory",
        |c| &mut c.pulls.memory_count,
        "The messages that one pull is given. More: so many are given.",
    )
    .range(1, 1024)
    .live(),
    K::new(
        "maxParkedPullsPerQueue",
        |c| &mut c.pulls.parked_per_queue_max,
        "Pulls that wait at one queue. More: answered at once that there is nothing yet.",
    )
    .range(1, 1 << 20),
    K::new(
        "maxParkedPulls",
        |c| &mut c.pulls.parked_max,
        "Pulls that wait in all. More: answered at once that there is nothing yet.",
    )
    .range(1, 1 << 20),
];

const OPERATORS: &[K] = &[K::new(
    "maxAdminRequestsPerSecond",
    |c| &mut c.admin_per_second_max,
    "Requests of operators' tools in a second. More: answered later, beyond 3 s SYSTEM_BUSY.",
)
.range(1, 1_000_000)
.live()];

const LIMITS: [K; 11] = remoting::limit_keys::<Config>();

impl AsMut<remoting::Limits> for Config {
    fn as_mut(&mut self) -> &mut remoting::Limits {
        &mut self.limits
    }
}
