//! Telling name servers what this broker has. One task a server: it registers at once, then each
//! period, whenever something changed, and right after the link to the server broke. A new topic is
//! announced to all of them before its first message is acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::Text;
use proto::remoting::config::{TopicConfig, TopicTable};
use proto::remoting::naming::{BrokerOf, RegisterBody, RegisterBroker};
use proto::remoting::{Reply, Request};
use remoting::{CallError, Limits, Peer, Serve, Unserved, dial, local_link};
use runtime::Tasks;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::topics::Topics;

/// How long a server may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a new topic waits for the slowest server before its first message goes on.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where a name server is.
#[derive(Clone)]
pub enum NameServer {
    /// `host:port`
    Addr(String),
    /// In this process.
    Local(Arc<dyn Serve>),
}

impl std::fmt::Debug for NameServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addr(addr) => f.write_str(addr),
            Self::Local(_) => f.write_str("this process"),
        }
    }
}

/// Who registers.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster: Text,
    pub(crate) broker: Text,
    /// What clients connect to.
    pub(crate) addr: Text,
    pub(crate) ha_addr: Text,
    pub(crate) id: i64,
    /// The broker's own permission bits; a topic is registered with no more.
    pub(crate) perm: i32,
    pub(crate) period: Duration,
}

#[derive(Debug)]
pub(crate) struct Registrar {
    identity: Identity,
    topics: Arc<Topics>,
    servers: Vec<Arc<Server>>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Server {
    place: NameServer,
    link: tokio::sync::Mutex<Option<Peer>>,
    /// Does it know all our topics, but for those that are announced one by one?
    knows_us: AtomicBool,
    /// Did the last registration fail? Only the first failure in a row is logged.
    failing: AtomicBool,
    changed: Notify,
}

/// Why a server does not know us.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("cannot reach it: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("refused with code {0}: {1}")]
    Refused(i32, String),
}

impl Registrar {
    pub(crate) fn new(
        identity: Identity,
        topics: Arc<Topics>,
        servers: Vec<NameServer>,
        tasks: &Tasks,
    ) -> Self {
        let server = |place| {
            Arc::new(Server {
                place,
                link: tokio::sync::Mutex::default(),
                knows_us: AtomicBool::new(false),
                failing: AtomicBool::new(false),
                changed: Notify::new(),
            })
        };
        let servers = servers.into_iter().map(server).collect();
        Self {
            identity,
            topics,
            servers,
            tasks: tasks.clone(),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Registers once with all servers, then keeps at it until the tasks are stopped.
    pub(crate) async fn start(self: &Arc<Self>) {
        let mut first = JoinSet::new();
        for server in &self.servers {
            let (me, server) = (Arc::clone(self), Arc::clone(server));
            first.spawn(async move { me.register_with(&server).await });
        }
        // A server that is away does not hold up the start.
        let _ = tokio::time::timeout(ANNOUNCE_TIMEOUT, first.join_all()).await;
        for server in &self.servers {
            let (me, server) = (Arc::clone(self), Arc::clone(server));
            self.tasks
                .spawn("register", async move { me.keep_registered(&server).await });
        }
    }

    async fn keep_registered(&self, server: &Server) {
        let mut failed = !server.knows_us.load(Ordering::Acquire);
        loop {
            let link = server.link.lock().await.clone();
            let broken = async {
                match &link {
                    Some(peer) => peer.closed().await,
                    None => std::future::pending().await,
                }
            };
            let pause = if failed {
                RETRY_AFTER
            } else {
                self.identity.period
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = broken, if !failed => {}
                () = server.changed.notified(), if !failed => {}
                () = self.tasks.cancelled() => return,
            }
            failed = !self.register_with(server).await;
        }
    }

    /// Registers everything; true when the server took it.
    async fn register_with(&self, server: &Server) -> bool {
        let outcome = self.send(server, self.topics.all(), None).await;
        let knew = server.knows_us.swap(outcome.is_ok(), Ordering::AcqRel);
        let failed = server.failing.swap(outcome.is_err(), Ordering::AcqRel);
        match outcome {
            Ok(()) if !knew => tracing::info!(name_server = ?server.place, "registered"),
            Err(error) if !failed => {
                tracing::warn!(name_server = ?server.place, %error, "cannot register");
            }
            Ok(()) | Err(_) => {}
        }
        server.knows_us.load(Ordering::Acquire)
    }

    /// Tells every server of topics that are new or changed, and waits for them a short while.
    pub(crate) async fn announce(self: &Arc<Self>, topics: Vec<TopicConfig>) {
        let mut calls = JoinSet::new();
        for server in &self.servers {
            let (me, server, topics) = (Arc::clone(self), Arc::clone(server), topics.clone());
            calls.spawn(async move {
                // A server that does not know us yet wants to hear everything.
                let told = server.knows_us.load(Ordering::Acquire) && {
                    let by_name = topics
                        .into_iter()
                        .map(|t| (t.topic_name.clone(), t))
                        .collect();
                    let data_version = me.topics.version();
                    let some = TopicTable {
                        data_version,
                        topic_config_table: by_name,
                        ..TopicTable::default()
                    };
                    me.send(&server, some, Some(true)).await.is_ok()
                };
                if !told {
                    me.register_with(&server).await;
                }
            });
        }
        if tokio::time::timeout(ANNOUNCE_TIMEOUT, calls.join_all())
            .await
            .is_err()
        {
            self.all_changed();
        }
    }

    /// Registers everything anew, soon.
    pub(crate) fn all_changed(&self) {
        self.servers
            .iter()
            .for_each(|server| server.changed.notify_one());
    }

    async fn send(
        &self,
        server: &Server,
        mut topics: TopicTable,
        is_part: Option<bool>,
    ) -> Result<(), RegisterError> {
        for topic in topics.topic_config_table.values_mut() {
            topic.perm &= self.identity.perm | !6;
        }
        topics.mapping_data_version = Some(topics.data_version.clone());
        let body = RegisterBody {
            topic_config_serialize_wrapper: topics,
            ..RegisterBody::default()
        };
        let body = proto::json::write(&body);
        let me = &self.identity;
        let fields = RegisterBroker {
            broker_name: me.broker.clone(),
            broker_addr: me.addr.clone(),
            cluster_name: me.cluster.clone(),
            ha_server_addr: me.ha_addr.clone(),
            broker_id: me.id,
            heartbeat_timeout_ms: None,
            acting_master: Some(false),
            compressed: Some(false),
            body_crc32: Some(i64::from(crc32fast::hash(&body) & 0x7FFF_FFFF)),
            is_part,
        };
        let reply = self
            .call(server, Request::RegisterBroker { fields, body })
            .await?;
        if reply.is_ok() {
            return Ok(());
        }
        let text = reply.remark.as_deref().unwrap_or_default().to_owned();
        Err(RegisterError::Refused(reply.code.0, text))
    }

    async fn call(&self, server: &Server, request: Request) -> Result<Reply, RegisterError> {
        let peer = self.link(server).await?;
        Ok(peer.call(request, CALL_TIMEOUT).await?)
    }

    async fn link(&self, server: &Server) -> Result<Peer, RegisterError> {
        let mut link = server.link.lock().await;
        if let Some(peer) = link.as_ref().filter(|peer| peer.is_open()) {
            return Ok(peer.clone());
        }
        let nobody: Arc<dyn Serve> = Arc::new(Unserved);
        let peer = match &server.place {
            NameServer::Local(serve) => local_link(
                Arc::clone(serve),
                nobody,
                SocketAddr::from(([127, 0, 0, 1], 0)),
            ),
            NameServer::Addr(addr) => {
                let mut found = tokio::net::lookup_host(addr).await?;
                let none = || std::io::Error::from(std::io::ErrorKind::NotFound);
                let addr = found.next().ok_or_else(none)?;
                let peer = dial(addr, nobody, Limits::default(), &self.tasks).await?;
                // Whoever gives up waiting for what follows leaves no link behind that nobody has.
                *link = Some(peer.clone());
                // A first frame has a lower limit, which all our topics may exceed. What it says
                // does not matter: they are registered whatever it knows.
                let (broker, version) = (self.broker(), self.topics.version());
                let question = Request::QueryDataVersion { broker, version };
                if let Err(error) = peer.call(question, CALL_TIMEOUT).await {
                    peer.close();
                    return Err(error.into());
                }
                peer
            }
        };
        *link = Some(peer.clone());
        Ok(peer)
    }

    fn broker(&self) -> BrokerOf {
        BrokerOf {
            broker_name: self.identity.broker.clone(),
            broker_addr: self.identity.addr.clone(),
            cluster_name: self.identity.cluster.clone(),
            broker_id: self.identity.id,
        }
    }

    /// Takes this broker out of every route.
    pub(crate) async fn unregister(self: &Arc<Self>) {
        let mut calls = JoinSet::new();
        for server in &self.servers {
            let (me, server) = (Arc::clone(self), Arc::clone(server));
            calls.spawn(async move {
                // One that is away forgets us by itself.
                let leaving = Request::UnregisterBroker(me.broker());
                let _ = me.call(&server, leaving).await;
            });
        }
        let _ = tokio::time::timeout(ANNOUNCE_TIMEOUT, calls.join_all()).await;
    }
}
