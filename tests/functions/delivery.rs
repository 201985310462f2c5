//! One delivery of a checkout in two steps: a runner, the functions that it starts, and at one of the
//! things that they send an accident.

use std::fmt;
use std::net::SocketAddr;

use crate::common::client::Client;
use crate::common::proxy::{Proxy, Weather};
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::wait::{self, PATIENCE};
use crate::history::History;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runner and functions are gone, and their connections with them.
    FunctionDies,
    /// kill -9; it is started again.
    AftDies,
    /// The network closes all of their connections.
    Cut,
    /// One connection is lost, and what uses it connects anew, as it did before, and sends again
    /// what has no reply: so do many libraries by themselves, and nobody else learns of it.
    Resent,
}

/// Whether who has lost its connection can send it again: the runner, who enters and leaves, would
/// have to begin again.
pub(crate) fn may_be_sent_again(sent: &str) -> bool {
    !sent.starts_with("AFT.BEGIN") && sent != "AFT.LEAVE"
}

/// When it happens, as seen from the one command that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Before,
    /// It is on its way: nobody knows whether it will be done.
    Sent,
    /// It was done, and nobody has read the reply.
    Unread,
    After,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Accident {
    pub(crate) kind: Kind,
    pub(crate) moment: Moment,
    /// The how-many-th of the things sent.
    pub(crate) event: usize,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?} {}", self.kind, self.moment, self.event)
    }
}

/// Where it all happens.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) history: History,
}

impl World {
    pub(crate) fn on(server: Server) -> Self {
        let proxy = Proxy::start(server.addr());
        Self { server, proxy, history: History::default() }
    }

    /// Who has an old token writes, or is refused, as it should be; else what it was told.
    pub(crate) fn zombie_writes(&self, name: &str, token: &str) -> Result<(), String> {
        let mut zombie = self.server.client();
        zombie.run(&["CLIENT", "SETNAME", &format!("aft:{token}")]);
        let told = zombie.run(&["APPEND", &format!("{name}:log"), "zombie"]);
        match told.error_code().as_deref() {
            Some("STALE" | "NOTXN") => Ok(()),
            _ => Err(format!("{told:?}")),
        }
    }
}

/// Why a delivery came to no end.
#[derive(Debug)]
pub(crate) enum Failed {
    Accident,
    /// It was told something else than it should have been.
    Told(String),
}

/// Whether functions run in a transaction; where they don't, nothing is begun or ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Transaction,
    /// One whose commit depends on all that was read.
    Serializable,
    Nothing,
}

pub(crate) struct Delivery<'a> {
    world: &'a mut World,
    inside: Inside,
    /// The request's id, and what its keys begin with.
    name: &'a str,
    accident: Option<Accident>,
    /// The connections; the first is the runner's, the others the functions'.
    lines: Vec<Client>,
    /// What each is bound by, and the commands of its MULTI: what a library says again.
    said: [Said; LINES],
    pub(crate) tokens: Vec<String>,
    /// Tokens of deliveries before it: who holds them goes on.
    zombies: &'a [String],
    /// What was sent so far.
    pub(crate) sent: Vec<String>,
}

const RUNNER: usize = 0;
const LINES: usize = 3;

#[derive(Default)]
struct Said {
    binding: Option<Vec<String>>,
    block: Vec<Vec<String>>,
}

impl<'a> Delivery<'a> {
    pub(crate) fn new(
        world: &'a mut World,
        inside: Inside,
        name: &'a str,
        accident: Option<Accident>,
        zombies: &'a [String],
    ) -> Self {
        let mut delivery = Self {
            world,
            inside,
            name,
            accident,
            lines: Vec::new(),
            said: Default::default(),
            tokens: Vec::new(),
            zombies,
            sent: Vec::new(),
        };
        delivery.connect();
        delivery
    }

    /// Both steps, to the result: what the account holds in the end.
    pub(crate) fn run(&mut self) -> Result<String, Failed> {
        let reserved = match self.begin("STEP reserve")? {
            Began::Known { result, is_all: true } => return Ok(result),
            Began::Known { result, .. } => result,
            Began::Begun(token) => {
                let left = self.reserve()?;
                self.end("AFT.DONE", &token, &left)?;
                left
            }
        };
        if reserved != "8" {
            return Err(Failed::Told(format!("the result of the first step is {reserved}")));
        }
        match self.begin("STEP charge AFTER reserve")? {
            Began::Known { result, is_all } => {
                assert!(is_all, "{}: the step that commits is not done before", self.name);
                Ok(result)
            }
            Began::Begun(token) => {
                let balance = self.charge()?;
                self.end("AFT.COMMIT", &token, &balance)?;
                Ok(balance)
            }
        }
    }

    /// What is to be written there, which tells who has done so.
    fn version(&mut self, name: &str) -> String {
        let key = self.key(name);
        let token = self.tokens.last().expect("it was begun");
        self.world.history.write(token, self.name, &key)
    }

    /// A function with a connection.
    fn reserve(&mut self) -> Result<String, Failed> {
        let price = self.send(1, &["GET", &self.key("price")])?;
        assert_eq!(price.text().as_deref(), Some("10"));
        let left = self.send(1, &["DECRBY", &self.key("stock"), "2"])?.int().to_string();
        let version = self.version("reserved");
        self.send(1, &["SET", &self.key("reserved"), &version])?;
        Ok(left)
    }

    /// One with two.
    fn charge(&mut self) -> Result<String, Failed> {
        let balance = self.send(1, &["INCRBY", &self.key("account"), "-20"])?.int().to_string();
        let version = self.version("order");
        self.send(2, &["SET", &self.key("order"), &version])?;
        self.send(2, &["MULTI"])?;
        self.send(2, &["APPEND", &self.key("log"), "order;"])?;
        self.send(2, &["DEL", &self.key("basket")])?;
        let replies = self.send(2, &["EXEC"])?;
        assert_eq!(replies.items().len(), 2, "{replies:?}");
        Ok(balance)
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.name)
    }

    fn begin(&mut self, words: &str) -> Result<Began, Failed> {
        if self.inside == Inside::Nothing {
            if self.tokens.is_empty() {
                self.tokens.push(self.world.history.no_token());
            }
            return Ok(Began::Begun(String::new()));
        }
        let isolation = if self.inside == Inside::Serializable { " SERIALIZABLE" } else { "" };
        let words = format!("AFT.BEGIN REQUEST {} {words}{isolation}", self.name);
        let reply = self.send(RUNNER, &words.split(' ').collect::<Vec<_>>())?;
        let text = |at: usize| reply.items()[at].text().unwrap_or_default();
        let (token, state, result) = (text(0), text(1), text(2));
        if state != "begun" {
            return Ok(Began::Known { result, is_all: state == "committed" });
        }
        // The runner is no part of it; functions are, by their name or their user.
        self.send(RUNNER, &["AFT.LEAVE"])?;
        self.send(1, &["CLIENT", "SETNAME", &format!("aft:{token}")])?;
        self.send(2, &["AUTH", &format!("default~{token}"), "x"])?;
        self.tokens.push(token.clone());
        Ok(Began::Begun(token))
    }

    fn end(&mut self, command: &str, token: &str, result: &str) -> Result<(), Failed> {
        if self.inside == Inside::Nothing {
            if command == "AFT.COMMIT" {
                self.world.history.done(&self.tokens[0]);
            }
        } else {
            for token in self.zombies {
                let told = self.world.zombie_writes(self.name, token);
                told.map_err(|told| Failed::Told(format!("a zombie was told {told}")))?;
            }
            self.send(RUNNER, &[command, token, "RESULT", result])?;
        }
        Ok(())
    }

    /// One thing that is sent, with the accident if this is its turn.
    fn send(&mut self, line: usize, words: &[&str]) -> Result<Reply, Failed> {
        let event = self.sent.len();
        let text = words.join(" ");
        self.sent.push(text.clone());
        let due = self.accident.filter(|accident| accident.event == event);
        if due.is_some_and(|accident| accident.kind == Kind::Resent) && may_be_sent_again(&text) {
            return told(self.send_twice(line, words, due.unwrap().moment));
        }
        let due = due.filter(|accident| accident.kind != Kind::Resent);
        let at = |moment| due.filter(|accident| accident.moment == moment);
        if let Some(accident) = at(Moment::Before) {
            return self.meet(accident);
        }
        if at(Moment::Unread).is_some_and(|accident| accident.kind == Kind::Cut) {
            self.world.proxy.set(Weather::CutAtReply);
        }
        self.lines[line].queue(words);
        self.lines[line].flush().unwrap();
        if let Some(accident) = at(Moment::Sent) {
            return self.meet(accident);
        }
        if let Some(accident) = at(Moment::Unread) {
            // It is there, or its connection is closed in its place.
            let peeked = self.lines[line].stream().peek(&mut [0]).unwrap_or(0);
            assert_eq!(peeked, usize::from(accident.kind != Kind::Cut), "{text}");
            return self.meet(accident);
        }
        let reply = self.lines[line].read().unwrap();
        if let Some(accident) = at(Moment::After) {
            return self.meet(accident);
        }
        self.note_said(line, words);
        told(reply)
    }

    fn note_said(&mut self, line: usize, words: &[&str]) {
        let Said { binding, block } = &mut self.said[line];
        let said = || words.iter().map(|&word| word.to_owned()).collect();
        match words[0] {
            "CLIENT" | "AUTH" => *binding = Some(said()),
            "EXEC" => block.clear(),
            "MULTI" => *block = vec![said()],
            _ if !block.is_empty() => block.push(said()),
            _ => {}
        }
    }

    /// Its connection is lost at this moment, and it is said again on another.
    fn send_twice(&mut self, line: usize, words: &[&str], moment: Moment) -> Reply {
        let mut told = None;
        if moment != Moment::Before {
            self.lines[line].queue(words);
            self.lines[line].flush().unwrap();
        }
        if moment == Moment::Unread {
            assert_eq!(self.lines[line].stream().peek(&mut [0]).unwrap(), 1, "{words:?}");
        }
        if moment == Moment::After {
            told = Some(self.lines[line].read().unwrap());
            self.note_said(line, words);
        }
        self.connect_again(line);
        // A block is said from its beginning, of which nothing had happened.
        for queued in self.said[line].block.clone() {
            let reply = self.lines[line].run(&queued);
            assert!(!reply.is_error(), "{queued:?}: {reply:?}");
        }
        told.unwrap_or_else(|| {
            let reply = self.lines[line].run(words);
            self.note_said(line, words);
            reply
        })
    }

    /// As its library does: bound as it was. aft has seen the end of the one before.
    fn connect_again(&mut self, line: usize) {
        let address = self.lines[line].stream().local_addr().unwrap();
        self.lines[line] = self.world.server.client();
        let mut observer = self.world.server.client();
        wait::until("the end of the lost connection", PATIENCE, || {
            let list = observer.cmd("CLIENT LIST").text().unwrap();
            (!list.contains(&format!(" addr={address} "))).then_some(())
        });
        if let Some(binding) = &self.said[line].binding {
            let bound = self.lines[line].run(binding);
            assert_eq!(bound, Reply::ok(), "{binding:?}");
        }
    }

    fn meet(&mut self, accident: Accident) -> Result<Reply, Failed> {
        match accident.kind {
            Kind::FunctionDies | Kind::Resent => {}
            Kind::AftDies => {
                self.world.server.kill_9();
                self.world.server.restart_on_same_port();
            }
            Kind::Cut => {
                self.world.proxy.set(Weather::Cut);
                self.world.proxy.set(Weather::Fair);
            }
        }
        self.lines.clear();
        Err(Failed::Accident)
    }

    fn connect(&mut self) {
        // What dies has its sockets closed by the kernel, with what it has not read; a network
        // is in between only where it is to break.
        let through = |accident: Accident| accident.kind == Kind::Cut;
        let to: SocketAddr = match self.accident.is_some_and(through) {
            true => self.world.proxy.addr(),
            false => self.world.server.addr(),
        };
        self.lines = (0..LINES).map(|_| Client::connect(to).unwrap()).collect();
    }
}

fn told(reply: Reply) -> Result<Reply, Failed> {
    if reply.is_error() { Err(Failed::Told(format!("{reply:?}"))) } else { Ok(reply) }
}

enum Began {
    Begun(String),
    Known { result: String, is_all: bool },
}
