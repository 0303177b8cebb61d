//! A server that only answers: every request gets "stored", nothing is kept. What the generator
//! reaches against it is what the generator can do.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use proto::remoting::Reply;
use proto::remoting::frame::encode_head;
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::send::Sent;
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::command::Sink;
use crate::failure::Failure;
use crate::native::FIRST_OPAQUE;
use crate::report;

const READ_BYTES: usize = 256 << 10;
const FRAME_BYTES_MAX: usize = 16 << 20;

/// `loadtest sink`
pub async fn run(args: &Sink) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let addr = start(&args.listen, &tasks).await?;
    report::out(&format!("sink listens on {addr}"));
    tasks.cancelled().await;
    Ok(())
}

/// Listens, and answers until `tasks` is told to stop.
pub async fn start(listen: &str, tasks: &Tasks) -> Result<SocketAddr, Failure> {
    let failed = || Failure::io(format!("cannot listen on {listen}"));
    let listener = TcpListener::bind(listen).await.map_err(failed())?;
    let addr = listener.local_addr().map_err(failed())?;
    let within = tasks.clone();
    tasks.spawn("sink", async move {
        while let Ok((stream, _)) = listener.accept().await {
            within.spawn("sink connection", async move {
                // It ends when its peer leaves; there is nothing to tell.
                drop(answer(stream).await);
            });
        }
    });
    Ok(addr)
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
