//! The client's background work, every [`Config::refresh`](crate::Config::refresh): routes in use
//! are asked for again, brokers that are connected hear that we are alive. Ends when the client is
//! dropped or its tasks are told to stop. Waits for nothing longer than one request's time.

use std::sync::{Arc, Weak};

use proto::remoting::Request;
use proto::remoting::clients::{Heartbeat, ProducerData};

use crate::Inner;

pub(crate) fn start(inner: &Arc<Inner>) {
    let every = inner.config.refresh;
    let stop = inner.tasks.token();
    let inner: Weak<Inner> = Arc::downgrade(inner);
    let tasks = match inner.upgrade() {
        Some(inner) => inner.tasks.clone(),
        None => return,
    };
    tasks.spawn("client upkeep", async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let Some(inner) = inner.upgrade() else { return };
            tokio::select! {
                () = stop.cancelled() => return,
                () = inner.keep_up() => {}
            }
        }
    });
}

impl Inner {
    async fn keep_up(&self) {
        for topic in self.routes.in_use() {
            self.refresh_route(&topic).await;
        }
        for addr in self.routes.masters() {
            if self.links.open(&addr).is_some() {
                let alive = self.ask(&addr, Request::Heartbeat(self.heartbeat())).await;
                if let Err(error) = alive {
                    tracing::debug!(%error, "heartbeat failed");
                }
            }
        }
        self.links.tidy();
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            client_id: self.client_id.clone(),
            producer_data_set: vec![ProducerData {
                group_name: self.config.producer_group.to_string(),
            }],
            ..Heartbeat::default()
        }
    }
}
