//! Requests as peers send them, through an in-process link; a few through a socket.

mod registrations;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::json;
use proto::names::RETRY_TOPIC_BYTES_MAX;
use proto::remoting::config::{DataVersion, TopicConfig, TopicOf};
use proto::remoting::fields::{Ext, Sink};
use proto::remoting::naming::{
    BrokerName, BrokerOf, BrokerRegistered, ClusterOf, KvKey, KvNamespace, KvPut, KvValue,
    RegisterBroker, TopicsOpened, TopicsWiped, VersionChanged,
};
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Limits, Peer, Unserved, dial, local_link};
use runtime::Tasks;
use runtime::conf_file::Entry;

use crate::registration::TOPICS_MAX;
use crate::{Config, NameServer, Running, StartError};

const WAIT: Duration = Duration::from_secs(10);

struct Started {
    peer: Peer,
    running: Running,
    tasks: Tasks,
}

fn config(folder: &Path, keys: &[(&str, &str)]) -> Config {
    let file = folder.join("kv/kvConfig.json");
    let file = file.to_str().unwrap();
    let fixed = [("listenPort", "0"), ("kvConfigPath", file)];
    let entries: Vec<_> = fixed
        .iter()
        .chain(keys)
        .map(|(key, value)| Entry::new(*key, value, "test"))
        .collect();
    Config::from_entries(&entries).unwrap().0
}

async fn start(folder: &Path, keys: &[(&str, &str)]) -> Started {
    let tasks = Tasks::root();
    let running = NameServer::start(config(folder, keys), &tasks).await;
    let running = running.unwrap();
    let addr = SocketAddr::from(([10, 0, 0, 9], 1234));
    let peer = local_link(Arc::clone(&running.serve), Arc::new(Unserved), addr);
    Started {
        peer,
        running,
        tasks,
    }
}

impl Started {
    async fn ask(&self, request: Request) -> Reply {
        self.peer.call(request, WAIT).await.unwrap()
    }

    async fn stop(self) {
        self.tasks.close(WAIT).await.unwrap();
    }

    async fn dial(&self) -> Peer {
        let unserved = Arc::new(Unserved);
        dial(self.running.addr, unserved, Limits::default(), &self.tasks)
            .await
            .unwrap()
    }
}

fn register(body: &'static str) -> Request {
    let fields = RegisterBroker {
        broker_name: "broker-a".into(),
        broker_addr: "10.0.0.1:10911".into(),
        cluster_name: "c".into(),
        ha_server_addr: "10.0.0.1:10912".into(),
        broker_id: 0,
        heartbeat_timeout_ms: None,
        acting_master: Some(false),
        compressed: None,
        body_crc32: None,
        is_part: None,
    };
    Request::RegisterBroker {
        fields,
        body: Bytes::from_static(body.as_bytes()),
    }
}

const TWO_TOPICS: &str = r#"{"filterServerList":[],"topicConfigSerializeWrapper":{
    "dataVersion":{"counter":1,"stateVersion":0,"timestamp":2},"topicConfigTable":{
    "t":{"perm":6,"readQueueNums":8,"topicName":"t","writeQueueNums":8},
    "u":{"perm":6,"readQueueNums":8,"topicName":"u","writeQueueNums":8}}}}"#;

fn route(topic: &str) -> Request {
    Request::Route(TopicOf {
        topic: topic.into(),
        cluster: None,
        standard_json: None,
    })
}

fn put(namespace: &str, key: &str, value: &str) -> Request {
    Request::PutKv(KvPut {
        namespace: namespace.into(),
        key: key.into(),
        value: value.into(),
    })
}

fn value(namespace: &str, key: &str) -> Request {
    Request::KvValue(KvKey {
        namespace: namespace.into(),
        key: key.into(),
    })
}

fn text(reply: &Reply) -> String {
    assert_eq!(reply.code, ResponseCode::SUCCESS, "{:?}", reply.remark);
    String::from_utf8(reply.whole_body().to_vec()).unwrap()
}

fn refusal(reply: &Reply) -> (ResponseCode, &str) {
    (reply.code, reply.remark.as_deref().unwrap_or_default())
}

#[tokio::test]
async fn a_route_is_compact_json_with_quoted_keys() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let registered = server.ask(register(TWO_TOPICS)).await;
    let nothing = BrokerRegistered {
        ha_server_addr: None,
        master_addr: None,
    };
    assert_eq!(registered, Reply::ok().with(nothing));
    let wanted = concat!(
        r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911"},"brokerName":"broker-a","#,
        r#""cluster":"c","enableActingMaster":false}],"filterServerTable":{},"queueDatas":["#,
        r#"{"brokerName":"broker-a","perm":6,"readQueueNums":8,"topicSysFlag":0,"#,
        r#""writeQueueNums":8}]}"#
    );
    assert_eq!(text(&server.ask(route("t")).await), wanted);
    let cluster = concat!(
        r#"{"brokerAddrTable":{"broker-a":{"brokerAddrs":{"0":"10.0.0.1:10911"},"#,
        r#""brokerName":"broker-a","cluster":"c","enableActingMaster":false}},"#,
        r#""clusterAddrTable":{"c":["broker-a"]}}"#
    );
    assert_eq!(text(&server.ask(Request::ClusterTable).await), cluster);
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_topic_has_the_text_that_users_search_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    assert_eq!(
        refusal(&server.ask(route("none")).await),
        (
            ResponseCode::TOPIC_NOT_EXIST,
            "No topic route info in name server for the topic: none\nSee \
             https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
        )
    );
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn routes_are_refused_until_the_brokers_had_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("needWaitForService", "true")];
    let server = start(folder.path(), &keys).await;
    server.ask(register(TWO_TOPICS)).await;
    let early = server.ask(route("t")).await;
    assert_eq!(
        refusal(&early),
        (ResponseCode::SYSTEM_ERROR, "name server not ready")
    );
    tokio::time::advance(Duration::from_secs(45)).await;
    assert!(server.ask(route("t")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn a_broker_learns_whether_its_topics_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let query = |counter| Request::QueryDataVersion {
        broker: broker_of(),
        version: DataVersion {
            counter,
            state_version: 0,
            timestamp: 2,
        },
    };
    let unknown = server.ask(query(1)).await;
    assert_eq!(unknown, Reply::ok().with(VersionChanged { changed: true }));
    server.ask(register(TWO_TOPICS)).await;
    for (counter, changed) in [(1, false), (2, true)] {
        let reply = server.ask(query(counter)).await;
        let known = r#"{"counter":1,"stateVersion":0,"timestamp":2}"#;
        assert_eq!(text(&reply), known);
        assert_eq!(reply.read(), Ok(VersionChanged { changed }));
    }
    server.stop().await;
}

fn broker_of() -> BrokerOf {
    BrokerOf {
        broker_name: "broker-a".into(),
        broker_addr: "10.0.0.1:10911".into(),
        cluster_name: "c".into(),
        broker_id: 0,
    }
}

#[tokio::test]
async fn write_permission_is_taken_and_given_by_broker() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server.ask(register(TWO_TOPICS)).await;
    let broker_name = || BrokerName {
        broker_name: "broker-a".into(),
    };
    let wiped = server.ask(Request::WipeWritePerm(broker_name())).await;
    assert_eq!(wiped.read(), Ok(TopicsWiped { count: 2 }));
    assert!(text(&server.ask(route("t")).await).contains(r#""perm":4"#));
    let opened = server.ask(Request::AddWritePerm(broker_name())).await;
    assert_eq!(opened.read(), Ok(TopicsOpened { count: 2 }));
    assert!(text(&server.ask(route("t")).await).contains(r#""perm":6"#));
    server.stop().await;
}

#[tokio::test]
async fn topics_are_listed_unless_that_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server.ask(register(TWO_TOPICS)).await;
    let of_cluster = || {
        Request::TopicsOfCluster(ClusterOf {
            cluster: "c".into(),
        })
    };
    let system = r#"{"topicList":["broker-a","c"],"brokerAddr":"10.0.0.1:10911"}"#;
    let lists = [
        (Request::AllTopicNames, r#"{"topicList":["t","u"]}"#),
        (of_cluster(), r#"{"topicList":["t","u"]}"#),
        (Request::SystemTopics, system),
    ];
    for (request, wanted) in lists {
        assert_eq!(text(&server.ask(request).await), wanted);
    }
    let off = "enableAllTopicList=false\nenableTopicList=false";
    let off = Request::UpdateNamesrvConfig(Bytes::from_static(off.as_bytes()));
    assert!(server.ask(off).await.is_ok());
    for request in [Request::AllTopicNames, of_cluster()] {
        let reply = server.ask(request).await;
        assert_eq!(refusal(&reply), (ResponseCode::SYSTEM_ERROR, "disable"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_topic_and_a_broker_that_left_have_no_route() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server.ask(register(TWO_TOPICS)).await;
    let delete = |cluster: &str| {
        Request::DeleteTopicInNamesrv(TopicOf {
            topic: "t".into(),
            cluster: Some(cluster.into()),
            standard_json: None,
        })
    };
    assert!(server.ask(delete("other")).await.is_ok());
    assert!(server.ask(route("t")).await.is_ok());
    assert!(server.ask(delete("")).await.is_ok());
    assert!(!server.ask(route("t")).await.is_ok());
    assert!(server.ask(route("u")).await.is_ok());
    server.ask(Request::UnregisterBroker(broker_of())).await;
    assert!(!server.ask(route("u")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn settings_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    assert!(server.ask(put("ns", "k", "v")).await.is_ok());
    assert!(server.ask(put("ns", "gone", "w")).await.is_ok());
    let gone = KvKey {
        namespace: "ns".into(),
        key: "gone".into(),
    };
    assert!(server.ask(Request::DeleteKv(gone)).await.is_ok());
    server.stop().await;

    let server = start(folder.path(), &[]).await;
    let reply = server.ask(value("ns", "k")).await;
    let stored = KvValue {
        value: Some("v".into()),
    };
    assert_eq!(reply.read(), Ok(stored));
    let list = |namespace: &str| {
        Request::KvList(KvNamespace {
            namespace: namespace.into(),
        })
    };
    let reply = server.ask(list("ns")).await;
    assert_eq!(text(&reply), r#"{"table":{"k":"v"}}"#);
    let missing = [
        (
            value("ns", "gone"),
            "No config item, Namespace: ns Key: gone",
        ),
        (list("none"), "No config item, Namespace: none"),
    ];
    for (request, told) in missing {
        let reply = server.ask(request).await;
        assert_eq!(refusal(&reply), (ResponseCode::QUERY_NOT_FOUND, told));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_setting_that_cannot_be_stored_is_refused_and_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    std::fs::write(folder.path().join("kv"), "in the place of the folder").unwrap();
    let reply = server.ask(put("ns", "k", "v")).await;
    let (code, told) = refusal(&reply);
    assert_eq!(code, ResponseCode::SYSTEM_ERROR);
    assert!(
        told.starts_with("the key-value settings cannot be stored"),
        "{told}"
    );
    assert!(!server.ask(value("ns", "k")).await.is_ok());
    std::fs::remove_file(folder.path().join("kv")).unwrap();
    assert!(server.ask(put("ns", "k", "v")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn order_settings_go_to_brokers_and_if_wanted_into_routes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    server
        .ask(put("ORDER_TOPIC_CONFIG", "t", "broker-a:8"))
        .await;
    let reply = server.ask(register(TWO_TOPICS)).await;
    assert_eq!(text(&reply), r#"{"table":{"t":"broker-a:8"}}"#);
    let route_text = text(&server.ask(route("t")).await);
    assert!(!route_text.contains("orderTopicConf"), "{route_text}");
    let other = "orderMessageEnable=true\nreturnOrderTopicConfigToBroker=false";
    let other = Request::UpdateNamesrvConfig(Bytes::from_static(other.as_bytes()));
    assert!(server.ask(other).await.is_ok());
    let route_text = text(&server.ask(route("t")).await);
    assert!(
        route_text.contains(r#""filterServerTable":{},"orderTopicConf":"broker-a:8","queueD"#),
        "{route_text}"
    );
    assert_eq!(text(&server.ask(register(TWO_TOPICS)).await), "");
    server.stop().await;
}

#[tokio::test]
async fn the_configuration_changes_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let before = text(&server.ask(Request::NamesrvConfig).await);
    assert!(before.contains("orderMessageEnable=false\n"), "{before}");
    let refused = [
        (
            "orderMessageEnable=true\nkvConfigPath=/x",
            ResponseCode::NO_PERMISSION,
            "Can not update config in black list.",
        ),
        (
            "orderMessageEnable=true\nlistenPort=1",
            ResponseCode::INVALID_PARAMETER,
            "listenPort cannot be changed while the process runs",
        ),
        (
            "orderMessageEnable=true\nodd=1",
            ResponseCode::INVALID_PARAMETER,
            "odd is not a known key",
        ),
    ];
    for (lines, code, told) in refused {
        let update = Request::UpdateNamesrvConfig(Bytes::from_static(lines.as_bytes()));
        assert_eq!(refusal(&server.ask(update).await), (code, told));
    }
    let update = Request::UpdateNamesrvConfig(Bytes::from_static(b"\xff=1"));
    assert_eq!(
        refusal(&server.ask(update).await),
        (ResponseCode::INVALID_PARAMETER, "not utf-8")
    );
    let after = text(&server.ask(Request::NamesrvConfig).await);
    assert_eq!(after, before);
    server.stop().await;
}

#[tokio::test]
async fn commands_of_brokers_and_rare_ones_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let mut ext = Ext::default();
    ext.text("topic", "t");
    let unknown = Request::Unknown {
        code: 217,
        ext,
        body: Bytes::new(),
    };
    let refused = [
        (
            unknown,
            " request type 217 not supported (REGISTER_TOPIC_IN_NAMESRV)",
        ),
        (
            Request::BrokerConfig,
            " request type 26 not supported (GET_BROKER_CONFIG)",
        ),
    ];
    for (request, told) in refused {
        let reply = server.ask(request).await;
        let code = ResponseCode::REQUEST_CODE_NOT_SUPPORTED;
        assert_eq!(refusal(&reply), (code, told));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_broker_is_forgotten_when_its_connection_closes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let (broker, client) = (server.dial().await, server.dial().await);
    let registered = broker.call(register(TWO_TOPICS), WAIT).await.unwrap();
    assert!(registered.is_ok());
    assert!(client.call(route("t"), WAIT).await.unwrap().is_ok());
    broker.close();
    let forgotten = async {
        while client.call(route("t"), WAIT).await.unwrap().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT, forgotten).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn settings_that_were_asked_for_before_the_stop_are_stored_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let client_tasks = Tasks::root();
    let unserved = Arc::new(Unserved);
    let addr = server.running.addr;
    let peer = dial(addr, unserved, Limits::default(), &client_tasks).await;
    let peer = peer.unwrap();
    assert!(peer.call(put("ns", "0", "v"), WAIT).await.unwrap().is_ok());
    let puts = (1..9).map(|n| {
        let (peer, key) = (peer.clone(), n.to_string());
        async move { peer.call(put("ns", &key, "v"), WAIT).await }
    });
    let mut calls = tokio::task::JoinSet::new();
    puts.for_each(|put| drop(calls.spawn(put)));
    let first = calls.join_next().await.unwrap().unwrap();
    server.stop().await;
    let mut acknowledged = vec![first];
    acknowledged.extend(calls.join_all().await);
    let count = acknowledged
        .iter()
        .filter(|reply| reply.as_ref().is_ok_and(Reply::is_ok))
        .count();
    client_tasks.close(WAIT).await.unwrap();

    let server = start(folder.path(), &[]).await;
    let list = Request::KvList(KvNamespace {
        namespace: "ns".into(),
    });
    let body = server.ask(list).await.whole_body();
    let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let stored = list["table"].as_object().unwrap().len();
    assert!(
        stored > count,
        "{stored} stored, {count} acknowledged and one before"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_port_in_use_and_a_broken_file_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &[]).await;
    let tasks = Tasks::root();
    let port = server.running.addr.port().to_string();
    let taken = config(folder.path(), &[("listenPort", &port)]);
    let told = NameServer::start(taken, &tasks).await.unwrap_err();
    assert!(matches!(&told, StartError::Listen { .. }), "{told}");
    server.stop().await;
    std::fs::create_dir_all(folder.path().join("kv")).unwrap();
    std::fs::write(folder.path().join("kv/kvConfig.json"), "{").unwrap();
    let broken = config(folder.path(), &[]);
    let told = NameServer::start(broken, &tasks).await.unwrap_err();
    assert!(matches!(&told, StartError::Settings(_)), "{told}");
    tasks.close(WAIT).await.unwrap();
}
