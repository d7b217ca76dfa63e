//! What is sent to the shared cache, behind the build's back.
//!
//! The queue holds names of files, not their bytes: what waits costs no memory, and the build never waits for it. Only when the
//! build is done it waits for the rest, and not for long.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::Utf8PathBuf;
use futures_util::StreamExt as _;
use gangway_artifact::Digest;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use super::service::Sent;
use super::{Link, locked};
use crate::pack;

/// How many things are sent at the same time.
const AT_ONCE: usize = 4;

/// How long the end of the build waits for what is still to be sent.
const WAITING: Duration = Duration::from_secs(120);

/// What is sent, and where its bytes are until then.
#[derive(Debug)]
pub(crate) enum Load {
    /// A frame of the local cache, with the seal it has there.
    Frame { key: Digest, path: Utf8PathBuf },
    /// Something small.
    Bytes(Vec<u8>),
}

/// The queue.
#[derive(Debug)]
pub(super) struct Uploads {
    queue: Mutex<Option<UnboundedSender<Job>>>,
    sending: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Job {
    name: String,
    load: Load,
}

impl Uploads {
    pub(super) fn begin(link: &Arc<Link>) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let sending = link.runtime.spawn(send_all(Arc::clone(link), jobs));
        Self { queue: Mutex::new(Some(queue)), sending: Mutex::new(Some(sending)) }
    }

    /// Puts something into the queue.
    pub(super) fn add(&self, name: String, load: Load) {
        if let Some(queue) = &*locked(&self.queue) {
            // It only fails when nobody sends any more.
            let _ = queue.send(Job { name, load });
        }
    }

    /// Waits for the end of the queue, or of patience.
    pub(super) fn finish(&self, link: &Link) {
        locked(&self.queue).take();
        let Some(sending) = locked(&self.sending).take() else { return };
        let abort = sending.abort_handle();
        let _waiting = link.reporter.spinner("Sending", format!("to {}", link.place));
        let done = async { tokio::time::timeout(WAITING, sending).await };
        if link.runtime.block_on(done).is_err() {
            abort.abort();
            link.tally.unsent.fetch_add(1, Ordering::Relaxed);
            if !link.is_off.swap(true, Ordering::Relaxed) {
                link.reporter.warn(format!(
                    "the shared cache `{}` is slow: not everything was sent within {} s",
                    link.place,
                    WAITING.as_secs()
                ));
            }
        }
    }
}

async fn send_all(link: Arc<Link>, jobs: UnboundedReceiver<Job>) {
    let jobs = futures_util::stream::unfold(jobs, |mut jobs| async {
        let job = jobs.recv().await?;
        Some((job, jobs))
    });
    jobs.for_each_concurrent(AT_ONCE, |job| send(&link, job)).await;
}

async fn send(link: &Arc<Link>, job: Job) {
    let Job { name, load } = job;
    let unsent = || link.tally.unsent.fetch_add(1, Ordering::Relaxed);
    if link.is_off.load(Ordering::Relaxed) {
        unsent();
        return;
    }
    let sealing = Arc::clone(link);
    let named = name.clone();
    // Reading, hashing and compressing are not for the threads that wait for the network.
    let object = tokio::task::spawn_blocking(move || {
        let mut bytes = load.bytes()?;
        let seal = sealing.seals.of(&named, &bytes);
        bytes.extend_from_slice(seal.as_bytes());
        Some(bytes)
    });
    let Ok(Some(bytes)) = object.await else {
        tracing::debug!(name, "is no longer what was to be sent");
        return;
    };
    let size = bytes.len() as u64;
    match link.service.put(&name, bytes, link.instead(&name)).await {
        Ok(Sent::Put) => {
            link.tally.sent.fetch_add(1, Ordering::Relaxed);
            link.tally.sent_bytes.fetch_add(size, Ordering::Relaxed);
        }
        Ok(Sent::Already) => {}
        Err(trouble) => {
            unsent();
            link.failed(&trouble);
        }
    }
}

impl Load {
    /// The bytes, if they are what they should be: what was damaged meanwhile is not passed on.
    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Frame { key, path } => {
                let frame = pack::open_frame(&key, std::fs::read(path).ok()?)?;
                Some(frame.bytes)
            }
        }
    }
}
