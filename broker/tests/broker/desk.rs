//! A broker that a test has started, and the two kinds of links to it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker::{Config, NameServer, Running, StartError};
use proto::message::{LogOffset, OffsetMessageId};
use proto::remoting::{Reply, Request};
use remoting::{Answer, Call, Limits, Peer, Serve, dial, local_link};
use runtime::Tasks;
use runtime::conf_file::Entry;
use store::files::Disk;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Longer than anything here takes.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// A broker in a folder that goes with it.
pub(crate) struct Desk {
    pub(crate) running: Running,
    pub(crate) tasks: Tasks,
    pub(crate) folder: TempDir,
}

/// The settings of a broker in `folder`: any port, small files, and what `entries` say.
pub(crate) fn config(folder: &TempDir, entries: &[(&str, &str)]) -> Config {
    let root = folder.path().display().to_string();
    let own = [
        ("storePathRootDir", root.as_str()),
        ("brokerName", "b"),
        ("listenPort", "0"),
        ("mappedFileSizeCommitLog", "1048576"),
        ("mappedFileSizeConsumeQueue", "2000"),
        ("maxHashSlotNum", "100"),
        ("maxIndexNum", "400"),
        // So that the properties of a record are all of its own.
        ("enabledAppendPropCRC", "false"),
    ];
    let entry = |(key, value): &(&str, &str)| Entry::new(*key, value, "the test");
    let entries: Vec<_> = own.iter().chain(entries).map(entry).collect();
    let (config, warnings) = Config::from_entries(&entries).unwrap();
    assert_eq!(warnings, []);
    config
}

pub(crate) async fn start() -> Desk {
    start_with(&[]).await
}

pub(crate) async fn start_with(entries: &[(&str, &str)]) -> Desk {
    let folder = TempDir::new().unwrap();
    start_in(folder, entries, Vec::new()).await.unwrap()
}

pub(crate) async fn start_in(
    folder: TempDir,
    entries: &[(&str, &str)],
    name_servers: Vec<NameServer>,
) -> Result<Desk, StartError> {
    let tasks = Tasks::root();
    let running = Running::start(config(&folder, entries), name_servers, &tasks).await?;
    Ok(Desk {
        running,
        tasks,
        folder,
    })
}

/// A broker whose store is on a disk of its own kind.
pub(crate) async fn start_on(disk: Arc<dyn Disk>, entries: &[(&str, &str)]) -> Desk {
    let folder = TempDir::new().unwrap();
    let tasks = Tasks::root();
    let config = config(&folder, entries);
    let running = Running::start_on(disk, config, Vec::new(), &tasks).await;
    Desk {
        running: running.unwrap(),
        tasks,
        folder,
    }
}

impl Desk {
    /// A client within this process.
    pub(crate) fn client(&self) -> Client {
        let (ears, heard) = Ears::open();
        let addr = SocketAddr::from(([127, 0, 0, 1], 4321));
        let peer = local_link(self.running.serve(), ears, addr);
        Client { peer, heard }
    }

    /// A client that is connected.
    pub(crate) async fn dial(&self) -> Client {
        self.dial_port(self.running.addr()).await
    }

    pub(crate) async fn dial_port(&self, addr: SocketAddr) -> Client {
        let (ears, heard) = Ears::open();
        let peer = dial(addr, ears, Limits::default(), &self.tasks).await;
        let peer = peer.unwrap();
        Client { peer, heard }
    }

    /// The id of a message at an offset of the log.
    pub(crate) fn id(&self, log_offset: LogOffset) -> String {
        let host = self.running.addr();
        OffsetMessageId {
            host,
            offset: log_offset,
        }
        .to_text()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> TempDir {
        self.running.stop(WAIT).await.unwrap();
        self.tasks.close(WAIT).await.unwrap();
        self.folder
    }

    /// Ends it as if its process was killed: nothing is said or written any more.
    pub(crate) async fn kill(self) -> TempDir {
        self.tasks.close(WAIT).await.unwrap();
        drop(self.running);
        self.folder
    }
}

/// Takes down what the broker asks of its client.
pub(crate) struct Ears(mpsc::Sender<Request>);

impl Ears {
    pub(crate) fn open() -> (Arc<dyn Serve>, mpsc::Receiver<Request>) {
        let (ears, heard) = mpsc::channel(100);
        (Arc::new(Self(ears)), heard)
    }
}

impl Serve for Ears {
    fn answer(&self, call: Call) -> Answer {
        self.0.try_send(call.request).unwrap();
        Reply::ok().into()
    }
}

/// One end of a link to a broker.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    heard: mpsc::Receiver<Request>,
}

impl Client {
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        self.peer.call(request, WAIT).await.unwrap()
    }

    /// The next thing that the broker asks of this client.
    pub(crate) async fn hears(&mut self) -> Request {
        let heard = tokio::time::timeout(WAIT, self.heard.recv()).await;
        heard.unwrap().unwrap()
    }

    /// Has the broker asked for nothing?
    pub(crate) fn hears_nothing(&mut self) -> bool {
        self.heard.try_recv().is_err()
    }
}

/// Starts all, each before the next, and waits for all.
pub(crate) async fn in_order<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut started = Vec::new();
    for one in all {
        let mut one = Box::pin(one);
        let done = started_now(&mut one).await;
        started.push((one, done));
    }
    let mut done = Vec::new();
    for (one, already) in started {
        done.push(match already {
            Some(already) => already,
            None => one.await,
        });
    }
    done
}

/// Looks at `what` once, which starts it; its outcome when it has one.
pub(crate) async fn started_now<F: Future + Unpin>(what: &mut F) -> Option<F::Output> {
    let mut what = pin!(what);
    poll_fn(|context| {
        Poll::Ready(match what.as_mut().poll(context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        })
    })
    .await
}
