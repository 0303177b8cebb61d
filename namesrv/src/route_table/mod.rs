//! Which broker has which topic: a state machine on plain values, without IO and without a clock.
//! `now` is the time since the name server started. `read.rs` is what clients and tools see of it.
//!
//! Invariants: a broker is here while at least one of its members is, and its topics with it; an
//! address is a member of its broker once; a refused registration changes nothing. Tables have the
//! limits below; a registration that would exceed one is refused with a text that says which.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::remoting::config::{DataVersion, READ, WRITE};
use proto::remoting::naming::{BrokerOf, BrokerRegistered, RegisterBroker};

use crate::registration::{Queues, Registration};

/// Broker names.
pub(crate) const BROKERS_MAX: usize = 1024;
/// Members of one broker: a master and its replicas.
pub(crate) const MEMBERS_MAX: usize = 64;
/// Topics of all brokers; one that two brokers have counts twice.
pub(crate) const TOPICS_MAX: usize = 1_000_000;
/// Bytes of a name or an address.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The member that may be written to.
const MASTER: i64 = 0;
/// How long a broker that does not say so itself may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// The longest silence that a broker may ask for.
const SILENCE_LIMIT_MS: i64 = 24 * 3_600_000;

/// Why a registration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// compat: RouteInfoManager#registerBroker: what a broker sends when one topic changed must not
    /// be taken for all that it has.
    #[error("register broker failed")]
    OneTopicFirst,
    #[error("register broker failed: illegal {0}")]
    Illegal(&'static str),
    #[error("register broker failed: the name server has room for {0} {1}")]
    Full(usize, &'static str),
}

#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    brokers: BTreeMap<String, Broker>,
}

/// All processes that share a broker name.
#[derive(Debug, Default)]
struct Broker {
    cluster: String,
    acting_master: bool,
    members: BTreeMap<i64, Member>,
    topics: BTreeMap<String, Queues>,
}

#[derive(Debug)]
struct Member {
    addr: String,
    ha_addr: String,
    version: DataVersion,
    /// The connection that it registered on last.
    link: u64,
    heard: Duration,
    silence_max: Duration,
}

/// What came of a registration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// The address was not known before.
    pub(crate) is_new: bool,
    /// For a replica: who its master is.
    pub(crate) master: BrokerRegistered,
}

/// A member that is no longer one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) broker: String,
    pub(crate) id: i64,
    pub(crate) addr: String,
}

/// How a registration came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The connection.
    pub(crate) link: u64,
    pub(crate) now: Duration,
    /// Topics that it does not name are gone.
    pub(crate) is_whole: bool,
}

impl RouteTable {
    /// Takes in what a broker says of itself.
    pub(crate) fn register(
        &mut self,
        from: &RegisterBroker,
        what: Registration,
        arrival: Arrival,
    ) -> Result<Registered, Refused> {
        check_names(from, &what)?;
        let known = self.brokers.get(&*from.broker_name);
        let holder = known.and_then(|broker| broker.members.get(&from.broker_id));
        if let Some(holder) = holder {
            let is_older = what.version.state_version < holder.version.state_version;
            if holder.addr != *from.broker_addr && is_older {
                // compat: RouteInfoManager#registerBroker: the newcomer is ignored, but not told.
                return Ok(Registered {
                    is_new: false,
                    master: told(None),
                });
            }
        } else if what.topics.len() == 1 {
            return Err(Refused::OneTopicFirst);
        }
        self.check_room(known, from, &what)?;
        let broker = self.brokers.entry(from.broker_name.to_string());
        Ok(broker.or_default().take_in(from, what, arrival))
    }

    fn check_room(
        &self,
        known: Option<&Broker>,
        from: &RegisterBroker,
        what: &Registration,
    ) -> Result<(), Refused> {
        let members = known.map_or(0, |known| known.members.len());
        let is_new = known.is_none_or(|known| !known.members.contains_key(&from.broker_id));
        let is_new_topic =
            |topic: &&String| known.is_none_or(|known| !known.topics.contains_key(*topic));
        let more = what.topics.keys().filter(is_new_topic).count();
        let topics: usize = self
            .brokers
            .values()
            .map(|broker| broker.topics.len())
            .sum();
        if known.is_none() && self.brokers.len() == BROKERS_MAX {
            Err(Refused::Full(BROKERS_MAX, "brokers"))
        } else if is_new && members == MEMBERS_MAX {
            Err(Refused::Full(MEMBERS_MAX, "members of a broker"))
        } else if topics + more > TOPICS_MAX {
            Err(Refused::Full(TOPICS_MAX, "topics"))
        } else {
            Ok(())
        }
    }

    /// A broker says that it leaves.
    pub(crate) fn unregister(&mut self, leaving: &BrokerOf) -> Vec<Gone> {
        self.drop_members(|broker, member| {
            broker == &*leaving.broker_name && member.addr == *leaving.broker_addr
        })
    }

    /// A connection is gone, and with it all who registered on it.
    pub(crate) fn link_closed(&mut self, link: u64) -> Vec<Gone> {
        self.drop_members(|_, member| member.link == link)
    }

    /// Drops those who were silent for longer than they announced.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<Gone> {
        self.drop_members(|_, member| member.heard + member.silence_max < now)
    }

    fn drop_members(&mut self, is_gone: impl Fn(&str, &Member) -> bool) -> Vec<Gone> {
        let mut all_gone = Vec::new();
        self.brokers.retain(|name, broker| {
            let before = all_gone.len();
            for (id, member) in broker
                .members
                .extract_if(.., |_, member| is_gone(name, member))
            {
                all_gone.push(Gone {
                    broker: name.clone(),
                    id,
                    addr: member.addr,
                });
            }
            if all_gone.len() > before && broker.acting_master && !broker.has_master() {
                broker.refuse_writes();
            }
            !broker.members.is_empty()
        });
        all_gone
    }

    /// The version of the topics that the name server has of a broker, who is alive.
    pub(crate) fn heard_from(
        &mut self,
        broker: &str,
        addr: &str,
        now: Duration,
    ) -> Option<DataVersion> {
        let members = &mut self.brokers.get_mut(broker)?.members;
        let member = members.values_mut().find(|member| member.addr == addr)?;
        member.heard = now;
        Some(member.version.clone())
    }

    /// Closes all topics of a broker to writers, until it registers changed ones; how many.
    pub(crate) fn wipe_write_perm(&mut self, broker: &str) -> usize {
        self.set_perms(broker, |perm| perm & !WRITE)
    }

    /// Opens all topics of a broker to readers and writers; how many.
    pub(crate) fn add_write_perm(&mut self, broker: &str) -> usize {
        self.set_perms(broker, |_| READ | WRITE)
    }

    fn set_perms(&mut self, broker: &str, perm: impl Fn(i32) -> i32) -> usize {
        let Some(broker) = self.brokers.get_mut(broker) else {
            return 0;
        };
        for queues in broker.topics.values_mut() {
            queues.perm = perm(queues.perm);
        }
        broker.topics.len()
    }

    /// Forgets a topic, in one cluster or in all.
    pub(crate) fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        for broker in self.brokers.values_mut() {
            if cluster.is_none_or(|cluster| cluster == broker.cluster) {
                broker.topics.remove(topic);
            }
        }
    }
}

impl Broker {
    fn has_master(&self) -> bool {
        self.members.contains_key(&MASTER)
    }

    fn refuse_writes(&mut self) {
        for queues in self.topics.values_mut() {
            queues.perm &= !WRITE;
        }
    }

    fn take_in(
        &mut self,
        from: &RegisterBroker,
        what: Registration,
        arrival: Arrival,
    ) -> Registered {
        let (id, addr) = (from.broker_id, &*from.broker_addr);
        let before = self.members.values().find(|member| member.addr == addr);
        let before = before.map(|member| member.version.clone());
        let changed = before.as_ref() != Some(&what.version);
        let is_first = !self.members.contains_key(&id);
        self.cluster = from.cluster_name.to_string();
        self.acting_master = from.acting_master == Some(true);
        // A replica that became the master comes back with another id.
        self.members
            .retain(|&other, member| other == id || member.addr != addr);
        let member = Member {
            addr: addr.to_owned(),
            ha_addr: from.ha_server_addr.to_string(),
            version: what.version,
            link: arrival.link,
            heard: arrival.now,
            silence_max: silence_max(from.heartbeat_timeout_ms),
        };
        self.members.insert(id, member);
        // compat: RouteInfoManager#registerBroker: a broker of before 5.0 says nothing of acting
        // masters, and only its master's topics count.
        let is_least = self.members.keys().next() == Some(&id);
        if id == MASTER || (is_least && from.acting_master.is_some()) {
            if arrival.is_whole {
                self.topics.retain(|name, _| what.topics.contains_key(name));
            }
            for (name, mut queues) in what.topics {
                if is_first || changed || !self.topics.contains_key(&name) {
                    if id != MASTER && self.acting_master {
                        queues.perm &= !WRITE;
                    }
                    self.topics.insert(name, queues);
                }
            }
        }
        let master = self.members.get(&MASTER).filter(|_| id != MASTER);
        Registered {
            is_new: before.is_none(),
            master: told(master),
        }
    }
}

/// What a replica is told of its master.
fn told(master: Option<&Member>) -> BrokerRegistered {
    BrokerRegistered {
        ha_server_addr: master.map(|master| master.ha_addr.as_str().into()),
        master_addr: master.map(|master| master.addr.as_str().into()),
    }
}

fn silence_max(asked_ms: Option<i64>) -> Duration {
    asked_ms.map_or(SILENCE_MAX, |ms| {
        Duration::from_millis(ms.clamp(0, SILENCE_LIMIT_MS).unsigned_abs())
    })
}

fn check_names(from: &RegisterBroker, what: &Registration) -> Result<(), Refused> {
    let is_name = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
    // Clients take the list of addresses apart by commas, colons and quotes.
    let is_addr = |addr: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]%".contains(&byte);
        is_name(addr) && addr.bytes().all(allowed)
    };
    if !is_name(&from.cluster_name) {
        Err(Refused::Illegal("clusterName"))
    } else if !is_name(&from.broker_name) {
        Err(Refused::Illegal("brokerName"))
    } else if !is_addr(&from.broker_addr) {
        Err(Refused::Illegal("brokerAddr"))
    } else if from.ha_server_addr.len() > NAME_BYTES_MAX {
        Err(Refused::Illegal("haServerAddr"))
    } else if !what.topics.keys().all(|topic| is_name(topic)) {
        Err(Refused::Illegal("topic"))
    } else {
        Ok(())
    }
}
