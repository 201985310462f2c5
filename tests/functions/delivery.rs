//! One delivery of a checkout in two steps: a runner, the functions that it starts, and at one of the
//! things that they send an accident.

use std::fmt;
use std::net::SocketAddr;

use crate::common::client::Client;
use crate::common::proxy::{Proxy, Weather};
use crate::common::resp::Reply;
use crate::common::server::Server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runner and functions are gone, and their connections with them.
    FunctionDies,
    /// kill -9; it is started again.
    AftDies,
    /// The network closes all of their connections.
    Cut,
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
}

impl World {
    pub(crate) fn on(server: Server) -> Self {
        let proxy = Proxy::start(server.addr());
        Self { server, proxy }
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
    pub(crate) tokens: Vec<String>,
    /// Tokens of deliveries before it: who holds them goes on.
    zombies: &'a [String],
    /// What was sent so far.
    pub(crate) sent: Vec<String>,
}

const RUNNER: usize = 0;

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

    /// A function with a connection.
    fn reserve(&mut self) -> Result<String, Failed> {
        let price = self.send(1, &["GET", &self.key("price")])?;
        assert_eq!(price.text().as_deref(), Some("10"));
        let left = self.send(1, &["DECRBY", &self.key("stock"), "2"])?.int().to_string();
        self.send(1, &["SET", &self.key("reserved"), "2"])?;
        Ok(left)
    }

    /// One with two.
    fn charge(&mut self) -> Result<String, Failed> {
        let balance = self.send(1, &["INCRBY", &self.key("account"), "-20"])?.int().to_string();
        self.send(2, &["SET", &self.key("order"), "paid"])?;
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
        if self.inside != Inside::Nothing {
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
        self.sent.push(words.join(" "));
        let due = self.accident.filter(|accident| accident.event == event);
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
            assert_eq!(peeked, usize::from(accident.kind != Kind::Cut), "{}", words.join(" "));
            return self.meet(accident);
        }
        let reply = self.lines[line].read().unwrap();
        if let Some(accident) = at(Moment::After) {
            return self.meet(accident);
        }
        if reply.is_error() { Err(Failed::Told(format!("{reply:?}"))) } else { Ok(reply) }
    }

    fn meet(&mut self, accident: Accident) -> Result<Reply, Failed> {
        match accident.kind {
            Kind::FunctionDies => {}
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
        self.lines = (0..3).map(|_| Client::connect(to).unwrap()).collect();
    }
}

enum Began {
    Begun(String),
    Known { result: String, is_all: bool },
}
