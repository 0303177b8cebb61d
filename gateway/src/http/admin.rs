//! The admin listener: is the process alive, can it do its work, which version is it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::App;
use crate::error::Error;

/// How long a check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Livez,
    Readyz,
    Version,
}

impl Page {
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Livez),
            "/readyz" => Some(Self::Readyz),
            "/version" => Some(Self::Version),
            _ => None,
        }
    }
}

pub(super) async fn answer(app: &App, page: Page) -> Result<Response<Full<Bytes>>, Error> {
    Ok(match page {
        Page::Livez => response(StatusCode::OK, &json!({ "live": true })),
        Page::Version => {
            let version = env!("CARGO_PKG_VERSION");
            response(StatusCode::OK, &json!({ "version": version }))
        }
        Page::Readyz => {
            let broker = if app.stop.is_cancelled() {
                "the gateway is stopping".to_owned()
            } else {
                match tokio::time::timeout(CHECK_TIMEOUT, app.messaging.ready()).await {
                    Ok(Ok(())) => "ok".to_owned(),
                    Ok(Err(error)) => error.code.row().name.to_owned(),
                    Err(_) => "no answer in time".to_owned(),
                }
            };
            let ready = broker == "ok";
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            response(
                status,
                &json!({ "ready": ready, "checks": { "broker": broker } }),
            )
        }
    })
}

fn response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
