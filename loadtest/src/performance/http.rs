//! Publishing over HTTP: connections that are kept, one request in flight on each.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::results::{Fact, Goal, Results};
use super::server::Server;
use super::{TOPIC, fresh_folder};
use crate::command::{Flush, Report};
use crate::failure::Failure;
use crate::report;

const CONNS: u32 = 64;
const BODY_BYTES: usize = 1024;
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// 64 connections, 1 KiB, sync flush, and the same to a server that only answers.
pub(super) async fn publish(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let folder = fresh_folder(args)?;
    let servers = [
        Server::bare_http()?,
        Server::gantry(binary, folder.path(), Flush::Sync)?,
    ];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (server, rates) in servers.iter().zip(&mut rates) {
            rates.push(rate(args, server).await?);
        }
    }
    let [bare, ours] = rates.map(report::median);
    report::note(&format!("HTTP: bare {bare:.0}/s, gantry {ours:.0}/s"));
    results.put_fact(Fact {
        what: "HTTP publish, 64 connections, 1 KiB, sync, to a bare hyper server's rate".into(),
        value: ours / bare,
        unit: String::new(),
        goal: Some(Goal::AtLeast(0.5)),
    });
    servers.into_iter().try_for_each(Server::stop)
}

/// Answers of status 2xx a second.
async fn rate(args: &Report, server: &Server) -> Result<f64, Failure> {
    let from = Instant::now() + args.warm;
    let mut conns = JoinSet::new();
    for _ in 0..CONNS {
        let (addr, secs) = (server.http.clone(), args.secs);
        conns.spawn(async move { ask_again_and_again(&addr, from, secs).await });
    }
    let mut answered = 0;
    while let Some(conn) = conns.join_next().await {
        answered += conn.map_err(|why| Failure::Impossible(why.to_string()))??;
    }
    Ok(report::ratio(answered, args.secs.as_secs_f64()))
}

async fn ask_again_and_again(addr: &str, from: Instant, secs: Duration) -> Result<u64, Failure> {
    let failed = || Failure::io(format!("HTTP at {addr}"));
    let mut request = format!(
        "POST /v1/topics/{TOPIC}/messages HTTP/1.1\r\nhost: {addr}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    );
    request.extend((b'a'..=b'z').cycle().map(char::from).take(BODY_BYTES));
    let mut stream = TcpStream::connect(addr).await.map_err(failed())?;
    stream.set_nodelay(true).map_err(failed())?;
    let (mut answer, mut answered) = (Vec::new(), 0);
    loop {
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(failed())?;
        let status = loop {
            if let Some(status) = whole_answer(&answer) {
                break status;
            }
            let read = stream.read_buf(&mut answer).await.map_err(failed())?;
            if read == 0 || answer.len() > ANSWER_BYTES_MAX {
                return Err(Failure::Impossible(format!(
                    "{addr} ended its answer early"
                )));
            }
        };
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&answer);
            return Err(Failure::Impossible(format!("{addr} answered {text}")));
        }
        answer.clear();
        let now = Instant::now();
        if now >= from + secs {
            return Ok(answered);
        }
        answered += u64::from(now >= from);
    }
}

/// The status of an answer that is all there; there is never more than one.
fn whole_answer(bytes: &[u8]) -> Option<u16> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(bytes.get(..end)?).ok()?.to_ascii_lowercase();
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    (bytes.len() >= end + 4 + length).then_some(())?;
    head.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\nx: y\r\n\r\nabc";
        for end in 0..whole.len() {
            assert_eq!(whole_answer(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(whole_answer(whole), Some(201));
        assert_eq!(whole_answer(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
    }
}
