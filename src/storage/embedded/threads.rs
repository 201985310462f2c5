//! The threads around [`Segments`]: one writes, one makes segments, one gives space back, one
//! syncs each second if that is wanted, two read.
//!
//! The writer takes all that is queued, commits it with one sync and answers. What
//! comes in meanwhile is the next batch, so the batches grow with the load and with
//! the disk's latency. Readers have threads of their own: a read never waits for a
//! sync, and a read from a cold disk doesn't hold up the server's event loop. Two, so
//! that one large read isn't ahead of every other. What gives space back has a thread of its own
//! as well: each removal ends with a sync of the directory, as each new file does, and two
//! at a time cost the disk little more than one. Where removals lag all the same the writer waits
//! for one of them whenever it has begun a segment, and for the next segment where it needs that
//! and it is soon there. The sync of each second waits for none of them: to fill a segment may take
//! longer than a second.

use super::chores::{Chore, Finished};
use super::disk::{Disk, DiskFile};
use super::index::Place;
use super::segments::{Done, Segments, Write};
use crate::storage::StoreError;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The most bytes of objects that go into one batch (and one object more).
const BATCH_BYTES_MAX: usize = 16 << 20;
const READERS: usize = 2;
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A write and where its answer goes.
#[derive(Debug)]
pub(super) struct WriteJob {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Result<Done, StoreError>>,
    /// Its place in the bounded queue, free once it is answered.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A read and where its answer goes.
#[derive(Debug)]
pub(super) struct ReadJob<F> {
    pub(super) name: String,
    pub(super) place: Place<F>,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) answer: oneshot::Sender<Result<Bytes, StoreError>>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A queue that threads wait on.
#[derive(Debug)]
struct Mailbox<T> {
    state: Mutex<Mail<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct Mail<T> {
    items: VecDeque<T>,
    closed: bool,
    /// Nobody takes anything any more.
    ended: bool,
    /// How many threads wait. Nobody else has to be woken, which is a system call.
    waiting: usize,
    /// Whether somebody who left something here is about to call those who wait.
    call_is_due: bool,
}

/// What a waiting thread got.
enum Got<T> {
    Item(T),
    Closed,
    Timeout,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let (items, waiting) = (VecDeque::new(), 0);
        let mail = Mail { items, closed: false, ended: false, waiting, call_is_due: false };
        Self { state: Mutex::new(mail), filled: Condvar::new() }
    }
}

impl<T> Mailbox<T> {
    fn lock(&self) -> MutexGuard<'_, Mail<T>> {
        // A queue is whole between two calls, whatever thread died in between.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: T) {
        let mut mail = self.lock();
        if mail.ended {
            return;
        }
        mail.items.push_back(item);
        let wakes = mail.waiting > 0;
        drop(mail);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// Leaves an item for whoever looks. Who waits has to be called, by whoever left the first:
    /// true says that.
    fn leave(&self, item: T) -> bool {
        let mut mail = self.lock();
        mail.items.push_back(item);
        !std::mem::replace(&mut mail.call_is_due, true)
    }

    /// Wakes as many as there is something for.
    fn call(&self) {
        let mut mail = self.lock();
        mail.call_is_due = false;
        let wakes = mail.waiting.min(mail.items.len());
        drop(mail);
        (0..wakes).for_each(|_| self.filled.notify_one());
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Closes it, and drops what is in it and what comes: whoever waits for an answer hears of it.
    fn end(&self) {
        let mut mail = self.lock();
        (mail.closed, mail.ended) = (true, true);
        let unanswered = std::mem::take(&mut mail.items);
        drop(mail);
        self.filled.notify_all();
        drop(unanswered);
    }

    /// The next item; after closing, first those that are still there.
    fn pop(&self, timeout: Option<Duration>) -> Got<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Got::Item(item);
            }
            if state.closed {
                return Got::Closed;
            }
            let Some(timeout) = timeout else {
                state = self.wait(state);
                continue;
            };
            state.waiting += 1;
            let waited = self.filled.wait_timeout(state, timeout);
            let (woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.waiting -= 1;
            if result.timed_out() && state.items.is_empty() && !state.closed {
                return Got::Timeout;
            }
        }
    }

    /// Waits for an item and takes all there are; none: closed.
    fn pop_all(&self) -> VecDeque<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state = self.wait(state);
        }
        std::mem::take(&mut state.items)
    }

    /// Whether nothing came for so long.
    fn is_idle_for(&self, time: Duration) -> bool {
        let mut state = self.lock();
        state.waiting += 1;
        let nothing = |state: &mut Mail<T>| state.items.is_empty() && !state.closed;
        let waited = self.filled.wait_timeout_while(state, time, nothing);
        let (mut woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
        woken.waiting -= 1;
        result.timed_out()
    }

    fn wait<'m>(&'m self, mut state: MutexGuard<'m, Mail<T>>) -> MutexGuard<'m, Mail<T>> {
        state.waiting += 1;
        let mut woken = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        woken.waiting -= 1;
        woken
    }
}

/// Calls who waits when it is dropped: others have left something, too, and rely on it, whatever
/// becomes of the one who was to call.
struct Call<'m, T>(&'m Mailbox<T>);

impl<T> Drop for Call<'_, T> {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// Ends a mailbox where the thread that has this panics: nobody waits for one that is gone.
struct EndsInPanic<'m, T>(&'m Mailbox<T>);

impl<T> Drop for EndsInPanic<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

/// What the writer is told.
#[derive(Debug)]
enum ToWriter<F> {
    Write(WriteJob),
    Finished(Finished<F>),
    SyncDue,
}

/// Chores for those who do them.
#[derive(Debug)]
struct ChoreBoxes<F> {
    making: Arc<Mailbox<Chore<F>>>,
    giving_back: Arc<Mailbox<Chore<F>>>,
    syncing: Arc<Mailbox<Chore<F>>>,
}

impl<F> Clone for ChoreBoxes<F> {
    fn clone(&self) -> Self {
        Self {
            making: Arc::clone(&self.making),
            giving_back: Arc::clone(&self.giving_back),
            syncing: Arc::clone(&self.syncing),
        }
    }
}

impl<F: DiskFile> ChoreBoxes<F> {
    /// Hands out all that there is to do.
    fn hand_out<D: Disk<File = F>>(&self, segments: &mut Segments<D>) {
        while let Some(chore) = segments.take_chore() {
            let of_its_kind = if chore.gives_back() { &self.giving_back } else { &self.making };
            of_its_kind.push(chore);
        }
    }

    /// Hands out the sync that is due.
    fn sync<D: Disk<File = F>>(&self, segments: &mut Segments<D>) {
        segments.take_sync().into_iter().for_each(|sync| self.syncing.push(sync));
    }
}

/// The running threads. Dropping it ends them, after what is queued.
#[derive(Debug)]
pub(super) struct Threads<F> {
    writer_box: Arc<Mailbox<ToWriter<F>>>,
    reader_box: Arc<Mailbox<ReadJob<F>>>,
    chores: ChoreBoxes<F>,
    writer: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl<F: DiskFile> Threads<F> {
    /// Starts them; `every_second`: a sync is due each second.
    pub(super) fn start<D: Disk<File = F>>(
        segments: Segments<D>,
        disk: Arc<D>,
        every_second: bool,
    ) -> io::Result<Self> {
        let mut threads = Self {
            writer_box: Arc::default(),
            reader_box: Arc::default(),
            chores: ChoreBoxes {
                making: Arc::default(),
                giving_back: Arc::default(),
                syncing: Arc::default(),
            },
            writer: None,
            others: Vec::new(),
        };
        for _ in 0..READERS {
            let jobs = Arc::clone(&threads.reader_box);
            threads.others.push(spawn("aft-read", move || read(&jobs))?);
        }
        let ChoreBoxes { making, giving_back, syncing } = &threads.chores;
        let mut kinds = vec![("aft-chores", making, false), ("aft-remove", giving_back, false)];
        kinds.extend(every_second.then_some(("aft-sync", syncing, true)));
        for (name, chores, syncs) in kinds {
            let (disk, chores) = (Arc::clone(&disk), Arc::clone(chores));
            let writer = Arc::clone(&threads.writer_box);
            let run = move || do_chores(&*disk, &chores, &writer, syncs);
            threads.others.push(spawn(name, run)?);
        }
        let inbox = Arc::clone(&threads.writer_box);
        let chores = threads.chores.clone();
        threads.writer = Some(spawn("aft-write", move || write(segments, &inbox, &chores))?);
        Ok(threads)
    }

    pub(super) fn write(&self, job: WriteJob) {
        self.writer_box.push(ToWriter::Write(job));
    }

    /// Hands a read over. To wake a thread costs an event loop more than to answer a hit, so all
    /// that comes in one turn of it goes over with one call. Whoever leaves the first has to be polled
    /// again, or dropped: until then the others wait with it, unless a thread is at work.
    pub(super) async fn read(&self, job: ReadJob<F>) {
        if self.reader_box.leave(job) {
            let call = Call(&self.reader_box);
            tokio::task::yield_now().await;
            drop(call);
        }
    }
}

impl<F> Drop for Threads<F> {
    fn drop(&mut self) {
        // 1. The writer, which answers what is queued and marks the segment's end.
        self.writer_box.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        // 2. Those it could have asked for something.
        self.chores.making.close();
        self.chores.giving_back.close();
        self.chores.syncing.close();
        self.reader_box.close();
        for thread in self.others.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// When nothing has been written for so long, it is written down what is durable: until then a
/// start could not tell what rots there from what a crash has torn. Less than between two syncs.
const STATED_AFTER: Duration = Duration::from_millis(500);

/// The writer: owns the segments.
fn write<D: Disk>(
    mut segments: Segments<D>,
    inbox: &Mailbox<ToWriter<D::File>>,
    chores: &ChoreBoxes<D::File>,
) {
    let _ends = EndsInPanic(inbox);
    loop {
        chores.hand_out(&mut segments);
        if segments.has_something_to_state() && inbox.is_idle_for(STATED_AFTER) {
            segments.state();
        }
        let mut mail = inbox.pop_all();
        if mail.is_empty() {
            break;
        }
        while !mail.is_empty() {
            let jobs = take_batch(&mut segments, &mut mail, chores);
            let records = || jobs.iter().map(|job| job.write.record_bytes());
            let (bytes, largest) = (records().sum(), records().max().unwrap_or(0));
            let next_is_needed = |segments: &Segments<D>| segments.awaits_next(bytes, largest);
            wait_while(next_is_needed, &mut segments, inbox, &mut mail, chores);
            commit(&mut segments, jobs);
            let removals_lag = |segments: &Segments<D>| segments.awaits_removal();
            wait_while(removals_lag, &mut segments, inbox, &mut mail, chores);
        }
    }
    // It may have been ended with word of a sync that failed: then as after a crash.
    if !inbox.lock().ended {
        segments.close();
    }
}

/// Holds back what there is to write while chores are behind.
fn wait_while<D: Disk>(
    are_behind: impl Fn(&Segments<D>) -> bool,
    segments: &mut Segments<D>,
    inbox: &Mailbox<ToWriter<D::File>>,
    mail: &mut VecDeque<ToWriter<D::File>>,
    chores: &ChoreBoxes<D::File>,
) {
    chores.hand_out(segments);
    if !are_behind(segments) {
        return;
    }
    // What is waited for may have come before, behind more writes than one batch takes.
    let mut more = std::mem::take(mail);
    loop {
        for message in more {
            match message {
                ToWriter::Finished(finished) => {
                    segments.finish_chore(finished);
                    segments.move_last_objects();
                }
                ToWriter::SyncDue => chores.sync(segments),
                write @ ToWriter::Write(_) => mail.push_back(write),
            }
        }
        chores.hand_out(segments);
        if !are_behind(segments) {
            return;
        }
        more = inbox.pop_all();
        if more.is_empty() {
            return;
        }
    }
}

/// Takes the next batch out of the mail, and deals with what else is there.
fn take_batch<D: Disk>(
    segments: &mut Segments<D>,
    mail: &mut VecDeque<ToWriter<D::File>>,
    chores: &ChoreBoxes<D::File>,
) -> Vec<WriteJob> {
    let mut jobs = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES_MAX {
        match mail.pop_front() {
            None => break,
            Some(ToWriter::Finished(finished)) => {
                segments.finish_chore(finished);
                // Another is the oldest now, and there may be nothing to commit.
                segments.move_last_objects();
            }
            Some(ToWriter::SyncDue) => chores.sync(segments),
            Some(ToWriter::Write(job)) => {
                if let Write::Create { body, .. } = &job.write {
                    bytes += body.len();
                }
                jobs.push(job);
            }
        }
    }
    jobs
}

fn commit<D: Disk>(segments: &mut Segments<D>, jobs: Vec<WriteJob>) {
    if jobs.is_empty() {
        return;
    }
    let mut writes = Vec::with_capacity(jobs.len());
    let mut waiting = Vec::with_capacity(jobs.len());
    for job in jobs {
        writes.push(job.write);
        waiting.push((job.answer, job.permit));
    }
    for ((answer, permit), result) in waiting.into_iter().zip(segments.commit(writes)) {
        // Who no longer waits doesn't need to know.
        let _ = answer.send(result);
        drop(permit);
    }
}

fn read<F: DiskFile>(jobs: &Mailbox<ReadJob<F>>) {
    while let Got::Item(job) = jobs.pop(None) {
        // It changes nothing that anybody else sees: the next read is as good as ever.
        let reading = AssertUnwindSafe(|| job.place.read(&job.name, job.offset, job.length));
        let result = catch_unwind(reading).unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!("{}: the read has panicked", job.name)))
        });
        let _ = job.answer.send(result);
        drop(job.permit);
    }
}

fn do_chores<D: Disk>(
    disk: &D,
    chores: &Mailbox<Chore<D::File>>,
    writer: &Mailbox<ToWriter<D::File>>,
    every_second: bool,
) {
    // The writer may be waiting for what is being done here.
    let _ends = EndsInPanic(writer);
    let timeout = every_second.then_some(SYNC_EVERY);
    loop {
        match chores.pop(timeout) {
            Got::Item(chore) => writer.push(ToWriter::Finished(chore.run(disk))),
            Got::Timeout => writer.push(ToWriter::SyncDue),
            Got::Closed => return,
        }
    }
}

#[cfg(test)]
mod tests;
