//! `POST|PUT /t/{dest}` and `POST /v1/topics/{dest}/messages`: the body is one message.

use bytes::Bytes;
use client::{Receipt, Stored};
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use proto::Text;
use serde::Serialize;

use super::{App, body, metadata, percent};
use crate::error::{Code, Error};

const MESSAGE_ID: HeaderName = HeaderName::from_static("mq-message-id");
const QUEUE_ID: HeaderName = HeaderName::from_static("mq-queue-id");
const QUEUE_OFFSET: HeaderName = HeaderName::from_static("mq-queue-offset");

/// What is told about a message that is stored.
#[derive(Serialize)]
struct Published<'a> {
    id: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    broker: &'a str,
    queue: i32,
    offset: i64,
    status: &'a str,
}

/// # Errors
/// Whatever is wrong with the request, or went wrong behind.
pub(super) async fn publish<B>(
    app: &App,
    destination: &str,
    parts: &Parts,
    body: &mut B,
) -> Result<Response<Full<Bytes>>, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    if app.stop.is_cancelled() {
        return Err(Error::new(Code::Draining, "The gateway is stopping."));
    }
    let (mut message, timeout) = metadata::read(destination, parts)?;
    if let Some(encoding) = parts.headers.get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        let detail = "Bodies are taken as they are, without content encoding.";
        return Err(Error::new(Code::UnsupportedEncoding, detail));
    }
    // Held until the message is with the broker: so long its bytes are in memory.
    let (bytes, share) = body::read(body, &app.config, &app.budget).await?;
    message.body = bytes;
    let (topic, tag) = (message.topic.clone(), message.tag.clone());
    let within = timeout.unwrap_or(app.config.publish_timeout);
    let receipt = app.messaging.publish(message, within).await?;
    drop(share);
    Ok(response(&topic, tag.as_ref(), &receipt))
}

fn response(topic: &str, tag: Option<&Text>, receipt: &Receipt) -> Response<Full<Bytes>> {
    let (status, stored) = match receipt.stored {
        Stored::Confirmed => (StatusCode::CREATED, "ok"),
        Stored::FlushDiskTimeout => (StatusCode::ACCEPTED, "flush_disk_timeout"),
        Stored::FlushSlaveTimeout => (StatusCode::ACCEPTED, "flush_slave_timeout"),
        Stored::SlaveNotAvailable => (StatusCode::ACCEPTED, "slave_not_available"),
    };
    let published = Published {
        id: &receipt.id,
        topic,
        tag: tag.map(|tag| &**tag),
        broker: &receipt.broker,
        queue: receipt.queue,
        offset: receipt.offset,
        status: stored,
    };
    let mut json = Vec::with_capacity(256);
    serde_json::to_writer(&mut json, &published).expect("texts and numbers serialize");
    json.push(b'\n');
    let mut location = String::with_capacity(128);
    location.push_str("/v1/topics/");
    percent::encode_topic(topic, &mut location);
    location.push_str("/messages/");
    location.push_str(&receipt.id);

    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let texts = [
        (LOCATION, location.try_into()),
        (MESSAGE_ID, HeaderValue::from_str(&receipt.id)),
    ];
    for (name, value) in texts {
        // Always legal: the topic is checked and the id is ours.
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    headers.insert(QUEUE_ID, receipt.queue.into());
    headers.insert(QUEUE_OFFSET, receipt.offset.into());
    response
}
