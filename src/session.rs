//! A session: what the server remembers of a connection between two commands.

pub mod meter;
mod queue;

pub use queue::Queue;

use crate::engine::core::Core;
use crate::engine::gate::{Gate, Outcome};
use crate::engine::interactive::Token;
use crate::engine::interactive::resend::Resends;
use crate::engine::version::Position;
use crate::resp::{Protocol, Reply};
use crate::server::users::User;
use crate::server::{Client, ClientState, Server};
use crate::transaction::{View, Watched};
use meter::Meter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whether replies are sent, see CLIENT REPLY and [`Session::filter_reply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not, until CLIENT REPLY ON.
    Off,
    /// CLIENT REPLY SKIP is running: neither it nor the next command is answered.
    SkipNext,
    /// The command after CLIENT REPLY SKIP is running: it is not answered, the next one is.
    Skip,
}

impl ReplyMode {
    /// After RESET, which ends everything but a skip that has begun: in Redis it is the
    /// RESET itself that is skipped then.
    #[must_use]
    pub fn reset(self) -> Self {
        match self {
            Self::Skip => Self::Skip,
            Self::On | Self::Off | Self::SkipNext => Self::On,
        }
    }
}

/// What MULTI has begun.
#[derive(Debug, Default)]
pub struct Multi {
    /// The commands to run at EXEC.
    pub queue: Queue,
    /// A command that writes was queued.
    pub writes: bool,
    /// A command that may need memory was queued.
    pub needs_memory: bool,
    /// A command was queued that may take long by itself.
    pub lasts: bool,
    /// A command could not be queued: EXEC will abort.
    pub broken: bool,
}

/// A watched key.
#[derive(Debug)]
pub struct Watch {
    /// Its database.
    pub database: u8,
    /// The key.
    pub key: Box<[u8]>,
    /// How it was.
    pub watched: Watched,
}

/// The interactive transaction that a connection's commands run in.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// Its token; `None` for one that never was, or did not begin: no such transaction can be
    /// open, and no command runs.
    pub token: Option<Token>,
    /// How it came to be there.
    pub by: Bound,
}

/// How a connection came into a transaction; so it leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// AFT.BEGIN or AFT.JOIN.
    ByCall,
    /// Its name.
    ByName,
    /// The user that it logged in as.
    ByUser,
}

/// The state of a connection.
#[derive(Debug)]
pub struct Session {
    /// What others see of it.
    pub client: Arc<Client>,
    /// How replies are written.
    pub protocol: Protocol,
    /// The selected database.
    pub database: u8,
    /// Whether it has given a password, or needed none.
    pub authenticated: bool,
    /// Who it is.
    pub user: Arc<User>,
    /// Between MULTI and EXEC.
    pub multi: Option<Multi>,
    /// For the next MULTI.
    pub spare_queue: Queue,
    /// While EXEC runs: how many commands, and bytes of their arguments.
    pub executing: Option<(usize, usize)>,
    /// It is told of every command.
    pub monitoring: bool,
    /// It was until its latest command: what it was told by then goes before that reply.
    pub monitored: bool,
    /// Watched keys.
    pub watches: Vec<Watch>,
    /// They were taken from writes that may never have been: what was read behind them was read
    /// without those, so nothing holds that depends on both.
    pub watches_broken: bool,
    /// The transaction that its commands run in.
    pub inside: Option<Membership>,
    /// Replies that may get lost, if it is bound to a transaction or was.
    pub resends: Option<Box<Resends>>,
    /// What it committed last, if it has been in nothing since: a repeated AFT.COMMIT means that.
    pub committed: Option<Token>,
    /// Bytes of the watched keys.
    pub watched_bytes: usize,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// The connection ends once its replies are written.
    pub closing: bool,
    /// It has changed settings: its turn ends, and what follows sees the new ones.
    pub settings_changed: bool,
    /// The name of the last command.
    pub last_command: &'static str,
    /// Times its commands.
    pub meter: Meter,
    /// The newest group that a reply of this connection has waited for.
    waits_for: Option<(Position, Arc<Gate>)>,
}

impl Session {
    /// The session of a new connection.
    pub fn new(client: Arc<Client>, server: &Server) -> Self {
        Self {
            client,
            protocol: Protocol::Resp2,
            database: 0,
            authenticated: server.users.lets_in_anybody(),
            user: Arc::clone(server.users.default_user()),
            multi: None,
            spare_queue: Queue::default(),
            executing: None,
            monitoring: false,
            monitored: false,
            watches: Vec::new(),
            watches_broken: false,
            inside: None,
            resends: None,
            committed: None,
            watched_bytes: 0,
            reply_mode: ReplyMode::On,
            closing: false,
            settings_changed: false,
            last_command: "NULL",
            meter: Meter::default(),
            waits_for: None,
        }
    }

    /// What is left of a reply under CLIENT REPLY: itself, or [`Reply::None`].
    ///
    /// To be called exactly once for every request that was run or refused, right after
    /// that and before the next one runs, for a protocol error's reply, too. A reply that
    /// still waits for its gate has passed through here before; if it became
    /// [`Reply::None`], nothing is sent in its place whatever the gate's outcome.
    #[must_use]
    #[inline]
    pub fn filter_reply(&mut self, reply: Reply) -> Reply {
        self.reply_mode = match self.reply_mode {
            ReplyMode::On => return reply,
            ReplyMode::Off => ReplyMode::Off,
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
        };
        Reply::None
    }

    /// The state a plain read runs on: the visible one, unless a reply of this connection
    /// still waits for a group. It must see its own writes, and nothing older than what
    /// it has been answered before.
    #[inline]
    pub fn read_view(&mut self) -> View {
        match &self.waits_for {
            Some((_, gate)) if gate.outcome() == Outcome::Pending => View::Tip,
            Some(_) => {
                self.waits_no_more();
                View::Visible
            }
            None => View::Visible,
        }
    }

    /// It waits for nothing, or something newer. Where what it has waited for came to a bad end, it
    /// reads less from now on than before.
    #[inline]
    fn waits_no_more(&mut self) {
        if let Some((_, gate)) = self.waits_for.take() {
            let is_bad = matches!(gate.outcome(), Outcome::NotCommitted | Outcome::Uncertain);
            self.watches_broken |= is_bad && !self.watches.is_empty();
        }
    }

    /// Whether nothing that it watches has been lost with the writes that it stood on.
    pub fn watches_stand(&mut self) -> bool {
        self.read_view();
        !self.watches_broken
    }

    /// The gate that a reply of this connection still waits at.
    pub fn pending_gate(&self) -> Option<&Arc<Gate>> {
        let (_, gate) = self.waits_for.as_ref()?;
        (gate.outcome() == Outcome::Pending).then_some(gate)
    }

    /// Its commands run in a transaction from now on, or in none.
    pub fn bind(&mut self, membership: Option<Membership>) {
        if membership.is_some() {
            self.committed = None;
        }
        self.inside = membership;
        self.client.state().inside = membership.and_then(|membership| membership.token);
        if let Some(token) = self.bound()
            && self.resends.as_ref().is_none_or(|resends| resends.token != token)
        {
            self.resends = Some(Box::new(Resends::new(token, self.meter.since())));
        }
        // Those of another transaction, or of none, can't be told from untouched ones.
        for watch in self.watches.extract_if(.., |watch| watch.watched.is_inside()) {
            self.watched_bytes -= watch.key.len();
        }
    }

    /// A command of it waits: its transaction, if it is in one, is in use for as long as what is
    /// returned is there.
    pub fn wait_inside(&self, core: &mut Core) -> Option<Arc<()>> {
        core.wait_interactive(self.inside?.token?)
    }

    /// The token that it is bound to by its name or its user, so that it will be again when its
    /// client connects anew.
    pub fn bound(&self) -> Option<Token> {
        self.inside.filter(|membership| membership.by != Bound::ByCall)?.token
    }

    /// Remembers that a reply of this connection waits for the group at `position`. A
    /// read may wait for an older group than an earlier write: the newest one counts.
    #[inline]
    pub fn waits(&mut self, position: Position, gate: &Arc<Gate>) {
        let newer = match &self.waits_for {
            Some((before, gate)) => *before <= position || gate.outcome() != Outcome::Pending,
            None => true,
        };
        if newer {
            self.waits_no_more();
            self.waits_for = Some((position, Arc::clone(gate)));
        }
    }

    /// Bytes that its commands left in memory, until EXEC or UNWATCH.
    pub fn held_bytes(&self) -> usize {
        let queued = self.multi.as_ref().map_or(0, |multi| multi.queue.held_bytes());
        let watched = self.watched_bytes + self.watches.len() * size_of::<Watch>();
        queued + watched + self.resends.as_ref().map_or(0, |resends| resends.bytes())
    }

    /// Tells others how the connection stands, after a turn of commands.
    pub fn publish(&self, input_bytes: usize) {
        let mut state = self.client.state();
        self.tell(&mut state);
        state.input_bytes = input_bytes;
    }

    /// The same in the middle of a turn, for a command that shows it.
    pub fn publish_now(&self, now_ms: u64) {
        self.client.last_ms.store(now_ms, Ordering::Relaxed);
        self.tell(&mut self.client.state());
    }

    fn tell(&self, state: &mut ClientState) {
        state.last_command = self.last_command;
        state.database = self.database;
        state.protocol = self.protocol.version();
        let queued = self.multi.as_ref().map(|multi| (multi.queue.len(), multi.queue.bytes()));
        let queued = queued.or(self.executing);
        state.queued = queued.map(|(commands, _)| commands);
        state.queued_bytes = queued.map_or(0, |(_, bytes)| bytes);
        state.monitoring = self.monitoring;
        state.watched = self.watches.len();
    }

    /// Becomes a user.
    pub fn log_in(&mut self, user: Arc<User>) {
        self.client.state().user = Arc::clone(&user.name);
        self.user = user;
        self.authenticated = true;
    }

    /// Becomes what it was when it began.
    pub fn log_out(&mut self, server: &Server) {
        self.log_in(Arc::clone(server.users.default_user()));
        self.authenticated = server.users.lets_in_anybody();
        self.bind(None);
        self.committed = None;
    }
}
