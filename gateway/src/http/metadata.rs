//! What a request says about its message besides the body: path, headers and query parameters.
//! Everything that can be said in a header can be said in the query; saying it differently in both
//! is refused, and so is whatever is not known here (a typo must not lose a sharding key).

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use proto::Text;

use super::{duration, percent};
use crate::error::{Code, Error};
use crate::message::{Message, TRACE};

const HEADERS: [&str; 6] = [
    "mq-key",
    "mq-property",
    "mq-request-id",
    "mq-sharding-key",
    "mq-tag",
    "mq-timeout",
];
const PARAMETERS: [&str; 5] = ["key", "p.", "shard", "tag", "timeout"];
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// A longer one is no trace context.
const TRACE_BYTES_MAX: usize = 512;
/// What `curl -d` says without meaning it.
const FORM: &str = "application/x-www-form-urlencoded";
/// Bodies of these types will mean something else than a message's bytes.
const RESERVED_TYPES: [&str; 2] = ["application/vnd.mq.", "application/cloudevents"];

/// What one place (the headers, the query) says.
#[derive(Default)]
struct Given {
    tag: Option<Text>,
    keys: Vec<Text>,
    sharding_key: Option<Text>,
    timeout: Option<Text>,
    properties: Vec<(Text, Text)>,
}

/// The message without its body, and how long its publishing may take.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read(destination: &str, parts: &Parts) -> Result<(Message, Option<Duration>), Error> {
    let bad_path = || Error::new(Code::BadPath, "The destination has a broken escape.");
    let destination = percent::decode(destination).ok_or_else(bad_path)?;
    let (topic, path_tag) = match destination.split_once(':') {
        None => (&*destination, None),
        Some((topic, "")) => (topic, None),
        Some((topic, tag)) => (topic, Some(Text::from(tag))),
    };
    let headers = Given::from_headers(&parts.headers)?;
    let query = Given::from_query(parts.uri.query().unwrap_or_default())?;
    let tag = agree("tag", path_tag, agree("tag", headers.tag, query.tag)?)?;
    let timeout = agree("timeout", headers.timeout, query.timeout)?;
    let message = Message {
        topic: topic.into(),
        tag,
        keys: match (headers.keys, query.keys) {
            (given, none) | (none, given) if none.is_empty() => given,
            (header, query) if header == query => header,
            _ => return Err(conflict("keys")),
        },
        sharding_key: agree("sharding key", headers.sharding_key, query.sharding_key)?,
        content_type: content_type(&parts.headers)?,
        trace: TRACE.map(|name| trace(parts.headers.get(name))),
        properties: distinct(headers.properties, query.properties)?,
        ..Message::default()
    };
    let timeout = timeout.map(|text| parse_timeout(&text)).transpose()?;
    message.check()?;
    Ok((message, timeout))
}

impl Given {
    fn from_headers(headers: &HeaderMap) -> Result<Self, Error> {
        let mut given = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with("mq-") {
                continue;
            }
            match name {
                "mq-tag" => once(&mut given.tag, name, header_text(name, value)?)?,
                "mq-sharding-key" => {
                    once(&mut given.sharding_key, name, header_text(name, value)?)?
                }
                "mq-timeout" => once(&mut given.timeout, name, header_text(name, value)?)?,
                "mq-key" => given.keys.push(header_text(name, value)?),
                "mq-property" => given.properties.push(header_property(value)?),
                "mq-request-id" => {}
                _ => {
                    let detail = format!("Header '{name}' is unknown.");
                    return Err(Error {
                        did_you_mean: nearest(name, &HEADERS),
                        ..Error::new(Code::UnknownHeader, detail)
                    });
                }
            }
        }
        Ok(given)
    }

    fn from_query(query: &str) -> Result<Self, Error> {
        let mut given = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let bad = || Error::new(Code::BadPath, "The query has a broken escape.");
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent::decode(name).ok_or_else(bad)?;
            let value = Text::from(&*percent::decode(value).ok_or_else(bad)?);
            match &*name {
                "tag" => once(&mut given.tag, &name, value)?,
                "shard" => once(&mut given.sharding_key, &name, value)?,
                "timeout" => once(&mut given.timeout, &name, value)?,
                "key" => given.keys.push(value),
                other => match other.strip_prefix("p.") {
                    Some(property) => given.properties.push((property.into(), value)),
                    None => {
                        let detail = format!("Parameter '{}' is unknown.", name.escape_debug());
                        return Err(Error {
                            did_you_mean: nearest(&name, &PARAMETERS),
                            ..Error::new(Code::UnknownParameter, detail)
                        });
                    }
                },
            }
        }
        Ok(given)
    }
}

/// Visible ASCII, percent-decoded once.
fn header_text(name: &str, value: &HeaderValue) -> Result<Text, Error> {
    let bad = || {
        let detail = format!("Header '{name}' has bytes that must be percent-encoded.");
        Error::new(Code::BadRequest, detail)
    };
    let text = value.to_str().map_err(|_| bad())?;
    if text.contains('\t') {
        return Err(bad());
    }
    percent::decode(text)
        .map(|text| Text::from(&*text))
        .ok_or_else(bad)
}

/// `name=value`, split before the escapes are decoded.
fn header_property(value: &HeaderValue) -> Result<(Text, Text), Error> {
    let bad = || {
        Error::new(
            Code::IllegalMessagePropertyKey,
            "'Mq-Property' is not 'name=value'.",
        )
    };
    let text = value.to_str().map_err(|_| bad())?;
    let (name, value) = text.split_once('=').ok_or_else(bad)?;
    let decode = |text| {
        percent::decode(text)
            .map(|text| Text::from(&*text))
            .ok_or_else(bad)
    };
    Ok((decode(name)?, decode(value)?))
}

fn content_type(headers: &HeaderMap) -> Result<Option<Text>, Error> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let bad = || Error::new(Code::BadRequest, "The content type is not text.");
    let text = value.to_str().map_err(|_| bad())?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    let starts = |prefix: &str| {
        let start = essence.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if RESERVED_TYPES.into_iter().any(starts) {
        let detail = format!("Bodies of type '{essence}' are not read yet.");
        return Err(Error::new(Code::UnsupportedMediaType, detail));
    }
    let says_something = !essence.is_empty() && !essence.eq_ignore_ascii_case(FORM);
    Ok(says_something.then(|| text.into()))
}

/// What is no trace context is ignored, as its specification wants.
fn trace(value: Option<&HeaderValue>) -> Option<Text> {
    let text = value?.to_str().ok()?;
    (!text.is_empty() && text.len() <= TRACE_BYTES_MAX && !text.contains('\t')).then(|| text.into())
}

fn parse_timeout(text: &str) -> Result<Duration, Error> {
    duration::parse(text)
        .filter(|timeout| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(timeout))
        .ok_or_else(|| {
            Error::new(
                Code::BadDuration,
                "A timeout is a duration from 10ms to 30s.",
            )
        })
}

fn once(slot: &mut Option<Text>, name: &str, value: Text) -> Result<(), Error> {
    if slot.replace(value).is_some() {
        let detail = format!("'{name}' is given twice.");
        return Err(Error::new(Code::RepeatedParameter, detail));
    }
    Ok(())
}

fn agree(what: &str, one: Option<Text>, other: Option<Text>) -> Result<Option<Text>, Error> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(conflict(what)),
        (one, other) => Ok(one.or(other)),
    }
}

/// All properties; one name has one value.
fn distinct(
    headers: Vec<(Text, Text)>,
    query: Vec<(Text, Text)>,
) -> Result<Vec<(Text, Text)>, Error> {
    let mut all: Vec<(Text, Text)> = headers;
    all.extend(query);
    if all.len() > 1 {
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup();
        if all
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b))
        {
            return Err(conflict("property"));
        }
    }
    Ok(all)
}

fn conflict(what: &str) -> Error {
    let detail = format!("The {what} is given with two different values.");
    Error::new(Code::ConflictingMetadata, detail)
}

/// The known name that was probably meant.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const TYPOS_MAX: usize = 2;
    const NAME_BYTES_MAX: usize = 32;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let distances = known
        .iter()
        .map(|known| (distance(name.as_bytes(), known.as_bytes()), *known));
    let (distance, nearest) = distances.min()?;
    (distance <= TYPOS_MAX).then_some(nearest)
}

/// Insertions, deletions and replacements between two texts.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
