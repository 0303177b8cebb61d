//! Ceilings. A server that only answers: every request gets "stored", nothing is kept; what the
//! generator reaches against it is what the generator can do. And the least durable server: it reads
//! each send's header as a broker has to, and puts the bytes into one file before it answers; what
//! the generator reaches against it is what the machine can do. And a bare HTTP server.

mod http;
mod round_file;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use proto::remoting::frame::{Frame, encode_head};
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, Request};
use round_file::{FILE_BYTES, RoundFile};
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::command::Sink;
use crate::failure::Failure;
use crate::native::FIRST_OPAQUE;
use crate::report;

const READ_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: usize = 16 << 20;
/// What the log of a broker says of each message in numbers.
const NUMBERS: [u8; 88] = [0; 88];

/// `loadtest sink`
pub async fn run(args: &Sink) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let file = args.dir.as_deref();
    let file = file
        .map(|dir| RoundFile::start(dir, FILE_BYTES, args.flush, &tasks))
        .transpose()?;
    let kind = match file {
        _ if args.http => Kind::Http,
        Some(file) => Kind::Store(file),
        None => Kind::Answer,
    };
    let addr = listen(&args.listen, kind, &tasks).await?;
    report::out(&format!("{READY} {addr}"));
    tasks.cancelled().await;
    match tasks.ended() {
        Some(ended) => Err(Failure::Impossible(ended.to_string())),
        None => Ok(()),
    }
}

/// What stands before the address when it listens.
pub(crate) const READY: &str = "sink listens on";

/// Listens, and only answers, until `tasks` is told to stop.
pub async fn start(addr: &str, tasks: &Tasks) -> Result<SocketAddr, Failure> {
    listen(addr, Kind::Answer, tasks).await
}

/// What it does with requests.
#[derive(Clone, Debug)]
enum Kind {
    Answer,
    Store(Arc<RoundFile>),
    Http,
}

async fn listen(addr: &str, kind: Kind, tasks: &Tasks) -> Result<SocketAddr, Failure> {
    let failed = || Failure::io(format!("cannot listen on {addr}"));
    let listener = TcpListener::bind(addr).await.map_err(failed())?;
    let addr = listener.local_addr().map_err(failed())?;
    let within = tasks.clone();
    tasks.spawn("sink", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kind = kind.clone();
            within.spawn("sink connection", async move {
                // It ends when its peer leaves; there is nothing to tell.
                drop(match kind {
                    Kind::Answer => answer(stream).await,
                    Kind::Store(file) => store(stream, &file).await,
                    Kind::Http => http::serve(stream).await,
                });
            });
        }
    });
    Ok(addr)
}

/// Everything that came with one read goes to the file together, and is answered together.
async fn store(mut stream: TcpStream, file: &RoundFile) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut template = Template::new();
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let (mut records, mut output) = (Vec::new(), Vec::new());
    loop {
        if input.capacity() - input.len() < 4096 {
            input.reserve(READ_BYTES);
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(frame) =
            Frame::split_off(&mut input, FRAME_BYTES_MAX).map_err(io::Error::other)?
        {
            let header = frame.header().map_err(io::Error::other)?;
            let opaque = header.opaque;
            let request = Request::decode(header, &frame).map_err(io::Error::other)?;
            if let Request::Send(send) = request {
                put_record(&send, &mut records);
            }
            template.put(&mut output, opaque);
        }
        if !records.is_empty() {
            let mark = file.stage(&records);
            records.clear();
            file.written(mark).await.map_err(io::Error::other)?;
        }
        stream.write_all(&output).await?;
        output.clear();
    }
}

/// About as many bytes as a broker would write, with the one checksum it cannot do without.
fn put_record(send: &Send, records: &mut Vec<u8>) {
    records.extend_from_slice(&crc32fast::hash(&send.body).to_be_bytes());
    records.extend_from_slice(&NUMBERS);
    records.extend_from_slice(&send.body);
    records.extend_from_slice(send.fields.topic.as_bytes());
    records.extend_from_slice(send.properties().as_bytes());
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut template = Template::new();
    let (mut input, mut output) = (BytesMut::with_capacity(READ_BYTES), Vec::new());
    loop {
        if input.capacity() - input.len() < 4096 {
            input.reserve(READ_BYTES);
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(length) = input.first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            if length > FRAME_BYTES_MAX {
                return Err(io::Error::other("a frame is too long"));
            }
            let Some(frame) = input.get(4..4 + length) else {
                break;
            };
            let opaque = opaque(frame).ok_or_else(|| io::Error::other("not a request"))?;
            template.put(&mut output, opaque);
            input.advance(4 + length);
        }
        stream.write_all(&output).await?;
        output.clear();
    }
}

/// The opaque of a request, wherever it is.
fn opaque(frame: &[u8]) -> Option<i32> {
    const KEY: &[u8] = b"\"opaque\":";
    let (mark, rest) = frame.split_first_chunk::<4>()?;
    let mark = u32::from_be_bytes(*mark);
    let header = rest.get(..usize::try_from(mark & 0x00ff_ffff).ok()?)?;
    if mark >> 24 == 1 {
        return Some(i32::from_be_bytes(*header.get(5..)?.first_chunk()?));
    }
    let at = header.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let digits = header.get(at..)?;
    let end = digits
        .iter()
        .take_while(|byte| !b",}".contains(byte))
        .count();
    str::from_utf8(digits.get(..end)?).ok()?.trim().parse().ok()
}

/// An answer whose opaque has ten digits; others are encoded.
struct Template {
    bytes: Vec<u8>,
    opaque_at: usize,
}

impl Template {
    fn new() -> Self {
        let bytes = encoded(FIRST_OPAQUE.cast_signed());
        let key = b"\"opaque\":";
        let at = bytes.windows(key.len()).position(|window| window == key);
        Self {
            opaque_at: at.expect("our own encoder wrote it") + key.len(),
            bytes,
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, opaque: i32) {
        if opaque < FIRST_OPAQUE.cast_signed() {
            out.extend_from_slice(&encoded(opaque));
            return;
        }
        let mut rest = opaque.unsigned_abs();
        let digits = self.bytes.get_mut(self.opaque_at..self.opaque_at + 10);
        for digit in digits.into_iter().flatten().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        out.extend_from_slice(&self.bytes);
    }
}

fn encoded(opaque: i32) -> Vec<u8> {
    let reply = Reply::ok().with(Sent {
        message_id: "7F00000100002A9F0000000000000000".into(),
        queue_id: 0,
        queue_offset: 0,
        transaction_id: None,
        region: None,
        trace_on: None,
    });
    let mut out = BytesMut::new();
    let envelope = Envelope::response(0, opaque, None);
    encode_head(&envelope, Serialization::Json, &reply, 0, &mut out);
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::command::{Flush, Ser, Shape, Target};
    use crate::native::{Found, Plan, load};

    #[tokio::test]
    async fn the_durable_sink_writes_what_it_acknowledges_whichever_header_it_came_with() {
        for (ser, flush) in [(Ser::Json, Flush::Sync), (Ser::Binary, Flush::Async)] {
            let tasks = Tasks::root();
            let folder = tempfile::tempdir().unwrap();
            let file = RoundFile::start(folder.path(), 4 << 20, flush, &tasks).unwrap();
            let addr = listen("127.0.0.1:0", Kind::Store(file), &tasks)
                .await
                .unwrap();
            let shape = Shape {
                conns: 2,
                depth: 4,
                rate: None,
                size: 100,
                secs: Duration::from_millis(100),
                warm: Duration::ZERO,
                ser,
            };
            let target = Target::broker(addr.to_string().into(), "orders".into());
            let found = Found::find(&target, &tasks).await.unwrap();
            let plan = Plan::new(&found, &shape);
            let tally = load(&plan, Instant::now()).await.unwrap();
            assert!(tally.ok > 0, "{tally:?}");
            assert_eq!((tally.unanswered, tally.first_failure), (0, None));
            let written = std::fs::read(folder.path().join("sink.log")).unwrap();
            let needle = b"ordersUNIQ_KEY";
            let found = written.windows(needle.len()).any(|part| part == needle);
            assert!(found, "nothing of what was acknowledged is in the file");
            tasks.cancel();
        }
    }
}
