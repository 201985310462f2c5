//! AFT.BEGIN, AFT.JOIN … AFT.COMMIT: transactions over many commands, connections and functions.
//!
//! What they promise is in `docs/transactions.md`, how it is kept in
//! [`crate::engine::interactive`].

use super::inside::{not_open, refusal, too_many_bytes};
use super::parse::{integer, syntax_error};
use super::{CommandResult, Context, Stop, acl, not_committed};
use crate::engine::core::Core;
use crate::engine::core::interactive::{Attempt, Began, Room, StepEnd, Unusable};
use crate::engine::interactive::{Open, Outcome, Refusal, Terms, Token, TransactionId};
use crate::resp::Reply;
use crate::session::{Bound, Membership};
use crate::small_bytes::{SmallBytes, SmallKey};
use crate::transaction::NotCommitted;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest id of a request, and name of a step.
const NAME_BYTES_MAX: usize = 1024;

/// The options of AFT.BEGIN.
#[derive(Default)]
struct BeginOptions<'a> {
    request: Option<&'a [u8]>,
    step: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    resume: bool,
    serializable: bool,
    timeout_ms: Option<u64>,
}

impl<'a> BeginOptions<'a> {
    fn parse(args: &[&'a [u8]], timeout_max_ms: u64) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut rest = args.iter().copied();
        while let Some(word) = rest.next() {
            let mut name = || match rest.next() {
                Some(name) if (1..=NAME_BYTES_MAX).contains(&name.len()) => Ok(Some(name)),
                Some(_) => Err(Stop::from(Reply::error(
                    "ERR ids of requests and names of steps have 1 to 1024 bytes",
                ))),
                None => Err(syntax_error()),
            };
            match word.to_ascii_lowercase().as_slice() {
                b"request" if options.request.is_none() => options.request = name()?,
                b"step" if options.step.is_none() => options.step = name()?,
                b"after" if options.after.is_none() => options.after = name()?,
                b"resume" => options.resume = true,
                b"serializable" => options.serializable = true,
                b"timeout" if options.timeout_ms.is_none() => {
                    let ms = rest.next().ok_or_else(syntax_error)?;
                    let ms = integer(ms).and_then(|ms| u64::try_from(ms).ok());
                    let ms = ms.filter(|ms| (1..=timeout_max_ms).contains(ms));
                    let text =
                        format!("ERR the timeout must be 1 to {timeout_max_ms} milliseconds");
                    options.timeout_ms = Some(ms.ok_or_else(|| Reply::error(text))?);
                }
                _ => return Err(syntax_error()),
            }
        }
        let alone = options.request.is_none() && (options.step.is_some() || options.resume);
        if alone || (options.step.is_none() && options.after.is_some()) {
            return Err(syntax_error());
        }
        Ok(options)
    }
}

/// AFT.BEGIN [REQUEST id [STEP name [AFTER name]] [RESUME]] [SERIALIZABLE] [TIMEOUT ms]
pub(super) fn begin(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let settings = context.settings;
    let options = BeginOptions::parse(&args[1..], settings.transaction_timeout_max_ms)?;
    must_be_outside(context, options.request)?;
    let node = context.transaction.core().node();
    let fresh = Token { node, id: context.server.engine.random(), part: 0 };
    let asked_for = options.timeout_ms.map(Duration::from_millis);
    let terms = Terms {
        user: Arc::clone(&context.session.user.name),
        request: options.request.map(SmallBytes::from),
        serializable: options.serializable,
        timeout: asked_for.unwrap_or(Duration::from_millis(settings.transaction_timeout_ms)),
    };
    let BeginOptions { step, after, resume, .. } = options;
    let attempt = Attempt { step, after, resume, timeout: asked_for };
    let room = Room {
        open_max: settings.transactions_max as usize,
        open_bytes_max: settings.transactions_bytes_max as usize,
        outcome_bytes_max: settings.outcomes_bytes_max as usize,
    };
    let began = context.transaction.core_mut().begin_interactive(fresh, terms, attempt, &room);
    let (token, state, result) = match began.map_err(|unusable| refusal(&unusable))? {
        Began::Begun(token) => (token, "begun", None),
        Began::Open(token) => (token, "open", None),
        Began::Done(token, result) => (token, "done", result),
        Began::Committed => {
            let request = options.request.unwrap_or_default();
            let outcome = context.transaction.core().interactive().outcomes.of_request(request);
            let outcome = outcome.cloned().ok_or_else(not_open)?;
            context.transaction.depends_on(outcome.position);
            (outcome.token, "committed", outcome.result().cloned())
        }
    };
    // Also where nothing is left to do: what was sent along is refused there, and not run twice.
    enter(context, token);
    Ok(begun(token, state, result))
}

fn begun(token: Token, state: &'static str, result: Option<SmallBytes>) -> Reply {
    let result = result.map_or(Reply::Null, Reply::Bulk);
    Reply::Array(vec![Reply::bulk(token.to_string()), Reply::bulk(state), result])
}

/// A connection in a transaction that goes on can't begin another, unless it is a new attempt of
/// the same request.
fn must_be_outside(context: &Context<'_, '_>, request: Option<&[u8]>) -> Result<(), Stop> {
    let Some(membership) = context.session.inside else {
        return Ok(());
    };
    if membership.by != Bound::ByCall {
        let text = "ERR this connection is bound to a transaction by its name or its user";
        return Err(Reply::error(text).into());
    }
    let core = context.transaction.core();
    let usable = |token| core.usable(token, &context.session.user.name).ok();
    let open = membership.token.and_then(usable);
    match open {
        Some(open) if request.is_none() || open.terms.request.as_deref() != request => {
            let text = "ERR this connection is inside a transaction already, see AFT.LEAVE";
            Err(Reply::error(text).into())
        }
        _ => Ok(()),
    }
}

fn enter(context: &mut Context<'_, '_>, token: Token) {
    let membership = Membership { token: Some(token), by: Bound::ByCall };
    context.session.bind(Some(membership));
}

/// Leaves a transaction, if this connection has begun or joined it.
fn leave_ended(context: &mut Context<'_, '_>, token: Token) -> bool {
    let ended = |membership: Membership| {
        membership.by == Bound::ByCall && membership.token.is_some_and(|own| own.id == token.id)
    };
    let leaves = context.session.inside.is_some_and(ended);
    if leaves {
        context.session.bind(None);
    }
    leaves
}

/// The same where it has committed: the connection may ask again without its token.
fn leave_committed(context: &mut Context<'_, '_>, token: Token) {
    if leave_ended(context, token) {
        context.session.committed = Some(token);
    }
}

/// AFT.JOIN token
pub(super) fn join(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let token = Token::parse(args[1]).ok_or_else(not_open)?;
    must_be_outside(context, None)?;
    usable(context, token)?;
    enter(context, token);
    Ok(Reply::Ok)
}

/// AFT.LEAVE
pub(super) fn leave(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    match context.session.inside {
        None => Err(Reply::error("ERR this connection is in no transaction").into()),
        Some(Membership { by: Bound::ByCall, .. }) => {
            context.session.bind(None);
            Ok(Reply::Ok)
        }
        Some(_) => {
            let text = "ERR this connection is bound by its name or its user: CLIENT SETNAME \"\" or RESET unbinds it";
            Err(Reply::error(text).into())
        }
    }
}

/// Whether the user may work with a token.
fn usable(context: &Context<'_, '_>, token: Token) -> Result<(), Stop> {
    let core = context.transaction.core();
    let usable = core.check_token(token, &context.session.user.name);
    usable.map_err(|unusable| refusal(&unusable).into())
}

/// The same, where the step of the token may be done. A connection that asks for the end of a
/// transaction that is over leaves it; a zombie stays where it can do no harm.
fn usable_to_end(context: &mut Context<'_, '_>, token: Token) -> Result<(), Stop> {
    let core = context.transaction.core();
    match core.check_token(token, &context.session.user.name) {
        Ok(()) | Err(Unusable::StepDone) => Ok(()),
        Err(unusable) => {
            if unusable == Unusable::NotOpen {
                leave_ended(context, token);
            }
            Err(refusal(&unusable).into())
        }
    }
}

/// The same, for whoever may see all transactions as well.
fn usable_or_overseen(context: &Context<'_, '_>, token: Token) -> Result<(), Stop> {
    let core = context.transaction.core();
    match core.check_token(token, &context.session.user.name) {
        Ok(()) | Err(Unusable::StepDone) => Ok(()),
        Err(Unusable::Foreign) if oversees(context) => Ok(()),
        Err(unusable) => Err(refusal(&unusable).into()),
    }
}

/// Who may list all transactions may look at each, and abort it.
fn oversees(context: &Context<'_, '_>) -> bool {
    acl::may_run(context.session, &[b"AFT.LIST"])
}

/// The token, if there is one, and the result.
type Ending<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// [token] [RESULT bytes]
fn ending<'a>(context: &Context<'_, '_>, args: &[&'a [u8]]) -> Result<Ending<'a>, Stop> {
    let (token, result) = match *args {
        [_] => (None, None),
        [_, token] => (Some(token), None),
        [_, word, result] if word.eq_ignore_ascii_case(b"result") => (None, Some(result)),
        [_, token, word, result] if word.eq_ignore_ascii_case(b"result") => {
            (Some(token), Some(result))
        }
        _ => return Err(syntax_error()),
    };
    if result.is_some_and(|result| result.len() as u64 > context.settings.result_bytes_max) {
        return Err(Reply::error("ERR the result is too large, see result-bytes-max").into());
    }
    Ok((token, result))
}

/// The token that is given, or else that of the connection; which leaves if it has none.
fn token_or_own(context: &mut Context<'_, '_>, given: Option<&[u8]>) -> Result<Token, Stop> {
    if let Some(given) = given {
        return Token::parse(given).ok_or_else(|| not_open().into());
    }
    match context.session.inside {
        Some(Membership { token: Some(token), .. }) => Ok(token),
        Some(Membership { by: Bound::ByCall, .. }) => {
            context.session.bind(None);
            Err(not_open().into())
        }
        _ => Err(not_open().into()),
    }
}

/// What is known of a transaction that has committed; that is told once it is durable.
fn outcome(context: &mut Context<'_, '_>, token: Token) -> Option<Outcome> {
    let outcome = context.transaction.core().interactive().outcomes.of(token).cloned()?;
    context.transaction.depends_on(outcome.position);
    Some(outcome)
}

/// AFT.COMMIT [token] [RESULT bytes]
pub(super) fn commit(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (given, result) = ending(context, args)?;
    let token = match (given, context.session.inside, context.session.committed) {
        // Its reply may have been lost.
        (None, None, Some(committed)) => committed,
        _ => token_or_own(context, given)?,
    };
    if let Some(outcome) = outcome(context, token) {
        leave_committed(context, token);
        return Ok(Reply::bulk(outcome.commit.to_string()));
    }
    usable_to_end(context, token)?;
    let outcome_bytes_max = context.settings.outcomes_bytes_max as usize;
    let open = context.transaction.core().interactive().registry.get(token.id);
    let request = open.and_then(|open| open.terms.request.clone());
    match context.transaction.commit_interactive(token, result, outcome_bytes_max) {
        Ok(commit) => {
            leave_committed(context, token);
            Ok(Reply::bulk(commit.to_string()))
        }
        Err(why) => {
            let ended = matches!(why, NotCommitted::Conflict(_));
            if ended {
                leave_ended(context, token);
            }
            let reply = why_not(&why);
            note_refusal(context, token, request, ended, &reply);
            Err(reply.into())
        }
    }
}

/// Whoever wonders can ask later, too.
fn note_refusal(
    context: &mut Context<'_, '_>,
    token: Token,
    request: Option<SmallBytes>,
    ended: bool,
    reply: &Reply,
) {
    if let Reply::Error(line) = reply {
        let user = Arc::clone(&context.session.user.name);
        let why = String::from_utf8_lossy(line.as_bytes()).into_owned();
        let core = context.transaction.core_mut();
        let (at, position) = (core.monotonic(), core.newest_pending());
        core.note_refusal(Refusal { token, user, request, why, ended, at, position });
    }
}

fn why_not(why: &NotCommitted) -> Reply {
    /// Longer ones are cut.
    const KEY_BYTES_MAX: usize = 128;
    match why {
        NotCommitted::NotOpen => not_open(),
        NotCommitted::Conflict(key) => {
            let key = key[..key.len().min(KEY_BYTES_MAX)].escape_ascii();
            Reply::error(format!(
                "CONFLICT nothing was written: key \"{key}\" has changed since it was read"
            ))
        }
        NotCommitted::Unfinished(step) => {
            let step = step.escape_ascii();
            Reply::error(format!("ERR step \"{step}\" is not done, so nothing was committed"))
        }
        NotCommitted::TooLarge => Reply::error(
            "ERR nothing was committed: it is larger than transaction-bytes-max, or its result has no room in outcomes-bytes-max",
        ),
        NotCommitted::Refused(refused) => not_committed(&refused.0),
    }
}

/// AFT.ABORT [token]
pub(super) fn abort(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let token = token_or_own(context, args.get(1).copied())?;
    if let Some(outcome) = outcome(context, token) {
        leave_ended(context, token);
        return Ok(Reply::bulk(outcome.commit.to_string()));
    }
    if usable_to_end(context, token).is_err() {
        usable_or_overseen(context, token)?;
    }
    context.transaction.core_mut().abort_interactive(token.id);
    leave_ended(context, token);
    Ok(Reply::Ok)
}

/// AFT.DONE [token] [RESULT bytes]
pub(super) fn done(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (given, result) = ending(context, args)?;
    let token = token_or_own(context, given)?;
    usable_to_end(context, token)?;
    let all_bytes_max = context.settings.transactions_bytes_max as usize;
    match context.transaction.core_mut().end_step(token, result, all_bytes_max) {
        StepEnd::Done => {
            leave_ended(context, token);
            Ok(Reply::Ok)
        }
        StepEnd::NoStep => Err(Reply::error("ERR this token is of no step").into()),
        StepEnd::NoRoom => Err(too_many_bytes().into()),
    }
}

/// AFT.STATUS token | REQUEST id
pub(super) fn status(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let interactive = context.transaction.core().interactive();
    let token = match *args {
        [_, token] => Token::parse(token),
        [_, word, request] if word.eq_ignore_ascii_case(b"request") => {
            let open = interactive.registry.of_request(request).map(|open| open.token);
            let kept = || interactive.outcomes.of_request(request).map(|kept| kept.token);
            let refused = || interactive.refusals.of_request(request).map(|kept| kept.token);
            open.or_else(kept).or_else(refused)
        }
        _ => return Err(syntax_error()),
    };
    let token = token.ok_or_else(not_open)?;
    if let Some(outcome) = outcome(context, token) {
        return Ok(describe_outcome(context.transaction.core(), &outcome));
    }
    let core = context.transaction.core();
    if core.check_token(token, &context.session.user.name) == Err(Unusable::NotOpen)
        && let Some(refusal) = core.interactive().refusals.of(token).filter(|refusal| refusal.ended)
    {
        if refusal.user != context.session.user.name && !oversees(context) {
            return Err(not_open().into());
        }
        let (reply, position) = (describe_refusal(core, refusal), refusal.position);
        context.transaction.depends_on(position);
        return Ok(reply);
    }
    usable_or_overseen(context, token)?;
    let core = context.transaction.core();
    let open = core.interactive().registry.get(token.id).ok_or_else(not_open)?;
    let position = refusal_before(core, open).map_or(0, |refusal| refusal.position);
    let reply = describe_open(context, open, &Clients::inside(context), Some(KEYS_NAMED_MAX));
    context.transaction.depends_on(position);
    Ok(reply)
}

/// AFT.LIST
pub(super) fn list(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let all = context.transaction.core().interactive().registry.all();
    let clients = Clients::inside(context);
    let describe = |open: &Open| describe_open(context, open, &clients, None);
    Ok(Reply::Array(all.into_iter().map(describe).collect()))
}

/// The ids of the connections that are in each transaction.
struct Clients(HashMap<TransactionId, Vec<u64>>);

impl Clients {
    /// As they stand now. Each is looked at once, however many transactions are listed.
    fn inside(context: &Context<'_, '_>) -> Self {
        let mut inside: HashMap<TransactionId, Vec<u64>> = HashMap::new();
        for client in context.server.connected() {
            let token = client.state().inside;
            if let Some(token) = token {
                inside.entry(token.id).or_default().push(client.id);
            }
        }
        Self(inside)
    }

    fn of(&self, open: &Open) -> Reply {
        let ids = self.0.get(&open.token.id).map_or(&[][..], Vec::as_slice);
        Reply::Array(ids.iter().map(|id| Reply::Integer(*id as i64)).collect())
    }
}

fn text(name: &'static str, value: impl Into<SmallBytes>) -> (Reply, Reply) {
    (Reply::bulk(name), Reply::Bulk(value.into()))
}

fn optional(name: &'static str, value: Option<&SmallBytes>) -> (Reply, Reply) {
    (Reply::bulk(name), value.map_or(Reply::Null, |value| Reply::Bulk(value.clone())))
}

fn number(name: &'static str, value: usize) -> (Reply, Reply) {
    (Reply::bulk(name), Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn milliseconds(name: &'static str, time: Duration) -> (Reply, Reply) {
    number(name, time.as_millis() as usize)
}

fn describe_outcome(core: &Core, outcome: &Outcome) -> Reply {
    let committed_ms = outcome.commit.time >> crate::layout::CommitId::COUNTER_BITS;
    let age_ms = core.now_ms().saturating_sub(committed_ms);
    Reply::Map(vec![
        text("token", outcome.token.to_string()),
        text("state", "committed"),
        milliseconds("age_ms", Duration::from_millis(age_ms)),
        optional("request", outcome.request()),
        text("commit", outcome.commit.to_string()),
        optional("result", outcome.result()),
    ])
}

fn describe_refusal(core: &Core, refusal: &Refusal) -> Reply {
    Reply::Map(vec![
        text("token", refusal.token.to_string()),
        text("state", "refused"),
        milliseconds("age_ms", core.monotonic().saturating_sub(refusal.at)),
        text("user", &*refusal.user),
        optional("request", refusal.request.as_ref()),
        text("refused", refusal.why.as_str()),
        (Reply::bulk("result"), Reply::Null),
    ])
}

/// Keys whose names are told.
const KEYS_NAMED_MAX: usize = 20;

/// What it has written, and what it may not commit without, as `database:key`.
fn name_keys(open: &Open, count_max: usize) -> [(Reply, Reply); 2] {
    let name = |(database, key): (u8, &SmallKey)| {
        Reply::bulk([format!("{database}:").as_bytes(), key].concat())
    };
    let written = open.writes.writes().iter().map(|write| (write.database, &write.key));
    let written = written.take(count_max).map(name).collect();
    let checked = open.checks.iter().take(count_max).map(name).collect();
    [
        (Reply::bulk("keys_written"), Reply::Array(written)),
        (Reply::bulk("keys_checked"), Reply::Array(checked)),
    ]
}

/// Why its last COMMIT was refused, or that of the attempt before.
fn refusal_before<'a>(core: &'a Core, open: &Open) -> Option<&'a Refusal> {
    let refusals = &core.interactive().refusals;
    let before = || refusals.of_request(open.terms.request.as_deref()?);
    refusals.of(open.token).or_else(before)
}

/// `named` is how many keys are named, if any.
fn describe_open(
    context: &Context<'_, '_>,
    open: &Open,
    clients: &Clients,
    named: Option<usize>,
) -> Reply {
    let core = context.transaction.core();
    let now = core.monotonic();
    let step = |step: &crate::engine::interactive::steps::Step| {
        let state = if step.done.is_some() { "done" } else { "begun" };
        (Reply::Bulk(step.name.clone()), Reply::bulk(state))
    };
    let refused = refusal_before(core, open);
    let refused = refused.map_or(Reply::Null, |refusal| Reply::bulk(refusal.why.as_str()));
    let mut pairs = vec![
        text("token", open.token.to_string()),
        text("state", "open"),
        milliseconds("age_ms", now.saturating_sub(open.begun)),
        milliseconds("idle_ms", now.saturating_sub(open.used)),
        milliseconds("timeout_ms", open.terms.timeout),
        text("user", &*open.terms.user),
        optional("request", open.terms.request.as_ref()),
        text("isolation", if open.terms.serializable { "serializable" } else { "read-atomic" }),
        number("keys", open.writes.writes().len()),
        number("checked", open.checks.len()),
        number("bytes", open.bytes()),
        (Reply::bulk("steps"), Reply::Map(open.steps.iter().map(step).collect())),
        (Reply::bulk("clients"), clients.of(open)),
        (Reply::bulk("refused"), refused),
        (Reply::bulk("result"), Reply::Null),
    ];
    pairs.extend(named.into_iter().flat_map(|count| name_keys(open, count)));
    Reply::Map(pairs)
}
