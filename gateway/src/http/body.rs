//! Reading a body: within the byte budget, the size limit and the time it may take. What is posted
//! is handed on as it came, without a copy when it came in one piece.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{Budget, Share};
use crate::config::Config;
use crate::error::{Code, Error};

/// Reserved before the first byte: what is announced may never come.
const FIRST_BYTES: usize = 64 << 10;
/// After this long a body must arrive at the least rate.
const SLOW_START: Duration = Duration::from_secs(5);
/// A refused body is read and dropped for so long, so that its sender gets to see the answer.
const DISCARD_TIME: Duration = Duration::from_secs(2);
const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Reads the whole body; its bytes stay reserved until the share is dropped.
///
/// # Errors
/// Empty, too large, too slow, cut off, or no budget left.
pub(super) async fn read<'a, B>(
    body: &mut B,
    config: &Config,
    budget: &'a Budget,
) -> Result<(Bytes, Share<'a>), Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let max = config.body_bytes_max.min(config.budget_bytes);
    let announced = body.size_hint().exact();
    let announced = announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let most = announced.unwrap_or(max);
    if most > max {
        return Err(too_large(max));
    }
    let first = FIRST_BYTES.min(most);
    let mut share = budget.take(first).ok_or_else(overloaded)?;
    let started = Instant::now();
    let end = started + config.body_timeout;
    let mut whole = Pieces::default();
    while !body.is_end_stream() {
        let frame = timeout_at(end, body.frame()).await;
        let Some(frame) = frame.map_err(|_| too_slow())? else {
            break;
        };
        let cut_off = |_| Error::new(Code::BadRequest, "The body ended too early.");
        // Trailers say nothing that is of use here.
        let Ok(piece) = frame.map_err(cut_off)?.into_data() else {
            continue;
        };
        let bytes = whole.len() + piece.len();
        if bytes > max {
            return Err(too_large(max));
        }
        if bytes > share.bytes() {
            // Twice as much, so that it is copied seldom, but no more than may come.
            let room = (2 * share.bytes()).min(most).max(bytes);
            if !share.grow(room - share.bytes()) {
                return Err(overloaded());
            }
        }
        whole.push(piece, share.bytes());
        check_pace(started.elapsed(), bytes, config.body_bytes_per_second_min)?;
    }
    match whole.finish() {
        body if body.is_empty() => {
            let detail = "A message has at least one byte.";
            Err(Error::new(Code::MessageBodyEmpty, detail))
        }
        body => Ok((body, share)),
    }
}

/// Reads what is left of a refused body, so that the connection can go on or at least end well.
pub(super) async fn discard<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    if body.is_end_stream() {
        return;
    }
    let drop_all = async {
        let mut dropped = 0;
        while let Some(Ok(frame)) = body.frame().await {
            dropped += frame.data_ref().map_or(0, Buf::remaining);
            if dropped > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // Late or not: the answer goes out now.
    drop(timeout(DISCARD_TIME, drop_all).await);
}

fn check_pace(elapsed: Duration, bytes: usize, per_second_min: u64) -> Result<(), Error> {
    let counted = elapsed.saturating_sub(SLOW_START).as_secs();
    if u64::try_from(bytes).unwrap_or(u64::MAX) < counted.saturating_mul(per_second_min) {
        return Err(too_slow());
    }
    Ok(())
}

/// A body in the making.
#[derive(Default)]
struct Pieces {
    only: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.only.len() + self.joined.len()
    }

    /// `room` was taken from the budget for all pieces.
    fn push(&mut self, piece: Bytes, room: usize) {
        if self.len() == 0 {
            self.only = piece;
            return;
        }
        self.joined.reserve(room.saturating_sub(self.joined.len()));
        if self.joined.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.only));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() {
            self.only
        } else {
            self.joined.freeze()
        }
    }
}

fn too_large(max: usize) -> Error {
    let detail = format!("A body may have {max} bytes.");
    Error::new(Code::MessageBodyTooLarge, detail).max(max)
}

fn too_slow() -> Error {
    Error::new(Code::RequestTimeout, "The body did not arrive in time.")
}

fn overloaded() -> Error {
    Error::new(
        Code::Overloaded,
        "The gateway holds as many bodies as it may.",
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use hyper::body::Frame;
    use tokio::time::{Interval, interval};

    use super::*;

    /// 2 KiB every second.
    struct Trickle(Interval);

    impl Body for Trickle {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            ready!(self.0.poll_tick(cx));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 2048])))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_moves_has_an_end_all_the_same() {
        let (config, started) = (Config::default(), Instant::now());
        let budget = Budget::new(config.budget_bytes);
        let mut body = Trickle(interval(Duration::from_secs(1)));
        let error = read(&mut body, &config, &budget).await.unwrap_err();
        assert_eq!(error.code, Code::RequestTimeout);
        assert_eq!(started.elapsed(), config.body_timeout);
    }
}
