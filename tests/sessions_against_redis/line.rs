//! One connection of a session, to all servers at once, and what the test has to know of its
//! state to tell how many replies come and which of them may differ.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::compare;
use crate::script::{Request, name};

pub(crate) struct Line {
    who: usize,
    clients: Vec<Client>,
    /// What each server calls it.
    pub(crate) ids: Vec<i64>,
    pub(crate) closed: bool,
    /// A reply never came.
    pub(crate) stuck: bool,
    /// What MULTI has queued; `None` outside.
    pub(crate) queue: Option<Vec<Request>>,
    watching: bool,
    /// Why its EXEC may fail on one server only: a row of the differences.
    pub(crate) doubt: Option<&'static str>,
    pub(crate) monitoring: bool,
    /// What each server told it as a monitor.
    pub(crate) feeds: Vec<Vec<String>>,
}

impl Line {
    pub(crate) fn open(who: usize, opening: Option<u8>, servers: &[&Server]) -> Self {
        let mut clients: Vec<Client> = servers.iter().map(|server| server.client()).collect();
        let ids = clients.iter_mut().map(|client| client.cmd("CLIENT ID").int()).collect();
        for client in clients.iter_mut().filter(|_| opening.is_some()) {
            client.cmd(&format!("HELLO {}", opening.unwrap_or(2)));
        }
        Self {
            who,
            ids,
            closed: false,
            stuck: false,
            queue: None,
            watching: false,
            doubt: None,
            monitoring: false,
            feeds: vec![Vec::new(); clients.len()],
            clients,
        }
    }

    /// Whether an EXEC may end this very connection.
    pub(crate) fn ends_in_exec(&self, request: &Request) -> bool {
        let ends = |queued: &Request| {
            ["client|kill", "acl|deluser"].contains(&compare::full_name(queued).as_str())
        };
        request[0].is("exec") && self.queue.as_deref().unwrap_or_default().iter().any(ends)
    }

    /// Whether an EXEC may make SLOWLOG differ.
    pub(crate) fn changes_the_slowlog(&self, request: &Request) -> bool {
        let mut queue = self.queue.iter().flatten();
        request[0].is("exec") && queue.any(compare::changes_the_slowlog)
    }

    pub(crate) fn letter(&self) -> char {
        name(self.who)
    }

    pub(crate) fn address(&self, side: usize) -> String {
        let address = self.clients[side].stream().local_addr();
        address.map_or_else(|_| String::new(), |address| address.to_string())
    }

    /// Of requests that are sent at once those that can be: not what one of the servers
    /// doesn't know, inside a MULTI, since there it would change what EXEC does; and nothing
    /// whose number of replies isn't known.
    pub(crate) fn suitable(&self, requests: &[Request]) -> Vec<Request> {
        let mut suitable: Vec<Request> = Vec::new();
        for request in requests {
            let multi = self.queue.is_some() || suitable.iter().any(|before| before[0].is("multi"));
            let first = suitable.is_empty();
            let monitors = self.monitoring || suitable.iter().any(|before| before[0].is("monitor"));
            let sent = if request[0].is("monitor") {
                first && !self.monitoring
            } else if request[0].is("multi") && monitors {
                // Redis tells it of the commands inside EXEC in the middle of EXEC's reply.
                false
            } else {
                !multi || !compare::is_foreign(request)
            };
            if sent {
                suitable.push(request.clone());
            }
        }
        suitable
    }

    /// Sends; a connection that is gone shows when it is read.
    pub(crate) fn write(&mut self, side: usize, requests: &[Vec<Vec<u8>>]) {
        for request in requests {
            self.clients[side].queue(request);
        }
        let _ = self.clients[side].flush();
    }

    /// So many replies; none from where the connection ends.
    pub(crate) fn read(&mut self, side: usize, count: usize) -> Vec<Option<Reply>> {
        (0..count).map(|_| self.next(side)).collect()
    }

    /// All replies up to `last`, or to the end of the connection.
    pub(crate) fn read_until(&mut self, side: usize, last: &Reply) -> Vec<Option<Reply>> {
        let mut replies = Vec::new();
        loop {
            let reply = self.next(side);
            let ends = reply.is_none() || reply.as_ref() == Some(last);
            replies.push(reply);
            if ends {
                return replies;
            }
        }
    }

    fn next(&mut self, side: usize) -> Option<Reply> {
        loop {
            let reply = match self.clients[side].read() {
                Ok(reply) => reply,
                Err(error) if crate::common::client::is_closed(&error) => return None,
                Err(_) => {
                    self.stuck = true;
                    return None;
                }
            };
            match &reply {
                Reply::Simple(line) if self.feed(side, line) => {}
                _ => return Some(reply),
            }
        }
    }

    /// Keeps a line for monitors: the database and what was said, without time and address.
    fn feed(&mut self, side: usize, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let Some((time, rest)) = line.split_once(" [") else {
            return false;
        };
        if !time.contains('.') || !time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return false;
        }
        let (place, said) = rest.split_once("] ").unwrap_or((rest, ""));
        // Each server has its own numbers for connections; some only aft carries out; and a
        // password in a HELLO or an AUTH is never shown by aft.
        let said_low = said.to_lowercase();
        let beginnings = [
            "client\" \"kill",
            "client\" \"list",
            "client\" \"setinfo",
            "client\" \"no-touch",
            "hello",
            "auth",
        ];
        let left_out = beginnings.iter().any(|words| said_low.starts_with(&format!("\"{words}\"")));
        if !left_out {
            let database = place.split(' ').next().unwrap_or_default();
            self.feeds[side].push(format!("{database} {said}"));
        }
        true
    }

    /// Reads what monitors are told up to the end that `say` has root say.
    pub(crate) fn end_of_watching(&mut self, say: impl FnOnce()) {
        if self.closed || !self.monitoring {
            self.feeds.iter_mut().for_each(Vec::clear);
            return;
        }
        say();
        for side in 0..self.clients.len() {
            let ended =
                |feed: &[String]| feed.last().is_some_and(|l| l.contains("end-of-watching"));
            while !ended(&self.feeds[side]) {
                let Ok(Reply::Simple(line)) = self.clients[side].read() else {
                    self.feeds[side].push("the end of the connection".to_owned());
                    break;
                };
                self.feed(side, &line);
            }
        }
    }

    /// Something has happened that may touch a watched key on one server and not on another.
    pub(crate) fn touched_perhaps(&mut self, why: &'static str) {
        if self.watching {
            self.doubt = Some(why);
        }
    }

    /// Notes what a reply (of redis-server) says of the connection's state; returns why
    /// watches of others may differ from now on.
    pub(crate) fn note(&mut self, request: &Request, reply: &Reply) -> Option<&'static str> {
        if *reply == Reply::queued() && self.queue.is_some() {
            self.queue.get_or_insert_default().push(request.clone());
            return None;
        }
        let done = !reply.is_error();
        let name = String::from_utf8_lossy(request[0].bytes()).to_lowercase();
        match name.as_str() {
            "multi" if done => self.queue = Some(Vec::new()),
            "watch" if done => self.watching = true,
            "monitor" if done => self.monitoring = true,
            "exec" => {
                // Without a MULTI it leaves watches as they are.
                let queue = self.queue.take()?;
                self.watching = false;
                self.doubt = None;
                let ran = matches!(reply, Reply::Array(_));
                return queue
                    .iter()
                    .filter(|_| ran)
                    .find_map(|r| compare::touches_perhaps(r, true));
            }
            "discard" | "unwatch" | "reset" if done => {
                if name != "unwatch" {
                    self.queue = None;
                }
                self.watching = false;
                self.doubt = None;
                self.monitoring &= name != "reset";
            }
            _ if done => return compare::touches_perhaps(request, false),
            _ => {}
        }
        // BITFIELD may fail and have made its string longer.
        None
    }
}
