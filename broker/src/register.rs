//! Telling name servers what this broker has. One task a server: it registers at once, then each
//! period, whenever something changed, and right after the link to the server broke. A new topic is
//! announced to all of them before its first message is acknowledged.
//!
//! Invariants: what a server is told is looked up when it is its turn, so the newest comes last; and
//! what it may not have heard goes with a version that it has not seen, because it takes no changes
//! with one that it has.

mod standing;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::Text;
use proto::remoting::Request;
use proto::remoting::config::{DataVersion, TopicTable};
use proto::remoting::naming::{BrokerOf, RegisterBody, RegisterBroker};
use remoting::{CallError, Limits, Peer, Serve, Unserved, dial, local_link};
use runtime::Tasks;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::topics::Topics;
use standing::{RegisterError, Silence, Standing};

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
    /// Held from looking up topics until the server has answered.
    line: tokio::sync::Mutex<Line>,
    standing: Mutex<Standing>,
    /// Topics that are new or changed, and that it has not said to have taken.
    owed: Mutex<BTreeSet<String>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Line {
    peer: Option<Peer>,
    silence: Silence,
    /// The version of our topics that was sent last, and how it was told.
    version: DataVersion,
    told: DataVersion,
}

impl Line {
    /// How a version of our topics is told: one that was sent before in `other` words, if so wanted.
    fn tell(&mut self, version: &DataVersion, other: bool) -> DataVersion {
        if self.version != *version {
            self.version = version.clone();
            self.told = version.clone();
        } else if other {
            self.told.timestamp -= 1;
        }
        self.told.clone()
    }

    /// Gives up a link whose other end is gone without a word; the system would notice after minutes.
    fn end_if_dead(&mut self, outcome: &Result<(), RegisterError>) {
        let timed_out = matches!(outcome, Err(RegisterError::Call(CallError::TimedOut)));
        if let Some(peer) = &self.peer
            && self.silence.is_dead(timed_out, peer.heard())
        {
            peer.close();
        }
    }
}

impl Server {
    fn standing(&self) -> Standing {
        *self.standing.lock()
    }

    fn take_owed(&self) -> Owed<'_> {
        let names = std::mem::take(&mut *self.owed.lock());
        Owed {
            server: self,
            names,
        }
    }
}

/// Topics that a server is about to be told of. Unless it took them, they are owed again, also when
/// nobody waits for its answer any more.
struct Owed<'s> {
    server: &'s Server,
    names: BTreeSet<String>,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        self.server.owed.lock().append(&mut self.names);
    }
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
                line: tokio::sync::Mutex::default(),
                standing: Mutex::new(Standing::New),
                owed: Mutex::default(),
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
            first.spawn(async move {
                let mut line = server.line.lock().await;
                me.register_with(&server, &mut line).await;
            });
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
        let mut retry_after = RETRY_AFTER;
        loop {
            let before = server.standing();
            let known = before == Standing::Known;
            let peer = server.line.lock().await.peer.clone();
            let broken = async {
                match &peer {
                    Some(peer) => peer.closed().await,
                    None => std::future::pending().await,
                }
            };
            let pause = if known {
                self.identity.period
            } else {
                retry_after
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = broken, if known => {}
                () = server.changed.notified(), if known => {}
                () = self.tasks.cancelled() => return,
            }
            self.register_with(server, &mut *server.line.lock().await)
                .await;
            // One that takes nothing is not sent everything each second for ever.
            let unwilling = [before, server.standing()] == [Standing::Unwilling; 2];
            retry_after = if unwilling {
                (retry_after * 2).min(self.identity.period)
            } else {
                RETRY_AFTER
            };
        }
    }

    /// Registers everything.
    async fn register_with(&self, server: &Server, line: &mut Line) {
        let outcome = self.send_all(server, line).await;
        line.end_if_dead(&outcome);
        let after = outcome.as_ref().err().map_or(Standing::Known, Into::into);
        let before = std::mem::replace(&mut *server.standing.lock(), after);
        match outcome {
            Ok(()) if before != Standing::Known => {
                tracing::info!(name_server = ?server.place, "registered");
            }
            // Only the first failure in a row is logged.
            Err(error) if !matches!(before, Standing::Away | Standing::Unwilling) => {
                tracing::warn!(name_server = ?server.place, %error, "cannot register");
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn send_all(&self, server: &Server, line: &mut Line) -> Result<(), RegisterError> {
        let peer = self.reach(server, line).await?;
        let mut owed = server.take_owed();
        owed.names.retain(|name| self.topics.find(name).is_some());
        let mut all = self.topics.all();
        all.data_version = line.tell(&all.data_version, !owed.names.is_empty());
        self.send(&peer, all, None).await?;
        owed.names.clear();
        Ok(())
    }

    /// Tells every server of topics that are new or changed, and waits for them a short while.
    pub(crate) async fn announce(self: &Arc<Self>, topics: Vec<String>) {
        let mut calls = JoinSet::new();
        for server in &self.servers {
            server.owed.lock().extend(topics.iter().cloned());
            let (me, server) = (Arc::clone(self), Arc::clone(server));
            calls.spawn(async move {
                let mut line = server.line.lock().await;
                let standing = server.standing();
                // Who does not know us yet wants to hear everything; who did not take it, later.
                let told = !matches!(standing, Standing::New | Standing::Away)
                    && me.send_owed(&server, &mut line).await.is_ok();
                if !told && standing != Standing::Unwilling {
                    me.register_with(&server, &mut line).await;
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

    async fn send_owed(&self, server: &Server, line: &mut Line) -> Result<(), RegisterError> {
        let mut owed = server.take_owed();
        if owed.names.is_empty() {
            // Who had the line before told of them too.
            return Ok(());
        }
        let peer = self.reach(server, line).await?;
        let mut some = self.topics.some(&owed.names);
        some.data_version = line.tell(&some.data_version, true);
        self.send(&peer, some, Some(true)).await?;
        owed.names.clear();
        Ok(())
    }

    async fn send(
        &self,
        peer: &Peer,
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
        let request = Request::RegisterBroker { fields, body };
        let reply = peer.call(request, CALL_TIMEOUT).await?;
        if reply.is_ok() {
            return Ok(());
        }
        let text = reply.remark.as_deref().unwrap_or_default().to_owned();
        Err(RegisterError::Refused(reply.code.0, text))
    }

    async fn reach(&self, server: &Server, line: &mut Line) -> Result<Peer, RegisterError> {
        if let Some(peer) = line.peer.as_ref().filter(|peer| peer.is_open()) {
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
                line.peer = Some(peer.clone());
                line.silence = Silence::default();
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
        line.peer = Some(peer.clone());
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
                let mut line = server.line.lock().await;
                if let Ok(peer) = me.reach(&server, &mut line).await {
                    let _ = peer.call(leaving, CALL_TIMEOUT).await;
                }
            });
        }
        let _ = tokio::time::timeout(ANNOUNCE_TIMEOUT, calls.join_all()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proto::remoting::config::TopicConfig;
    use proto::remoting::{Reply, ResponseCode};
    use remoting::{Answer, Call, Replier};
    use tokio::time::Instant;

    use super::*;

    /// Takes down what it is told, and refuses so many registrations.
    #[derive(Default)]
    struct NameServerThatRefuses {
        left: Mutex<usize>,
        /// The next registrations have no answer.
        silent: Mutex<usize>,
        unanswered: Mutex<Vec<Replier>>,
        told: Mutex<Vec<(RegisterBroker, RegisterBody)>>,
    }

    impl Serve for NameServerThatRefuses {
        fn answer(&self, mut call: Call) -> Answer {
            let Request::RegisterBroker { fields, body } = &call.request else {
                return Reply::ok().into();
            };
            let body = proto::json::read(body).unwrap();
            self.told.lock().push((fields.clone(), body));
            let mut silent = self.silent.lock();
            if *silent > 0 {
                *silent -= 1;
                self.unanswered.lock().push(call.hold());
                return Answer::Held;
            }
            let mut left = self.left.lock();
            if *left > 0 {
                *left -= 1;
                return Reply::refused(ResponseCode::SYSTEM_ERROR, "full").into();
            }
            Reply::ok().into()
        }
    }

    struct Desk {
        registrar: Arc<Registrar>,
        topics: Arc<Topics>,
        server: Arc<NameServerThatRefuses>,
        _folder: tempfile::TempDir,
    }

    fn desk(refusals: usize) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let topics = Arc::new(Topics::load(folder.path().join("topics.json")).unwrap());
        let server = Arc::new(NameServerThatRefuses {
            left: Mutex::new(refusals),
            ..NameServerThatRefuses::default()
        });
        let identity = Identity {
            cluster: "c".into(),
            broker: "b".into(),
            addr: "10.0.0.1:1".into(),
            ha_addr: "10.0.0.1:2".into(),
            id: 0,
            perm: 6,
            period: Duration::from_secs(30),
        };
        let place = NameServer::Local(Arc::clone(&server) as Arc<dyn Serve>);
        let (known, servers) = (Arc::clone(&topics), vec![place]);
        let registrar = Registrar::new(identity, known, servers, &Tasks::root());
        Desk {
            registrar: Arc::new(registrar),
            topics,
            server,
            _folder: folder,
        }
    }

    impl Desk {
        async fn register(&self, server: &Server) {
            let mut line = server.line.lock().await;
            self.registrar.register_with(server, &mut line).await;
        }
    }

    fn topic(name: &str) -> TopicConfig {
        TopicConfig::new(name, 4, 6)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_refuses_is_asked_ever_less() {
        let desk = desk(6);
        desk.topics.add(vec![topic("t"), topic("u")], 0).unwrap();
        desk.registrar.start().await;
        let began = Instant::now();
        let mut seconds = vec![0];
        while seconds.len() < 9 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let more = desk.server.told.lock().len() - seconds.len();
            seconds.extend([began.elapsed().as_secs()].repeat(more));
        }
        // Twice as long each time, at most a period; the seventh is taken.
        assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 61, 91, 121]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_did_not_take_all_topics_is_told_of_new_ones_alone() {
        let desk = desk(1);
        desk.topics.add(vec![topic("t"), topic("u")], 0).unwrap();
        let server = Arc::clone(&desk.registrar.servers[0]);
        desk.register(&server).await;
        desk.topics.add(vec![topic("v")], 0).unwrap();
        desk.registrar.announce(vec!["v".into()]).await;
        let told = std::mem::take(&mut *desk.server.told.lock());
        let names = told.iter().map(|(fields, body)| {
            let table = &body.topic_config_serialize_wrapper.topic_config_table;
            (fields.is_part, table.keys().cloned().collect::<String>())
        });
        let wanted = [(None, "tu".to_owned()), (Some(true), "v".to_owned())];
        assert_eq!(names.collect::<Vec<_>>(), wanted);
    }

    #[tokio::test]
    async fn topics_that_change_at_once_are_told_as_they_are_and_each_with_its_version() {
        let desk = desk(0);
        desk.topics.add(vec![topic("t"), topic("u")], 0).unwrap();
        desk.register(&desk.registrar.servers[0]).await;
        let wider = TopicConfig::new("t", 8, 6);
        desk.topics.add(vec![wider.clone()], 1000).unwrap();
        desk.topics.add(vec![topic("v")], 1000).unwrap();
        for name in ["v", "t", "t"] {
            desk.registrar.announce(vec![name.into()]).await;
        }
        let told = std::mem::take(&mut *desk.server.told.lock());
        let tables = told
            .into_iter()
            .map(|(_, body)| body.topic_config_serialize_wrapper);
        let tables: Vec<_> = tables.collect();
        // A server takes changes with any version but the one that it has.
        let versions = tables.iter().map(|table| &table.data_version);
        assert!(versions.clone().zip(versions.skip(1)).all(|(a, b)| a != b));
        let topics = tables.iter().map(|table| table.topic_config_table.get("t"));
        let expected = [Some(&topic("t")), None, Some(&wider), Some(&wider)];
        assert!(topics.eq(expected));
    }
    /// A server takes changes only with a version that it does not have, and whether it took what it did
    /// not answer is not known.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_did_not_answer_in_time_learns_of_all_changes() {
        for took_what_it_did_not_answer in [false, true] {
            let desk = desk(0);
            desk.topics.add(vec![topic("t"), topic("u")], 0).unwrap();
            desk.registrar.start().await;
            let known = desk.server.told.lock().len();
            let wider = ["t", "u"].map(|name| TopicConfig::new(name, 8, 6));
            desk.topics.add(wider.to_vec(), 1000).unwrap();
            *desk.server.silent.lock() = 1;
            let announce = |name: &str| desk.registrar.announce(vec![name.to_owned()]);
            tokio::join!(announce("t"), async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                announce("u").await;
            });
            tokio::time::sleep(Duration::from_secs(10)).await;
            let mut has = (DataVersion::default(), BTreeMap::new());
            for (nth, (_, body)) in desk.server.told.lock().iter().enumerate() {
                let table = body.topic_config_serialize_wrapper.clone();
                if nth == known && !took_what_it_did_not_answer {
                    continue;
                }
                if has.0 != table.data_version {
                    has.1.extend(table.topic_config_table);
                }
                has.0 = table.data_version;
            }
            for topic in wider {
                assert_eq!(has.1.get(&topic.topic_name), Some(&topic));
            }
        }
    }
}
