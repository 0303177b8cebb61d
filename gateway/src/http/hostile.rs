//! What arbitrary bytes are put to, and what must hold whatever they are: the fuzz targets of this
//! crate, for `fuzz/`. Its tests run them on the committed seeds.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use client::Client;
use hyper::Request;
use proto::message::{Properties, push_property};
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{App, Door, connection, metadata};
use crate::config::Config;
use crate::messaging::Messaging;

thread_local! {
    static HOUSE: OnceCell<(Runtime, Arc<App>)> = const { OnceCell::new() };
}

/// A gateway without a broker.
fn house() -> (Runtime, Arc<App>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let app = runtime.block_on(async {
        let links = HashMap::new();
        let client = Client::with_links(client::Config::new(["ns"]), links, &Tasks::root());
        App::new(
            Config::default(),
            Messaging::new(client),
            CancellationToken::new(),
        )
    });
    (runtime, Arc::new(app))
}

/// Bytes on a connection: they are answered with HTTP or not at all, and then it ends.
pub fn http_request(data: &[u8]) {
    const PIPE_BYTES: usize = 1 << 20;
    HOUSE.with(|cell| {
        let (runtime, app) = cell.get_or_init(house);
        let answer = runtime.block_on(async {
            let (mut near, far) = tokio::io::duplex(PIPE_BYTES);
            let talk = async {
                let mut answer = Vec::new();
                // The other end may hang up before it has read everything.
                drop(near.write_all(data).await);
                drop(near.shutdown().await);
                drop(near.read_to_end(&mut answer).await);
                answer
            };
            let served = connection::serve_on(far, Door::Data, Arc::clone(app));
            tokio::join!(talk, served).0
        });
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    });
}

/// A path with its query in the first line, headers in the others: what becomes of them is stored
/// as the properties they say, and as no others.
pub fn http_metadata(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let mut request = Request::post(target);
    for line in lines {
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let destination = parts.uri.path().trim_start_matches('/');
    let Ok((message, _)) = metadata::read(destination, &parts) else {
        return;
    };
    let given = message.properties.clone();
    let texts = message
        .tag
        .iter()
        .chain(&message.keys)
        .chain(&message.sharding_key);
    let texts = texts.chain(given.iter().flat_map(|(name, value)| [name, value]));
    for text in texts {
        assert!(
            !text.is_empty() && !text.contains(char::is_control),
            "{text:?}"
        );
    }
    let mut stored = String::new();
    for (name, value) in &given {
        push_property(&mut stored, name, value);
    }
    let read = Properties::new(&stored);
    let pairs = given.iter().map(|(name, value)| (&**name, &**value));
    assert!(read.iter().eq(pairs));
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay;

    #[test]
    fn seeds_of_the_fuzz_targets_find_nothing() {
        replay::every_seed("http_request", super::http_request);
        replay::every_seed("http_metadata", super::http_metadata);
    }
}
