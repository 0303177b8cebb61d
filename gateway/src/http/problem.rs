//! Failures as `application/problem+json` (RFC 9457), or as one line for who wants plain text.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::error::{Code, Error};

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    gantry_code: u32,
    retryable: bool,
    request_id: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

/// What only some failures have.
#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remoting_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<[&'a str; 1]>,
}

/// The answer to a request that failed.
pub(super) fn response(
    parts: &Parts,
    error: &Error,
    request_id: &HeaderValue,
) -> Response<Full<Bytes>> {
    let row = error.code.row();
    let wants_text = parts
        .headers
        .get(ACCEPT)
        .is_some_and(|accept| accept == "text/plain");
    let (kind, body) = if wants_text {
        let line = format!("{} {}: {}\n", row.http, row.name, error.detail);
        ("text/plain; charset=utf-8", line.into_bytes())
    } else {
        let problem = Problem {
            kind: format!("/problems/{}", row.name),
            title: row.title,
            status: row.http,
            detail: &error.detail,
            instance: parts.uri.path(),
            code: row.name,
            gantry_code: row.grpc,
            retryable: row.retryable,
            request_id: request_id.to_str().unwrap_or_default(),
            more: More {
                outcome: error.outcome,
                remoting_code: error.remoting_code,
                max: error.max,
                did_you_mean: error.did_you_mean.map(|name| [name]),
            },
        };
        let mut body = serde_json::to_vec(&problem).expect("texts and numbers serialize");
        body.push(b'\n');
        ("application/problem+json", body)
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(row.http).expect("the table has statuses");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if row.http == 503 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if error.code == Code::MethodNotAllowed {
        headers.insert(
            ALLOW,
            HeaderValue::from_static(super::router::allowed(parts.uri.path())),
        );
    }
    // After these the two sides may not agree where the next request begins.
    if matches!(error.code, Code::RequestTimeout | Code::BadRequest) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
