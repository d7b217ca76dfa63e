//! The requests that fill an archive's pieces.
//!
//! Each worker fetches one piece after the other, as often as its patience lasts. A server that knows no ranges is asked for everything by one of them,
//! and the others end.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gangway_artifact::trust::NamedFile;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use url::Url;

use super::error::Told;
use super::http::{Answer, Ask, Http, Trouble};
use super::pieces::{Piece, Pieces};
use super::scratch::Scratch;
use super::{FetchError, Meter, Patience, journal};
use crate::interruption::STEP;

/// How much work may be lost when the program is killed.
const BETWEEN_JOURNALS: Duration = Duration::from_secs(1);

/// What readers and requests share.
pub(super) struct Shared {
    pub(super) http: Arc<Http>,
    pub(super) handle: Handle,
    pub(super) archive: NamedFile,
    pub(super) url: Url,
    pub(super) scratch: Scratch,
    pub(super) meter: Arc<dyn Meter>,
    pub(super) state: Mutex<State>,
    /// Bytes came, or nothing more will.
    pub(super) changed: Condvar,
}

pub(super) struct State {
    pub(super) pieces: Pieces,
    /// Pieces that readers wait for.
    pub(super) urgent: Vec<u64>,
    pub(super) workers: usize,
    /// How many there may be.
    pub(super) most_workers: usize,
    /// Whether the server knows no ranges.
    pub(super) is_whole: bool,
    /// Where the server's redirects lead.
    pub(super) moved: Option<Url>,
    pub(super) failure: Option<Told>,
    /// How often which frame was rejected.
    pub(super) rejections: HashMap<u64, u32>,
    pub(super) saved: Instant,
    pub(super) tasks: Vec<AbortHandle>,
}

impl Shared {
    pub(super) fn new(
        http: Arc<Http>,
        handle: Handle,
        archive: &NamedFile,
        scratch: Scratch,
        pieces: Pieces,
        meter: Arc<dyn Meter>,
    ) -> Arc<Self> {
        let state = State {
            pieces,
            urgent: Vec::new(),
            workers: 0,
            most_workers: http.settings.connections.max(1),
            is_whole: false,
            moved: None,
            failure: None,
            rejections: HashMap::new(),
            saved: Instant::now(),
            tasks: Vec::new(),
        };
        let (url, archive) = (http.url(&archive.name), archive.clone());
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Self { http, handle, archive, url, scratch, meter, state, changed })
    }

    /// As many requests as there is something to ask for.
    pub(super) fn start_workers(self: &Arc<Self>, state: &mut State) {
        if state.failure.is_some() {
            return;
        }
        let free = state.most_workers.saturating_sub(state.workers);
        for _ in 0..state.pieces.open(free) {
            state.workers += 1;
            let task = self.handle.spawn(work(Arc::clone(self)));
            state.tasks.retain(|task| !task.is_finished());
            state.tasks.push(task.abort_handle());
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for bytes, or for a reason why no more come.
    pub(super) fn await_change<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, STEP);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if self.http.interruption.signal().is_some() {
            state.failure.get_or_insert_with(Told::interrupted);
        }
        state
    }

    /// The next piece for a worker, which ends if there is none.
    fn claim(&self) -> Option<u64> {
        let mut state = self.lock();
        let State { pieces, urgent, workers, most_workers, failure, .. } = &mut *state;
        urgent.retain(|begin| pieces.get(*begin).is_some_and(|piece| piece.filled < piece.size));
        let is_needed = failure.is_none() && *workers <= *most_workers;
        let claimed = if is_needed { pieces.claim(urgent.iter().copied()) } else { None };
        if claimed.is_none() {
            *workers -= 1;
        }
        claimed
    }

    /// Writes down what there is. That is for the next attempt, and this one goes well without.
    pub(super) fn save(&self, state: &mut State) {
        state.saved = Instant::now();
        let _ = journal::save(&self.scratch.path, &self.archive, state.pieces.kept());
    }

    /// Has all bytes of a piece.
    async fn complete(&self, begin: u64) -> Result<(), FetchError> {
        let mut patience = Patience::new(&self.http, &self.url, &*self.meter);
        loop {
            let (piece, moved) = {
                let state = self.lock();
                (state.pieces.get(begin), state.moved.clone())
            };
            let Some(piece) = piece.filter(|piece| piece.filled < piece.size) else {
                return Ok(());
            };
            let was_moved = moved.is_some();
            let url = moved.unwrap_or_else(|| self.url.clone());
            let range = Some((begin + piece.filled, begin + piece.size));
            let ask = Ask { url, range, size: Some(self.archive.size), may_be_kept: true };
            let trouble = match self.http.ask(&ask).await {
                Ok(answer) if answer.is_whole => return self.take_all(Some(answer)).await,
                Ok(answer) => match self.pour(begin, &ask, answer, &mut patience).await {
                    Ok(()) => match self.fell_short(begin, &piece) {
                        Some(trouble) => trouble,
                        None => continue,
                    },
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Ranges(_) => return self.take_all(None).await,
                // Addresses that redirects lead to may be good for some minutes only.
                Trouble::Status { status, .. } if was_moved && status.is_client_error() => {
                    self.lock().moved = None;
                }
                trouble => {
                    if trouble.is_crowded() {
                        self.lock().most_workers = 1;
                    }
                    patience.after(trouble).await?;
                }
            }
        }
    }

    /// What is wrong with an answer after which a piece has hardly more than before, though nothing broke off.
    fn fell_short(&self, begin: u64, before: &Piece) -> Option<Trouble> {
        let now = self.lock().pieces.get(begin)?;
        let (brought, asked) =
            (now.filled.saturating_sub(before.filled), before.size - before.filled);
        Patience::is_too_little(brought, asked)
            .then_some(Trouble::Broken { received: begin + now.filled, source: None })
    }

    /// Fills a piece with an answer.
    async fn pour(
        &self,
        begin: u64,
        ask: &Ask,
        mut answer: Answer,
        patience: &mut Patience<'_>,
    ) -> Result<(), Trouble> {
        if answer.response.url() != &ask.url {
            self.lock().moved = Some(answer.response.url().clone());
        }
        let mut position = answer.start;
        let end = answer.end.unwrap_or(position);
        while position < end
            && let Some(chunk) = self.http.chunk(&mut answer, position).await?
        {
            let room = usize::try_from(end - position).unwrap_or(usize::MAX).min(chunk.len());
            let next = self.lock().pieces.next(position);
            // All of it may have come another way meanwhile.
            let Some(next) = next.filter(|next| next.begin == begin && next.known == 0) else {
                return Ok(());
            };
            let room = usize::try_from(next.room).unwrap_or(usize::MAX).min(room);
            self.scratch.write(&chunk[..room], next.place).map_err(Trouble::Final)?;
            self.filled(&mut self.lock(), (begin, position), room, patience);
            position += room as u64;
        }
        match position < end {
            true => Err(Trouble::Broken { received: position, source: None }),
            false => Ok(()),
        }
    }

    fn filled(
        &self,
        state: &mut State,
        (begin, position): (u64, u64),
        count: usize,
        patience: &mut Patience<'_>,
    ) {
        let new = state.pieces.fill(begin, position, count as u64);
        patience.progressed(new);
        self.meter.advance(new);
        if state.saved.elapsed() >= BETWEEN_JOURNALS {
            self.save(state);
        }
        self.changed.notify_all();
    }

    /// Has everything from a server that knows no ranges.
    async fn take_all(&self, mut first: Option<Answer>) -> Result<(), FetchError> {
        {
            let mut state = self.lock();
            if std::mem::replace(&mut state.is_whole, true) && state.workers > 1 {
                // Another request does it.
                return Ok(());
            }
            state.most_workers = 1;
            let added = state.pieces.want(0, self.archive.size);
            self.meter.expect(added, 0);
        }
        let mut patience = Patience::new(&self.http, &self.url, &*self.meter);
        let size = Some(self.archive.size);
        let ask = Ask { url: self.url.clone(), range: None, size, may_be_kept: true };
        while self.lock().pieces.missing() > 0 {
            let answer = match first.take() {
                Some(answer) => Ok(answer),
                None => self.http.ask(&ask).await,
            };
            let done = match answer {
                Ok(answer) => self.pour_all(answer, &mut patience).await,
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = done {
                patience.after(trouble).await?;
            }
        }
        Ok(())
    }

    /// Fills all pieces with an answer.
    async fn pour_all(
        &self,
        mut answer: Answer,
        patience: &mut Patience<'_>,
    ) -> Result<(), Trouble> {
        let size = self.archive.size;
        let mut position = 0;
        while position < size
            && let Some(chunk) = self.http.chunk(&mut answer, position).await?
        {
            let mut rest: &[u8] = &chunk;
            // Nobody forgets bytes while others are written.
            let mut state = self.lock();
            while position < size
                && !rest.is_empty()
                && let Some(next) = state.pieces.next(position)
            {
                let known = usize::try_from(next.known).unwrap_or(usize::MAX).min(rest.len());
                position += known as u64;
                rest = &rest[known..];
                let room = usize::try_from(next.room).unwrap_or(usize::MAX).min(rest.len());
                let (new, later) = rest.split_at(room);
                self.scratch.write(new, next.place).map_err(Trouble::Final)?;
                self.filled(&mut state, (next.begin, position), room, patience);
                position += room as u64;
                rest = later;
            }
        }
        match position < size {
            true => Err(Trouble::Broken { received: position, source: None }),
            false => Ok(()),
        }
    }
}

/// Fetches one piece after the other, as long as there are any.
async fn work(shared: Arc<Shared>) {
    while let Some(begin) = shared.claim() {
        let done = shared.complete(begin).await;
        let mut state = shared.lock();
        state.pieces.release(begin);
        match done {
            Ok(()) if state.saved.elapsed() < BETWEEN_JOURNALS => {}
            Ok(()) => shared.save(&mut state),
            Err(error) => {
                shared.save(&mut state);
                state.failure.get_or_insert_with(|| Told(Arc::new(error)));
            }
        }
        drop(state);
        shared.changed.notify_all();
    }
}
