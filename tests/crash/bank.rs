//! Transfers between accounts, as a client library's WATCH loop does them. Each leaves a key of
//! its own, so after a crash the balances must be exactly the initial ones plus the transfers
//! that are there: a torn transfer can't hide behind another.

use std::collections::HashMap;
use std::io;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::anomaly::{Anomaly, Checked, End, Kind, Outcome, anomaly};
use crate::common::client::Client;
use crate::common::resp::Reply;

pub(crate) const ACCOUNTS: usize = 10;
pub(crate) const INITIAL: i64 = 1_000;
pub(crate) const TOTAL: i64 = INITIAL * 10;

/// Rounds after which a transfer's key is deleted, so that checking doesn't grow with the rounds.
const KEPT_ROUNDS: u32 = 2;
/// Deleted transfers that are still looked for.
const RETIRED_MAX: usize = 500;
const MGET_MAX: usize = 1_000;

#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) amount: i64,
    pub(crate) outcome: Outcome,
    pub(crate) round: u32,
}

impl Transfer {
    fn key(&self) -> String {
        format!("transfer:{}", self.id)
    }

    pub(crate) fn value(&self) -> String {
        format!("{} {} {}", self.from, self.to, self.amount)
    }
}

/// What must be true of the accounts.
#[derive(Clone)]
pub(crate) struct Bank {
    /// Balances without any of `transfers`.
    pub(crate) base: Vec<i64>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) retired: Vec<Transfer>,
}

/// What the server shows: balances, and the value of each transfer that is there.
pub(crate) struct BankSeen {
    pub(crate) balances: Vec<i64>,
    pub(crate) transfers: HashMap<String, String>,
}

pub(crate) fn account(n: usize) -> String {
    format!("acct:{n}")
}

impl Bank {
    pub(crate) fn open(client: &mut Client) -> Self {
        let mut args = vec!["MSET".to_owned()];
        args.extend((0..ACCOUNTS).flat_map(|n| [account(n), INITIAL.to_string()]));
        assert_eq!(client.run(&args), Reply::ok());
        Self { base: vec![INITIAL; ACCOUNTS], transfers: Vec::new(), retired: Vec::new() }
    }

    /// Adds a round's transfers; their ids must be new.
    pub(crate) fn add(&mut self, transfers: Vec<Transfer>, end: End) {
        self.transfers.extend(transfers.into_iter().map(|mut transfer| {
            if transfer.outcome == Outcome::Unknown {
                transfer.outcome = end.of_unanswered();
            }
            transfer
        }));
    }

    pub(crate) fn observe(&self, client: &mut Client) -> BankSeen {
        let balances = read_balances(client).expect("a server that is up");
        let all: Vec<&Transfer> = self.transfers.iter().chain(&self.retired).collect();
        let mut transfers = HashMap::new();
        for some in all.chunks(MGET_MAX) {
            let mut args = vec!["MGET".to_owned()];
            args.extend(some.iter().map(|transfer| transfer.key()));
            for (transfer, value) in some.iter().zip(client.run(&args).items()) {
                transfers.extend(value.text().map(|value| (transfer.id.clone(), value)));
            }
        }
        BankSeen { balances, transfers }
    }

    /// The checker: what is seen against what was answered.
    pub(crate) fn check(&self, seen: &BankSeen) -> Checked {
        for retired in &self.retired {
            if seen.transfers.contains_key(&retired.id) {
                return anomaly(Kind::Resurrected, format!("deleted and back: {retired:?}"));
            }
        }
        let mut expected = self.base.clone();
        for transfer in &self.transfers {
            let value = seen.transfers.get(&transfer.id);
            match (value, transfer.outcome) {
                (None, Outcome::Done) => return anomaly(Kind::LostAck, format!("{transfer:?}")),
                (Some(_), Outcome::NotDone) => {
                    return anomaly(Kind::Resurrected, format!("refused, yet there: {transfer:?}"));
                }
                (Some(value), _) if *value != transfer.value() => {
                    return anomaly(Kind::Phantom, format!("{transfer:?} holds {value}"));
                }
                (Some(_), _) => {
                    expected[transfer.from] -= transfer.amount;
                    expected[transfer.to] += transfer.amount;
                }
                (None, _) => {}
            }
        }
        if expected != seen.balances {
            let seen = &seen.balances;
            let text = format!("transfers make the balances {expected:?}, they are {seen:?}");
            return anomaly(Kind::Torn, text);
        }
        Ok(())
    }

    /// After a check: what was seen after a restart is decided for ever. Old transfers are
    /// deleted, and must stay away from then on.
    pub(crate) fn settle(&mut self, seen: &BankSeen, round: u32, client: &mut Client) -> Checked {
        for transfer in &mut self.transfers {
            let there = seen.transfers.contains_key(&transfer.id);
            transfer.outcome = if there { Outcome::Done } else { Outcome::NotDone };
        }
        let (old, kept) = std::mem::take(&mut self.transfers)
            .into_iter()
            .partition(|transfer: &Transfer| transfer.round + KEPT_ROUNDS <= round);
        self.transfers = kept;
        self.retire(old, client)
    }

    fn retire(&mut self, old: Vec<Transfer>, client: &mut Client) -> Checked {
        let done = |transfer: &&Transfer| transfer.outcome == Outcome::Done;
        let present: Vec<String> = old.iter().filter(done).map(Transfer::key).collect();
        for keys in present.chunks(MGET_MAX) {
            let mut args = vec!["DEL".to_owned()];
            args.extend_from_slice(keys);
            let deleted = client.run(&args);
            if deleted != Reply::Int(i64::try_from(keys.len()).expect("a count")) {
                let text = format!("DEL of {} present keys: {deleted:?}", keys.len());
                return anomaly(Kind::WrongReply, text);
            }
        }
        for transfer in old.iter().filter(done) {
            self.base[transfer.from] -= transfer.amount;
            self.base[transfer.to] += transfer.amount;
        }
        self.retired.extend(old);
        let surplus = self.retired.len().saturating_sub(RETIRED_MAX);
        self.retired.drain(..surplus);
        Ok(())
    }
}

/// Transfers until the connection ends.
pub(crate) fn work(
    mut client: Client,
    mut rng: StdRng,
    name: &str,
    round: u32,
) -> Result<Vec<Transfer>, Anomaly> {
    let mut transfers = Vec::new();
    for n in 0.. {
        let from = rng.random_range(0..ACCOUNTS);
        let to = (from + rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let mut transfer = Transfer {
            id: format!("{round}:{name}:{n}"),
            from,
            to,
            amount: rng.random_range(1..=10),
            outcome: Outcome::Unknown,
            round,
        };
        let reply = attempt(&mut client, &transfer);
        transfer.outcome = match &reply {
            Err(_) => Outcome::Unknown,
            Ok(Reply::Array(items)) if items.iter().all(|item| *item == Reply::ok()) => {
                Outcome::Done
            }
            Ok(reply) if reply.is_nil() => Outcome::NotDone,
            Ok(reply) if reply.error_code().as_deref() == Some("NOTCOMMITTED") => Outcome::NotDone,
            Ok(reply) => return anomaly(Kind::WrongReply, format!("{transfer:?}: {reply:?}")),
        };
        transfers.push(transfer);
        if !matches!(reply, Ok(ref reply) if !reply.is_error()) {
            break;
        }
    }
    Ok(transfers)
}

fn attempt(client: &mut Client, transfer: &Transfer) -> io::Result<Reply> {
    let (from, to) = (account(transfer.from), account(transfer.to));
    client.call(&["WATCH", &from, &to])?;
    let from_balance = balance(&client.call(&["GET", &from])?)?;
    let to_balance = balance(&client.call(&["GET", &to])?)?;
    client.queue(&["MULTI"]);
    client.queue(&["SET", &from, &(from_balance - transfer.amount).to_string()]);
    client.queue(&["SET", &to, &(to_balance + transfer.amount).to_string()]);
    client.queue(&["SET", &transfer.key(), &transfer.value()]);
    client.queue(&["EXEC"]);
    client.flush()?;
    for _ in 0..4 {
        let reply = client.read()?;
        if reply.is_error() {
            return Ok(reply);
        }
    }
    client.read()
}

/// Reads all balances again and again, in both ways that are atomic, until the connection ends.
pub(crate) fn audit(mut client: Client) -> Checked {
    let accounts: Vec<String> = (0..ACCOUNTS).map(account).collect();
    loop {
        for read in [read_balances, read_balances_in_multi] {
            let Ok(balances) = read(&mut client) else {
                return Ok(());
            };
            if balances.iter().sum::<i64>() != TOTAL {
                return anomaly(Kind::Torn, format!("read {balances:?} of {accounts:?}"));
            }
        }
    }
}

fn read_balances(client: &mut Client) -> io::Result<Vec<i64>> {
    let mut args = vec!["MGET".to_owned()];
    args.extend((0..ACCOUNTS).map(account));
    client.call(&args)?.items().iter().map(balance).collect()
}

fn read_balances_in_multi(client: &mut Client) -> io::Result<Vec<i64>> {
    client.queue(&["MULTI"]);
    (0..ACCOUNTS).for_each(|n| client.queue(&["GET", &account(n)]));
    client.queue(&["EXEC"]);
    client.flush()?;
    for _ in 0..=ACCOUNTS {
        client.read()?;
    }
    client.read()?.items().iter().map(balance).collect()
}

fn balance(reply: &Reply) -> io::Result<i64> {
    let text = match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes),
        // A draining server may refuse; an account that is gone is caught by the check.
        other if other.is_error() => return Err(io::Error::other(format!("{other:?}"))),
        other => panic!("a balance is {other:?}"),
    };
    Ok(text.parse().unwrap_or_else(|_| panic!("a balance is {text}")))
}
