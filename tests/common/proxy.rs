//! A TCP proxy between a server and its store, which can do what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::wait;

/// What happens to what comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair,
    /// Each piece waits so long.
    Slow(Duration),
    /// Connections are closed, new ones too.
    Cut,
    /// Requests are passed on; the reply's first byte closes the connection.
    CutAtReply,
    /// Requests are passed on, replies vanish; the connection stays, and stays silent for ever.
    Silent,
}

#[derive(Default)]
struct State {
    weather: Option<Weather>,
    open: Vec<TcpStream>,
    replies_lost: u64,
    ended: bool,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn weather(&self) -> Weather {
        self.with(|state| state.weather.unwrap_or(Weather::Fair))
    }
}

/// Passes connections on to a server until it is dropped.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Shared,
}

impl Proxy {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let shared = Shared(Arc::default());
        let state = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.with(|state| state.ended) {
                    return;
                }
                pass_on(client, to, &state);
            }
        });
        Self { addr, shared }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn set(&self, weather: Weather) {
        let open = self.shared.with(|state| {
            state.weather = Some(weather);
            if weather == Weather::Cut { std::mem::take(&mut state.open) } else { Vec::new() }
        });
        open.iter().for_each(close);
    }

    /// Replies that came and were not passed on.
    pub(crate) fn replies_lost(&self) -> u64 {
        self.shared.with(|state| state.replies_lost)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let open = self.shared.with(|state| {
            state.ended = true;
            std::mem::take(&mut state.open)
        });
        open.iter().for_each(close);
        // Its thread looks up.
        let _ = TcpStream::connect(self.addr);
    }
}

fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn pass_on(client: TcpStream, to: SocketAddr, shared: &Shared) {
    if shared.weather() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(to) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let copy = |stream: &TcpStream| stream.try_clone().expect("a copy of a socket");
    shared.with(|state| state.open.extend([copy(&client), copy(&server)]));
    let (requests, replies) = (shared.clone(), shared.clone());
    let (from, into) = (copy(&client), copy(&server));
    std::thread::spawn(move || carry(from, into, &requests, false));
    std::thread::spawn(move || carry(server, client, &replies, true));
}

/// One direction of a connection, to its end.
fn carry(mut from: TcpStream, mut into: TcpStream, shared: &Shared, are_replies: bool) {
    let mut piece = vec![0; 64 << 10];
    let mut silent = false;
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let weather = shared.weather();
        silent |= are_replies && weather == Weather::Silent;
        let lost = silent || (are_replies && weather == Weather::CutAtReply);
        if lost {
            shared.with(|state| state.replies_lost += 1);
        }
        match weather {
            _ if silent => continue,
            Weather::CutAtReply if are_replies => break,
            Weather::Slow(pause) => wait::pause(pause),
            _ => {}
        }
        if into.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    close(&from);
    close(&into);
}
