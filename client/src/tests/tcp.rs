//! Connections over TCP: made on demand, made again, and left alone while nobody answers there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{AskError, Client, Config, Message, Outcome, Tasks, Text};
use proto::json;
use proto::remoting::naming::{BrokerData, QueueData, TopicRoute};
use proto::remoting::{Reply, Request};
use remoting::{Answer, Call, Limits, Listener, Peer, Serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Says that every topic has one queue on the broker at this address.
struct NameServer {
    broker: SocketAddr,
    left: mpsc::Sender<Peer>,
}

impl Serve for NameServer {
    fn answer(&self, call: Call) -> Answer {
        let Request::Route(_) = &call.request else {
            return Answer::Now(remoting::unsupported(&call.request));
        };
        let broker = BrokerData {
            broker_addrs: [(0, self.broker.to_string())].into(),
            broker_name: "b".into(),
            ..BrokerData::default()
        };
        let queue = QueueData {
            broker_name: "b".into(),
            perm: 6,
            read_queue_nums: 1,
            write_queue_nums: 1,
            topic_sys_flag: 0,
        };
        Answer::Now(Reply::ok().body(json::write(&TopicRoute {
            broker_datas: vec![broker],
            queue_datas: vec![queue],
            ..TopicRoute::default()
        })))
    }

    fn disconnected(&self, peer: &Peer) {
        // Most tests do not listen.
        drop(self.left.try_send(peer.clone()));
    }
}

async fn name_server(broker: SocketAddr, tasks: &Tasks) -> Text {
    name_server_that_tells(broker, tasks).await.0
}

/// With the peers whose connection ended.
async fn name_server_that_tells(broker: SocketAddr, tasks: &Tasks) -> (Text, mpsc::Receiver<Peer>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap().to_string().into();
    let (left, ended) = mpsc::channel(10);
    let name_server = NameServer { broker, left };
    listener.serve(Arc::new(name_server), Limits::default(), tasks);
    (addr, ended)
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_broker_that_is_not_there_means_not_sent() {
    let tasks = Tasks::root();
    let name_server = name_server(nobody().await, &tasks).await;
    let client = Client::connect(Config::new([name_server]), &tasks);
    let error = client.send(Message::new("t", "b")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

#[tokio::test]
async fn a_broker_that_hangs_up_means_unknown_and_is_connected_to_again() {
    let tasks = Tasks::root();
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name_server = name_server(broker.local_addr().unwrap(), &tasks).await;
    let client = Client::connect(Config::new([name_server]), &tasks);
    for _ in 0..2 {
        let hang_up = async {
            let (stream, _) = broker.accept().await.unwrap();
            stream.readable().await.unwrap();
        };
        let (sent, ()) = tokio::join!(client.send(Message::new("t", "b")), hang_up);
        assert_eq!(sent.unwrap_err().outcome(), Outcome::Unknown);
    }
}

#[tokio::test]
async fn a_link_on_which_nothing_comes_is_given_up_after_one_time_out() {
    let tasks = Tasks::root();
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name_server = name_server(broker.local_addr().unwrap(), &tasks).await;
    let mut config = Config::new([name_server]);
    config.send_timeout = Duration::from_secs(1);
    let client = Client::connect(config, &tasks);
    let mut silent = Vec::new();
    for _ in 0..2 {
        let accepted = tokio::time::timeout(Duration::from_secs(20), broker.accept());
        let accept = async { silent.push(accepted.await.unwrap().unwrap()) };
        let (sent, ()) = tokio::join!(client.send(Message::new("t", "b")), accept);
        assert_eq!(sent.unwrap_err().outcome(), Outcome::Unknown);
    }
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_is_away() {
    let tasks = Tasks::root();
    let there = name_server(nobody().await, &tasks).await;
    let away = Text::from(nobody().await.to_string());
    let client = Client::connect(Config::new([away, there]), &tasks);
    assert_eq!(client.queues("t").await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_name_server_the_error_says_so() {
    let tasks = Tasks::root();
    let client = Client::connect(Config::new([nobody().await.to_string()]), &tasks);
    let error = client.queues("t").await.unwrap_err();
    assert!(
        matches!(&error, AskError::Route(crate::RouteError::NoNameServer(_))),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_the_client_ends_its_tasks() {
    let tasks = Tasks::root();
    let name_server_tasks = Tasks::root();
    let (name_server, mut ended) = name_server_that_tells(nobody().await, &name_server_tasks).await;
    let client = Client::connect(Config::new([name_server]), &tasks);
    client.queues("t").await.unwrap();
    drop(client);
    let end = tokio::time::timeout(Duration::from_secs(20), ended.recv()).await;
    assert!(end.is_ok_and(|peer| peer.is_some()));
    assert!(!tasks.is_cancelled(), "only its own");
}
