//! All workloads together: one load, one check.

use std::net::SocketAddr;
use std::thread::{Scope, ScopedJoinHandle};

use crate::anomaly::{Anomaly, Checked, End, Outcome};
use crate::bank::{self, Bank};
use crate::common::client::Client;
use crate::common::seed;
use crate::common::server::Server;
use crate::common::wait::wall_ms;
use crate::expiry::Expiries;
use crate::private::Private;
use crate::shared::{self, Shared, Trace};

const TELLERS: u64 = 3;
const WRITERS: u64 = 2;

pub(crate) struct World {
    bank: Bank,
    shared: Shared,
    privates: Vec<Private>,
    expiries: Expiries,
    /// When the server was gone.
    ended: i64,
}

impl World {
    pub(crate) fn create(client: &mut Client) -> Self {
        Self {
            bank: Bank::open(client),
            shared: Shared::default(),
            privates: vec![Private::new(1), Private::new(2)],
            expiries: Expiries::default(),
            ended: 0,
        }
    }

    /// Runs all clients until `end` has ended the server. Each ends with its connection.
    pub(crate) fn load(
        &mut self,
        server: &mut Server,
        seed: u64,
        round: u32,
        end: impl FnOnce(&mut Server),
    ) {
        let load = Load { addr: server.addr(), seed, round };
        let accounts = &mut self.bank;
        let (privates, expiries) = (&mut self.privates, &mut self.expiries);
        let (transfers, traces) = std::thread::scope(|scope| {
            let tellers: Vec<_> = (0..TELLERS).map(|n| load.teller(scope, n)).collect();
            let mut traces: Vec<_> = (0..WRITERS).map(|n| load.writer(scope, n)).collect();
            let (reader, auditor, lessee) = (load.connect(), load.connect(), load.connect());
            traces.push(scope.spawn(move || shared::watch(reader)));
            let mut checks = vec![scope.spawn(move || bank::audit(auditor))];
            checks.extend(privates.iter_mut().map(|private| load.private(scope, private)));
            let rng = seed::rng(seed, u64::from(round) << 8 | 0x80);
            checks.push(scope.spawn(move || expiries.work(lessee, rng, round)));
            end(server);
            checks.into_iter().for_each(|check| no_anomaly(join(check)));
            let traces: Vec<Trace> = traces.into_iter().map(|t| no_anomaly(join(t))).collect();
            let transfers: Vec<_> = tellers.into_iter().map(|t| no_anomaly(join(t))).collect();
            (transfers, traces)
        });
        self.ended = wall_ms();
        // As crashed: a drained end is applied by `verify`.
        transfers.into_iter().for_each(|some| accounts.add(some, End::Crash));
        self.shared.traces = traces;
    }

    /// Checks everything after a restart, and takes what is seen as what holds from now on.
    /// Returns how many operations were answered.
    pub(crate) fn verify(&mut self, client: &mut Client, end: End, round: u32) -> u64 {
        for transfer in &mut self.bank.transfers {
            if transfer.outcome == Outcome::Unknown {
                transfer.outcome = end.of_unanswered();
            }
        }
        let seen = self.bank.observe(client);
        no_anomaly(self.bank.check(&seen));
        let this_round = self.bank.transfers.iter().filter(|transfer| transfer.round == round);
        let mut done = this_round.filter(|transfer| transfer.outcome == Outcome::Done).count();
        no_anomaly(self.bank.settle(&seen, round, client));

        let seen = shared::observe(client);
        no_anomaly(self.shared.check(&seen, end));
        done += self.shared.traces.iter().map(|trace| trace.writes.len()).sum::<usize>();
        self.shared.settle(seen);

        for private in &mut self.privates {
            let seen = no_anomaly(private.observe(client));
            no_anomaly(private.check(&seen, end));
            done += private.acked;
            private.settle(seen);
        }
        no_anomaly(self.expiries.check_all(client, end, self.ended));
        u64::try_from(done).expect("a count")
    }
}

/// One round's clients, each with random choices of its own.
#[derive(Clone, Copy)]
struct Load {
    addr: SocketAddr,
    seed: u64,
    round: u32,
}

type Joined<'scope, T> = ScopedJoinHandle<'scope, T>;

impl Load {
    /// Before the client's thread starts: the server may be gone before that gets its turn.
    fn connect(self) -> Client {
        Client::connect(self.addr).expect("a connection")
    }

    fn rng(self, client: u64) -> rand::rngs::StdRng {
        seed::rng(self.seed, u64::from(self.round) << 8 | client)
    }

    fn teller<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        n: u64,
    ) -> Joined<'scope, Result<Vec<bank::Transfer>, Anomaly>> {
        let client = self.connect();
        scope.spawn(move || bank::work(client, self.rng(n), &n.to_string(), self.round))
    }

    fn writer<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        n: u64,
    ) -> Joined<'scope, Result<Trace, Anomaly>> {
        let name = format!("{}:{n}", self.round);
        let client = self.connect();
        scope.spawn(move || shared::work(client, self.rng(0x10 + n), &name))
    }

    fn private<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        private: &'scope mut Private,
    ) -> Joined<'scope, Checked> {
        let rng = self.rng(0x40 + u64::from(private.db));
        let client = self.connect();
        scope.spawn(move || private.work(client, rng, self.round))
    }
}

fn join<T>(handle: Joined<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn no_anomaly<T>(result: Result<T, Anomaly>) -> T {
    result.unwrap_or_else(|anomaly| panic!("{anomaly:?}"))
}
