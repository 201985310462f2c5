//! Functions at work: requests, crashes, retries; and what they did and saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::Result;
use crate::common::functions::Operation as Planned;
use crate::common::functions::{FUNCTIONS, Function, KEYS, Zipf};
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Tick, Transaction, Version,
};
use crate::requests::{Dice, key};
use crate::versions::{value_of, version_in};

/// What becomes of a request that is begun.
#[derive(Debug)]
pub(crate) enum Began {
    /// An attempt is to be made.
    Attempt,
    /// An earlier one counts.
    Before(Option<CommitId>),
}

/// The connections of a request's functions to what holds their data.
pub(crate) trait Client: Send + 'static {
    /// Whether what was written takes effect at the commit, all at once.
    const ALL_AT_ONCE: bool;
    /// Whether it is known what has been committed.
    const REMEMBERS: bool = false;
    /// Whether the reads of a function are one operation, and all writes of a request the last.
    const READS_THEN_WRITES: bool = false;

    /// The first function of an attempt begins.
    fn begin(&mut self, _request: &str) -> impl Future<Output = Result<Began>> + Send {
        async { Ok(Began::Attempt) }
    }
    /// The next one goes on.
    fn go_on(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
    /// What is at these keys, none twice.
    fn read(
        &mut self,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Option<Vec<u8>>>>> + Send;
    fn write(&mut self, key: &str, value: Vec<u8>) -> impl Future<Output = Result<()>> + Send;
    /// The last one has done all.
    fn commit(&mut self) -> impl Future<Output = Result<Option<CommitId>>> + Send {
        async { Ok(None) }
    }
    /// A function is gone, and its connections with it.
    fn crash(&mut self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    /// Its name in the history.
    pub(crate) run: String,
    pub(crate) requests: u64,
    pub(crate) clients: u64,
    pub(crate) crash_percent: u64,
    pub(crate) seed: u64,
}

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// Has clients work on requests until all are done, and then looks at every key; the history.
pub(crate) async fn play<C: Client>(
    play: &Play,
    connect: impl AsyncFn() -> Result<C>,
) -> Result<Vec<Transaction>> {
    let clock = Arc::new(AtomicU64::new(0));
    let next = Arc::new(AtomicU64::new(0));
    let zipf = Arc::new(Zipf::new(KEYS));
    let player = async |session: u64| -> Result<Player<C>> {
        Ok(Player {
            play: play.clone(),
            session: session.to_string(),
            client: connect().await?,
            dice: Dice::new(play.seed << 16 | session),
            clock: Arc::clone(&clock),
            history: Vec::new(),
        })
    };
    let mut running: JoinSet<Result<Vec<Transaction>>> = JoinSet::new();
    for session in 0..play.clients {
        let player = player(session).await?;
        running.spawn(player.work(Arc::clone(&next), Arc::clone(&zipf)));
    }
    let mut history = Vec::new();
    let mut all = async || -> Result<()> {
        while let Some(of_client) = running.join_next().await {
            history.extend(of_client??);
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, all())
        .await
        .unwrap_or_else(|_| Err(format!("not all requests are done after {LIMIT:?}").into()))?;
    let mut auditor = player(play.clients).await?;
    auditor.audit().await?;
    history.extend(auditor.history);
    Ok(history)
}

/// One client.
struct Player<C> {
    play: Play,
    session: String,
    client: C,
    dice: Dice,
    clock: Arc<AtomicU64>,
    history: Vec<Transaction>,
}

/// An operation of a function.
enum Step {
    Read(Vec<String>),
    Write(String),
}

/// Where a function crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    Never,
    /// One of its operations; or, with their number, its end.
    Before(usize),
    /// It has done all, and nobody hears of it.
    Behind,
}

impl<C: Client> Player<C> {
    async fn work(mut self, next: Arc<AtomicU64>, zipf: Arc<Zipf>) -> Result<Vec<Transaction>> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.play.requests {
                return Ok(self.history);
            }
            let functions = zipf.request(&mut self.dice);
            self.fulfil(&number.to_string(), &functions).await?;
        }
    }

    /// Tries until an attempt counts.
    async fn fulfil(&mut self, request: &str, functions: &[Function; FUNCTIONS]) -> Result<()> {
        let plan = plan::<C>(functions);
        for attempt in 1.. {
            // The commit of the last attempt, of which the functions didn't hear.
            let last = self.history.last_mut().filter(|last| last.request == request);
            let unheard = last.filter(|last| last.commit.is_some() && C::REMEMBERS);
            match (self.client.begin(request).await?, unheard) {
                (Began::Attempt, None) => {}
                (Began::Before(id), Some(last)) => {
                    if last.commit.as_ref().and_then(|commit| commit.id) != id {
                        return Err(format!("another commit of request {request}: {id:?}").into());
                    }
                    last.status = Status::Committed;
                    return Ok(());
                }
                (began, _) => return Err(format!("{began:?} of request {request}").into()),
            }
            let mut transaction = self.transaction(request, attempt);
            let done = self.attempt(&plan, &mut transaction).await?;
            self.history.push(transaction);
            if done {
                return Ok(());
            }
            self.client.crash().await?;
        }
        Ok(())
    }

    fn transaction(&self, request: &str, attempt: u32) -> Transaction {
        Transaction {
            run: self.play.run.clone(),
            session: self.session.clone(),
            id: format!("{request}.{attempt}"),
            request: request.to_owned(),
            status: Status::Aborted,
            commit: None,
            operations: Vec::new(),
        }
    }

    /// Whether it came to its end.
    async fn attempt(&mut self, plan: &[Vec<Step>], transaction: &mut Transaction) -> Result<bool> {
        let mut keys: Vec<String> = Vec::new();
        let mut writes = 0;
        for step in plan.iter().flatten() {
            if let Step::Write(key) = step {
                writes += 1;
                keys.extend((!keys.contains(key)).then(|| key.clone()));
            }
        }
        for (at, function) in plan.iter().enumerate() {
            if at > 0 {
                self.client.go_on().await?;
            }
            let crash = self.crash(function.len());
            for (number, step) in function.iter().enumerate() {
                if crash == Crash::Before(number) {
                    return Ok(false);
                }
                self.step(step, &keys, transaction).await?;
                if let Step::Write(_) = step {
                    writes -= 1;
                }
                if writes == 0 && !C::ALL_AT_ONCE {
                    // Nothing is half any more, whatever happens.
                    transaction.status = Status::Unknown;
                }
            }
            if crash == Crash::Before(function.len()) {
                return Ok(false);
            }
            if at + 1 == plan.len() {
                self.commit(transaction).await?;
            }
            if crash == Crash::Behind {
                return Ok(false);
            }
        }
        transaction.status = Status::Committed;
        Ok(true)
    }

    fn crash(&mut self, steps: usize) -> Crash {
        if self.dice.below(100) >= self.play.crash_percent {
            return Crash::Never;
        }
        match self.dice.below(steps as u64 + 2) as usize {
            at if at > steps => Crash::Behind,
            at => Crash::Before(at),
        }
    }

    async fn step(
        &mut self,
        step: &Step,
        keys: &[String],
        transaction: &mut Transaction,
    ) -> Result<()> {
        let began = self.tick();
        let done = match step {
            Step::Read(keys) => {
                let found = self.client.read(keys).await?;
                let found = found.iter().map(|value| value.as_deref().map(version_in).transpose());
                let found: Result<Vec<_>> = found.collect();
                keys.iter().cloned().zip(found?.into_iter().map(Action::Read)).collect()
            }
            Step::Write(key) => {
                let number = transaction.operations.len();
                let writer = transaction.id.clone();
                let version = Version { writer, number, keys: keys.to_vec() };
                self.client.write(key, value_of(&version)).await?;
                vec![(key.clone(), Action::Write(version))]
            }
        };
        let ended = self.tick();
        let done = done.into_iter().map(|(key, action)| Operation { key, action, began, ended });
        transaction.operations.extend(done);
        Ok(())
    }

    async fn commit(&mut self, transaction: &mut Transaction) -> Result<()> {
        let began = self.tick();
        let id = self.client.commit().await?;
        let ended = self.tick();
        if C::ALL_AT_ONCE {
            transaction.commit = Some(Commit { began, ended, id });
            transaction.status = Status::Unknown;
        }
        Ok(())
    }

    /// Reads everything.
    async fn audit(&mut self) -> Result<()> {
        /// What DynamoDB reads at once.
        const AT_ONCE: usize = 100;
        let request = "audit";
        if let began @ Began::Before(_) = self.client.begin(request).await? {
            return Err(format!("{began:?} of the audit").into());
        }
        let mut transaction = self.transaction(request, 1);
        let keys: Vec<String> = (0..KEYS).map(name).collect();
        for some in keys.chunks(AT_ONCE) {
            self.step(&Step::Read(some.to_vec()), &[], &mut transaction).await?;
        }
        self.commit(&mut transaction).await?;
        transaction.status = Status::Committed;
        self.history.push(transaction);
        Ok(())
    }

    fn tick(&self) -> Tick {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

fn name(number: u64) -> String {
    String::from_utf8_lossy(&key("key", number)).into_owned()
}

/// What each function does, in order.
fn plan<C: Client>(functions: &[Function; FUNCTIONS]) -> Vec<Vec<Step>> {
    let step = |operation: &Planned| match *operation {
        Planned::Read(number) => Step::Read(vec![name(number)]),
        Planned::Write(number) => Step::Write(name(number)),
    };
    if !C::READS_THEN_WRITES {
        return functions.iter().map(|function| function.iter().map(step).collect()).collect();
    }
    let mut writes: Vec<String> = Vec::new();
    let mut plan: Vec<Vec<Step>> = Vec::new();
    for function in functions {
        let mut reads: Vec<String> = Vec::new();
        for operation in function {
            let (key, of_kind) = match *operation {
                Planned::Read(number) => (name(number), &mut reads),
                Planned::Write(number) => (name(number), &mut writes),
            };
            if !of_kind.contains(&key) {
                of_kind.push(key);
            }
        }
        plan.push(vec![Step::Read(reads)]);
    }
    if let Some(last) = plan.last_mut() {
        last.extend(writes.into_iter().map(Step::Write));
    }
    plan
}
