//! What the broker does for each request: one `match` is the table of contents, one file a feature.

mod admin;
mod clients;
mod groups;
mod offsets;
pub(crate) mod pull;
pub(crate) mod query;
mod send;
pub(crate) mod send_batch;
pub(crate) mod topics;

use std::sync::Arc;
use std::time::Duration;

use proto::remoting::{Request, ResponseCode};
use remoting::{Answer, Call, Peer, Serve, unsupported};
use tokio::time::Instant;

use crate::admin_pace;
use crate::broker::Broker;
use crate::refusal::Refusal;

pub(crate) use pull::answer_again;

/// The broker as those see it who connect to its main port.
#[derive(Debug)]
pub(crate) struct Front(pub(crate) Arc<Broker>);

/// The broker at its "VIP" port, where sends are not kept waiting by pulls: there are none.
#[derive(Debug)]
pub(crate) struct VipFront(pub(crate) Arc<Broker>);

impl Serve for Front {
    fn answer(&self, call: Call) -> Answer {
        answer(&self.0, call)
    }

    fn disconnected(&self, peer: &Peer) {
        self.0.disconnected(peer);
    }
}

impl Serve for VipFront {
    fn answer(&self, call: Call) -> Answer {
        match call.request {
            // compat: BrokerController#registerProcessor leaves pulls out of the fast server.
            Request::Pull(_) => unsupported(&call.request).into(),
            _ => answer(&self.0, call),
        }
    }

    fn disconnected(&self, peer: &Peer) {
        self.0.disconnected(peer);
    }
}

/// Gives the answer of a handler that may refuse.
macro_rules! reply {
    ($outcome:expr) => {
        match $outcome {
            Ok(reply) => Answer::from(reply),
            Err(refusal) => Answer::from(refusal),
        }
    };
}

fn answer(broker: &Arc<Broker>, call: Call) -> Answer {
    // Those that may be answered later keep the call.
    match call.request {
        Request::Pull(_) => return pull::pull(broker, call),
        Request::RunningState(_) => return clients::forward(broker, call),
        _ => {}
    }
    if admin_pace::is_paced(&call.request) {
        return in_turn(broker, call);
    }
    answer_at_once(broker, call)
}

/// Answers an operator's request when it is its turn.
fn in_turn(broker: &Arc<Broker>, mut call: Call) -> Answer {
    let per_second = broker.config().admin_per_second_max;
    match broker.turns.operators.admit(Instant::now(), per_second) {
        Some(Duration::ZERO) => answer_at_once(broker, call),
        Some(wait) => {
            let (replier, later) = (call.hold(), Arc::clone(broker));
            broker.tasks.spawn("admin request", async move {
                tokio::time::sleep(wait).await;
                replier.send(answer_at_once(&later, call));
            });
            Answer::Held
        }
        None => {
            let text = "too many requests of operators, try again later";
            Refusal::new(ResponseCode::SYSTEM_BUSY, text).into()
        }
    }
}

fn answer_at_once(broker: &Arc<Broker>, call: Call) -> Answer {
    let (peer, version, language) = (call.peer, call.version, call.language);
    match call.request {
        Request::Send(send) => reply!(send::send(broker, &send, &peer)),
        Request::QueryConsumerOffset(query) => reply!(offsets::query(broker, &query)),
        Request::UpdateConsumerOffset(update) => reply!(offsets::update(broker, &update)),
        Request::MaxOffset(queue) => reply!(offsets::max(broker, &queue)),
        Request::MinOffset(queue) => reply!(offsets::min(broker, &queue)),
        Request::SearchOffset(search) => reply!(offsets::search(broker, &search)),
        Request::EarliestTime(queue) => reply!(offsets::earliest_time(broker, &queue)),
        Request::QueryMessage(query) => reply!(query::by_key(broker, &query)),
        Request::ViewMessage(view) => reply!(query::by_offset(broker, &view)),
        Request::Heartbeat(beat) => {
            let sender = crate::clients::Sender {
                peer,
                language,
                version,
            };
            reply!(clients::heartbeat(broker, &sender, beat))
        }
        Request::UnregisterClient(leaving) => clients::unregister(broker, &peer, &leaving).into(),
        Request::ConsumerIds(group) => reply!(clients::consumer_ids(broker, &group)),
        Request::LockQueues(wanted) => reply!(clients::lock(broker, wanted)),
        Request::UnlockQueues(given_up) => reply!(clients::unlock(broker, given_up)),
        Request::ConsumerConnections(group) => reply!(clients::consumers(broker, &group)),
        Request::ProducerConnections(group) => reply!(clients::producers(broker, &group)),
        Request::CreateTopic(topic) => reply!(topics::create(broker, &topic)),
        Request::DeleteTopic(topic) => reply!(topics::delete(broker, &topic)),
        Request::AllTopicConfigs => topics::all(broker).into(),
        Request::TopicConfig(topic) => reply!(topics::config(broker, &topic)),
        Request::TopicStats(topic) => reply!(topics::stats(broker, &topic)),
        Request::GroupsOfTopic(topic) => topics::groups(broker, &topic).into(),
        Request::UpdateGroup(group) => reply!(groups::update(broker, group)),
        Request::DeleteGroup(group) => reply!(groups::delete(broker, &group)),
        Request::AllGroupConfigs => groups::all(broker).into(),
        Request::GroupConfig(group) => reply!(groups::config(broker, &group)),
        Request::TopicsOfGroup(group) => groups::topics(broker, &group).into(),
        Request::ConsumeStats(of) => reply!(groups::progress(broker, &of)),
        Request::BrokerRuntime => admin::runtime(broker).into(),
        Request::BrokerConfig => admin::config(broker).into(),
        Request::UpdateBrokerConfig(ref text) => reply!(admin::update_config(broker, text)),
        other => unsupported(&other).into(),
    }
}
