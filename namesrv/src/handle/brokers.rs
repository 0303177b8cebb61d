//! What brokers ask: to be registered, to be forgotten, whether they need to say it all again; and
//! what operators do to them.

use bytes::Bytes;
use proto::json;
use proto::remoting::config::DataVersion;
use proto::remoting::naming::{
    BrokerOf, RegisterBroker, TopicsOpened, TopicsWiped, VersionChanged,
};
use proto::remoting::stats::KvTable;
use proto::remoting::{Reply, ResponseCode};

use crate::kv::ORDER_TOPICS;
use crate::registration::Registration;
use crate::route_table::Arrival;
use crate::server::{NameServer, report};

impl NameServer {
    pub(super) fn register(&self, from: &RegisterBroker, body: &Bytes, link: u64) -> Reply {
        let (is_whole, tells_order, unpacked_max) = {
            let routes = &self.config.read().routes;
            (
                routes.forget_unregistered_topics && from.is_part != Some(true),
                routes.order_config_to_brokers,
                routes.unpacked_bytes_max,
            )
        };
        let arrival = Arrival {
            link,
            now: self.now(),
            is_whole,
        };
        let taken = Registration::decode(body, from.body_crc32.unwrap_or(0), unpacked_max)
            .map_err(|error| error.to_string())
            .and_then(|what| {
                let registered = self.table.write().register(from, what, arrival);
                registered.map_err(|refused| refused.to_string())
            });
        let registered = match taken {
            Ok(registered) => registered,
            Err(told) => {
                // It is alive, and its routes stay as they were.
                let (broker, addr) = (&from.broker_name, &from.broker_addr);
                let _ = self.table.write().heard_from(broker, addr, arrival.now);
                return Reply::refused(ResponseCode::SYSTEM_ERROR, told);
            }
        };
        if registered.is_new {
            let (broker, id, addr) = (&*from.broker_name, from.broker_id, &*from.broker_addr);
            tracing::info!(broker, id, addr, "broker registered");
        }
        let reply = Reply::ok().with(registered.master);
        let order = tells_order.then(|| self.kv.read(|kv| kv.namespace(ORDER_TOPICS).cloned()));
        match order.flatten() {
            Some(table) => reply.body(json::write(&KvTable { table })),
            None => reply,
        }
    }

    pub(super) fn unregister(&self, leaving: &BrokerOf) -> Reply {
        let gone = self.table.write().unregister(leaving);
        report(&gone, "it said so");
        Reply::ok()
    }

    pub(super) fn query_version(&self, broker: &BrokerOf, version: &DataVersion) -> Reply {
        let (name, addr) = (&broker.broker_name, &broker.broker_addr);
        let known = self.table.write().heard_from(name, addr, self.now());
        let changed = known.as_ref() != Some(version);
        let reply = Reply::ok().with(VersionChanged { changed });
        match known {
            Some(known) => reply.body(json::write(&known)),
            None => reply,
        }
    }

    pub(super) fn wipe_write_perm(&self, broker: &str) -> Reply {
        let count = self.table.write().wipe_write_perm(broker);
        tracing::info!(broker, count, "topics closed to writers");
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        Reply::ok().with(TopicsWiped { count })
    }

    pub(super) fn add_write_perm(&self, broker: &str) -> Reply {
        let count = self.table.write().add_write_perm(broker);
        tracing::info!(broker, count, "topics opened to writers");
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        Reply::ok().with(TopicsOpened { count })
    }
}
