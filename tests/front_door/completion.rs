//! What redis-cli knows of the commands that only aft has: it completes them, hints at their
//! arguments and has help for each.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::wait::{self, PATIENCE};

fn aft() -> Server {
    Server::start(&Options::new(Peer::Aft))
}

/// How arguments are written, whatever they are called: `[REQUEST <id>]` and `[REQUEST name]` are the
/// same.
fn skeleton(arguments: &str) -> String {
    let plain = arguments.replace(['<', '>', '(', ')'], "").replace(" | ", "|");
    let mut skeleton = String::new();
    for letter in plain.trim().chars() {
        match letter {
            'a'..='z' if skeleton.ends_with('x') => {}
            'a'..='z' => skeleton.push('x'),
            other => skeleton.push(other),
        }
    }
    skeleton
}

/// Without what makes it bold or red, or moves the cursor: an escape, and something up to a letter.
fn plain(text: &str) -> String {
    let mut pieces = text.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    let after = |piece: &str| {
        piece.split_once(|c: char| c.is_ascii_alphabetic()).map(|(_, r)| r.to_owned())
    };
    first + &pieces.filter_map(after).collect::<String>()
}

/// What redis-cli prints as its help.
fn help(server: &Server, command: &str) -> String {
    let port = server.addr().port().to_string();
    let printed = Command::new("redis-cli").args(["-p", &port, "help", command]).output();
    let printed = printed.expect("redis-cli");
    plain(&String::from_utf8_lossy(&printed.stdout)).replace('\r', "")
}

#[test]
fn redis_cli_has_help_for_every_command_of_transactions() {
    let server = aft();
    let mut client = server.client();
    let names = client.cmd("COMMAND LIST FILTERBY PATTERN aft.*");
    let names: Vec<String> = names.items().iter().filter_map(Reply::text).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    let ours = client.cmd("AFT.HELP");
    let simple = |line: &Reply| match line {
        Reply::Simple(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{other:?}"),
    };
    let ours: Vec<String> = ours.items().iter().map(simple).collect();
    for name in names {
        let name = name.to_uppercase();
        let printed = help(&server, &name);
        let lines: Vec<&str> = printed.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let [syntax, summary, since, group] = lines[..] else { panic!("{name}: {printed}") };
        assert!(summary.starts_with("summary: ") && summary.len() > 20, "{name}: {printed}");
        assert!(since.starts_with("since: 0."), "{name}: {printed}");
        assert_eq!(group, "group: transactions", "{name}");
        // It is what our own help says.
        let own = ours.iter().position(|line| line.split(' ').next() == Some(&name));
        let own = own.unwrap_or_else(|| panic!("no {name} in {ours:#?}"));
        assert_eq!(skeleton(syntax), skeleton(&ours[own]), "{name}");
        assert!(ours[own + 1].starts_with("    "), "{name}: a line about it");
    }
}

/// A program in a terminal of its own, and what it has shown there.
struct Terminal {
    child: std::process::Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn of(command: &str) -> Self {
        // Without a width redis-cli would ask the terminal, which can't answer.
        let command = format!("stty cols 120 && exec {command}");
        let mut child = Command::new("script")
            .args(["--quiet", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script, which is part of util-linux");
        let shown: Arc<Mutex<String>> = Arc::default();
        let (mut stdout, shared) = (child.stdout.take().expect("a pipe"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]).into_owned();
                shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { child, shown }
    }

    fn type_in(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(keys.as_bytes()).expect("it listens");
    }

    fn shows(&self, text: &str) {
        let shown = || self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = wait::poll(PATIENCE, || plain(&shown()).contains(text).then_some(()));
        assert!(found.is_some(), "no {text:?} in {:?}", shown());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn redis_cli_completes_the_commands_of_transactions() {
    let server = aft();
    let mut terminal = Terminal::of(&format!("redis-cli -p {}", server.addr().port()));
    terminal.shows(&format!("127.0.0.1:{}> ", server.addr().port()));
    terminal.type_in("aft.com\t");
    terminal.shows("AFT.COMMIT [token] [RESULT bytes]");
    // What is there is deleted with Control-U.
    terminal.type_in("\x15aft.begin ");
    terminal.shows("aft.begin [REQUEST id [STEP name [AFTER previous]] [RESUME]] [SERIALIZABLE]");
    terminal.type_in("\x15aft.begin\r");
    terminal.shows("2) \"begun\"");
}
