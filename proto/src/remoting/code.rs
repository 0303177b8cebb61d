//! The numbers on the wire: request codes with their names, response codes. Every code that any
//! RocketMQ peer is known to send has a name here, whether we answer it or not.

/// Every request code with the name users know it by, in ascending order.
const REQUESTS: [(i32, &str); 157] = [
    (10, "SEND_MESSAGE"),
    (11, "PULL_MESSAGE"),
    (12, "QUERY_MESSAGE"),
    (13, "QUERY_BROKER_OFFSET"),
    (14, "QUERY_CONSUMER_OFFSET"),
    (15, "UPDATE_CONSUMER_OFFSET"),
    (17, "UPDATE_AND_CREATE_TOPIC"),
    (18, "UPDATE_AND_CREATE_TOPIC_LIST"),
    (21, "GET_ALL_TOPIC_CONFIG"),
    (22, "GET_TOPIC_CONFIG_LIST"),
    (23, "GET_TOPIC_NAME_LIST"),
    (25, "UPDATE_BROKER_CONFIG"),
    (26, "GET_BROKER_CONFIG"),
    (27, "TRIGGER_DELETE_FILES"),
    (28, "GET_BROKER_RUNTIME_INFO"),
    (29, "SEARCH_OFFSET_BY_TIMESTAMP"),
    (30, "GET_MAX_OFFSET"),
    (31, "GET_MIN_OFFSET"),
    (32, "GET_EARLIEST_MSG_STORETIME"),
    (33, "VIEW_MESSAGE_BY_ID"),
    (34, "HEART_BEAT"),
    (35, "UNREGISTER_CLIENT"),
    (36, "CONSUMER_SEND_MSG_BACK"),
    (37, "END_TRANSACTION"),
    (38, "GET_CONSUMER_LIST_BY_GROUP"),
    (39, "CHECK_TRANSACTION_STATE"),
    (40, "NOTIFY_CONSUMER_IDS_CHANGED"),
    (41, "LOCK_BATCH_MQ"),
    (42, "UNLOCK_BATCH_MQ"),
    (43, "GET_ALL_CONSUMER_OFFSET"),
    (45, "GET_ALL_DELAY_OFFSET"),
    (46, "CHECK_CLIENT_CONFIG"),
    (47, "GET_CLIENT_CONFIG"),
    (50, "UPDATE_AND_CREATE_ACL_CONFIG"),
    (51, "DELETE_ACL_CONFIG"),
    (52, "GET_BROKER_CLUSTER_ACL_INFO"),
    (53, "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG"),
    (60, "GET_TIMER_CHECK_POINT"),
    (61, "GET_TIMER_METRICS"),
    (100, "PUT_KV_CONFIG"),
    (101, "GET_KV_CONFIG"),
    (102, "DELETE_KV_CONFIG"),
    (103, "REGISTER_BROKER"),
    (104, "UNREGISTER_BROKER"),
    (105, "GET_ROUTEINFO_BY_TOPIC"),
    (106, "GET_BROKER_CLUSTER_INFO"),
    (200, "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP"),
    (201, "GET_ALL_SUBSCRIPTIONGROUP_CONFIG"),
    (202, "GET_TOPIC_STATS_INFO"),
    (203, "GET_CONSUMER_CONNECTION_LIST"),
    (204, "GET_PRODUCER_CONNECTION_LIST"),
    (205, "WIPE_WRITE_PERM_OF_BROKER"),
    (206, "GET_ALL_TOPIC_LIST_FROM_NAMESERVER"),
    (207, "DELETE_SUBSCRIPTIONGROUP"),
    (208, "GET_CONSUME_STATS"),
    (209, "SUSPEND_CONSUMER"),
    (210, "RESUME_CONSUMER"),
    (211, "RESET_CONSUMER_OFFSET_IN_CONSUMER"),
    (212, "RESET_CONSUMER_OFFSET_IN_BROKER"),
    (213, "ADJUST_CONSUMER_THREAD_POOL"),
    (214, "WHO_CONSUME_THE_MESSAGE"),
    (215, "DELETE_TOPIC_IN_BROKER"),
    (216, "DELETE_TOPIC_IN_NAMESRV"),
    (217, "REGISTER_TOPIC_IN_NAMESRV"),
    (219, "GET_KVLIST_BY_NAMESPACE"),
    (220, "RESET_CONSUMER_CLIENT_OFFSET"),
    (221, "GET_CONSUMER_STATUS_FROM_CLIENT"),
    (222, "INVOKE_BROKER_TO_RESET_OFFSET"),
    (223, "INVOKE_BROKER_TO_GET_CONSUMER_STATUS"),
    (224, "GET_TOPICS_BY_CLUSTER"),
    (225, "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST"),
    (300, "QUERY_TOPIC_CONSUME_BY_WHO"),
    (301, "REGISTER_FILTER_SERVER"),
    (302, "REGISTER_MESSAGE_FILTER_CLASS"),
    (303, "QUERY_CONSUME_TIME_SPAN"),
    (304, "GET_SYSTEM_TOPIC_LIST_FROM_NS"),
    (305, "GET_SYSTEM_TOPIC_LIST_FROM_BROKER"),
    (306, "CLEAN_EXPIRED_CONSUMEQUEUE"),
    (307, "GET_CONSUMER_RUNNING_INFO"),
    (308, "QUERY_CORRECTION_OFFSET"),
    (309, "CONSUME_MESSAGE_DIRECTLY"),
    (310, "SEND_MESSAGE_V2"),
    (311, "GET_UNIT_TOPIC_LIST"),
    (312, "GET_HAS_UNIT_SUB_TOPIC_LIST"),
    (313, "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST"),
    (314, "CLONE_GROUP_OFFSET"),
    (315, "VIEW_BROKER_STATS_DATA"),
    (316, "CLEAN_UNUSED_TOPIC"),
    (317, "GET_BROKER_CONSUME_STATS"),
    (318, "UPDATE_NAMESRV_CONFIG"),
    (319, "GET_NAMESRV_CONFIG"),
    (320, "SEND_BATCH_MESSAGE"),
    (321, "QUERY_CONSUME_QUEUE"),
    (322, "QUERY_DATA_VERSION"),
    (323, "RESUME_CHECK_HALF_MESSAGE"),
    (324, "SEND_REPLY_MESSAGE"),
    (325, "SEND_REPLY_MESSAGE_V2"),
    (326, "PUSH_REPLY_MESSAGE_TO_CLIENT"),
    (327, "ADD_WRITE_PERM_OF_BROKER"),
    (328, "GET_ALL_PRODUCER_INFO"),
    (329, "DELETE_EXPIRED_COMMITLOG"),
    (343, "QUERY_TOPICS_BY_CONSUMER"),
    (345, "QUERY_SUBSCRIPTION_BY_CONSUMER"),
    (351, "GET_TOPIC_CONFIG"),
    (352, "GET_SUBSCRIPTIONGROUP_CONFIG"),
    (353, "UPDATE_AND_GET_GROUP_FORBIDDEN"),
    (354, "CHECK_ROCKSDB_CQ_WRITE_PROGRESS"),
    (355, "EXPORT_ROCKSDB_CONFIG_TO_JSON"),
    (361, "LITE_PULL_MESSAGE"),
    (370, "RECALL_MESSAGE"),
    (400, "QUERY_ASSIGNMENT"),
    (401, "SET_MESSAGE_REQUEST_MODE"),
    (402, "GET_ALL_MESSAGE_REQUEST_MODE"),
    (513, "UPDATE_AND_CREATE_STATIC_TOPIC"),
    (901, "GET_BROKER_MEMBER_GROUP"),
    (902, "ADD_BROKER"),
    (903, "REMOVE_BROKER"),
    (904, "BROKER_HEARTBEAT"),
    (905, "NOTIFY_MIN_BROKER_ID_CHANGE"),
    (906, "EXCHANGE_BROKER_HA_INFO"),
    (907, "GET_BROKER_HA_STATUS"),
    (908, "RESET_MASTER_FLUSH_OFFSET"),
    (1001, "CONTROLLER_ALTER_SYNC_STATE_SET"),
    (1002, "CONTROLLER_ELECT_MASTER"),
    (1003, "CONTROLLER_REGISTER_BROKER"),
    (1004, "CONTROLLER_GET_REPLICA_INFO"),
    (1005, "CONTROLLER_GET_METADATA_INFO"),
    (1006, "CONTROLLER_GET_SYNC_STATE_DATA"),
    (1007, "GET_BROKER_EPOCH_CACHE"),
    (1008, "NOTIFY_BROKER_ROLE_CHANGED"),
    (1009, "UPDATE_CONTROLLER_CONFIG"),
    (1010, "GET_CONTROLLER_CONFIG"),
    (1011, "CLEAN_BROKER_DATA"),
    (1012, "CONTROLLER_GET_NEXT_BROKER_ID"),
    (1013, "CONTROLLER_APPLY_BROKER_ID"),
    (2001, "UPDATE_COLD_DATA_FLOW_CTR_CONFIG"),
    (2002, "REMOVE_COLD_DATA_FLOW_CTR_CONFIG"),
    (2003, "GET_COLD_DATA_FLOW_CTR_INFO"),
    (2004, "SET_COMMITLOG_READ_MODE"),
    (3001, "AUTH_CREATE_USER"),
    (3002, "AUTH_UPDATE_USER"),
    (3003, "AUTH_DELETE_USER"),
    (3004, "AUTH_GET_USER"),
    (3005, "AUTH_LIST_USER"),
    (3006, "AUTH_CREATE_ACL"),
    (3007, "AUTH_UPDATE_ACL"),
    (3008, "AUTH_DELETE_ACL"),
    (3009, "AUTH_GET_ACL"),
    (3010, "AUTH_LIST_ACL"),
    (200_050, "POP_MESSAGE"),
    (200_051, "ACK_MESSAGE"),
    (200_052, "PEEK_MESSAGE"),
    (200_053, "CHANGE_MESSAGE_INVISIBLETIME"),
    (200_054, "NOTIFICATION"),
    (200_055, "POLLING_INFO"),
    (200_056, "POP_ROLLBACK"),
    (200_151, "BATCH_ACK_MESSAGE"),
];

/// The name of a request code, for refusals and traces.
pub fn request_name(code: i32) -> &'static str {
    let at = REQUESTS.binary_search_by_key(&code, |(code, _)| *code);
    at.ok()
        .and_then(|at| REQUESTS.get(at))
        .map_or("UNKNOWN", |(_, name)| name)
}

/// Declares response codes once: the constant and its name.
macro_rules! response_codes {
    ($($name:ident = $code:literal),* $(,)?) => {
        /// What a reply says about its request.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct ResponseCode(pub i32);

        impl ResponseCode {
            $(pub const $name: Self = Self($code);)*

            /// The name of a known code.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

response_codes! {
    SUCCESS = 0,
    SYSTEM_ERROR = 1,
    SYSTEM_BUSY = 2,
    REQUEST_CODE_NOT_SUPPORTED = 3,
    FLUSH_DISK_TIMEOUT = 10,
    SLAVE_NOT_AVAILABLE = 11,
    FLUSH_SLAVE_TIMEOUT = 12,
    MESSAGE_ILLEGAL = 13,
    SERVICE_NOT_AVAILABLE = 14,
    NO_PERMISSION = 16,
    TOPIC_NOT_EXIST = 17,
    PULL_NOT_FOUND = 19,
    PULL_RETRY_IMMEDIATELY = 20,
    PULL_OFFSET_MOVED = 21,
    QUERY_NOT_FOUND = 22,
    SUBSCRIPTION_PARSE_FAILED = 23,
    SUBSCRIPTION_NOT_EXIST = 24,
    SUBSCRIPTION_NOT_LATEST = 25,
    SUBSCRIPTION_GROUP_NOT_EXIST = 26,
    INVALID_PARAMETER = 29,
    CONSUMER_NOT_ONLINE = 206,
    CONSUME_MSG_TIMEOUT = 207,
    POLLING_FULL = 209,
    GO_AWAY = 1500,
}

impl std::fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_names_are_sorted_by_code_so_that_each_is_found() {
        assert!(REQUESTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(request_name(36), "CONSUMER_SEND_MSG_BACK");
        assert_eq!(request_name(-1), "UNKNOWN");
    }
}
