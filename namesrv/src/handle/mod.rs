//! What a name server answers: the match below is the table of contents. Nothing here waits; a change
//! of the settings is answered by `kv` once it is stored.

mod brokers;
mod routes;
mod settings;
#[cfg(test)]
mod tests;

use proto::remoting::Request;
use remoting::{Answer, Call, Peer, Serve, unsupported};

use crate::kv::Change;
use crate::server::{NameServer, report};

impl Serve for NameServer {
    fn answer(&self, mut call: Call) -> Answer {
        Answer::Now(match &call.request {
            Request::Route(of) => self.route(of),
            Request::RegisterBroker { fields, body } => self.register(fields, body, call.peer.id()),
            Request::UnregisterBroker(of) => self.unregister(of),
            Request::QueryDataVersion { broker, version } => self.query_version(broker, version),
            Request::WipeWritePerm(of) => self.wipe_write_perm(&of.broker_name),
            Request::AddWritePerm(of) => self.add_write_perm(&of.broker_name),
            Request::ClusterTable => self.cluster(),
            Request::AllTopicNames => self.all_topics(),
            Request::TopicsOfCluster(of) => self.topics_of(&of.cluster),
            Request::SystemTopics => self.system_topics(),
            Request::DeleteTopicInNamesrv(of) => self.delete_topic(of),
            Request::KvValue(of) => self.kv_value(of),
            Request::KvList(of) => self.kv_list(&of.namespace),
            Request::PutKv(put) => {
                let change = Change::Put {
                    namespace: put.namespace.clone(),
                    key: put.key.clone(),
                    value: put.value.clone(),
                };
                return self.kv.change(&mut call, change);
            }
            Request::DeleteKv(of) => {
                let change = Change::Delete {
                    namespace: of.namespace.clone(),
                    key: of.key.clone(),
                };
                return self.kv.change(&mut call, change);
            }
            Request::NamesrvConfig => self.config_text(),
            Request::UpdateNamesrvConfig(text) => self.update_config(text),
            request => unsupported(request),
        })
    }

    fn disconnected(&self, peer: &Peer) {
        let gone = self.table.write().link_closed(peer.id());
        report(&gone, "its connection closed");
    }
}
