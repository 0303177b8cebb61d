//! Where the queues of a topic are: the name server's answer, kept, and asked for again when it is
//! old or proved wrong.
//!
//! A topic that nobody knows yet gets the route of the template topic `TBW102`: a broker that
//! creates topics does so when the first message arrives. Such a route is provisional and asked for
//! again soon. Invariants: a name server that does not answer takes no route away; at most
//! `topics_max` routes are kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proto::remoting::config::{READ, TopicOf, WRITE};
use proto::remoting::naming::TopicRoute;
use proto::remoting::{Request, ResponseCode};
use proto::{Text, json};
use tokio::time::Instant;

use crate::Inner;

/// The topic that stands for those which brokers create by themselves.
pub(crate) const TEMPLATE_TOPIC: &str = "TBW102";
/// Queues that we wish for a topic which is created by its first message.
pub(crate) const NEW_TOPIC_QUEUES: i32 = 4;
/// A broker that announces more is not believed.
const QUEUES_MAX: i32 = 65_536;
/// A route that may be wrong is asked for again, but not more often than this.
const UNCERTAIN: Duration = Duration::from_secs(1);
/// Refreshes that a route outlives without being used.
const IDLE_REFRESHES: u8 = 20;
/// Callers that ask for different topics at one time.
const FETCH_LANES: usize = 16;

/// Why a topic has no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("topic {0} does not exist")]
    UnknownTopic(Text),
    #[error("no name server answers: {0}")]
    NoNameServer(String),
}

/// One queue of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    pub topic: Text,
    pub broker: Text,
    pub id: i32,
}

/// The queues of one topic and the brokers that have them.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) brokers: Vec<RouteBroker>,
    /// By broker name and id, as every client orders them.
    pub(crate) writable: Vec<RouteQueue>,
    pub(crate) readable: Vec<RouteQueue>,
    /// Turns of the round robin.
    pub(crate) turn: AtomicUsize,
    provisional: bool,
    /// Contradicted by a broker.
    doubted: AtomicBool,
    asked: Mutex<Instant>,
    idle: AtomicU8,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RouteBroker {
    pub(crate) name: Text,
    /// `None` while only replicas are there.
    pub(crate) master: Option<Text>,
    /// The master or, without one, a replica.
    pub(crate) reader: Option<Text>,
}

/// A queue, by the index of its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteQueue {
    pub(crate) broker: usize,
    pub(crate) id: i32,
}

impl Route {
    pub(crate) fn new(answer: TopicRoute, provisional: bool) -> Self {
        let mut brokers: Vec<_> = answer
            .broker_datas
            .into_iter()
            .map(|data| RouteBroker {
                name: data.broker_name.into(),
                master: data.broker_addrs.get(&0).map(|addr| addr.as_str().into()),
                reader: data
                    .broker_addrs
                    .values()
                    .next()
                    .map(|addr| addr.as_str().into()),
            })
            .collect();
        brokers.sort_by(|a, b| a.name.cmp(&b.name));
        let (mut writable, mut readable) = (Vec::new(), Vec::new());
        for (at, broker) in brokers.iter().enumerate() {
            let of_broker = answer
                .queue_datas
                .iter()
                .filter(|data| data.broker_name == *broker.name);
            for data in of_broker {
                let limit = if provisional {
                    NEW_TOPIC_QUEUES
                } else {
                    QUEUES_MAX
                };
                let queues =
                    |count: i32| (0..count.min(limit)).map(move |id| RouteQueue { broker: at, id });
                if data.perm & WRITE != 0 {
                    writable.extend(queues(data.write_queue_nums));
                }
                if data.perm & READ != 0 && !provisional {
                    readable.extend(queues(data.read_queue_nums));
                }
            }
        }
        Self {
            brokers,
            writable,
            readable,
            turn: AtomicUsize::new(0),
            provisional,
            doubted: AtomicBool::new(false),
            asked: Mutex::new(Instant::now()),
            idle: AtomicU8::new(0),
        }
    }

    pub(crate) fn broker(&self, queue: RouteQueue) -> Option<&RouteBroker> {
        self.brokers.get(queue.broker)
    }

    pub(crate) fn broker_named(&self, name: &str) -> Option<&RouteBroker> {
        self.brokers.iter().find(|broker| broker.name == *name)
    }

    fn is_uncertain(&self) -> bool {
        self.provisional || self.doubted.load(Ordering::Relaxed)
    }

    fn is_stale(&self) -> bool {
        self.is_uncertain() && self.asked.lock().elapsed() >= UNCERTAIN
    }

    fn asked_now(self: Arc<Self>) -> Arc<Self> {
        *self.asked.lock() = Instant::now();
        self
    }
}

/// The routes that are kept.
#[derive(Debug)]
pub(crate) struct Routes {
    kept: RwLock<HashMap<Text, Arc<Route>>>,
    topics_max: usize,
    /// Of the callers that miss one topic, one asks; the others wait here.
    lanes: [tokio::sync::Mutex<()>; FETCH_LANES],
    lane_of: RandomState,
}

impl Routes {
    pub(crate) fn new(topics_max: usize) -> Self {
        Self {
            kept: RwLock::default(),
            topics_max: topics_max.max(1),
            lanes: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            lane_of: RandomState::new(),
        }
    }

    pub(crate) fn kept(&self, topic: &str) -> Option<Arc<Route>> {
        let route = self.kept.read().get(topic).cloned()?;
        if route.idle.load(Ordering::Relaxed) != 0 {
            route.idle.store(0, Ordering::Relaxed);
        }
        Some(route)
    }

    /// A broker did not do what the route says: it is asked for again soon.
    pub(crate) fn doubt(&self, topic: &str) {
        if let Some(route) = self.kept.read().get(topic) {
            route.doubted.store(true, Ordering::Relaxed);
        }
    }

    /// Topics whose routes are worth asking for again; those long unused are dropped.
    pub(crate) fn in_use(&self) -> Vec<Text> {
        let mut kept = self.kept.write();
        kept.retain(|_, route| route.idle.fetch_add(1, Ordering::Relaxed) < IDLE_REFRESHES);
        kept.keys().cloned().collect()
    }

    /// Addresses of all masters that the kept routes know.
    pub(crate) fn masters(&self) -> Vec<Text> {
        let kept = self.kept.read();
        let brokers = kept.values().flat_map(|route| &route.brokers);
        let mut all: Vec<_> = brokers.filter_map(|broker| broker.master.clone()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn keep(&self, topic: &Text, route: Route) -> Arc<Route> {
        let mut kept = self.kept.write();
        if kept.len() >= self.topics_max && !kept.contains_key(topic) {
            let idlest = kept
                .iter()
                .max_by_key(|(_, route)| route.idle.load(Ordering::Relaxed));
            if let Some(idlest) = idlest.map(|(topic, _)| topic.clone()) {
                kept.remove(&idlest);
            }
        }
        if let Some(before) = kept.get(topic) {
            route
                .turn
                .store(before.turn.load(Ordering::Relaxed), Ordering::Relaxed);
            route
                .idle
                .store(before.idle.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let route = Arc::new(route);
        kept.insert(topic.clone(), Arc::clone(&route));
        route
    }
}

impl Inner {
    /// The route of `topic` for sending: that of the template if nobody knows the topic.
    pub(crate) async fn route(&self, topic: &Text) -> Result<Arc<Route>, RouteError> {
        match self.routes.kept(topic) {
            Some(route) if !route.is_stale() => return Ok(route),
            _ => {}
        }
        let lane = self.routes.lane_of.hash_one(topic) % FETCH_LANES as u64;
        let lane = self.routes.lanes.get(usize::try_from(lane).unwrap_or(0));
        let _lane = match lane {
            Some(lane) => Some(lane.lock().await),
            None => None,
        };
        let kept = self.routes.kept(topic);
        match kept {
            Some(route) if !route.is_stale() => Ok(route),
            _ => self.fetch_route(topic, kept).await,
        }
    }

    /// The route of a topic that must exist.
    pub(crate) async fn existing_route(&self, topic: &Text) -> Result<Arc<Route>, RouteError> {
        let route = self.route(topic).await?;
        if !route.provisional {
            return Ok(route);
        }
        match self.name_server_route(topic).await? {
            Some(answer) => Ok(self.routes.keep(topic, Route::new(answer, false))),
            None => Err(RouteError::UnknownTopic(topic.clone())),
        }
    }

    async fn fetch_route(
        &self,
        topic: &Text,
        kept: Option<Arc<Route>>,
    ) -> Result<Arc<Route>, RouteError> {
        let fetched = match self.name_server_route(topic).await {
            Ok(Some(answer)) => Ok(Route::new(answer, false)),
            // One that came back knows nothing yet. Where the topic is gone, its brokers say so.
            Ok(None) if kept.as_ref().is_some_and(|kept| !kept.is_uncertain()) => {
                Err(RouteError::UnknownTopic(topic.clone()))
            }
            Ok(None) => match self.name_server_route(&TEMPLATE_TOPIC.into()).await {
                Ok(Some(answer)) => Ok(Route::new(answer, true)),
                Ok(None) => Err(RouteError::UnknownTopic(topic.clone())),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match (fetched, kept) {
            (Ok(route), _) => Ok(self.routes.keep(topic, route)),
            // What is known goes on while no name server answers.
            (Err(RouteError::NoNameServer(_)), Some(kept)) => Ok(kept.asked_now()),
            (Err(RouteError::UnknownTopic(_)), Some(kept)) if !kept.is_uncertain() => {
                Ok(kept.asked_now())
            }
            (Err(error), _) => {
                self.routes.kept.write().remove(topic);
                Err(error)
            }
        }
    }

    /// Asks again for a route that is in use.
    pub(crate) async fn refresh_route(&self, topic: &Text) {
        let kept = self.routes.kept.read().get(topic).cloned();
        if let Err(error) = self.fetch_route(topic, kept).await {
            tracing::debug!(%topic, %error, "route is gone");
        }
    }

    async fn name_server_route(&self, topic: &Text) -> Result<Option<TopicRoute>, RouteError> {
        let request = Request::Route(TopicOf {
            topic: topic.clone(),
            cluster: None,
            standard_json: Some(true),
        });
        let reply = self
            .ask_name_server(request)
            .await
            .map_err(|error| RouteError::NoNameServer(error.to_string()))?;
        match reply.code {
            ResponseCode::SUCCESS => json::read(&reply.whole_body())
                .map(Some)
                .map_err(|error| RouteError::NoNameServer(error.to_string())),
            ResponseCode::TOPIC_NOT_EXIST => Ok(None),
            code => {
                let remark = reply.remark.unwrap_or_default();
                Err(RouteError::NoNameServer(format!("{code}: {remark}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::remoting::naming::{BrokerData, QueueData};

    fn broker(name: &str, addrs: &[(i64, &str)]) -> BrokerData {
        let broker_addrs = addrs.iter().map(|(id, addr)| (*id, (*addr).to_owned()));
        BrokerData {
            broker_addrs: broker_addrs.collect(),
            broker_name: name.into(),
            ..BrokerData::default()
        }
    }

    fn queues(name: &str, perm: i32, read: i32, write: i32) -> QueueData {
        QueueData {
            broker_name: name.into(),
            perm,
            read_queue_nums: read,
            write_queue_nums: write,
            topic_sys_flag: 0,
        }
    }

    fn answer() -> TopicRoute {
        TopicRoute {
            broker_datas: vec![
                broker("b", &[(1, "b1:1")]),
                broker("a", &[(0, "a0:1"), (1, "a1:1")]),
            ],
            queue_datas: vec![
                queues("b", 6, 1, 2),
                queues("a", 4, 2, 8),
                queues("gone", 6, 1, 1),
            ],
            ..TopicRoute::default()
        }
    }

    #[test]
    fn queues_are_ordered_by_broker_name_and_counted_by_permission() {
        let route = Route::new(answer(), false);
        let named = |queues: &[RouteQueue]| -> Vec<_> {
            let name =
                |queue: &RouteQueue| route.broker(*queue).map(|broker| broker.name.to_string());
            queues
                .iter()
                .map(|queue| (name(queue).unwrap(), queue.id))
                .collect()
        };
        assert_eq!(
            named(&route.readable),
            [("a".into(), 0), ("a".into(), 1), ("b".into(), 0)]
        );
        assert_eq!(named(&route.writable), [("b".into(), 0), ("b".into(), 1)]);
        assert_eq!(route.broker_named("b").unwrap().master, None);
        assert_eq!(route.broker_named("b").unwrap().reader, Some("b1:1".into()));
    }

    #[test]
    fn a_template_route_offers_few_queues_and_none_to_read() {
        let mut template = answer();
        template.queue_datas = vec![queues("a", 7, 8, 8)];
        let route = Route::new(template, true);
        assert_eq!((route.writable.len(), route.readable.len()), (4, 0));
    }

    #[test]
    fn routes_that_are_kept_have_a_limit_and_the_idlest_goes_first() {
        let routes = Routes::new(2);
        for topic in ["a", "b"] {
            routes.keep(&topic.into(), Route::new(answer(), false));
        }
        routes.in_use();
        assert!(routes.kept("b").is_some());
        routes.keep(&"c".into(), Route::new(answer(), false));
        let mut left: Vec<_> = routes.kept.read().keys().map(ToString::to_string).collect();
        left.sort();
        assert_eq!(left, ["b", "c"]);
    }

    #[test]
    fn unused_routes_are_dropped_in_time() {
        let routes = Routes::new(2);
        routes.keep(&"a".into(), Route::new(answer(), false));
        for _ in 0..IDLE_REFRESHES {
            assert_eq!(routes.in_use().len(), 1);
        }
        assert_eq!(routes.in_use().len(), 0);
    }
}
