use super::*;

const LIMITS: Limits = Limits { commands: 8, bytes: 4096 };
const TOKEN: Token = Token { node: 1, id: 7, part: 0 };
const NOW: Duration = Duration::from_secs(1);
/// When commands are answered, and when those who resend them come.
const BEFORE: Duration = Duration::from_millis(900);
const LATER: Duration = Duration::from_secs(2);

fn args(words: &str) -> Vec<&[u8]> {
    words.split(' ').map(str::as_bytes).collect()
}

/// A connection that was answered these commands, each with its number; `holds` are those behind
/// which a MULTI or WATCH is open. Each reply takes 10 bytes.
fn answered(commands: &[&str], holds: &[usize]) -> Resends {
    let mut resends = Resends::new(TOKEN, NOW);
    for (at, words) in commands.iter().enumerate() {
        let again = Again::Reply(Reply::Integer(at as i64), None);
        let open = if holds.contains(&at) { Loop::Watch } else { Loop::None };
        let answered = Answered::new(0, &args(words), again, open);
        resends.unread.note(answered, BEFORE, &LIMITS);
        resends.unread.ends_at(10 * (at as u64 + 1));
    }
    resends
}

fn left(resends: Resends) -> Tails {
    left_by(&mut Tails::default(), 1, resends)
}

fn left_by(tails: &mut Tails, client: u64, resends: Resends) -> Tails {
    let mut tails = std::mem::take(tails);
    if let Some(tail) = resends.into_tail(client, LATER) {
        tails.leave(tail, NOW, &LIMITS);
    }
    tails
}

/// What a new connection is told again of these commands.
fn told(tails: &mut Tails, commands: &[&str]) -> Vec<Option<i64>> {
    say(&mut Resends::new(TOKEN, NOW), tails, commands)
}

fn say(resends: &mut Resends, tails: &mut Tails, commands: &[&str]) -> Vec<Option<i64>> {
    let one = |words: &&str| {
        let found = resends.find(Some(&mut *tails), NOW, 0, &args(words), *words == "UNWATCH")?;
        match found.again() {
            Again::Reply(Reply::Integer(number), None) => Some(*number),
            again => panic!("{again:?}"),
        }
    };
    commands.iter().map(one).collect()
}

#[test]
fn what_was_lost_is_told_once() {
    let mut tails = left(answered(&["INCR a", "INCR a"], &[]));
    assert_eq!(told(&mut tails, &["INCR a", "INCR a", "INCR a"]), [Some(0), Some(1), None]);
    assert!(tails.is_empty());
    assert_eq!(told(&mut tails, &["INCR a"]), [None]);
}

#[test]
fn only_what_is_the_same_byte_for_byte_and_comes_first() {
    for other in ["INCR b", "incr a", "INCR a ", "INCR", "INCRBY a 1", "INCR a a"] {
        let mut tails = left(answered(&["INCR a"], &[]));
        assert_eq!(told(&mut tails, &[other, "INCR a"]), [None, None], "{other}");
        // It waits for another connection.
        assert_eq!(told(&mut tails, &["INCR a"]), [Some(0)]);
    }
    let mut tails = left(answered(&["INCR a", "INCR b"], &[]));
    assert_eq!(told(&mut tails, &["INCR a", "INCR c", "INCR b"]), [Some(0), None, None]);
    let mut tails = left(answered(&["INCR a"], &[]));
    let mut resends = Resends::new(TOKEN, NOW);
    assert!(
        resends.find(Some(&mut tails), NOW, 1, &args("INCR a"), false).is_none(),
        "another database"
    );
}

#[test]
fn who_goes_on_has_read() {
    let mut resends = answered(&["INCR a", "INCR b", "INCR c"], &[]);
    resends.unread.read_through(25);
    assert_eq!(resends.unread.end(), Some(30));
    let mut tails = left(resends);
    assert_eq!(told(&mut tails, &["INCR c"]), [Some(2)]);
    let mut resends = answered(&["INCR a"], &[]);
    resends.unread.read_through(10);
    assert_eq!((resends.unread.end(), resends.unread.bytes()), (None, 0));
    assert!(left(resends).is_empty());
}

#[test]
fn a_loop_is_lost_as_a_whole() {
    let commands = ["GET x", "WATCH a", "GET a", "MULTI", "SET a 1", "EXEC"];
    let mut resends = answered(&commands, &[1, 2, 3, 4]);
    resends.unread.read_through(55);
    let mut tails = left(resends);
    assert_eq!(told(&mut tails, &commands[1..]), [1, 2, 3, 4, 5].map(Some));
    // Or what was not read of it.
    let mut resends = answered(&commands, &[1, 2, 3, 4]);
    resends.unread.read_through(30);
    let mut tails = left(resends);
    assert_eq!(told(&mut tails, &commands[3..]), [3, 4, 5].map(Some));
    let mut resends = answered(&commands, &[1, 2, 3, 4]);
    resends.unread.read_through(60);
    assert!(left(resends).is_empty());
}

#[test]
fn a_loop_may_be_begun_more_than_once() {
    let commands = ["WATCH a", "GET a", "MULTI", "SET a 1", "EXEC"];
    let begun = ["WATCH a", "GET a", "UNWATCH", "WATCH a", "GET a", "WATCH a"];
    let rest = &commands[1..];
    let mut tails = left(answered(&commands, &[0, 1, 2, 3]));
    let mut resends = Resends::new(TOKEN, NOW);
    let expected = [Some(0), Some(1), None, Some(0), Some(1), Some(0)];
    assert_eq!(say(&mut resends, &mut tails, &begun), expected);
    assert_eq!(say(&mut resends, &mut tails, rest), [1, 2, 3, 4].map(Some));
    assert_eq!(say(&mut resends, &mut tails, &commands), [None; 5], "it is over");
}

#[test]
fn nobody_hears_it_too_late_or_of_another_token() {
    let find = |token, tails: &mut Tails, now| {
        Resends::new(token, NOW).find(Some(tails), now, 0, &args("INCR a"), false)
    };
    let mut tails = left(answered(&["INCR a"], &[]));
    assert!(find(TOKEN, &mut tails, LATER).is_none() && tails.is_empty());

    let mut tails = left(answered(&["INCR a"], &[]));
    let mut earlier = Resends::new(TOKEN, BEFORE - Duration::from_millis(1));
    assert_eq!(say(&mut earlier, &mut tails, &["INCR a"]), [None], "no later connection");
    let other = Token { part: 1, ..TOKEN };
    assert!(find(other, &mut tails, NOW).is_none());
    tails.drop_of(1);
    assert!(!tails.is_empty());
    tails.drop_of(0);
    assert!(tails.is_empty());
}

#[test]
fn each_connection_has_a_tail_of_its_own() {
    let mut tails = left(answered(&["MULTI", "INCR a", "EXEC"], &[0, 1]));
    let second = answered(&["MULTI", "INCR b", "EXEC", "INCR c"], &[0, 1]);
    let mut tails = left_by(&mut tails, 2, second);
    let mut one = Resends::new(TOKEN, NOW);
    assert_eq!(say(&mut one, &mut tails, &["MULTI"]), [Some(0)]);
    // It is not that of the first; which is left for whoever comes for it.
    let rest = ["INCR b", "EXEC", "INCR c", "INCR c"];
    assert_eq!(say(&mut one, &mut tails, &rest), [Some(1), Some(2), Some(3), None]);
    assert_eq!(told(&mut tails, &["MULTI", "INCR a", "EXEC"]), [0, 1, 2].map(Some));

    let mut tails = left(answered(&["INCR a"], &[]));
    let mut tails = left_by(&mut tails, 2, answered(&["INCR b"], &[]));
    tails.take_back(1);
    assert_eq!(told(&mut tails, &["INCR a"]), [None]);
    assert_eq!(told(&mut tails, &["INCR b"]), [Some(0)]);
}

#[test]
fn what_is_lost_twice_is_told_twice() {
    let commands = ["INCR a", "INCR b", "INCR c"];
    let mut tails = left(answered(&commands, &[]));
    let mut second = Resends::new(TOKEN, NOW);
    let found = second.find(Some(&mut tails), NOW, 0, &args("INCR a"), false);
    second.unread.note(found.unwrap(), NOW, &LIMITS);
    second.unread.ends_at(10);
    let mut tails = left_by(&mut tails, 2, second);
    assert_eq!(told(&mut tails, &commands), [0, 1, 2].map(Some));
}

#[test]
fn a_command_that_has_to_wait_is_found_again() {
    let mut tails = left(answered(&["INCR a"], &[]));
    let mut second = Resends::new(TOKEN, NOW);
    for _ in 0..2 {
        assert!(second.find(Some(&mut tails), NOW, 0, &args("INCR a"), false).is_some());
        second.not_yet();
    }
}

#[test]
fn memory_is_bounded() {
    let nine = ["INCR a"; 9];
    let mut resends = answered(&nine, &[]);
    assert_eq!((resends.unread.bytes(), resends.unread.end()), (0, Some(90)));
    // Until all of it is read nothing is remembered: a part is not what would come again.
    let again = || Answered::new(0, &args("INCR b"), Again::Run, Loop::None);
    resends.unread.note(again(), BEFORE, &LIMITS);
    resends.unread.ends_at(100);
    assert!(left(resends).is_empty());
    let mut resends = answered(&nine, &[]);
    resends.unread.read_through(90);
    resends.unread.note(again(), BEFORE, &LIMITS);
    resends.unread.ends_at(100);
    assert!(!left(resends).is_empty());

    let long = format!("SET a {}", "x".repeat(LIMITS.bytes));
    assert!(left(answered(&[&long], &[])).is_empty());
    // Of several the newest stay.
    let mut tails = Tails::default();
    for client in 0..3 {
        let commands = [(); 4].map(|()| format!("INCR {client}"));
        let commands = commands.each_ref().map(String::as_str);
        tails = left_by(&mut tails, client, answered(&commands, &[]));
    }
    assert!(tails.bytes() <= LIMITS.bytes);
    assert_eq!(told(&mut tails, &["INCR 0"]), [None]);
    assert_eq!(told(&mut tails, &["INCR 1"]), [Some(0)]);
}
