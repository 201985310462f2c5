//! A connection: bytes in, replies out, in order.
//!
//! ```text
//!   socket -> input -> decoder -> command::execute -> reply ─┐ gate
//!                                                            v
//!   socket <- [ sent | may be sent | waits for its group | behind it, waits too ]
//! ```
//! Commands run as soon as they arrive, whether or not earlier ones have been
//! acknowledged: a pipeline of writes fills groups instead of waiting for each. A reply
//! that depends on a group is held back by a `Mark` until the group's gate opens, and
//! all behind it with it, since replies go out in order. If the group meets a bad end,
//! the replies under the mark are replaced by errors.

pub mod client;
pub mod listener;

mod ahead;
mod buffers;
mod heard;
mod output;
mod pem;
mod tls;
mod transfer;

use crate::command::{self, Execution, Hold, Request};
use crate::config::Settings;
use crate::engine::FetchFailed;
use crate::engine::core::{Core, Fetched, Missing};
use crate::engine::gate::Gate;
use crate::engine::version::StoredValue;
use crate::resp::{Decoded, Decoder, Reply, RequestLimits};
use crate::server::held::UNIT_BYTES;
use crate::server::{Client, Server};
use crate::session::Session;
use ahead::{FETCHES_UNWRITTEN_MAX, ReadingAhead};
use buffers::{Input, READ_BYTES};
use bytes::Bytes;
use heard::Hearing;
use output::Output;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::futures::Notified;
use tokio::time::Sleep;

/// Commands of one turn of somebody who has given no password yet: enough to log in, and
/// errors that fit in a buffer of the system.
const STRANGER_COMMANDS_PER_TURN: u64 = 64;

/// Input that is read while a reply is held back, to notice when the client goes.
const HELD_INPUT_BYTES_MAX: usize = 4 << 20;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;
type Fetching = Pin<Box<dyn Future<Output = Result<Vec<Fetched>, FetchFailed>> + Send>>;

/// What the connection waits for before it runs further commands.
enum Pause {
    /// Nothing.
    No,
    /// A value is on its way from the store.
    Fetch(Fetching),
    /// These are among those that are read ahead.
    Ahead(Vec<StoredValue>),
    /// Too much is sequenced and not acknowledged, or the next command needs what is.
    Backlog(Arc<Gate>),
    /// Compaction is far behind.
    Room(Waiting),
    /// This reply's time has not come; without a time it never does.
    Held(Reply, Option<Pin<Box<Sleep>>>),
}

impl Pause {
    fn hold(reply: Reply, hold: Hold) -> Self {
        Self::Held(
            reply,
            match hold {
                Hold::For(time) => Some(Box::pin(tokio::time::sleep(time))),
                Hold::ForEver => None,
            },
        )
    }
}

/// A whole request.
struct Whole {
    /// So many bytes at the start of the input.
    consumed: usize,
    /// Unless it is large: then it was taken out of there.
    apart: Option<Bytes>,
}

impl Whole {
    fn apart_bytes(&self) -> usize {
        self.apart.as_ref().map_or(0, Bytes::len)
    }
}

struct Connection<S> {
    server: Arc<Server>,
    stream: S,
    session: Session,
    decoder: Decoder,
    /// Those that the decoder's limits are from.
    settings: Arc<Settings>,
    input: Input,
    /// What the unfinished request misses.
    missing: buffers::Missing,
    /// A whole request has yet to be run (again).
    request: Option<Whole>,
    /// Input is left that could not be run in this turn.
    more_to_run: bool,
    /// What the server knows that this connection holds.
    held_bytes: u64,
    output: Output,
    /// What of it was ever written, in bytes.
    written: u64,
    /// The stream may hold bytes that it took from `output`, as TLS does.
    unflushed: bool,
    pause: Pause,
    /// Values that `request` needs, from the store.
    fetched: Vec<Fetched>,
    /// Values for requests behind it, on their way.
    ahead: Vec<ReadingAhead>,
    /// Those that are here.
    fetched_ahead: Vec<Fetched>,
    /// So many requests in a row have got theirs, and no reply was written meanwhile.
    fetches_unwritten: u32,
    /// Keeps the transaction of a request that waits from being over meanwhile.
    waiting: Option<Arc<()>>,
    /// `request` has waited for room in the store.
    has_waited: bool,
    /// Why they could not be fetched.
    fetch_error: Option<FetchFailed>,
    /// The client, or the server, sends no more requests this way.
    input_ended: bool,
}

/// Serves one connection until it has nothing more to say; the caller ends the stream.
async fn serve<S>(server: Arc<Server>, stream: S, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Hearing + Unpin,
{
    let settings = server.settings();
    let session = Session::new(Arc::clone(&client), &server);
    let mut connection = Connection {
        server: Arc::clone(&server),
        stream,
        session,
        decoder: Decoder::new(request_limits(&settings)),
        settings,
        input: Input::default(),
        missing: buffers::Missing::default(),
        request: None,
        more_to_run: false,
        held_bytes: 0,
        output: Output::default(),
        written: 0,
        unflushed: false,
        pause: Pause::No,
        fetched: Vec::new(),
        ahead: Vec::new(),
        fetched_ahead: Vec::new(),
        fetches_unwritten: 0,
        waiting: None,
        has_waited: false,
        fetch_error: None,
        input_ended: false,
    };
    let ended = connection.run(&client).await;
    if let Err(error) = &ended {
        tracing::debug!(client = client.id, %error, "connection ended");
    }
    // Nobody waits for these; others may wait for them to be polled, or gone.
    (connection.pause, connection.ahead) = (Pause::No, Vec::new());
    connection.leave_unheard(&client, ended).await;
    let session = &mut connection.session;
    server.engine.with_core(|core| command::transactions::forget_watches(session, core));
}

impl<S: AsyncRead + AsyncWrite + Hearing + Unpin> Connection<S> {
    async fn run(&mut self, client: &Client) -> io::Result<()> {
        let mut wake = pin!(client.wake.notified());
        loop {
            // Before anything is waited for: it may have begun while we were being let in.
            self.input_ended |= self.server.is_draining();
            if self.is_done() {
                return Ok(());
            }
            poll_fn(|context| self.poll_turn(context, client, wake.as_mut())).await?;
            if client.killed.load(Ordering::Acquire) {
                return Ok(());
            }
            self.take_feed(client);
            self.run_commands();
            self.take_feed(client);
            self.output.settle(self.session.protocol);
            if self.passed_output_limit() {
                self.server.counters.output_limit_closes.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    client = client.id,
                    "closed: replies passed output-buffer-bytes-max"
                );
                return Ok(());
            }
            self.report(client);
            if self.more_to_run || self.fetches_unwritten == FETCHES_UNWRITTEN_MAX {
                // Others get their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// What MONITOR has to tell goes out behind the replies so far.
    fn take_feed(&mut self, client: &Client) {
        if self.session.monitoring {
            self.output.push_bytes(&client.take_feed());
        }
    }

    /// Lets the server know what is held here, and for whom.
    fn report(&mut self, client: &Client) {
        let waiting_bytes = self.output.waiting_bytes();
        client.output_bytes.store(waiting_bytes as u64, Ordering::Relaxed);
        let is_due = self.output.waits_for().is_some() || !matches!(self.pause, Pause::No);
        client.is_due.store(is_due, Ordering::Relaxed);
        let requests = self.input_bytes() + self.decoder.held_bytes() + self.session.held_bytes();
        let ahead: usize = self.fetched_ahead.iter().map(Fetched::bytes).sum();
        let held_bytes = (waiting_bytes + requests + ahead) as u64;
        let held_bytes = held_bytes - held_bytes % UNIT_BYTES;
        if held_bytes != self.held_bytes {
            self.held_bytes = held_bytes;
            self.server.hold(client, held_bytes);
        }
    }

    /// What has arrived and was not run yet.
    fn input_bytes(&self) -> usize {
        self.input.len() + self.request.as_ref().map_or(0, Whole::apart_bytes)
    }

    /// Whether it is nobody yet.
    fn is_stranger(&self) -> bool {
        !self.session.authenticated && !self.server.users.lets_in_anybody()
    }

    fn passed_output_limit(&self) -> bool {
        // The usual case needs no look at the settings. Nor does a stranger: error replies
        // that nobody reads are not worth more.
        let waiting = self.output.waiting_bytes();
        waiting > READ_BYTES && {
            if self.is_stranger() {
                return true;
            }
            let limit = self.server.settings().output_buffer_bytes_max;
            limit > 0 && waiting as u64 > limit
        }
    }

    /// Whether everything is answered and nothing more can come.
    fn is_done(&self) -> bool {
        // Nobody is there any more to whom a held reply could be told.
        let waits = matches!(
            self.pause,
            Pause::Fetch(_) | Pause::Ahead(_) | Pause::Backlog(_) | Pause::Room(_)
        );
        let idle = !waits && !self.more_to_run;
        let no_more = self.session.closing || (self.input_ended && idle);
        no_more && self.output.waiting_bytes() == 0 && !self.unflushed
    }

    /// Moves bytes in both directions and looks at everything waited for; ready when
    /// there may be something to run, to settle, or an end.
    fn poll_turn<'w>(
        &mut self,
        context: &mut Context<'_>,
        client: &'w Client,
        mut wake: Pin<&mut Notified<'w>>,
    ) -> Poll<io::Result<()>> {
        let mut progress = self.more_to_run && matches!(self.pause, Pause::No);
        if wake.as_mut().poll(context).is_ready() {
            wake.set(client.wake.notified());
            progress = true;
        }
        let paused_no_more = self.poll_pause(context);
        if paused_no_more && self.goes_on_unwritten() {
            return Poll::Ready(Ok(()));
        }
        self.fetches_unwritten = 0;
        progress |= paused_no_more;
        progress |= self.poll_write(context)?;
        self.report(client);
        if let Some(gate) = self.output.waits_for() {
            progress |= gate.poll(context).is_ready();
        }
        let wants_input = !self.input_ended
            && !self.session.closing
            && !self.more_to_run
            && match self.pause {
                Pause::No => true,
                // To notice when the client goes.
                Pause::Held(..) => self.input.len() < HELD_INPUT_BYTES_MAX,
                Pause::Fetch(_) | Pause::Ahead(_) | Pause::Backlog(_) | Pause::Room(_) => false,
            };
        if wants_input {
            progress |= self.poll_read(context)?;
        }
        if progress { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> bool {
        self.poll_ahead(context);
        let over = match &mut self.pause {
            Pause::No => false,
            Pause::Backlog(gate) => gate.poll(context).is_ready(),
            Pause::Ahead(places) => {
                !self.ahead.iter().any(|reading| places.contains(&reading.place))
            }
            Pause::Room(room) => {
                self.has_waited = room.as_mut().poll(context).is_ready();
                self.has_waited
            }
            Pause::Held(_, time) => {
                time.as_mut().is_some_and(|time| time.as_mut().poll(context).is_ready())
            }
            Pause::Fetch(fetching) => match fetching.as_mut().poll(context) {
                Poll::Pending => false,
                Poll::Ready(Ok(values)) => {
                    self.fetched.extend(values);
                    true
                }
                Poll::Ready(Err(why)) => {
                    self.fetch_error = Some(why);
                    true
                }
            },
        };
        if over {
            if let Pause::Held(reply, _) = std::mem::replace(&mut self.pause, Pause::No) {
                self.session.client.state().blocked = false;
                self.output.push(reply, &mut self.session, None);
            }
            self.more_to_run = true;
        }
        over
    }

    /// Runs what has arrived, one turn of it.
    fn run_commands(&mut self) {
        self.more_to_run = false;
        let may_run = !self.session.closing && matches!(self.pause, Pause::No);
        if may_run && self.input_bytes() > 0 {
            self.run_input();
        }
        if matches!(self.pause, Pause::No) {
            self.waiting = None;
            if !self.more_to_run {
                // Whoever they were for has run.
                self.ahead.clear();
                self.fetched_ahead.clear();
            }
        }
        self.input.take_back();
    }

    fn run_input(&mut self) {
        let server = Arc::clone(&self.server);
        let before = self.input_bytes();
        server.engine.with_core(|core| {
            core.lend_ahead(std::mem::take(&mut self.fetched_ahead));
            self.run_turn(&server, core);
            let has_run_all = matches!(self.pause, Pause::No) && !self.more_to_run;
            if has_run_all || (self.input.is_empty() && self.request.is_none()) {
                core.keep_ahead();
            }
            self.fetched_ahead = core.take_ahead();
        });
        if self.input_bytes() != before {
            command::end_turn(&server, &mut self.session);
            self.session.publish(self.input_bytes());
        }
    }

    fn commands_per_turn(&self, settings: &Settings) -> u64 {
        match self.is_stranger() {
            true => STRANGER_COMMANDS_PER_TURN.min(settings.pipeline_commands_per_turn),
            false => settings.pipeline_commands_per_turn,
        }
    }

    /// The settings of this turn, which are the decoder's, too.
    fn take_settings(&mut self, server: &Server) -> Arc<Settings> {
        let settings = server.settings();
        if !Arc::ptr_eq(&settings, &self.settings) {
            self.decoder.set_limits(request_limits(&settings));
            self.settings = Arc::clone(&settings);
        }
        settings
    }

    fn run_turn(&mut self, server: &Server, core: &mut Core) {
        let settings = self.take_settings(server);
        command::begin_turn(&mut self.session, core);
        let now_ms = core.monotonic().as_millis() as u64;
        self.session.client.last_ms.store(now_ms, Ordering::Relaxed);
        let commands_max = self.commands_per_turn(&settings);
        let (mut used, mut commands) = (0, 0);
        while !self.session.closing && matches!(self.pause, Pause::No) {
            if commands >= commands_max || self.passed_output_limit() {
                self.more_to_run = true;
                break;
            }
            if core.pending_bytes() as u64 > settings.uncommitted_bytes_max
                && let Some(gate) = core.oldest_pending()
            {
                self.waiting = self.session.wait_inside(core);
                self.pause = Pause::Backlog(gate);
                break;
            }
            let Some(whole) = self.next_request(&mut used) else {
                break;
            };
            self.lend_fetched(core);
            let bytes = whole.apart.as_deref().unwrap_or(&self.input[used..]);
            let args = self.decoder.args(bytes).to_slices();
            let request = Request::new(&args, whole.apart.as_ref()).after_waiting(self.has_waited);
            if command::is_cross_protocol_attack(&args) {
                tracing::warn!(client = self.session.client.id, "closed: it speaks HTTP");
                self.session.closing = true;
                // Not even what was answered before is told to a browser, as in Redis.
                self.output = Output::default();
                break;
            }
            let mut execution = match self.fetch_error.take() {
                None => command::execute(server, &settings, &mut self.session, core, request),
                Some(why) => command::fetch_failed(&mut self.session, core, &why).into(),
            };
            while commands < commands_max
                && let Some(cost) = self.lend_at_hand(core, &mut execution)
            {
                commands += cost;
                execution = command::execute(server, &settings, &mut self.session, core, request);
            }
            drop(args);
            if std::mem::take(&mut self.session.monitored) {
                self.output.push_bytes(&self.session.client.take_feed());
            }
            let pause = self.take(execution, core, used + whole.consumed);
            if let Some(resends) = &mut self.session.resends {
                resends.unread.ends_at(self.written + self.output.waiting_bytes() as u64);
            }
            if let Some(pause) = pause {
                self.request = Some(whole);
                self.fetched = core.take_back();
                self.waiting = self.session.wait_inside(core);
                self.pause = pause;
                break;
            }
            core.keep_lent();
            self.has_waited = false;
            used += whole.consumed;
            commands += 1;
            if std::mem::take(&mut self.session.settings_changed) {
                // What follows runs with the new ones, in a turn of its own.
                self.more_to_run = true;
                break;
            }
        }
        self.input.advance(used);
    }

    /// Takes what a request has come to; the next begins at `end`. If nothing has happened it runs
    /// again after a pause.
    fn take(&mut self, execution: Execution, core: &mut Core, end: usize) -> Option<Pause> {
        match execution {
            Execution::Reply(reply, gate) => self.output.push(reply, &mut self.session, gate),
            Execution::Held(reply, hold) => {
                self.pause = Pause::hold(reply, hold);
                self.session.client.state().blocked = true;
            }
            Execution::NoRoom => return Some(Pause::Room(room(Arc::clone(&self.server)))),
            Execution::Wait(gate) => return Some(Pause::Backlog(gate)),
            Execution::Fetch(missing) => {
                let under_way = self.under_way(&missing);
                if !under_way.is_empty() {
                    return Some(Pause::Ahead(under_way));
                }
                self.server.counters.fetches.fetch_add(1, Ordering::Relaxed);
                self.read_ahead(core, end, &missing);
                return Some(Pause::Fetch(fetch(Arc::clone(&self.server), missing)));
            }
        }
        None
    }

    /// The next request; `None` if it isn't whole, or is none.
    fn next_request(&mut self, used: &mut usize) -> Option<Whole> {
        if let Some(whole) = self.request.take() {
            return Some(whole);
        }
        // A stranger may send but little.
        let may_enter = !self.is_stranger();
        loop {
            let rest = &self.input[*used..];
            match self.decoder.decode(rest, may_enter) {
                Ok(Decoded::Request { consumed }) => {
                    let longest = || self.decoder.args(rest).iter().map(<[u8]>::len).max();
                    if self.decoder.args_are_in_input()
                        && self.input.is_mostly(consumed)
                        && longest().is_some_and(|longest| self.input.is_mostly(longest))
                    {
                        let apart = self.input.take_apart(*used + consumed);
                        let apart = Some(apart.slice(std::mem::take(used)..));
                        return Some(Whole { consumed: 0, apart });
                    }
                    return Some(Whole { consumed, apart: None });
                }
                Ok(Decoded::Empty { consumed }) => *used += consumed,
                Ok(Decoded::NeedMore { bytes }) => {
                    let of_one_argument = self.decoder.is_mostly_one_argument();
                    self.missing = buffers::Missing { bytes, of_one_argument };
                    return None;
                }
                Err(error) => {
                    self.output.push(Reply::from(error), &mut self.session, None);
                    self.session.closing = true;
                    return None;
                }
            }
        }
    }
}

/// What the settings allow a request to be.
fn request_limits(settings: &Settings) -> RequestLimits {
    RequestLimits {
        bulk_bytes_max: settings.bulk_bytes_max,
        request_bytes_max: settings.query_buffer_bytes_max,
        ..RequestLimits::default()
    }
}

fn room(server: Arc<Server>) -> Waiting {
    Box::pin(async move { server.engine.room_to_write().await })
}

fn fetch(server: Arc<Server>, missing: Vec<Missing>) -> Fetching {
    Box::pin(async move { server.engine.fetch(&missing).await })
}
