//! What the broker does for each request: one `match` is the table of contents, one file a feature.

mod admin;
mod clients;
mod groups;
mod offsets;
mod pull;
mod query;
mod send;
mod send_batch;
mod topics;

use std::sync::Arc;

use proto::remoting::Request;
use remoting::{Answer, Call, Peer, Serve, unsupported};

use crate::broker::Broker;

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
        Request::LockQueues(wanted) => clients::lock(broker, wanted).into(),
        Request::UnlockQueues(given_up) => clients::unlock(broker, &given_up).into(),
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
