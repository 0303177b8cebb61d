//! What every door does with messages, in words that belong to none of them.

use std::time::Duration;

use client::{Client, Receipt, SendOptions};

use crate::error::{Code, Error};
use crate::message::Message;

#[derive(Clone, Debug)]
pub(crate) struct Messaging {
    client: Client,
}

impl Messaging {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Publishes a message that was checked, and waits until the broker has taken it.
    pub(crate) async fn publish(
        &self,
        message: Message,
        within: Duration,
    ) -> Result<Receipt, Error> {
        let options = SendOptions {
            timeout: Some(within),
            ..SendOptions::default()
        };
        Ok(self.client.send_with(message.into(), &options).await?)
    }

    /// Is there a broker that could take a message?
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let cluster = self.client.cluster().await?;
        let mut brokers = cluster.broker_addr_table.values();
        if brokers.any(|broker| broker.broker_addrs.contains_key(&0)) {
            return Ok(());
        }
        let detail = "The name server knows no broker that takes messages.";
        Err(Error::new(Code::NoBroker, detail))
    }
}
