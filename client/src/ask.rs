//! One question, one answer: to a name server (any that answers) or to the broker at an address.
//! Only for questions that may be repeated; sends go their own way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::Text;
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::CallError;

use crate::links::{self, Unreachable};
use crate::routes::RouteError;
use crate::{Client, Inner};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("no name server is configured")]
    NoNameServer,
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("no address of broker {0} is known")]
    NoBroker(Text),
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("{addr}: {cause}")]
    Unanswered { addr: Text, cause: CallError },
    #[error("{addr} refused: {code}: {remark}")]
    Refused {
        addr: Text,
        code: ResponseCode,
        remark: Text,
    },
    #[error("{addr} answered what cannot be read: {why}")]
    Unreadable { addr: Text, why: String },
}

impl AskError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<ResponseCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(crate) fn unreadable(addr: &Text, why: impl ToString) -> Self {
        Self::Unreadable {
            addr: addr.clone(),
            why: why.to_string(),
        }
    }
}

impl Inner {
    /// Asks the name servers in turn, beginning with the one that answered last.
    pub(crate) async fn ask_name_server(&self, request: Request) -> Result<Reply, AskError> {
        let all = &self.config.name_servers;
        let first = self.name_server.load(Ordering::Relaxed);
        let mut failure = AskError::NoNameServer;
        for turn in 0..all.len() {
            let at = (first + turn) % all.len();
            let Some(addr) = all.get(at) else { continue };
            match self.ask(addr, request.clone()).await {
                Err(error) => failure = error,
                Ok(reply) => {
                    self.name_server.store(at, Ordering::Relaxed);
                    return Ok(reply);
                }
            }
        }
        Err(failure)
    }

    /// Asks the peer at `addr`; any reply is one, refusals too.
    pub(crate) async fn ask(&self, addr: &Text, request: Request) -> Result<Reply, AskError> {
        self.ask_within(addr, request, self.config.request_timeout)
            .await
    }

    pub(crate) async fn ask_within(
        &self,
        addr: &Text,
        request: Request,
        within: Duration,
    ) -> Result<Reply, AskError> {
        let peer = self.links.peer(addr).await?;
        links::call(&peer, request, within).await.map_err(|cause| {
            let addr = addr.clone();
            AskError::Unanswered { addr, cause }
        })
    }
}

impl Client {
    /// Any request to any address, as the protocol has it; a refusal is an error here.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn request(&self, addr: &Text, request: Request) -> Result<Reply, AskError> {
        granted(addr, self.0.ask(addr, request).await?)
    }
}

/// The reply, or its refusal as an error.
pub(crate) fn granted(addr: &Text, reply: Reply) -> Result<Reply, AskError> {
    if reply.is_ok() {
        return Ok(reply);
    }
    Err(AskError::Refused {
        addr: addr.clone(),
        code: reply.code,
        remark: reply.remark.unwrap_or_default(),
    })
}
