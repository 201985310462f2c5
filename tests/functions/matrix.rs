//! The crash matrix. A request of two steps and three connections meets each kind of accident at each
//! moment of each thing that it sends: everybody else sees all of it or nothing, its retry ends with
//! the right result, and it has happened once; also after one more crash of aft.
//!
//! Each cell has a request and keys of its own, all of them one server.

use std::cmp::Ordering;
use std::fmt;

use rand::RngExt;

use crate::common::client::Client;
use crate::common::seed;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::delivery::{Accident, Delivery, Failed, Inside, Kind, Moment, World, may_be_sent_again};
use crate::history::VERSIONED;
use crate::history_support::detect::{Kind as Anomaly, count, detect};
use crate::history_support::json;

const KINDS: [Kind; 4] = [Kind::FunctionDies, Kind::AftDies, Kind::Cut, Kind::Resent];
const MOMENTS: [Moment; 4] = [Moment::Before, Moment::Sent, Moment::Unread, Moment::After];

/// What the keys of a request hold.
type State = [Option<String>; 7];
const KEYS: [&str; 7] = ["price", "stock", "account", "basket", "reserved", "order", "log"];

fn state(values: [&str; 7]) -> State {
    values.map(|value| (!value.is_empty()).then(|| value.to_owned()))
}

fn nothing() -> State {
    state(["10", "10", "100", "full", "", "", ""])
}

fn all() -> State {
    state(["10", "8", "80", "", SOMETHING, SOMETHING, "order;"])
}

const RESULT: &str = "80";
/// What the history is asked about.
const SOMETHING: &str = "something";

fn set_up(client: &mut Client, name: &str) {
    for (key, value) in KEYS.iter().zip(nothing()) {
        if let Some(value) = value {
            client.run(&["SET", &format!("{name}:{key}"), &value]);
        }
    }
}

/// At one instant, since what it meets may be about to commit.
fn look(world: &mut World, name: &str) -> State {
    let keys = KEYS.map(|key| format!("{name}:{key}"));
    let values = world.server.client().run(&[&["MGET".to_owned()], keys.as_slice()].concat());
    let mut state: State = std::array::from_fn(|at| values.items()[at].text());
    let versioned = VERSIONED.map(|key| KEYS.iter().position(|other| *other == key).unwrap());
    world.history.look(name, versioned.map(|at| state[at].as_deref()));
    for at in versioned {
        state[at] = state[at].take().map(|_| SOMETHING.to_owned());
    }
    state
}

/// What may be seen between an accident and the retry.
fn may_be_there(accident: Accident, last: usize) -> Vec<State> {
    match accident.moment {
        Moment::Unread | Moment::After if accident.event == last => vec![all()],
        Moment::Sent if accident.event == last => vec![all(), nothing()],
        _ => vec![nothing()],
    }
}

/// Deliveries without accidents, until there is a result.
fn retry(
    world: &mut World,
    inside: Inside,
    name: &str,
    zombies: &[String],
) -> Result<String, String> {
    const ATTEMPTS: usize = 5;
    let mut told = Vec::new();
    for _ in 0..ATTEMPTS {
        match Delivery::new(world, inside, name, None, zombies).run() {
            Ok(result) => return Ok(result),
            Err(Failed::Told(error)) => told.push(error),
            Err(Failed::Accident) => unreachable!("it has none"),
        }
    }
    Err(format!("{ATTEMPTS} retries failed: {told:?}"))
}

/// What is wrong with a cell.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless<T: PartialEq + fmt::Debug>(&mut self, what: &str, seen: &T, right: &[T]) {
        if !right.contains(seen) {
            self.0.push(format!("{what}: {seen:?}, not {right:?}"));
        }
    }

    fn said_of(&self, what: &str) -> bool {
        self.0.iter().any(|why| why.starts_with(what))
    }
}

/// One request: its first delivery meets the first accident, its retry the next, if there is one,
/// and so on; the last goes through.
fn cell(
    world: &mut World,
    inside: Inside,
    name: &str,
    accidents: &[Accident],
    last: usize,
) -> Wrong {
    let mut wrong = Wrong::default();
    set_up(&mut world.server.client(), name);
    let mut tokens = Vec::new();
    let mut allowed = may_be_there(accidents[0], last);
    for (delivery_number, &accident) in accidents.iter().enumerate() {
        let mut delivery = Delivery::new(world, inside, name, Some(accident), &tokens);
        // A retry may end before its accident, since all had been done, or be told that the
        // delivery before it has come through after all.
        let ended = delivery.run();
        if let Ok(result) = &ended {
            wrong.unless("the retry's result", &result.as_str(), &[RESULT]);
            allowed = vec![all()];
        }
        match (delivery_number, accident.kind) {
            // Nobody but its library knows of it.
            (0, Kind::Resent) => assert!(ended.is_ok(), "{accident}: {ended:?}"),
            (0, _) => assert!(matches!(ended, Err(Failed::Accident)), "{accident}: {ended:?}"),
            _ => {}
        }
        let mut more = std::mem::take(&mut delivery.tokens);
        tokens.append(&mut more);
        let between = look(world, name);
        wrong.unless("before the retry", &between, &allowed);
        allowed = if between == all() { vec![all()] } else { vec![nothing(), all()] };
    }
    let result = retry(world, inside, name, &tokens);
    wrong.unless("the retry's result", &result, &[Ok(RESULT.to_owned())]);
    wrong.unless("after the retry", &look(world, name), &[all()]);
    for token in tokens {
        wrong.unless("a zombie", &world.zombie_writes(name, &token), &[Ok(())]);
    }
    wrong
}

/// A delivery when all is over learns the result, and changes nothing.
fn deliver_late(world: &mut World, inside: Inside, name: &str, wrong: &mut Wrong) {
    let mut late = Delivery::new(world, inside, name, None, &[]);
    let result = late.run().map_err(|failed| format!("{failed:?}"));
    wrong.unless("a late delivery's result", &result, &[Ok(RESULT.to_owned())]);
    wrong.unless("what it took", &late.sent.len(), &[1]);
    wrong.unless("at last", &look(world, name), &[all()]);
    note_commit(world, name);
}

fn note_commit(world: &mut World, name: &str) {
    let mut client = world.server.client();
    let told = client.cmd(&format!("AFT.STATUS REQUEST {name}"));
    let token = told.items()[1].text().expect("a token");
    world.history.committed(&mut client, &token);
}

/// All that a request sends, where nothing happens.
fn events(world: &mut World, inside: Inside) -> Vec<String> {
    set_up(&mut world.server.client(), "example");
    let mut delivery = Delivery::new(world, inside, "example", None, &[]);
    assert_eq!(delivery.run().unwrap(), RESULT);
    let sent = std::mem::take(&mut delivery.sent);
    assert_eq!(look(world, "example"), all());
    if inside != Inside::Nothing {
        note_commit(world, "example");
    }
    sent
}

fn cells(kinds: &[Kind], events: &[String]) -> Vec<Accident> {
    let of = |kind| move |event| MOMENTS.map(|moment| Accident { kind, moment, event });
    let all = kinds.iter().flat_map(|&kind| (0..events.len()).flat_map(of(kind)));
    all.filter(|cell| cell.kind != Kind::Resent || may_be_sent_again(&events[cell.event])).collect()
}

fn world(dir: &TempDir) -> World {
    World::on(Server::start(&Options::durable(dir.path())))
}

/// All cells on one server, and what is wrong with them. Its history is called `matrix-NAME`.
fn run(name: &str, inside: Inside, of: impl FnOnce(&[Accident]) -> Vec<Vec<Accident>>) {
    let dir = TempDir::named("matrix");
    let mut world = world(&dir);
    let events = events(&mut world, inside);
    assert!(events.len() >= 19 && events[events.len() - 1].starts_with("AFT.COMMIT"), "{events:?}");
    let cells = of(&cells(&KINDS, &events));
    let mut found = Vec::new();
    for (number, accidents) in cells.iter().enumerate() {
        let (name, last) = (format!("cell-{number}"), events.len() - 1);
        let mut wrong = cell(&mut world, inside, &name, accidents, last);
        deliver_late(&mut world, inside, &name, &mut wrong);
        found.push(wrong);
    }
    // What was committed stays, and nothing of the rest comes back.
    world.server.kill_9();
    world.server.restart_on_same_port();
    for (number, wrong) in found.iter_mut().enumerate() {
        deliver_late(&mut world, inside, &format!("cell-{number}"), wrong);
    }
    println!("{} cells of {} things sent", cells.len(), events.len());
    let show = |cell: &[Accident]| {
        let shown = cell.iter().map(|accident| format!("{accident} ({})", events[accident.event]));
        shown.collect::<Vec<_>>().join(", then ")
    };
    let wrong = cells.iter().zip(found).filter(|(_, wrong)| !wrong.0.is_empty());
    let wrong: Vec<_> =
        wrong.map(|(cell, wrong)| format!("{}: {}", show(cell), wrong.0.join("; "))).collect();
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(world.server.client().cmd("AFT.LIST").items(), []);
    assert_eq!(detect(&world.history.transactions), []);
    json::leave(&world.history.transactions, &format!("matrix-{name}"));
}

#[test]
fn every_accident_at_every_moment_of_a_request() {
    run("atomic", Inside::Transaction, |cells| cells.iter().map(|&cell| vec![cell]).collect());
}

#[test]
fn every_accident_where_every_read_counts() {
    run("serializable", Inside::Serializable, |cells| {
        cells.iter().map(|&cell| vec![cell]).collect()
    });
}

/// Each of them, and then two others, which a seed chooses.
#[test]
fn accidents_in_the_retries_too() {
    let seed = seed::from_env();
    println!("AFT_SEED={seed}");
    let mut rng = seed::rng(seed, 0);
    run("retries", Inside::Transaction, |cells| {
        let mut other = || cells[rng.random_range(0..cells.len())];
        cells.iter().map(|&cell| vec![cell, other(), other()]).collect()
    });
}

/// The same functions in no transaction: the matrix finds what goes wrong, and nothing else.
#[test]
fn the_matrix_sees_what_goes_wrong_without_transactions() {
    let dir = TempDir::named("matrix");
    let mut world = world(&dir);
    let events = events(&mut world, Inside::Nothing);
    let first_write = events.iter().position(|event| event.starts_with("DECRBY")).unwrap();
    for (number, accident) in cells(&[Kind::FunctionDies], &events).into_iter().enumerate() {
        let name = format!("cell-{number}");
        // No end that would have to be known, so none at all is expected before the retry.
        let wrong = cell(&mut world, Inside::Nothing, &name, &[accident], usize::MAX);
        match (accident.event, accident.moment).cmp(&(first_write, Moment::Sent)) {
            Ordering::Less => assert!(wrong.0.is_empty(), "{accident}: {:?}", wrong.0),
            // Nobody knows.
            Ordering::Equal => {}
            Ordering::Greater => {
                for what in ["before the retry", "the retry's result", "after the retry"] {
                    assert!(wrong.said_of(what), "{accident}, {what}: {:?}", wrong.0);
                }
            }
        }
    }
    // So does the detector, in the history.
    let found = detect(&world.history.transactions);
    let deaths = events.len() - first_write;
    for kind in [Anomaly::HalfWritten, Anomaly::Doubled] {
        assert!(count(&found, kind) > deaths, "{kind:?}: {}", count(&found, kind));
    }
    assert_eq!(count(&found, Anomaly::Unheard), 0);
}
