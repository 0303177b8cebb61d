//! A name server and a broker in one, linked to the gateway in this process.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use client::{Client, Text};
use parking_lot::Mutex;
use proto::json;
use proto::remoting::naming::{BrokerData, Cluster, QueueData, TopicRoute};
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Answer, Call, Serve, Unserved, local_link};
use runtime::Tasks;

/// What the broker does with its next message; afterwards it takes them.
pub(super) enum Next {
    Say(ResponseCode),
    Forget,
}

#[derive(Default)]
pub(super) struct Fake {
    pub(super) next: Mutex<VecDeque<Next>>,
    pub(super) sends: Mutex<Vec<Send>>,
    /// Knows topics by itself, and creates none.
    pub(super) knows_nothing: Mutex<bool>,
}

impl Fake {
    pub(super) fn client(self: &Arc<Self>, tasks: &Tasks) -> Client {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let links = ["ns", "broker"].map(|name| {
            let server: Arc<dyn Serve> = Arc::<Self>::clone(self);
            (
                Text::from_static(name),
                local_link(server, Arc::new(Unserved), addr),
            )
        });
        Client::with_links(client::Config::new(["ns"]), HashMap::from(links), tasks)
    }

    fn route(&self) -> Reply {
        if *self.knows_nothing.lock() {
            return Reply::new(ResponseCode::TOPIC_NOT_EXIST);
        }
        let queues = QueueData {
            broker_name: "broker-a".into(),
            perm: 6,
            read_queue_nums: 1,
            write_queue_nums: 1,
            topic_sys_flag: 0,
        };
        Reply::ok().body(json::write(&TopicRoute {
            broker_datas: vec![broker()],
            queue_datas: vec![queues],
            ..TopicRoute::default()
        }))
    }

    fn take(&self, send: Send) -> Reply {
        let mut sends = self.sends.lock();
        sends.push(send);
        Reply::ok().with(Sent {
            message_id: "7F00000100002A9F0000000000000000".into(),
            queue_id: 0,
            queue_offset: i64::try_from(sends.len()).unwrap_or(0) - 1,
            transaction_id: None,
            region: None,
            trace_on: None,
        })
    }
}

fn broker() -> BrokerData {
    BrokerData {
        broker_addrs: [(0, "broker".to_owned())].into(),
        broker_name: "broker-a".into(),
        ..BrokerData::default()
    }
}

impl Serve for Fake {
    fn answer(&self, mut call: Call) -> Answer {
        match &call.request {
            Request::Route(_) => Answer::Now(self.route()),
            Request::ClusterTable => {
                let mut cluster = Cluster::default();
                if !*self.knows_nothing.lock() {
                    cluster
                        .broker_addr_table
                        .insert("broker-a".into(), broker());
                }
                Answer::Now(Reply::ok().body(json::write(&cluster)))
            }
            Request::Send(send) => match self.next.lock().pop_front() {
                None => Answer::Now(self.take(send.clone())),
                Some(Next::Say(code)) => {
                    let reply = self.take(send.clone());
                    Answer::Now(Reply { code, ..reply })
                }
                Some(Next::Forget) => {
                    drop(call.hold());
                    Answer::Held
                }
            },
            other => Answer::Now(remoting::unsupported(other)),
        }
    }
}
