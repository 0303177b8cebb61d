//! A connection that is written to and read from at the same time by one task: a peer that does not
//! read until its answers are taken cannot stop it.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;

const READ_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: usize = 1 << 20;

pub(super) struct Socket {
    stream: TcpStream,
    input: BytesMut,
    /// Encoded and to be written.
    pub(super) output: Vec<u8>,
    written: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::with_capacity(READ_BYTES),
            output: Vec::new(),
            written: 0,
        })
    }

    /// Waits until there is something to read, or room for what is to be written.
    pub(super) async fn ready(&self) -> io::Result<()> {
        let interest = if self.output.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        self.stream.ready(interest).await.map(drop)
    }

    /// Writes what the other side takes now.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while let Some(rest) = self
            .output
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match self.stream.try_write(rest) {
                Ok(taken) => self.written += taken,
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(broken) => return Err(broken),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what is there; nothing is fine, too.
    pub(super) fn read(&mut self) -> io::Result<()> {
        if self.input.capacity() - self.input.len() < 4096 {
            self.input.reserve(READ_BYTES);
        }
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(none) if none.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(broken) => Err(broken),
        }
    }

    /// The next whole frame, without its length field.
    pub(super) fn next_frame(&mut self) -> io::Result<Option<BytesMut>> {
        let Some(length) = self.input.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("an answer is too long"));
        }
        if self.input.len() < 4 + length {
            return Ok(None);
        }
        self.input.advance(4);
        Ok(Some(self.input.split_to(length)))
    }
}
