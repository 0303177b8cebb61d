//! Which handler a request goes to, and what every answer has.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    ALLOW, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, SERVER, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};

use super::{App, Door, admin, body, problem, publish};
use crate::error::{Code, Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("mq-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    /// To a destination, still percent-encoded.
    Publish(&'a str),
    Admin(admin::Page),
    AdminNotHere,
    Nothing,
}

impl<'a> Route<'a> {
    fn of(door: Door, path: &'a str) -> Self {
        match (door, admin::Page::at(path)) {
            (Door::Admin, Some(page)) => return Route::Admin(page),
            (Door::Admin, None) => return Route::Nothing,
            (Door::Data, Some(_)) => return Route::AdminNotHere,
            (Door::Data, None) => {}
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let long = path
            .strip_prefix("/v1/topics/")
            .and_then(|rest| rest.strip_suffix("/messages"));
        match long.or_else(|| path.strip_prefix("/t/")) {
            Some("" | "." | "..") | None => Route::Nothing,
            Some(segment) if segment.contains('/') => Route::Nothing,
            Some(segment) => Route::Publish(segment),
        }
    }

    fn methods(self, path: &str) -> &'static str {
        match self {
            Route::Publish(_) if path.starts_with("/t/") => "POST, PUT, OPTIONS",
            Route::Publish(_) => "POST, OPTIONS",
            Route::Admin(_) | Route::AdminNotHere | Route::Nothing => "GET, HEAD, OPTIONS",
        }
    }
}

/// The methods that fit a path.
pub(super) fn allowed(path: &str) -> &'static str {
    Route::of(Door::Data, path).methods(path)
}

impl App {
    /// Answers one request. Never fails: a failure is an answer too.
    pub(super) async fn answer<B>(&self, door: Door, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (parts, mut body) = request.into_parts();
        let id = self.request_id(&parts.headers);
        let mut response = match self.dispatch(door, &parts, &mut body).await {
            Ok(response) => response,
            Err(error) => {
                // Whoever waits for "100 Continue" has not sent it, and shall not.
                if error.code != Code::RequestTimeout && !parts.headers.contains_key(EXPECT) {
                    body::discard(&mut body).await;
                }
                problem::response(&parts, &error, &id)
            }
        };
        let headers = response.headers_mut();
        if parts.headers.contains_key(TRANSFER_ENCODING) {
            // hyper drops a Content-Length beside it unseen: whoever is in front of us may have
            // gone by that one, so nothing after this request is believed to be a request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(REQUEST_ID, id);
        headers.insert(SERVER, HeaderValue::from_static("gantry"));
        response
    }

    async fn dispatch<B>(
        &self,
        door: Door,
        parts: &Parts,
        body: &mut B,
    ) -> Result<Response<Full<Bytes>>, Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        check_head(parts, self.config.target_bytes_max)?;
        let path = parts.uri.path();
        let route = Route::of(door, path);
        let method = &parts.method;
        match route {
            Route::Nothing => Err(Error::new(Code::NotFound, "There is nothing at this path.")),
            Route::AdminNotHere => {
                let detail = "This is answered by the admin listener.";
                Err(Error::new(Code::AdminNotHere, detail))
            }
            _ if *method == Method::OPTIONS => Ok(options(route.methods(path))),
            Route::Publish(to)
                if route
                    .methods(path)
                    .split(", ")
                    .any(|fits| fits == method.as_str()) =>
            {
                publish::publish(self, to, parts, body).await
            }
            Route::Admin(page) if matches!(*method, Method::GET | Method::HEAD) => {
                admin::answer(self, page).await
            }
            Route::Publish(_) | Route::Admin(_) => {
                let detail = format!("{method} does not fit this path.");
                Err(Error::new(Code::MethodNotAllowed, detail))
            }
        }
    }

    /// The client's id for this request, or a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let is_legal = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(legal)
        };
        if let Some(given) = headers.get(REQUEST_ID).filter(is_legal) {
            return given.clone();
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = (number >> (60 - 4 * at)) & 15;
            *digit = b"0123456789abcdef"
                .get(nibble as usize)
                .copied()
                .unwrap_or(b'0');
        }
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn check_head(parts: &Parts, target_bytes_max: usize) -> Result<(), Error> {
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > target_bytes_max {
        let detail = format!("Path and query may have {target_bytes_max} bytes.");
        return Err(Error::new(Code::TargetTooLong, detail).max(target_bytes_max));
    }
    if parts.version != Version::HTTP_11 {
        let detail = "This speaks HTTP/1.1 only.";
        return Err(Error::new(Code::BadRequest, detail));
    }
    if parts.headers.get_all(HOST).iter().count() != 1 {
        return Err(Error::new(
            Code::BadRequest,
            "A request has one Host header.",
        ));
    }
    const KNOWN: [Method; 9] = [
        Method::POST,
        Method::PUT,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::DELETE,
        Method::PATCH,
        Method::CONNECT,
        Method::TRACE,
    ];
    if !KNOWN.contains(&parts.method) {
        let detail = "The method is none of HTTP's.";
        return Err(Error::new(Code::UnsupportedMethod, detail));
    }
    Ok(())
}

fn options(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}
