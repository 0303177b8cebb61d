//! What one side answers. The parameters of a reply are typed where we write them, and plain pairs
//! where they came off a socket, because a reply's code does not tell its kind: the caller who knows
//! what it asked reads them with [`Reply::read`].

use bytes::Bytes;

use super::clients::HeartbeatTaken;
use super::code::ResponseCode;
use super::config::ConfigVersion;
use super::fields::{Ext, FieldError, Fields, Sink};
use super::frame::{Frame, WriteExt};
use super::header::{Header, REMARK_BYTES_MAX};
use super::naming::{BrokerRegistered, KvValue, TopicsOpened, TopicsWiped, VersionChanged};
use super::pull::{OffsetIs, Pulled, QueriedMessages, TimestampIs};
use super::send::Sent;
use crate::Text;

macro_rules! contents {
    ($($name:ident),* $(,)?) => {
        /// The parameters of a reply.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Content {
            $($name($name),)*
            /// As they stood in a frame; empty when a reply has none.
            Ext(Ext),
        }

        $(
            impl From<$name> for Content {
                fn from(fields: $name) -> Self {
                    Self::$name(fields)
                }
            }

            impl ReplyFields for $name {
                fn of(content: &Content) -> Option<&Self> {
                    if let Content::$name(fields) = content { Some(fields) } else { None }
                }
            }
        )*

        impl WriteExt for Reply {
            fn write_ext<S: Sink>(&self, sink: &mut S) {
                match &self.content {
                    $(Content::$name(fields) => fields.write(sink),)*
                    Content::Ext(ext) => ext.write(sink),
                }
            }
        }
    };
}

/// Parameters that a reply can have.
pub trait ReplyFields: Fields + Clone {
    fn of(content: &Content) -> Option<&Self>;
}

contents! {
    Sent, Pulled, QueriedMessages, OffsetIs, TimestampIs, HeartbeatTaken, ConfigVersion,
    BrokerRegistered, VersionChanged, KvValue, TopicsWiped, TopicsOpened,
}

/// An answer. The body is a list of slices so that stored messages need not be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: ResponseCode,
    pub remark: Option<Text>,
    pub content: Content,
    pub body: Vec<Bytes>,
}

impl Reply {
    pub fn new(code: ResponseCode) -> Self {
        Self {
            code,
            remark: None,
            content: Content::Ext(Ext::default()),
            body: Vec::new(),
        }
    }

    pub fn ok() -> Self {
        Self::new(ResponseCode::SUCCESS)
    }

    /// A refusal with the text that its receiver shows; one that quotes a long name is cut.
    pub fn refused(code: ResponseCode, remark: impl Into<Text>) -> Self {
        let mut remark = remark.into();
        if remark.len() > REMARK_BYTES_MAX {
            (remark, _) = remark.split_at(remark.floor_char_boundary(REMARK_BYTES_MAX));
        }
        Self {
            remark: Some(remark),
            ..Self::new(code)
        }
    }

    #[must_use]
    pub fn with(mut self, content: impl Into<Content>) -> Self {
        self.content = content.into();
        self
    }

    #[must_use]
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = vec![body];
        self
    }

    pub fn is_ok(&self) -> bool {
        self.code == ResponseCode::SUCCESS
    }

    pub fn body_bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }

    /// The whole body in one piece; copies only when it is in several.
    pub fn whole_body(&self) -> Bytes {
        match self.body.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// # Errors
    /// When the parameters are not those of a `T`.
    pub fn read<T: ReplyFields>(&self) -> Result<T, FieldError> {
        match (T::of(&self.content), &self.content) {
            (Some(fields), _) => Ok(fields.clone()),
            (None, Content::Ext(ext)) => ext.read(),
            // A typed content of another kind: none of the expected parameters is there.
            (None, _) => Ext::default().read(),
        }
    }

    pub fn decode(header: Header<'_>, frame: &Frame) -> Self {
        let body = if frame.body.is_empty() {
            Vec::new()
        } else {
            vec![frame.body.clone()]
        };
        Self {
            code: ResponseCode(header.code),
            remark: header.remark.as_deref().map(Text::from),
            content: Content::Ext(Ext::keep(header.ext, frame.header_bytes())),
            body,
        }
    }
}
