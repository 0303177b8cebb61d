//! Keys of Apache's `broker.conf` for what does not exist here.
//!
//! `Only` where silence would be dangerous (replication, access control): any other value stops the
//! start. `Ignored` where what was asked for is not needed here or merely missing: a warning.

use runtime::settings::Absent;

const fn only(key: &'static str, value: &'static str, reason: &'static str) -> Absent {
    Absent::Only { key, value, reason }
}

const fn ignored(key: &'static str, reason: &'static str) -> Absent {
    Absent::Ignored { key, reason }
}

const NO_REPLICATION: &str = "there is no replication yet";
const NO_ACCESS_CONTROL: &str = "there is no access control yet";
const NO_TRANSACTIONS: &str = "there are no transactional messages yet";
const NO_DELAYS: &str = "there are no delayed messages yet";
const NO_POP: &str = "there is no pop consumption yet";
const NO_SQL_FILTER: &str = "there are no SQL filters yet";
const NO_LIGHT_QUEUES: &str = "there are no light queues";
const ONE_POOL: &str = "one pool of threads, one per core, serves all requests";
const OWN_WRITE_PATH: &str = "the log is not written through mapped memory";
const OWN_LIMITS: &str =
    "connections have limits of their own, see maxFrameBytes and its neighbours";
const NAMED_ADDRESSES: &str = "name servers are named by namesrvAddr or -n";
const ALWAYS_WHOLE: &str = "a registration is always sent, whole and uncompressed";
const ONE_LIMIT: &str = "old and recent messages are given alike, see ...InMemory";
const NOT_NEEDED: &str = "it has no counterpart";

pub(super) const ABSENT: &[Absent] = &[
    only("brokerRole", "ASYNC_MASTER", NO_REPLICATION),
    only("enableControllerMode", "false", NO_REPLICATION),
    only("enableSlaveActingMaster", "false", NO_REPLICATION),
    only("duplicationEnable", "false", NO_REPLICATION),
    only("minInSyncReplicas", "1", NO_REPLICATION),
    only("inSyncReplicas", "1", NO_REPLICATION),
    only("totalReplicas", "1", NO_REPLICATION),
    only("allAckInSyncStateSet", "false", NO_REPLICATION),
    ignored("controllerAddr", NO_REPLICATION),
    ignored("haMasterAddress", NO_REPLICATION),
    ignored("slaveReadEnable", NO_REPLICATION),
    ignored("slaveTimeout", NO_REPLICATION),
    ignored("haSendHeartbeatInterval", NO_REPLICATION),
    ignored("haTransferBatchSize", NO_REPLICATION),
    only("aclEnable", "false", NO_ACCESS_CONTROL),
    only("authenticationEnabled", "false", NO_ACCESS_CONTROL),
    only("authorizationEnabled", "false", NO_ACCESS_CONTROL),
    only("tlsEnable", "false", "there is no TLS yet"),
    only("storeType", "default", "there is one kind of store"),
    only("enableMixedMessageType", "false", NOT_NEEDED),
    ignored("rejectTransactionMessage", NO_TRANSACTIONS),
    ignored("transactionTimeOut", NO_TRANSACTIONS),
    ignored("transactionCheckMax", NO_TRANSACTIONS),
    ignored("transactionCheckInterval", NO_TRANSACTIONS),
    ignored("messageDelayLevel", NO_DELAYS),
    ignored("timerWheelEnable", NO_DELAYS),
    ignored("timerMaxDelaySec", NO_DELAYS),
    ignored("timerPrecisionMs", NO_DELAYS),
    ignored("recallMessageEnable", NO_DELAYS),
    ignored("popPollingSize", NO_POP),
    ignored("popFromRetryProbability", NO_POP),
    ignored("enablePropertyFilter", NO_SQL_FILTER),
    ignored("enableCalcFilterBitMap", NO_SQL_FILTER),
    ignored("enableConsumeQueueExt", NO_SQL_FILTER),
    ignored("enableLmq", NO_LIGHT_QUEUES),
    ignored("enableMultiDispatch", NO_LIGHT_QUEUES),
    ignored("sendMessageThreadPoolNums", ONE_POOL),
    ignored("pullMessageThreadPoolNums", ONE_POOL),
    ignored("queryMessageThreadPoolNums", ONE_POOL),
    ignored("adminBrokerThreadPoolNums", ONE_POOL),
    ignored("clientManageThreadPoolNums", ONE_POOL),
    ignored("consumerManageThreadPoolNums", ONE_POOL),
    ignored("heartbeatThreadPoolNums", ONE_POOL),
    ignored("sendThreadPoolQueueCapacity", ONE_POOL),
    ignored("pullThreadPoolQueueCapacity", ONE_POOL),
    ignored("useReentrantLockWhenPutMessage", OWN_WRITE_PATH),
    ignored("transientStorePoolEnable", OWN_WRITE_PATH),
    ignored("transientStorePoolSize", OWN_WRITE_PATH),
    ignored("warmMapedFileEnable", OWN_WRITE_PATH),
    ignored("osPageCacheBusyTimeOutMills", OWN_WRITE_PATH),
    ignored("flushCommitLogTimed", OWN_WRITE_PATH),
    ignored("flushCommitLogLeastPages", OWN_WRITE_PATH),
    ignored("serverWorkerThreads", OWN_LIMITS),
    ignored("serverSelectorThreads", OWN_LIMITS),
    ignored("serverCallbackExecutorThreads", OWN_LIMITS),
    ignored("serverOnewaySemaphoreValue", OWN_LIMITS),
    ignored("serverAsyncSemaphoreValue", OWN_LIMITS),
    ignored("serverChannelMaxIdleTimeSeconds", OWN_LIMITS),
    ignored("serverSocketSndBufSize", OWN_LIMITS),
    ignored("serverSocketRcvBufSize", OWN_LIMITS),
    ignored("useEpollNativeSelector", OWN_LIMITS),
    ignored("maxTransferBytesOnMessageInDisk", ONE_LIMIT),
    ignored("maxTransferCountOnMessageInDisk", ONE_LIMIT),
    ignored(
        "flushConsumerOffsetInterval",
        "a committed offset is written before it is acknowledged",
    ),
    ignored("fetchNamesrvAddrByAddressServer", NAMED_ADDRESSES),
    ignored("fetchNameSrvAddrByDnsLookup", NAMED_ADDRESSES),
    ignored("compressedRegister", ALWAYS_WHOLE),
    ignored("forceRegister", ALWAYS_WHOLE),
    ignored("metricsExporterType", "there are no metrics yet"),
    ignored("metricsPromExporterPort", "there are no metrics yet"),
    ignored("searchBcqByCacheEnable", NOT_NEEDED),
    ignored("rocketmqHome", NOT_NEEDED),
    ignored("deleteFileBatchMax", NOT_NEEDED),
];
