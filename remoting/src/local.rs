//! The in-process link: the same requests and replies as over TCP, handed over without sockets or
//! encoding. Both ends serve and both can call. A request is answered on the caller's task.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::remoting::header::Language;
use proto::remoting::{Reply, Request};
use tokio::sync::oneshot;

use crate::answer::{Answer, Call, ReplyTo, Serve, Unserved, overdue, stopped};
use crate::peer::{CallError, Peer};

/// One direction of a link: who answers, and as whom the caller appears there.
pub(crate) struct LocalEnd {
    serve: Arc<dyn Serve>,
    caller: Option<Peer>,
}

impl fmt::Debug for LocalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalEnd")
    }
}

/// Links `client` to `server` and returns the server as the client's peer. `addr` is what the
/// server sees as the client's address.
pub fn local_link(server: Arc<dyn Serve>, client: Arc<dyn Serve>, addr: SocketAddr) -> Peer {
    // What a server asks of its clients does not depend on who asks, so that way ends there; it
    // also keeps the two ends from holding each other for ever.
    let client = Peer::local(
        addr,
        LocalEnd {
            serve: client,
            caller: None,
        },
    );
    Peer::local(
        addr,
        LocalEnd {
            serve: server,
            caller: Some(client),
        },
    )
}

impl LocalEnd {
    pub(crate) async fn call(&self, request: Request) -> Result<Reply, CallError> {
        let (sender, held) = oneshot::channel();
        let answer = match self.hand_over(request, false, ReplyTo::Local(sender)) {
            Answer::Held => held.await.map_err(|_| CallError::Closed)?,
            answer => answer,
        };
        match answer {
            Answer::Now(reply) => Ok(reply),
            // An answer that was held cannot be held again.
            Answer::Held => Err(CallError::Closed),
            Answer::Gated(gated) => {
                let reached = gated.gate.wait(gated.at);
                Ok(match tokio::time::timeout(gated.within, reached).await {
                    Ok(Ok(())) => gated.reply,
                    Ok(Err(_)) => stopped(),
                    Err(_) => overdue(gated.reply),
                })
            }
        }
    }

    pub(crate) fn notify(&self, request: Request) {
        // Nobody waits for what comes back.
        drop(self.hand_over(request, true, ReplyTo::Nobody));
    }

    fn hand_over(&self, request: Request, oneway: bool, reply_to: ReplyTo) -> Answer {
        let peer = self.caller.clone().unwrap_or_else(nobody);
        let (version, language) = (proto::remoting::VERSION, Language::RUST);
        self.serve.answer(Call {
            peer,
            version,
            language,
            oneway,
            request,
            reply_to,
        })
    }
}

fn nobody() -> Peer {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    Peer::local(
        addr,
        LocalEnd {
            serve: Arc::new(Unserved),
            caller: None,
        },
    )
}
