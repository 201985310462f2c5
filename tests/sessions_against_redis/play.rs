//! Plays a session on all servers at once and says where they differ.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::compare::{self, Circumstances, Verdict};
use crate::line::Line;
use crate::script::{Request, Session, Step, Word, name, shown};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A server and the connection of the test itself, of a user that no session knows.
struct Side {
    name: &'static str,
    server: Server,
    root: Client,
}

impl Side {
    fn start(name: &'static str, options: &Options) -> Self {
        let server = Server::start(options);
        let mut first = server.client();
        first.cmd("ACL SETUSER root on >key ~* &* +@all");
        let root = enter(&server);
        Self { name, server, root }
    }

    /// As root, on a new connection if the session has ended the old one.
    fn ask(&mut self, words: &str) -> Reply {
        let words: Vec<&str> = words.split(' ').collect();
        self.root.call(&words).unwrap_or_else(|_| {
            self.root = enter(&self.server);
            self.root.run(&words)
        })
    }

    /// Makes it what it was at its start.
    fn clean(&mut self) {
        self.root = enter(&self.server);
        self.ask("CLIENT KILL TYPE normal");
        self.ask("CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 128 timeout 0");
        self.root.run(&["CONFIG", "SET", "requirepass", ""]);
        for user in self.ask("ACL USERS").items() {
            let user = user.text().expect("a name");
            match user.as_str() {
                "root" => {}
                "default" => {
                    self.ask("ACL SETUSER default reset on nopass ~* &* +@all");
                }
                _ => assert_eq!(self.root.run(&["ACL", "DELUSER", &user]), Reply::Int(1)),
            }
        }
        self.ask("FLUSHALL");
        self.ask("SLOWLOG RESET");
        self.ask("ACL LOG RESET");
        let alone = |root: &mut Client| {
            let list = root.cmd("CLIENT LIST").text().expect("lines");
            (list.lines().count() == 1).then_some(())
        };
        wait::until("killed connections are gone", wait::PATIENCE, || alone(&mut self.root));
    }

    /// Every key, found in two ways.
    fn data(&mut self) -> Vec<Datum> {
        let mut data = Vec::new();
        // The answer says that the connection is there.
        self.ask("PING");
        for database in 0..16 {
            self.root.queue(&["SELECT", &database.to_string()]);
            self.root.queue(&["KEYS", "*"]);
        }
        self.root.flush().expect("a living server");
        for database in 0..16 {
            self.root.read().expect("OK");
            let keys = self.root.read().expect("keys");
            data.extend(keys.items().iter().map(|key| Datum::new(database, key)));
        }
        data.sort_by(|one, other| (one.database, &one.key).cmp(&(other.database, &other.key)));
        for database in 0..16 {
            let known = data.iter_mut().filter(|datum| datum.database == database);
            let mut known: Vec<_> = known.collect();
            if known.is_empty() {
                continue;
            }
            self.root.cmd(&format!("SELECT {database}"));
            let met = scan(&mut self.root);
            assert!(met.iter().eq(known.iter().map(|datum| &datum.key)), "{met:?} {known:?}");
            for datum in &mut known {
                datum.value = self.root.run(&[b"GET".as_slice(), &datum.key]);
                datum.expires = self.root.run(&[b"PEXPIRETIME".as_slice(), &datum.key]);
            }
        }
        self.root.cmd("SELECT 0");
        data
    }
}

/// All keys of a database, in steps.
fn scan(root: &mut Client) -> BTreeSet<Vec<u8>> {
    let mut met = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let step = root.cmd(&format!("SCAN {cursor} COUNT 3"));
        met.extend(step.items()[1].items().iter().map(bytes));
        cursor = step.items()[0].text().expect("a cursor");
        if cursor == "0" {
            return met;
        }
    }
}

fn bytes(reply: &Reply) -> Vec<u8> {
    let Reply::Bulk(bytes) = reply else { panic!("{reply:?}") };
    bytes.clone()
}

/// A key and what is of it.
#[derive(Debug)]
struct Datum {
    database: u8,
    key: Vec<u8>,
    value: Reply,
    expires: Reply,
}

impl Datum {
    fn new(database: u8, key: &Reply) -> Self {
        Self { database, key: bytes(key), value: Reply::Null, expires: Reply::Null }
    }
}

fn enter(server: &Server) -> Client {
    let mut root = server.client();
    assert_eq!(root.cmd("AUTH root key"), Reply::ok());
    root
}

/// redis-server, and aft with each store.
pub(crate) struct Arena {
    sides: Vec<Side>,
    /// A reply never came: to try smaller sessions would take for ever.
    stuck: bool,
    _directory: TempDir,
}

impl Arena {
    pub(crate) fn start() -> Self {
        let directory = TempDir::named("sessions");
        let aft = Options::memory();
        let durable = Options::durable(directory.path());
        let mut redis = Options::new(Peer::Redis);
        redis.extra = ["--enable-debug-command", "yes"].map(str::to_owned).to_vec();
        let sides = vec![
            Side::start("redis-server", &redis),
            Side::start("aft, in memory", &aft),
            Side::start("aft, durable", &durable),
        ];
        Self { sides, stuck: false, _directory: directory }
    }

    /// Every side's answer to a question of root's.
    pub(crate) fn ask(&mut self, words: &str) -> Vec<Reply> {
        self.sides.iter_mut().map(|side| side.ask(words)).collect()
    }

    /// Plays a session; the error is the script up to the difference.
    pub(crate) fn play(&mut self, session: &Session) -> Result<usize, String> {
        if self.stuck {
            return Ok(0);
        }
        for side in &mut self.sides {
            side.clean();
        }
        let servers: Vec<&Server> = self.sides.iter().map(|side| &side.server).collect();
        let openings = session.openings.iter().enumerate();
        let lines = openings.map(|(who, opening)| Line::open(who, *opening, &servers)).collect();
        let mut play = Play {
            arena: self,
            lines,
            said: String::new(),
            count: 0,
            expired: false,
            slowlog_differs: false,
        };
        let mut ended = false;
        for step in &session.steps {
            let played = play.step(step);
            if let Some(line) = play.lines.iter().find(|line| line.stuck) {
                let why = format!("{} waits for a reply", line.letter());
                play.arena.stuck = true;
                return Err(play.failed(&why));
            }
            ended = played.map_err(|why| play.failed(&why))?;
            if ended {
                break;
            }
        }
        if !ended {
            play.end().map_err(|why| play.failed(&why))?;
        }
        Ok(play.count)
    }
}

/// A session under way.
struct Play<'a> {
    arena: &'a mut Arena,
    lines: Vec<Line>,
    said: String,
    count: usize,
    /// Some key's time is over, perhaps.
    expired: bool,
    /// An EXEC has made SLOWLOG differ.
    slowlog_differs: bool,
}

/// What came instead of a reply.
type Read = Option<Reply>;

impl Play<'_> {
    fn failed(&self, why: &str) -> String {
        format!("\n{}{why}\n", self.said)
    }

    /// Says whether the session ends here, since the servers differ from now on and may.
    fn step(&mut self, step: &Step) -> Result<bool, String> {
        match step {
            Step::Send { who, requests } => self.send(*who, requests),
            Step::Hush { who, skip, requests } => self.hush(*who, *skip, requests),
            Step::Lapse { who, request } => {
                if self.lines[*who].closed || self.lines[*who].queue.is_some() {
                    return Ok(false);
                }
                self.expired = true;
                let ends = self.send(*who, std::slice::from_ref(request))?;
                let since = wait::wall_ms();
                let over = || (wait::wall_ms() > since + 2).then_some(());
                wait::until("a millisecond is over", wait::PATIENCE, over);
                Ok(ends)
            }
        }
    }

    /// Sends requests at once; what every side answers to each, and nothing once it has closed
    /// the connection.
    fn exchange(&mut self, who: usize, requests: &[Request], count: usize) -> Vec<Vec<Read>> {
        self.write(who, requests);
        let line = &mut self.lines[who];
        (0..self.arena.sides.len()).map(|side| line.read(side, count)).collect()
    }

    /// The same, with all that comes up to `last`.
    fn exchange_until(&mut self, who: usize, requests: &[Request], last: &Reply) -> Vec<Vec<Read>> {
        self.write(who, requests);
        let line = &mut self.lines[who];
        (0..self.arena.sides.len()).map(|side| line.read_until(side, last)).collect()
    }

    fn write(&mut self, who: usize, requests: &[Request]) {
        let resolved = |side: usize, request: &Request| -> Vec<Vec<u8>> {
            let bytes = |word: &Word| match word {
                Word::Bytes(bytes) => bytes.clone(),
                Word::IdOf(who) => self.id_of(*who, side).to_string().into_bytes(),
                Word::AddressOf(who) => self.address_of(*who, side).into_bytes(),
            };
            request.iter().map(bytes).collect()
        };
        let sides = 0..self.arena.sides.len();
        let resolved: Vec<Vec<Vec<Vec<u8>>>> = sides
            .map(|side| requests.iter().map(|request| resolved(side, request)).collect())
            .collect();
        for (side, requests) in resolved.iter().enumerate() {
            self.lines[who].write(side, requests);
        }
    }

    fn id_of(&self, who: usize, side: usize) -> i64 {
        self.lines.get(who).map_or(0, |line| line.ids[side])
    }

    fn address_of(&self, who: usize, side: usize) -> String {
        self.lines.get(who).map_or_else(String::new, |line| line.address(side))
    }

    fn send(&mut self, who: usize, requests: &[Request]) -> Result<bool, String> {
        if self.lines[who].closed {
            return Ok(false);
        }
        let requests = self.lines[who].suitable(requests);
        let replies = self.exchange(who, &requests, requests.len());
        self.judge(who, &requests, &replies)
    }

    /// Compares replies to requests, and notes what they mean for what follows.
    fn judge(
        &mut self,
        who: usize,
        requests: &[Request],
        replies: &[Vec<Read>],
    ) -> Result<bool, String> {
        for (at, request) in requests.iter().enumerate() {
            let theirs = replies[0][at].as_ref();
            let said = format!("{}: {}", name(who), shown(request));
            let _ = writeln!(self.said, "{said:<44} -> {}", told(theirs));
            self.count += 1;
            self.expired |= compare::sets_what_is_over(request);
            for (side, replies) in replies.iter().enumerate().skip(1) {
                let verdict = match (theirs, replies[at].as_ref()) {
                    (None, None) => Verdict::Same,
                    (Some(theirs), Some(ours)) => {
                        let circumstances = Circumstances {
                            queue: self.lines[who].queue.as_deref().unwrap_or_default(),
                            doubt: self.lines[who].doubt,
                            expired: self.expired,
                            slowlog_differs: self.slowlog_differs,
                        };
                        compare::verdict(request, theirs, ours, &circumstances)
                    }
                    // It has ended itself in the middle of EXEC's reply, which Redis breaks off.
                    (None, Some(_)) if self.lines[who].ends_in_exec(request) => Verdict::Parts,
                    _ => Verdict::Different,
                };
                match verdict {
                    Verdict::Same => {}
                    Verdict::Parts => return Ok(true),
                    Verdict::Different => {
                        let name = format!("≠  {}:", self.arena.sides[side].name);
                        let told = told(replies[at].as_ref());
                        return Err(format!("{name:<44} -> {told}"));
                    }
                }
            }
            let Some(theirs) = theirs else {
                self.lines[who].closed = true;
                break;
            };
            self.slowlog_differs |= self.lines[who].changes_the_slowlog(request);
            if let Some(doubt) = self.lines[who].note(request, theirs) {
                self.lines.iter_mut().for_each(|line| line.touched_perhaps(doubt));
            }
        }
        Ok(false)
    }

    /// Requests some of which aren't answered: all that comes before the answer to a last one.
    fn hush(&mut self, who: usize, skip: bool, requests: &[Request]) -> Result<bool, String> {
        let words = |line: &str| line.split(' ').map(Word::from).collect::<Request>();
        let probe = words("ECHO probe");
        if self.lines[who].closed || self.lines[who].monitoring || self.lines[who].queue.is_some() {
            return Ok(false);
        }
        let answers = self.exchange(who, std::slice::from_ref(&probe), 1);
        if answers.iter().any(|answers| answers[0] != Some(Reply::bulk("probe"))) {
            // It may not even say that.
            self.lines[who].closed |= answers[0][0].is_none();
            return Ok(false);
        }
        let mut all = vec![words(if skip { "CLIENT REPLY SKIP" } else { "CLIENT REPLY OFF" })];
        let kept = requests.iter().filter(|request| compare::keeps_the_connection(request));
        all.extend(kept.cloned());
        if all.len() == 1 {
            return Ok(false);
        }
        if !skip {
            all.push(words("CLIENT REPLY ON"));
        }
        all.push(words("ECHO last"));
        self.expired |= all.iter().any(compare::sets_what_is_over);
        let mut doubts = all.iter().filter_map(|request| compare::touches_perhaps(request, false));
        if let Some(doubt) = doubts.next() {
            self.lines.iter_mut().for_each(|line| line.touched_perhaps(doubt));
        }
        let replies = self.exchange_until(who, &all, &Reply::bulk("last"));
        let answered: Vec<Request> =
            all.iter().rev().take(replies[0].len()).rev().cloned().collect();
        for request in &all[..all.len() - answered.len()] {
            let said = format!("{}: {}", name(who), shown(request));
            let _ = writeln!(self.said, "{said:<44} -> nothing");
        }
        if replies.iter().any(|replies| replies.len() != answered.len()) {
            return Err(format!("≠  numbers of replies: {replies:?}"));
        }
        // Nobody was told that they wrote: it may be on its way still. Another write is behind.
        self.arena.ask("SET nobodys-key 1");
        self.arena.ask("DEL nobodys-key");
        self.judge(who, &answered, &replies)
    }

    /// At the end both have the same data, and have told whoever watches the same.
    fn end(&mut self) -> Result<(), String> {
        for who in 0..self.lines.len() {
            self.lines[who].end_of_watching(|| _ = self.arena.ask("ECHO end-of-watching"));
            let feeds = &self.lines[who].feeds;
            if let Some(side) = (1..feeds.len()).find(|side| feeds[*side] != feeds[0]) {
                let (theirs, ours) = (feeds[0].join("\n"), feeds[side].join("\n"));
                let name = self.arena.sides[side].name;
                return Err(format!("≠  MONITOR\nredis-server\n{theirs}\n{name}\n{ours}"));
            }
        }
        let mut sides = self.arena.sides.iter_mut();
        let theirs = sides.next().expect("three of them").data();
        for side in sides {
            let ours = side.data();
            let same = |one: &Datum, other: &Datum| {
                let times = [&one.expires, &other.expires];
                (one.database, &one.key, &one.value) == (other.database, &other.key, &other.value)
                    && compare::about_the_same_time(times[0], times[1], 2000)
            };
            let all =
                ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(o, t)| same(o, t));
            if !all {
                return Err(format!("≠  data\nredis-server\n{theirs:?}\n{}\n{ours:?}", side.name));
            }
        }
        Ok(())
    }
}

/// What came in place of a reply, as a script has it.
fn told(read: Option<&Reply>) -> String {
    let told =
        read.map_or_else(|| "the end of the connection".to_owned(), |reply| format!("{reply:?}"));
    let cut: String = told.chars().take(4000).collect();
    if cut.len() < told.len() { format!("{cut} …") } else { cut }
}
