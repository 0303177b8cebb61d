//! A bare HTTP server: it reads a body and answers about as much as a broker would.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const BODY_BYTES_MAX: usize = 4 << 20;
const ANSWER: &[u8] =
    br#"{"id":"7F00000100002A9F0000000000000000","topic":"loadtest","queue":0,"offset":1000000}"#;

/// Until the peer leaves.
pub(super) async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request: Request<Incoming>| async {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
        body.collect().await.map_err(io::Error::other)?;
        let mut answer = Response::new(Full::new(Bytes::from_static(ANSWER)));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        Ok::<_, io::Error>(answer)
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    serving.await.map_err(io::Error::other)
}
