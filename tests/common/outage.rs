//! The store is ended under load and started again, or the network to it fails: nothing acknowledged
//! is lost, nothing refused comes back, and aft needs no restart. The same on all stores.

use super::backing::Backing;
use super::load::{Progress, under_load};
use super::proxy::{Proxy, Weather};
use super::server::{Options, Server};
use super::stores::{address, impatient, through};
use super::wait::{self, PATIENCE};
use std::time::Duration;

/// A cluster decides by votes, after a timeout of its own.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(60);

fn more_are_done(progress: &Progress) {
    let before = progress.done();
    wait::until("writes are acknowledged", CLUSTER_PATIENCE, || {
        (progress.done() > before + 20).then_some(())
    });
}

/// Ends it three times; `outage` is what is waited for before it is there again.
fn ended_and_started_again(
    backing: &Backing,
    options: &Options,
    outage: impl Fn(&Progress),
    look_into: impl FnOnce(&Backing),
) {
    let mut server = Server::start(options);
    let writes = under_load(server.addr(), |progress| {
        for _ in 0..3 {
            more_are_done(progress);
            backing.end();
            outage(progress);
            backing.restart();
        }
        more_are_done(progress);
    });
    assert!(server.is_running());
    writes.iter().for_each(|writes| writes.check(&mut server.client()));
    assert_eq!(server.terminate().code(), Some(0));
    look_into(backing);
    // And so it is in the store.
    server.restart();
    server.kill_9();
    server.restart();
    writes.iter().for_each(|writes| writes.check(&mut server.client()));
}

pub(crate) fn a_short_one_is_a_delay(backing: &Backing, look_into: impl FnOnce(&Backing)) {
    ended_and_started_again(backing, &Options::on(backing), |_| (), look_into);
}

/// Longer than attempts, reads and commits may take: refusals begin, and end by themselves.
pub(crate) fn one_longer_than_every_deadline_refuses_writes_and_ends_by_itself(
    backing: &Backing,
    look_into: impl FnOnce(&Backing),
) {
    let refusals_begin = |progress: &Progress| {
        let before = progress.refused();
        wait::until("writes are refused", PATIENCE, || {
            (progress.refused() > before + 50).then_some(())
        });
    };
    ended_and_started_again(backing, &impatient(Options::on(backing)), refusals_begin, look_into);
}

/// What networks do, under load: what was acknowledged is there, what was refused is not, and no
/// transaction is torn. Also after an outage longer than every deadline.
pub(crate) fn a_network_delays_cuts_and_loses_replies(backing: &Backing) {
    let proxy = Proxy::start(address(backing));
    let mut server = Server::start(&impatient(through(backing, proxy.addr())));
    let writes = under_load(server.addr(), |progress| {
        for weather in
            [Weather::Slow(Duration::from_millis(20)), Weather::CutAtReply, Weather::Silent]
        {
            more_are_done(progress);
            let lost = proxy.replies_lost();
            proxy.set(weather);
            match weather {
                Weather::Slow(_) => more_are_done(progress),
                _ => wait::until("replies are lost", PATIENCE, || {
                    (proxy.replies_lost() > lost + 3).then_some(())
                }),
            }
            proxy.set(Weather::Fair);
        }
        more_are_done(progress);
        let before = progress.refused();
        proxy.set(Weather::Cut);
        wait::until("writes are refused", PATIENCE, || {
            (progress.refused() > before + 50).then_some(())
        });
        proxy.set(Weather::Fair);
        more_are_done(progress);
    });
    assert!(server.is_running());
    writes.iter().for_each(|writes| writes.check(&mut server.client()));
    // And so it is in the store.
    server.kill_9();
    server.restart();
    writes.iter().for_each(|writes| writes.check(&mut server.client()));
}
