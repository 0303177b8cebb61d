//! A cluster of two brokers in this process: it answers routes by itself and everything else as the
//! test tells it to, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Client, Config, Tasks, Text};
use parking_lot::Mutex;
use proto::json;
use proto::remoting::naming::{BrokerData, QueueData, TopicRoute};
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Answer, Call, Serve, Unserved, local_link};

pub(super) const NAME_SERVER: &str = "ns:1";
pub(super) const BROKERS: [(&str, &str); 2] = [("broker-a", "a:1"), ("broker-b", "b:1")];

/// What a broker does with its next request.
pub(super) enum Next {
    Take,
    Refuse(ResponseCode),
    /// Drops the request without an answer.
    Forget,
    Reply(Box<Reply>),
}

#[derive(Default)]
pub(super) struct Fake {
    /// Topics that the name server knows.
    pub(super) topics: Mutex<Vec<&'static str>>,
    pub(super) silent: Mutex<bool>,
    pub(super) next: Mutex<VecDeque<Next>>,
    pub(super) sends: Mutex<Vec<(SocketAddr, Send)>>,
    pub(super) routes_asked: Mutex<Vec<Text>>,
}

impl Fake {
    pub(super) fn with(topics: &[&'static str], next: impl IntoIterator<Item = Next>) -> Arc<Self> {
        let fake = Self::default();
        *fake.topics.lock() = topics.to_vec();
        *fake.next.lock() = next.into_iter().collect();
        Arc::new(fake)
    }

    /// A client that is linked to the name server and both brokers.
    pub(super) fn client(self: &Arc<Self>, tasks: &Tasks) -> Client {
        let mut config = Config::new([NAME_SERVER]);
        config.send_timeout = std::time::Duration::from_secs(2);
        let addrs = [NAME_SERVER, BROKERS[0].1, BROKERS[1].1];
        let links: HashMap<_, _> = (1..)
            .zip(addrs)
            .map(|(port, name)| {
                let addr = SocketAddr::from(([127, 0, 0, 1], port));
                let server: Arc<dyn Serve> = Arc::<Self>::clone(self);
                (
                    Text::from_static(name),
                    local_link(server, Arc::new(Unserved), addr),
                )
            })
            .collect();
        Client::with_links(config, links, tasks)
    }

    fn route(&self, topic: &str) -> Reply {
        if !self.topics.lock().contains(&topic) {
            return Reply::refused(ResponseCode::TOPIC_NOT_EXIST, "no such topic");
        }
        let mut route = TopicRoute::default();
        for (name, addr) in BROKERS {
            route.broker_datas.push(BrokerData {
                broker_addrs: [(0, addr.to_owned())].into(),
                broker_name: name.into(),
                ..BrokerData::default()
            });
            route.queue_datas.push(QueueData {
                broker_name: name.into(),
                perm: 6,
                read_queue_nums: 8,
                write_queue_nums: 8,
                topic_sys_flag: 0,
            });
        }
        Reply::ok().body(json::write(&route))
    }

    fn take(&self, from: SocketAddr, send: Send) -> Reply {
        let queue_id = send.fields.queue_id;
        let mut sends = self.sends.lock();
        sends.push((from, send));
        Reply::ok().with(Sent {
            message_id: "FIRST,SECOND".into(),
            queue_id,
            queue_offset: 41,
            transaction_id: None,
            region: None,
            trace_on: None,
        })
    }
}

impl Serve for Fake {
    fn answer(&self, mut call: Call) -> Answer {
        let from = call.peer.addr();
        if *self.silent.lock() {
            drop(call.hold());
            return Answer::Held;
        }
        match &call.request {
            Request::Route(of) => {
                self.routes_asked.lock().push(of.topic.clone());
                Answer::Now(self.route(&of.topic))
            }
            Request::Send(send) => {
                let send = send.clone();
                match self.next.lock().pop_front().unwrap_or(Next::Take) {
                    Next::Take => Answer::Now(self.take(from, send)),
                    Next::Refuse(code) => {
                        self.take(from, send);
                        Answer::Now(Reply::refused(code, "no"))
                    }
                    Next::Forget => {
                        self.take(from, send);
                        drop(call.hold());
                        Answer::Held
                    }
                    Next::Reply(reply) => Answer::Now(*reply),
                }
            }
            _ => match self.next.lock().pop_front() {
                Some(Next::Reply(reply)) => Answer::Now(*reply),
                _ => Answer::Now(remoting::unsupported(&call.request)),
            },
        }
    }
}
