//! What name servers are told, and when.

use std::fs;
use std::sync::Arc;

use broker::NameServer;
use parking_lot::Mutex;
use proto::json;
use proto::remoting::config::{TopicConfig, TopicTable};
use proto::remoting::naming::{BrokerOf, BrokerRegistered, RegisterBody, RegisterBroker};
use proto::remoting::{Reply, Request};
use remoting::{Answer, Call, Limits, Listener, Serve};
use runtime::Tasks;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::desk::{Desk, Ears, WAIT, start_in};

/// A name server that only takes down what it is told.
#[derive(Default)]
struct Notebook(Mutex<Vec<Request>>);

impl Serve for Notebook {
    fn answer(&self, call: Call) -> Answer {
        self.0.lock().push(call.request);
        let answer = BrokerRegistered {
            ha_server_addr: None,
            master_addr: None,
        };
        Reply::ok().with(answer).into()
    }
}

impl Notebook {
    /// What was told since the last look.
    fn told(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock())
    }
}

async fn start() -> (Desk, Arc<Notebook>) {
    start_with(TempDir::new().unwrap()).await
}

async fn start_with(folder: TempDir) -> (Desk, Arc<Notebook>) {
    let notebook = Arc::new(Notebook::default());
    let server = NameServer::Local(Arc::clone(&notebook) as Arc<dyn Serve>);
    let desk = start_in(folder, &[], vec![server]).await.unwrap();
    (desk, notebook)
}

/// What a broker leaves that has so many topics.
fn folder_with_topics(count: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    let named = |n| TopicConfig::new(&format!("topic-of-some-length-{n}"), 4, 6);
    let topics = (0..count).map(named).map(|t| (t.topic_name.clone(), t));
    let file = TopicTable {
        topic_config_table: topics.collect(),
        ..TopicTable::default()
    };
    fs::create_dir(&config).unwrap();
    fs::write(config.join("topics.json"), json::write(&file)).unwrap();
    folder
}

/// The only thing told, which must be a registration.
fn registration(mut told: Vec<Request>) -> (RegisterBroker, RegisterBody) {
    assert_eq!(told.len(), 1, "{told:?}");
    let Some(Request::RegisterBroker { fields, body }) = told.pop() else {
        panic!("no registration")
    };
    (fields, json::read(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_has_started_is_registered_with_the_topics_of_the_system() {
    let (desk, notebook) = start().await;
    let (fields, body) = registration(notebook.told());
    let addr = desk.running.addr();
    let wanted = RegisterBroker {
        broker_name: "b".into(),
        broker_addr: addr.to_string().into(),
        cluster_name: "DefaultCluster".into(),
        ha_server_addr: format!("127.0.0.1:{}", addr.port() + 1).into(),
        broker_id: 0,
        heartbeat_timeout_ms: None,
        acting_master: Some(false),
        compressed: Some(false),
        body_crc32: fields.body_crc32,
        is_part: None,
    };
    assert_eq!(fields, wanted);
    let topics = body.topic_config_serialize_wrapper;
    assert_eq!(topics.mapping_data_version, Some(topics.data_version));
    let template = topics.topic_config_table.get("TBW102");
    assert_eq!(template, Some(&TopicConfig::new("TBW102", 8, 7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_topic_is_announced_before_its_first_message_is_answered_and_only_once() {
    let (desk, notebook) = start().await;
    let client = desk.client();
    let (_, before) = registration(notebook.told());
    client.send("t", 0, "one").await;
    let (fields, body) = registration(notebook.told());
    assert_eq!(fields.is_part, Some(true));
    let table = body.topic_config_serialize_wrapper;
    let topics: Vec<_> = table.topic_config_table.into_values().collect();
    assert_eq!(topics, [TopicConfig::new("t", 4, 6)]);
    let counter = before.topic_config_serialize_wrapper.data_version.counter;
    assert_eq!(table.data_version.counter, counter + 1);
    client.send("t", 0, "two").await;
    assert_eq!(notebook.told(), []);
}

/// It takes a while to write down so many topics.
#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_all_topics_does_not_come_after_that_of_a_newer_one() {
    let (desk, notebook) = start_with(folder_with_topics(5_000)).await;
    let client = desk.client();
    for n in 0..5 {
        client.delete_topic("topic-of-some-length-0").await;
        client.create_topic(&format!("new{n}"), 1).await;
        client.create_topic("topic-of-some-length-0", 1).await;
    }
    drop(client);
    desk.stop().await;
    let counters = notebook.told().into_iter().filter_map(|told| {
        let Request::RegisterBroker { fields, body } = told else {
            return None;
        };
        let body: RegisterBody = json::read(&body).unwrap();
        let table = body.topic_config_serialize_wrapper;
        Some((table.data_version.counter, fields.is_part))
    });
    let counters: Vec<_> = counters.collect();
    let all = counters.iter().filter(|(_, is_part)| is_part.is_none());
    assert!(all.count() > 1, "{counters:?}");
    assert!(
        counters.is_sorted_by_key(|(counter, _)| counter),
        "{counters:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_unregisters() {
    let (desk, notebook) = start().await;
    notebook.told();
    let leaving = BrokerOf {
        broker_name: "b".into(),
        broker_addr: desk.running.announced_addr(),
        cluster_name: "DefaultCluster".into(),
        broker_id: 0,
    };
    desk.running.stop(WAIT).await.unwrap();
    assert_eq!(notebook.told(), [Request::UnregisterBroker(leaving)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_that_is_away_holds_up_neither_start_nor_send() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let server = NameServer::Addr(addr.to_string());
    let folder = TempDir::new().unwrap();
    let desk = start_in(folder, &[], vec![server]).await.unwrap();
    assert_eq!(desk.client().send("t", 0, "one").await.queue_offset, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_topics_are_never_the_first_frame_of_a_link() {
    let (tasks, (ears, mut heard)) = (Tasks::root(), Ears::open());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let server = NameServer::Addr(listener.local_addr().unwrap().to_string());
    listener.serve(ears, Limits::default(), &tasks);
    let folder = folder_with_topics(40_000);
    let _desk = start_in(folder, &[], vec![server]).await.unwrap();
    let mut questions = 0;
    // On a slow machine the start gives up waiting, and a second link begins anew.
    let told = loop {
        match timeout(WAIT, heard.recv()).await.unwrap().unwrap() {
            Request::QueryDataVersion { .. } => questions += 1,
            other => break other,
        }
    };
    assert!(questions > 0);
    let (_, body) = registration(vec![told]);
    let told = body.topic_config_serialize_wrapper.topic_config_table;
    assert!(told.len() > 40_000 && json::write(&told).len() > Limits::default().first_frame_bytes);
}
