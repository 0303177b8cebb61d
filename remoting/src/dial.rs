//! Making connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runtime::Tasks;
use tokio::net::TcpStream;

use crate::answer::Serve;
use crate::connection::Connection;
use crate::limits::Limits;
use crate::peer::Peer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to `addr`; `serve` answers what the other side asks. The connection lives in `tasks`.
///
/// # Errors
/// Nobody listens there, or does not answer within three seconds.
pub async fn dial(
    addr: SocketAddr,
    serve: Arc<dyn Serve>,
    limits: Limits,
    tasks: &Tasks,
) -> io::Result<Peer> {
    let connect = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr));
    let stream = connect
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let connection = Connection::new(&stream, serve, Arc::new(limits))?;
    let peer = connection.peer().clone();
    let stop = tasks.token();
    tasks.spawn("connection", connection.run(stream, stop));
    Ok(peer)
}
