//! The parts of a running broker, and what several handlers need of more than one of them. No part
//! knows the others; only handlers and loops see this struct.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};
use proto::Text;
use proto::message::{QueueId, QueueOffset, UniqueIds};
use proto::names;
use proto::remoting::clients::{ConsumerGroup, MessageQueue};
use proto::remoting::config::{GroupConfig, TopicConfig};
use proto::remoting::{Reply, Request};
use remoting::Peer;
use runtime::{Tasks, Watermark, clock};
use store::Store;
use tokio::sync::Notify;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::admin_pace::AdminPace;
use crate::clients::Clients;
use crate::config::Config;
use crate::figures::Figures;
use crate::groups::Groups;
use crate::locks::Locks;
use crate::long_poll::{Arrivals, LongPolls, ParkedPull};
use crate::offsets::Offsets;
use crate::pressure::Pressure;
use crate::refusal::Refusal;
use crate::register::Registrar;
use crate::topics::Topics;

/// How far the log is, for those who wait for it.
#[derive(Debug)]
pub(crate) struct Gates {
    /// Handed to the operating system: survives the end of the process.
    pub(crate) written: Watermark,
    /// As sure as the flush mode promises, and readable.
    pub(crate) acknowledged: Watermark,
    /// How long those wait who wait for that.
    pub(crate) pressure: Pressure,
}

/// Pulls that wait, and what wakes them.
#[derive(Debug)]
pub(crate) struct Polls {
    pub(crate) parked: Mutex<LongPolls>,
    pub(crate) arrivals: Mutex<Arrivals>,
    /// There are arrivals, or an earlier deadline.
    pub(crate) changed: Notify,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Turns {
    pub(crate) operators: AdminPace,
    /// Of the queues, for senders that do not care.
    queue: AtomicU32,
}

/// What stands in each message and reply, made once.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) store_host: SocketAddr,
    pub(crate) region: Text,
    /// The properties that this broker adds to every message.
    pub(crate) properties: String,
    pub(crate) unique_ids: UniqueIds,
    pub(crate) started_ms: i64,
}

/// A queue's readable range in the wire's numbers: from `min` to before `max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// Tables on disk.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Groups,
    pub(crate) offsets: Offsets,
}

#[derive(Debug)]
pub(crate) struct Broker {
    config: RwLock<Arc<Config>>,
    pub(crate) signature: Signature,
    pub(crate) store: Arc<Store>,
    pub(crate) state: State,
    pub(crate) clients: Clients,
    pub(crate) locks: Mutex<Locks>,
    pub(crate) polls: Polls,
    pub(crate) gates: Gates,
    pub(crate) figures: Figures,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) tasks: Tasks,
    pub(crate) turns: Turns,
}

/// What [`Broker::new`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) signature: Signature,
    pub(crate) store: Arc<Store>,
    pub(crate) state: State,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) tasks: Tasks,
}

impl Broker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            config,
            signature,
            store,
            state,
            registrar,
            tasks,
        } = parts;
        let parked = LongPolls::new(config.pulls.parked_per_queue_max, config.pulls.parked_max);
        let log_end = store.appended_to().0;
        Self {
            config: RwLock::new(Arc::new(config)),
            signature,
            store,
            state,
            clients: Clients::default(),
            locks: Mutex::default(),
            polls: Polls {
                parked: Mutex::new(parked),
                arrivals: Mutex::default(),
                changed: Notify::new(),
            },
            gates: Gates {
                written: Watermark::starting_at(log_end),
                acknowledged: Watermark::starting_at(log_end),
                pressure: Pressure::new(std::time::Instant::now()),
            },
            figures: Figures::default(),
            registrar,
            tasks,
            turns: Turns {
                operators: AdminPace::starting_at(Instant::now()),
                queue: AtomicU32::new(0),
            },
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    /// Changes settings of the running broker; all of them or none.
    pub(crate) fn change_config<E>(
        &self,
        change: impl FnOnce(&mut Config) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut config = self.config.write();
        let mut changed = Config::clone(&config);
        change(&mut changed)?;
        *config = Arc::new(changed);
        Ok(())
    }

    /// A queue for a sender that does not care.
    pub(crate) fn any_queue(&self, queues: i32) -> i32 {
        let turn = self.turns.queue.fetch_add(1, Relaxed) & 0x7FFF_FFFF;
        turn.cast_signed().checked_rem(queues).unwrap_or(0)
    }

    pub(crate) fn message_queue(&self, topic: &str, queue_id: i32) -> MessageQueue {
        let broker_name = self.registrar.identity().broker.to_string();
        MessageQueue {
            broker_name,
            queue_id,
            topic: topic.to_owned(),
        }
    }

    pub(crate) fn bounds(&self, topic: &str, queue: QueueId) -> Bounds {
        let bounds = self.store.queue_bounds(topic, queue).unwrap_or_default();
        Bounds {
            min: bounds.min.0.cast_signed(),
            max: bounds.max.0.cast_signed(),
        }
    }

    /// When a message was stored; 0 when there is none at that offset.
    pub(crate) fn store_time(&self, topic: &str, queue: QueueId, offset: i64) -> i64 {
        let Ok(offset) = u64::try_from(offset) else {
            return 0;
        };
        self.store
            .message_time(topic, queue, QueueOffset(offset))
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    /// The group, made now if groups may be made by being used.
    ///
    /// # Errors
    /// The name is illegal, or the new group could not be written.
    pub(crate) fn group(&self, name: &str) -> Result<Option<Arc<GroupConfig>>, Refusal> {
        if let Some(group) = self.state.groups.find(name) {
            return Ok(Some(group));
        }
        names::check_group(name)?;
        if !self.config().topics.auto_create_groups && !names::is_system_group(name) {
            return Ok(None);
        }
        self.put_group(GroupConfig::new(name))?;
        Ok(self.state.groups.find(name))
    }

    /// Adds or changes a group; on disk when this returns.
    pub(crate) fn put_group(&self, group: GroupConfig) -> Result<(), Refusal> {
        Ok(block_in_place(|| {
            self.state.groups.add(vec![group], clock::now_ms())
        })?)
    }

    pub(crate) fn delete_group(&self, group: &Text, and_offsets: bool) -> Result<(), Refusal> {
        block_in_place(|| {
            self.state.groups.remove(group, clock::now_ms())?;
            if and_offsets {
                self.state.offsets.forget_group(group)
            } else {
                Ok(())
            }
        })?;
        Ok(())
    }

    /// Adds or changes topics: on disk, and known to the name servers that answer in time, when
    /// this returns. Blocks its task, and with it only the connection that asked: what that
    /// connection sends next to a new topic keeps its order.
    pub(crate) fn add_topics(&self, topics: Vec<TopicConfig>) -> Result<(), Refusal> {
        if topics.is_empty() {
            return Ok(());
        }
        let names = topics
            .iter()
            .map(|topic| topic.topic_name.clone())
            .collect();
        block_in_place(|| {
            self.state.topics.add(topics, clock::now_ms())?;
            tokio::runtime::Handle::current().block_on(self.registrar.announce(names));
            Ok(())
        })
    }

    pub(crate) fn delete_topic(&self, topic: &Text) -> Result<(), Refusal> {
        block_in_place(|| {
            self.state.topics.remove(topic, clock::now_ms())?;
            self.state.offsets.forget_topic(topic)?;
            Ok::<(), std::io::Error>(())
        })?;
        if let Err(error) = block_in_place(|| self.store.delete_topic(topic)) {
            tracing::warn!(%topic, %error, "queues of a deleted topic are left on disk");
        }
        // The queues that they watch are gone; a topic made again has others.
        let orphans = self.polls.parked.lock().of_topic(topic);
        for pull in orphans {
            crate::handle::answer_again(self, pull, true);
        }
        self.registrar.all_changed();
        Ok(())
    }

    /// Tells the members of groups that somebody joined or left, so that they share out anew.
    pub(crate) fn tell_consumers(&self, groups: &[String]) {
        if !self.config().topics.tell_consumers_of_changes {
            return;
        }
        for group in groups {
            let wants_it = self
                .state
                .groups
                .find(group)
                .is_none_or(|g| g.notify_consumer_ids_changed_enable);
            let peers = if wants_it {
                self.clients.peers_of(group)
            } else {
                Vec::new()
            };
            for peer in peers {
                let changed = Request::ConsumersChanged(ConsumerGroup {
                    group: group.as_str().into(),
                });
                // One that cannot be told asks by itself within 20 seconds.
                let _ = peer.notify(changed);
            }
        }
    }

    pub(crate) fn disconnected(&self, peer: &Peer) {
        self.polls.parked.lock().gone(peer.id());
        let changed = self.clients.disconnected(peer);
        self.tell_consumers(&changed);
    }

    /// Lets a pull wait for a message. `nothing` is its answer when it cannot.
    pub(crate) fn park(&self, pull: ParkedPull, nothing: Reply) {
        let (topic, queue_id) = (pull.pull.topic.clone(), pull.pull.queue_id);
        let from = pull.pull.queue_offset;
        let store_queue = QueueId(queue_id.cast_unsigned());
        // Watched and parked in one step, and the queue looked at after: an arrival in between is
        // either told or seen.
        let parked = {
            let mut polls = self.polls.parked.lock();
            self.store.watch(&topic, store_queue);
            let earliest = polls.next_deadline();
            let parked = polls.park(pull);
            if polls.next_deadline() != earliest {
                self.polls.changed.notify_one();
            }
            parked
        };
        let id = match parked {
            Ok(id) => id,
            // Too many wait, or the broker stops.
            Err(refused) => return refused.replier.send(nothing),
        };
        let end = self
            .store
            .queue_bounds(&topic, store_queue)
            .map_or(0, |bounds| bounds.max.0);
        // A topic is removed first and its pulls are taken out after: either that finds this one, or
        // this finds the topic gone.
        let gone = self.state.topics.find(&topic).is_none();
        if gone || i64::try_from(end).is_ok_and(|end| end > from) {
            // Not under the lock: the answer may park it once more.
            let pull = self.polls.parked.lock().take(id);
            if let Some(pull) = pull {
                crate::handle::answer_again(self, pull, gone);
            }
        }
    }

    /// Asks for no more arrivals of a queue that no pull waits for.
    pub(crate) fn stop_watching(&self, topic: &Text, queue_id: i32) {
        let polls = self.polls.parked.lock();
        if !polls.is_waited_for(topic, queue_id) {
            self.store.unwatch(topic, QueueId(queue_id.cast_unsigned()));
        }
    }
}
