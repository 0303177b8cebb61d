//! Sends three messages and reads them back.
//!
//! ```sh
//! cargo run -p client --example hello -- 127.0.0.1:9876
//! ```

use std::error::Error;
use std::time::Duration;

use client::{Client, Config, Message, Pull, PullStatus, Tasks};

const TOPIC: &str = "hello";

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
async fn main() -> Result<(), Box<dyn Error>> {
    let name_server = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9876".into());
    let tasks = Tasks::root();
    let client = Client::connect(Config::new([name_server]), &tasks);

    let mut first = None;
    for word in ["one", "two", "three"] {
        // The sharding key puts all three into one queue, so they are read in order.
        let message = Message::new(TOPIC, word)
            .tag("greeting")
            .sharding_key("hello");
        let receipt = client.send(message).await?;
        println!(
            "sent {word}: {} in queue {} at {}",
            receipt.id, receipt.queue, receipt.offset
        );
        first.get_or_insert(receipt);
    }
    let first = first.ok_or("nothing was sent")?;

    // A topic that its first message created is known to the name server a moment later.
    let queue = loop {
        let queues = client.queues(TOPIC).await.unwrap_or_default();
        let ours = queues
            .into_iter()
            .find(|q| q.broker == first.broker && q.id == first.queue);
        match ours {
            Some(queue) => break queue,
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let mut pull = Pull::new("hello-group", queue, first.offset);
    pull.wait = Duration::from_secs(5);
    loop {
        let pulled = client.pull(&pull).await?;
        for message in &pulled.messages {
            println!(
                "read {} at {}",
                String::from_utf8_lossy(&message.body),
                message.offset
            );
        }
        pull.offset = pulled.next_offset;
        if pulled.status == PullStatus::NothingNew || pulled.next_offset >= pulled.max_offset {
            break;
        }
    }
    client
        .commit_offset("hello-group", &pull.queue, pull.offset)
        .await?;

    drop(client);
    tasks.close(Duration::from_secs(5)).await?;
    Ok(())
}
