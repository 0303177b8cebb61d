//! The native protocol by hand, so that anything can be said in it; and as much HTTP as is needed.

use std::time::Duration;

use bytes::BytesMut;
use proto::remoting::frame::Frame;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::course::Stop;
use crate::house::House;

/// Longer than any answer takes.
const WAIT: Duration = Duration::from_secs(20);
/// A code that means nothing: whoever speaks the protocol says so.
const UNKNOWN_CODE: i32 = 9999;

/// The ports that speak the native protocol.
pub(super) fn native(house: &House) -> [String; 3] {
    [house.namesrv(), house.broker(), house.vip()].map(|addr| addr.to_string())
}

/// A frame of header and body, whatever they are.
pub(super) fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let (all, head) = (4 + header.len() + body.len(), header.len());
    let size = u32::try_from(all).unwrap_or(u32::MAX).to_be_bytes();
    let mark = u32::try_from(head).unwrap_or(u32::MAX).to_be_bytes();
    [&size, &mark, header, body].concat()
}

pub(super) fn request(code: i32, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let pairs = fields.iter();
    let pairs: Map<_, _> = pairs
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect();
    let header = json!({ "code": code, "extFields": pairs, "flag": 0, "language": "JAVA",
        "opaque": 1, "serializeTypeCurrentRPC": "JSON", "version": 479 });
    frame(header.to_string().as_bytes(), body)
}

pub(super) struct Wire {
    stream: TcpStream,
    input: BytesMut,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) remark: String,
    pub(super) body: bytes::Bytes,
}

impl Wire {
    pub(super) async fn to(addr: &str) -> Result<Self, Stop> {
        let stream = TcpStream::connect(addr).await;
        let stream = stream.map_err(Stop::io(format!("cannot connect to {addr}")))?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
        })
    }

    /// False when the other side has closed.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(
            timeout(WAIT, self.stream.write_all(bytes)).await,
            Ok(Ok(()))
        )
    }

    /// The next answer; `None` when the other side closed, or said nothing for so long.
    pub(super) async fn next(&mut self, within: Duration) -> Option<Said> {
        loop {
            if let Some(frame) = Frame::split_off(&mut self.input, 1 << 28).ok()? {
                let header = frame.header().ok()?;
                if !header.is_response() {
                    // A broker tells its consumers of each other.
                    continue;
                }
                return Some(Said {
                    code: header.code,
                    remark: header.remark.clone().unwrap_or_default().into_owned(),
                    body: frame.body.clone(),
                });
            }
            match timeout(within, self.stream.read_buf(&mut self.input)).await {
                Ok(Ok(1..)) => {}
                _ => return None,
            }
        }
    }

    /// Whether the other side closes within this time, whatever it says before.
    pub(super) async fn closes(&mut self, within: Duration) -> bool {
        let drain = async {
            let mut bytes = [0; 4096];
            while let Ok(1..) = self.stream.read(&mut bytes).await {}
        };
        timeout(within, drain).await.is_ok()
    }

    /// Asks; an error when there is no answer.
    pub(super) async fn ask(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Said, Stop> {
        self.send(&request(code, fields, body)).await;
        let said = self.next(WAIT).await;
        said.ok_or_else(|| Stop::Failed(format!("no answer to request {code} with {fields:?}")))
    }

    /// Is there anybody?
    pub(super) async fn ping(&mut self) -> Result<(), Stop> {
        let said = self.ask(UNKNOWN_CODE, &[], b"").await?;
        match said.code {
            3 => Ok(()),
            code => Err(Stop::Failed(format!("code {code} for an unknown request"))),
        }
    }
}

/// Sends a message to queue 0; the answer.
pub(super) async fn send(
    wire: &mut Wire,
    more: &[(&str, &str)],
    body: &[u8],
) -> Result<Said, Stop> {
    let mut fields = vec![
        ("a", "producers"),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
    ];
    let given = |name: &str| more.iter().any(|(other, _)| *other == name);
    fields.retain(|(name, _)| !given(name));
    if !given("f") {
        fields.push(("f", "0"));
    }
    fields.extend(more);
    wire.ask(310, &fields, body).await
}

/// The status of an HTTP request; `None` when there was no answer.
pub(super) async fn http(addr: &str, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    drop(timeout(WAIT, stream.read_to_end(&mut answer)).await);
    let answer = String::from_utf8_lossy(&answer);
    answer.get(9..12)?.parse().ok()
}

/// What must hold after everything: it runs, it answers at every port, nothing panicked.
pub(super) async fn is_well(house: &mut House) -> Result<(), Stop> {
    if !house.is_running() {
        return Err(Stop::Failed(format!("gantry ended: {}", house.said())));
    }
    for addr in native(house) {
        Wire::to(&addr).await?.ping().await?;
    }
    let get = b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    if http(&house.admin(), get).await != Some(200) {
        return Err(Stop::failed("the admin port does not answer"));
    }
    match house.said().lines().find(|line| line.contains("panic")) {
        None => Ok(()),
        Some(line) => Err(Stop::Failed(format!("it says: {line}"))),
    }
}
