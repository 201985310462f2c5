//! A server with an open transaction, and connections bound to it that may break.

use std::net::{Shutdown, TcpStream};

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Server};
use crate::common::wait::{self, PATIENCE};

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) token: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(&[], "")
    }

    /// With these settings, and a transaction begun with these words.
    pub(crate) fn with(settings: &[&str], begin: &str) -> Self {
        let mut options = Options::memory();
        options.extra = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Server::start(&options);
        let token = begin_on(&server, begin);
        Self { server, token }
    }

    /// A connection that is bound as libraries do it.
    pub(crate) fn bound(&self) -> Bound {
        self.bound_to(&self.token)
    }

    pub(crate) fn bound_to(&self, token: &str) -> Bound {
        let mut client = self.server.client();
        let hello = client.run(&["HELLO", "3", "SETNAME", &format!("aft:{token}")]);
        assert!(!hello.is_error(), "{hello:?}");
        assert_eq!(client.cmd("CLIENT SETINFO LIB-NAME a-test"), Reply::ok());
        let id = client.cmd("CLIENT ID").int();
        Bound { client, id }
    }

    /// Until the server has seen the end of a connection.
    pub(crate) fn gone(&self, id: i64) {
        let mut client = self.server.client();
        wait::until("the connection is gone", PATIENCE, || {
            let list = client.cmd("CLIENT LIST").text().expect("a list");
            (!list.contains(&format!("id={id} "))).then_some(())
        });
    }

    /// Until only `count` connections are left: those that were killed are not listed any more, but
    /// some may still be there.
    pub(crate) fn only(&self, count: usize) {
        wait::until("killed connections are gone", PATIENCE, || {
            (self.connections() == count).then_some(())
        });
    }

    pub(crate) fn connections(&self) -> usize {
        let text = self.server.client().cmd("INFO clients").text().expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// What such a connection does with these commands in one packet, whose replies it never
    /// reads although they have come.
    pub(crate) fn lose(&self, connection: Bound, commands: &[&str]) {
        let Bound { mut client, id } = connection;
        send(&mut client, commands);
        await_bytes(client.stream());
        // With bytes unread this is a reset.
        drop(client);
        self.gone(id);
    }

    /// How often `n` was counted, as the transaction sees it.
    pub(crate) fn count(&self) -> i64 {
        let mut client = self.server.client();
        assert_eq!(client.cmd(&format!("AFT.JOIN {}", self.token)), Reply::ok());
        client.cmd("GET n").text().map_or(0, |count| count.parse().expect("a number"))
    }

    pub(crate) fn repeated(&self) -> u64 {
        let text = self.server.client().cmd("INFO aft").text().expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix("replies_repeated:"));
        line.and_then(|count| count.parse().ok()).expect("a count")
    }
}

pub(crate) fn begin_on(server: &Server, words: &str) -> String {
    let reply = server.client().cmd(&format!("AFT.BEGIN {words}"));
    reply.items()[0].text().expect("a token")
}

/// A bound connection.
pub(crate) struct Bound {
    pub(crate) client: Client,
    pub(crate) id: i64,
}

impl Bound {
    pub(crate) fn cmd(&mut self, words: &str) -> Reply {
        self.client.cmd(words)
    }

    /// Several in one packet.
    pub(crate) fn all(&mut self, commands: &[&str]) -> Vec<Reply> {
        send(&mut self.client, commands);
        commands.iter().map(|_| self.client.read().expect("a reply")).collect()
    }

    /// Ends as a program does that has read all.
    pub(crate) fn close(self, place: &Place) {
        let Self { client, id } = self;
        client.stream().shutdown(Shutdown::Both).expect("an open connection");
        drop(client);
        place.gone(id);
    }
}

pub(crate) fn send(client: &mut Client, commands: &[&str]) {
    let mut bytes = Vec::new();
    for command in commands {
        encode(&command.split(' ').collect::<Vec<_>>(), &mut bytes);
    }
    client.send_raw(&bytes).expect("an open connection");
}

/// Until something has arrived that was not read.
pub(crate) fn await_bytes(stream: &TcpStream) {
    assert!(stream.peek(&mut [0]).expect("bytes") > 0);
}
