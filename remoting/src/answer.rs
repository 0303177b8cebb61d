//! The receiving side of a link: a request with its circumstances, and the three ways to answer it.

use std::time::Duration;

use proto::remoting::header::{Language, Serialization};
use proto::remoting::{Reply, Request, ResponseCode};
use runtime::Watermark;
use tokio::sync::oneshot;

use crate::outgoing::Outgoing;
use crate::peer::Peer;

/// Something that answers requests on behalf of a peer. Called in the order in which the requests
/// of one peer arrived, from that peer's own task: it must not block.
pub trait Serve: Send + Sync + 'static {
    fn answer(&self, call: Call) -> Answer;

    /// The link to `peer` is gone; nothing more comes from it.
    fn disconnected(&self, peer: &Peer) {
        let _ = peer;
    }
}

/// A request and who sent it.
#[derive(Debug)]
pub struct Call {
    pub peer: Peer,
    /// The sender's protocol version.
    pub version: i32,
    pub language: Language,
    /// The sender does not want an answer; whatever is given is dropped.
    pub oneway: bool,
    pub request: Request,
    pub(crate) reply_to: ReplyTo,
}

/// Where the reply of one request goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    Nobody,
    Wire { opaque: i32, how: Serialization },
    Local(oneshot::Sender<Answer>),
}

impl Call {
    /// Takes the right to answer, for [`Answer::Held`]. The request counts as unanswered until the
    /// [`Replier`] is used or dropped, whatever else is answered.
    pub fn hold(&mut self) -> Replier {
        let reply_to = std::mem::replace(&mut self.reply_to, ReplyTo::Nobody);
        if matches!(reply_to, ReplyTo::Wire { .. }) {
            self.peer.hold();
        }
        Replier {
            peer: self.peer.clone(),
            reply_to,
        }
    }
}

/// How a request is answered.
#[derive(Debug)]
pub enum Answer {
    Now(Reply),
    /// When a watermark is reached.
    Gated(Gated),
    /// By the [`Replier`] that was taken with [`Call::hold`].
    Held,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Now(reply)
    }
}

/// A reply that becomes true when `gate` reaches `at`.
#[derive(Debug)]
pub struct Gated {
    pub gate: Watermark,
    pub at: u64,
    pub reply: Reply,
    /// After this long the reply goes out as [`OVERDUE`].
    pub within: Duration,
}

/// A watermark that replies wait for says what is on disk.
const OVERDUE: ResponseCode = ResponseCode::FLUSH_DISK_TIMEOUT;

/// What is said instead of `reply` when its gate was not reached in time.
pub(crate) fn overdue(reply: Reply) -> Reply {
    Reply {
        code: OVERDUE,
        remark: OVERDUE.name().map(Into::into),
        ..reply
    }
}

/// What is said when a gate will never be reached: the outcome is unknown, and not a success.
pub(crate) fn stopped() -> Reply {
    Reply::refused(
        ResponseCode::SYSTEM_ERROR,
        "the store has stopped, the outcome is unknown",
    )
}

/// The right to answer one request later, from anywhere. Dropped unused, the request stays without
/// an answer and its sender gives up in time.
#[derive(Debug)]
pub struct Replier {
    peer: Peer,
    reply_to: ReplyTo,
}

impl Replier {
    /// Whoever asked; a closed peer needs no answer.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Gives the answer; one that is gated goes out when its gate opens.
    pub fn send(mut self, answer: impl Into<Answer>) {
        match std::mem::replace(&mut self.reply_to, ReplyTo::Nobody) {
            ReplyTo::Nobody => {}
            // A caller that gave up has dropped its end.
            ReplyTo::Local(caller) => drop(caller.send(answer.into())),
            ReplyTo::Wire { opaque, how } => {
                self.peer.push(Outgoing::Answer {
                    opaque,
                    how,
                    answer: answer.into(),
                });
            }
        }
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        if matches!(self.reply_to, ReplyTo::Wire { .. }) {
            self.peer.push(Outgoing::Abandoned);
        }
    }
}

/// Answers nothing: the client end of a link that expects no requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unserved;

impl Serve for Unserved {
    fn answer(&self, call: Call) -> Answer {
        Answer::Now(unsupported(&call.request))
    }
}

/// compat: NettyRemotingAbstract#processRequestCommand words the refusal so (with its leading
/// blank); the name in brackets is ours.
pub fn unsupported(request: &Request) -> Reply {
    let code = request.code();
    let name = proto::remoting::code::request_name(code);
    let text = format!(" request type {code} not supported ({name})");
    Reply::refused(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, text)
}
