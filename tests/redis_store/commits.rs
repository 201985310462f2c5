//! A COMMIT whose group waits for the store: whoever asks about its transaction waits too, and is
//! told what has become of it. And who enters a transaction with writes of its own under way sees
//! them there.

use crate::common::backing::Backing;
use crate::common::client::{Client, info};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::impatient;
use rustix::process::{Signal, kill_process};
use std::io::ErrorKind;

/// One group at a time: what comes while one is on its way has not been sent when it is given up.
fn one_by_one(backing: &Backing) -> Options {
    let mut options = impatient(Options::on(backing));
    options.extra.extend(["--groups-in-flight-max", "1"].map(str::to_owned));
    options
}

/// The Redis answers nobody, and forgets nothing.
fn hold(backing: &Backing) {
    kill_process(backing.servers()[0].pid(), Signal::STOP).expect("it is there");
}

fn go_on(backing: &Backing) {
    kill_process(backing.servers()[0].pid(), Signal::CONT).expect("it is there");
}

/// A connection that has asked and not been answered.
struct Asked {
    id: i64,
    words: String,
    client: Client,
}

impl Asked {
    /// Sends lines in one piece.
    fn by(mut client: Client, words: &str) -> Self {
        let id = client.cmd("CLIENT ID").int();
        for line in words.split(" | ") {
            client.queue(&line.split(' ').collect::<Vec<_>>());
        }
        client.flush().expect("sent");
        Self { id, words: words.to_owned(), client }
    }

    fn on(server: &Server, words: &str) -> Self {
        Self::by(server.client(), words)
    }

    /// Until its last command has run, or waits to; and what it has been told by then: nothing.
    fn waits(&mut self, observer: &mut Client) {
        let lines = self.words.to_lowercase();
        let names = lines.rsplit(" | ").take(2).filter_map(|line| line.split(' ').next());
        let names: Vec<String> = names.map(|name| format!(" cmd={name}")).collect();
        wait::until(&self.words, PATIENCE, || {
            let line = observer.cmd(&format!("CLIENT LIST ID {}", self.id)).text().expect("a line");
            names.iter().any(|name| line.contains(name)).then_some(())
        });
        let stream = self.client.stream();
        stream.set_nonblocking(true).expect("a socket");
        let early = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket");
        let nothing = early.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(nothing, "{} was answered at once: {early:?}", self.words);
    }

    fn answer(&mut self) -> Reply {
        self.client.read().unwrap_or_else(|error| panic!("{}: {error}", self.words))
    }
}

/// A request with a write and a counter, ready to commit; its token.
fn prepared(client: &mut Client, request: &str) -> String {
    let begun = client.cmd(&format!("AFT.BEGIN REQUEST {request}"));
    assert_eq!(begun.items()[1], Reply::bulk("begun"));
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    assert_eq!(client.cmd("INCR n"), Reply::Int(1));
    begun.items()[0].text().expect("a token")
}

/// Everything that asks after a transaction, by whoever may.
fn questions(token: &str, request: &str) -> [String; 6] {
    [
        format!("AFT.ABORT {token}"),
        format!("AFT.BEGIN REQUEST {request}"),
        format!("AFT.BEGIN REQUEST {request} RESUME"),
        format!("AFT.COMMIT {token}"),
        format!("AFT.STATUS {token}"),
        format!("AFT.STATUS REQUEST {request}"),
    ]
}

/// The COMMIT has been taken: it is no open transaction any more.
fn is_under_way(observer: &mut Client) {
    wait::until("the COMMIT", PATIENCE, || {
        (info(observer, "open_transactions") == 0).then_some(())
    });
}

/// What all questions are answered with where it has committed as `commit`.
fn tells_of_the_commit(question: &str, answer: &Reply, token: &str, commit: &str) {
    let has = |text: &str| answer.items().contains(&Reply::bulk(text));
    let right = match question.split(' ').next() {
        Some("AFT.BEGIN") => has(token) && has("committed") && has("paid"),
        Some("AFT.STATUS") => has("committed") && has(commit) && has("paid"),
        _ => *answer == Reply::bulk(commit),
    };
    assert!(right, "{question}: {answer:?}");
}

#[test]
fn whoever_asks_during_a_commit_waits_for_it_and_is_told_of_it() {
    let dir = TempDir::named("commit-held");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&Options::on(&backing));
    let (mut worker, mut observer) = (server.client(), server.client());
    let token = prepared(&mut worker, "r");
    let timed = server.client();
    hold(&backing);
    let mut commit = Asked::by(worker, "AFT.COMMIT RESULT paid");
    is_under_way(&mut observer);
    let mut asked = questions(&token, "r").map(|words| Asked::on(&server, &words));
    // Nobody comes in any more, and nobody sees anything.
    let mut joined = Asked::by(timed, &format!("AFT.JOIN {token}"));
    assert_eq!(joined.answer().error_code().as_deref(), Some("NOTXN"));
    commit.waits(&mut observer);
    asked.iter_mut().for_each(|one| one.waits(&mut observer));
    assert!(observer.cmd("GET k").is_nil());
    go_on(&backing);
    let id = commit.answer().text().expect("a commit id");
    for one in &mut asked {
        let answer = one.answer();
        tells_of_the_commit(&one.words, &answer, &token, &id);
    }
    assert_eq!(observer.cmd("MGET k n"), Reply::Array(vec![Reply::bulk("v"), Reply::bulk("1")]));
}

/// What is sent along with a COMMIT is answered with it, in one packet.
#[test]
fn replies_to_what_came_along_with_a_commit_come_with_its_own() {
    let dir = TempDir::named("commit-along");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&Options::on(&backing));
    let (mut worker, mut observer) = (server.client(), server.client());
    prepared(&mut worker, "r");
    hold(&backing);
    let mut commit = Asked::by(worker, "GET k | AFT.COMMIT RESULT paid");
    is_under_way(&mut observer);
    commit.waits(&mut observer);
    go_on(&backing);
    assert_eq!(commit.answer(), Reply::bulk("v"));
    assert!(commit.answer().text().is_some());
}

/// The timeout of a transaction ends while its COMMIT waits.
#[test]
fn a_timeout_does_not_end_what_is_committing() {
    let dir = TempDir::named("commit-timeout");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&Options::on(&backing));
    let (mut worker, mut observer) = (server.client(), server.client());
    let begun = worker.cmd("AFT.BEGIN TIMEOUT 2000");
    let token = begun.items()[0].text().expect("a token");
    assert_eq!(worker.cmd("SET k v"), Reply::ok());
    hold(&backing);
    let mut commit = Asked::by(worker, "AFT.COMMIT");
    is_under_way(&mut observer);
    // Another one with that timeout, which began later, comes to its end.
    assert_eq!(server.client().cmd("AFT.BEGIN TIMEOUT 2000").items().len(), 3);
    is_under_way(&mut observer);
    let mut abort = Asked::on(&server, &format!("AFT.ABORT {token}"));
    abort.waits(&mut observer);
    commit.waits(&mut observer);
    go_on(&backing);
    assert_eq!(commit.answer(), abort.answer());
    assert_eq!(observer.cmd("GET k"), Reply::bulk("v"));
}

/// Its group was not sent: certainly nothing was committed, and all that asked are told so.
#[test]
fn a_commit_that_is_given_up_never_was() {
    let dir = TempDir::named("commit-given-up");
    let backing = Backing::redis(dir.path(), &[]);
    let mut server = Server::start(&one_by_one(&backing));
    let (mut worker, mut observer) = (server.client(), server.client());
    let token = prepared(&mut worker, "r");
    // They are there already: all is asked within the commit's deadline.
    let asked = questions(&token, "r").map(|words| (server.client(), words));
    hold(&backing);
    let mut before = Asked::on(&server, "SET before 1");
    before.waits(&mut observer);
    let mut commit = Asked::by(worker, "AFT.COMMIT RESULT paid");
    is_under_way(&mut observer);
    let mut asked = asked.map(|(client, words)| Asked::by(client, &words));
    let all = [&mut commit].into_iter().chain(&mut asked);
    for one in all {
        let code = one.answer().error_code();
        assert_eq!(code.as_deref(), Some("NOTCOMMITTED"), "{}", one.words);
    }
    assert_eq!(before.answer().error_code().as_deref(), Some("UNCERTAIN"));
    // It is over, whether the store answers or not.
    let over = |client: &mut Client| {
        for words in [format!("AFT.COMMIT {token}"), format!("AFT.ABORT {token}")] {
            let code = client.cmd(&words).error_code();
            assert_eq!(code.as_deref(), Some("NOTXN"), "{words}");
        }
        assert!(client.cmd("GET k").is_nil());
    };
    over(&mut observer);
    go_on(&backing);
    wait::until("writes are taken again", PATIENCE, || {
        (observer.cmd("SET after 1") == Reply::ok()).then_some(())
    });
    over(&mut observer);
    // The request begins anew, and counts once.
    assert_ne!(prepared(&mut commit.client, "r"), token);
    let id = commit.client.cmd("AFT.COMMIT").text().expect("a commit id");
    server.kill_9();
    server.restart();
    let mut client = server.client();
    let told = client.cmd("AFT.BEGIN REQUEST r");
    assert_eq!(told.items()[1], Reply::bulk("committed"));
    let again = told.items()[0].text().expect("a token");
    assert_eq!(client.cmd(&format!("AFT.COMMIT {again}")), Reply::bulk(id));
    assert_eq!(client.cmd(&format!("AFT.COMMIT {token}")).error_code().as_deref(), Some("NOTXN"));
    assert_eq!(client.cmd("GET n"), Reply::bulk("1"));
}

/// Its group was sent: nobody knows, until the store answers again. Then the repeated COMMIT does.
#[test]
fn a_commit_of_which_nobody_knows_is_known_when_the_store_answers() {
    let dir = TempDir::named("commit-uncertain");
    let backing = Backing::redis(dir.path(), &[]);
    let mut server = Server::start(&impatient(Options::on(&backing)));
    let mut worker = server.client();
    let token = prepared(&mut worker, "r");
    hold(&backing);
    let mut commit = Asked::by(worker, "AFT.COMMIT RESULT paid");
    is_under_way(&mut server.client());
    let uncertain = |asked: &mut Asked| {
        let code = asked.answer().error_code();
        assert_eq!(code.as_deref(), Some("UNCERTAIN"), "{}", asked.words);
    };
    let mut asked = questions(&token, "r").map(|words| Asked::on(&server, &words));
    uncertain(&mut commit);
    asked.iter_mut().for_each(uncertain);
    // The same connection, and others; all that is said is that nobody knows.
    uncertain(&mut Asked::by(commit.client, "AFT.COMMIT"));
    questions(&token, "r").iter().for_each(|words| uncertain(&mut Asked::on(&server, words)));
    assert!(server.client().cmd("GET k").is_nil());
    go_on(&backing);
    let mut client = server.client();
    let id = wait::until("the outcome", PATIENCE, || {
        let told = client.cmd(&format!("AFT.COMMIT {token}"));
        (!told.is_error()).then(|| told.text().expect("a commit id"))
    });
    let all_tell = |server: &Server| {
        for words in questions(&token, "r") {
            tells_of_the_commit(&words, &server.client().cmd(&words), &token, &id);
        }
        assert_eq!(server.client().cmd("GET n"), Reply::bulk("1"));
    };
    all_tell(&server);
    server.kill_9();
    server.restart();
    all_tell(&server);
}

/// A WATCH on what own writes made of a key, of which nobody knows any more: what is read behind it
/// is read without those, so EXEC must not pass over them.
#[test]
fn a_watch_that_stood_on_uncertain_writes_does_not_hold() {
    let dir = TempDir::named("watch-uncertain");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&impatient(Options::on(&backing)));
    let mut observer = server.client();
    hold(&backing);
    let mut asked = Asked::on(&server, "SET k 1 | WATCH k");
    asked.waits(&mut observer);
    for _ in 0..2 {
        assert_eq!(asked.answer().error_code().as_deref(), Some("UNCERTAIN"));
    }
    let mut client = asked.client;
    assert!(client.cmd("GET k").is_nil());
    go_on(&backing);
    wait::until("the write", PATIENCE, || {
        (observer.cmd("GET k").text().as_deref() == Some("1")).then_some(())
    });
    let passes_over = |client: &mut Client| {
        assert_eq!(client.cmd("MULTI"), Reply::ok());
        assert_eq!(client.cmd("SET k 2"), Reply::queued());
        !client.cmd("EXEC").is_nil()
    };
    assert!(!passes_over(&mut client), "a write that was not read");
    // Whoever looks again may.
    assert_eq!(client.cmd("WATCH k"), Reply::ok());
    assert_eq!(client.cmd("GET k"), Reply::bulk("1"));
    assert!(passes_over(&mut client));
}

/// Nobody knew, and it came to nothing: the store never heard of it, and aft died.
#[test]
fn a_commit_of_which_nobody_knew_may_never_have_been() {
    let dir = TempDir::named("commit-lost");
    let backing = Backing::redis(dir.path(), &[]);
    let mut server = Server::start(&impatient(Options::on(&backing)));
    let mut worker = server.client();
    let token = prepared(&mut worker, "r");
    backing.kill_9();
    let reply = worker.cmd("AFT.COMMIT");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    server.kill_9();
    backing.restart();
    server.restart();
    let mut client = server.client();
    for words in [format!("AFT.COMMIT {token}"), format!("AFT.ABORT {token}")] {
        assert_eq!(client.cmd(&words).error_code().as_deref(), Some("NOTXN"), "{words}");
    }
    assert_ne!(prepared(&mut client, "r"), token);
    assert!(!client.cmd("AFT.COMMIT").is_error());
    assert_eq!(client.cmd("GET n"), Reply::bulk("1"));
}

/// Ways into a transaction.
fn ways_in(token: &str) -> [String; 4] {
    [
        format!("AFT.JOIN {token}"),
        format!("CLIENT SETNAME aft:{token}"),
        format!("HELLO 3 SETNAME aft:{token}"),
        format!("AUTH default~{token} any"),
    ]
}

/// What a connection has written, and what it has been told of others' writes, its transaction
/// sees, though none of it is acknowledged when it asks.
#[test]
fn whoever_enters_a_transaction_sees_there_what_it_did_before() {
    let dir = TempDir::named("entered");
    let backing = Backing::redis(dir.path(), &[]);
    let server = Server::start(&Options::on(&backing));
    let mut observer = server.client();
    let begun = |client: &mut Client| {
        let token = client.cmd("AFT.BEGIN").items()[0].text().expect("a token");
        assert_eq!(client.cmd("AFT.LEAVE"), Reply::ok());
        token
    };
    // A transaction for each way and each kind of read; none has a snapshot yet.
    let tokens: Vec<[String; 2]> =
        (0..4).map(|_| [begun(&mut observer), begun(&mut observer)]).collect();
    assert_eq!(observer.cmd("SET k old"), Reply::ok());
    hold(&backing);
    let mut foreign = Asked::on(&server, "SET foreign new");
    foreign.waits(&mut observer);
    let mut entered = Vec::new();
    for (way, [own, other]) in tokens.iter().enumerate() {
        let [own, other] = [own, other].map(|token| ways_in(token)[way].clone());
        entered.push(Asked::on(&server, &format!("SET k new | {own} | GET k")));
        entered.push(Asked::on(&server, &format!("SETNX foreign x | {other} | GET foreign")));
    }
    entered.push(Asked::on(&server, "SET k new | AFT.BEGIN | GET k"));
    entered.iter_mut().for_each(|asked| asked.waits(&mut observer));
    go_on(&backing);
    for asked in &mut entered {
        let first = asked.answer();
        assert!(first == Reply::ok() || first == Reply::Int(0), "{}: {first:?}", asked.words);
        let second = asked.answer();
        assert!(!second.is_error(), "{}: {second:?}", asked.words);
        assert_eq!(asked.answer(), Reply::bulk("new"), "{}", asked.words);
    }
}
