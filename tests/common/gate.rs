//! A gate before a server: lets requests through, answers some of them itself, or changes them on
//! their way. Every connection carries one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A request of HTTP.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// All lines before the body.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What becomes of a request.
pub(crate) enum Verdict {
    Passes,
    /// Without the headers that begin like this.
    PassesWithout(&'static str),
    /// It is answered by the gate, with this status, type and body.
    Answered(u16, &'static str, String),
    /// No other request of this kind is under way until it is done.
    PassesAlone,
    /// The body of the answer is changed on its way back.
    PassesChanged(Change),
}

/// What becomes of a body.
type Change = Box<dyn FnOnce(String) -> String>;

type Rule = dyn Fn(&Request) -> Verdict + Send + Sync;

/// Its address. It is there until the tests end.
pub(crate) fn before(
    server: SocketAddr,
    rule: impl Fn(&Request) -> Verdict + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let rule: Arc<Rule> = Arc::new(rule);
    let turn: Arc<Mutex<()>> = Arc::default();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (rule, turn) = (rule.clone(), turn.clone());
            // Whoever hangs up in the middle is done.
            std::thread::spawn(move || carry(client, server, &*rule, &turn).unwrap_or(()));
        }
    });
    addr
}

fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    rule: &Rule,
    turn: &Mutex<()>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line);
    }
    let is = |line: &String, name: &str| line.to_ascii_lowercase().starts_with(name);
    let length = lines.iter().find(|line| is(line, "content-length:"));
    let length = length.and_then(|line| line.split(':').nth(1)?.trim().parse().ok());
    if lines.iter().any(|line| is(line, "expect:")) {
        client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = Request { method, path, head: lines.concat(), body };
    let verdict = rule(&request);
    let alone = matches!(verdict, Verdict::PassesAlone);
    let _turn = alone.then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
    let mut change: Option<Change> = None;
    let without = match verdict {
        Verdict::Passes | Verdict::PassesAlone => "connection:",
        Verdict::PassesChanged(how) => {
            change = Some(how);
            "connection:"
        }
        Verdict::PassesWithout(header) => header,
        Verdict::Answered(status, kind, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} No\r\nContent-Type: {kind}");
            let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            return client.write_all(format!("{head}\r\n{rest}").as_bytes());
        }
    };
    let unwanted =
        |line: &&String| is(line, without) || is(line, "connection:") || is(line, "expect:");
    let kept: String = lines.iter().filter(|line| !unwanted(line)).cloned().collect();
    let mut behind = TcpStream::connect(server)?;
    behind.write_all(format!("{kept}Connection: close\r\n\r\n").as_bytes())?;
    behind.write_all(&request.body)?;
    match change {
        None => drop(std::io::copy(&mut behind, &mut client)?),
        Some(change) => client.write_all(changed(&mut behind, change)?.as_bytes())?,
    }
    client.shutdown(Shutdown::Both)
}

/// The answer with another body.
fn changed(behind: &mut TcpStream, change: Change) -> std::io::Result<String> {
    let mut answer = String::new();
    behind.read_to_string(&mut answer)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Ok(answer) };
    let body = change(body.to_owned());
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
    let head: Vec<&str> = head.split("\r\n").filter(|line| !is_length(line)).collect();
    Ok(format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()))
}
