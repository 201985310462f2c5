//! The commands of the first groups, options and error texts included: users' code matches on
//! these strings.

use crate::common::session::{Scenario, same_replies};

const fn scenario(name: &'static str, script: &'static str) -> Scenario {
    Scenario { name, script }
}

#[test]
fn strings_are_as_in_redis() {
    same_replies(STRINGS);
}

#[test]
fn expiry_is_as_in_redis() {
    same_replies(EXPIRY);
}

#[test]
fn the_key_space_is_as_in_redis() {
    same_replies(KEY_SPACE);
}

const STRINGS: &[Scenario] = &[
    scenario(
        "GET and SET",
        "a: GET k | a: SET k v | a: GET k | a: SET k \"\" | a: GET k | a: SET \"\" x | \
         a: GET \"\"",
    ),
    scenario(
        "binary",
        "a: SET \"a\\x00\\r\\nb\" \"\\xff\\x00\\r\\n\" | a: GET \"a\\x00\\r\\nb\" | a: EXISTS a",
    ),
    scenario(
        "arity",
        "a: GET | a: GET a b | a: SET k | a: MGET | a: MSET | a: MSET k | a: MSET a 1 b | \
         a: DEL | a: INCR | a: INCRBY k | a: EXISTS | a: TYPE | a: DBSIZE x | a: SELECT | \
         a: ECHO | a: PING a b",
    ),
    scenario(
        "NX and XX",
        "a: SET k 1 XX | a: SET k 1 NX | a: SET k 2 NX | a: SET k 3 XX | a: GET k | \
         a: SET k 4 NX XX",
    ),
    scenario(
        "GET option",
        "a: SET k 1 GET | a: SET k 2 GET | a: SET k 3 NX GET | a: SET k 4 XX GET | \
         a: SET l 5 XX GET | a: SET l 6 NX GET | a: MGET k l",
    ),
    scenario("any case, any order", "a: set k 1 nx ex 100 | a: SET k 2 eX 100 XX gEt | a: TTL k"),
    scenario(
        "EX PX EXAT PXAT",
        "a: SET k 1 EX 100 | a: TTL k | a: SET k 1 PX 100000 | a: TTL k | \
         a: SET k 1 EXAT 33333333333 | a: EXPIRETIME k | a: SET k 1 PXAT 33333333333333 | \
         a: PEXPIRETIME k | a: SET k 1 | a: TTL k",
    ),
    scenario(
        "KEEPTTL",
        "a: SET k 1 EX 100 | a: SET k 2 KEEPTTL | a: TTL k | a: SET k 3 | a: TTL k | \
         a: SET l 1 KEEPTTL | a: TTL l",
    ),
    scenario(
        "times in the past",
        "a: SET k 1 EXAT 1 | a: GET k | a: SET k 1 | a: SET k 2 PXAT 1 GET | a: GET k",
    ),
    scenario(
        "wrong options",
        "a: SET k 1 EX | a: SET k 1 EX x | a: SET k 1 EX 0 | a: SET k 1 EX -1 | \
         a: SET k 1 PX 0 | a: SET k 1 EXAT 0 | a: SET k 1 PXAT -5 | a: SET k 1 EX 10 PX 10 | \
         a: SET k 1 EX 10 KEEPTTL | a: SET k 1 KEEPTTL EX 10 | \
         a: SET k 1 EX 9223372036854775807 | a: SET k 1 PX 9223372036854775807 | \
         a: SET k 1 EX 99999999999999999999 | a: SET k 1 nope | a: SET k 1 NX NX | \
         a: SET k 1 GET GET | a: EXISTS k",
    ),
    scenario("IFEQ", "a: SET k 1 | a: SET k 2 IFEQ 1"),
    scenario("MGET and MSET", "a: MSET a 1 b 2 a 3 | a: MGET a b c a"),
    scenario(
        "INCR and its like",
        "a: INCR n | a: INCRBY n 41 | a: DECR n | a: DECRBY n 40 | a: GET n | a: INCRBY n -5 | \
         a: DECRBY n -5",
    ),
    scenario("INCR keeps the time to live", "a: SET n 1 EX 100 | a: INCR n | a: TTL n"),
    scenario(
        "INCR of other texts",
        "a: SET k text | a: INCR k | a: SET k \"\" | a: INCR k | a: SET k 1.0 | a: INCR k | \
         a: SET k \" 1\" | a: INCR k | a: SET k 01 | a: INCR k | a: SET k +1 | a: INCR k | \
         a: SET k -0 | a: INCR k | a: SET k \"1 \" | a: INCR k | a: SET k -1 | a: INCR k",
    ),
    scenario(
        "overflow",
        "a: SET n 9223372036854775807 | a: INCR n | a: INCRBY n 1 | a: DECRBY n -1 | \
         a: GET n | a: SET n -9223372036854775808 | a: DECR n | \
         a: DECRBY n 9223372036854775807 | a: GET n | a: SET n 9223372036854775808 | \
         a: INCR n | a: DECRBY n -9223372036854775808 | a: SET z 0 | \
         a: DECRBY z -9223372036854775808 | a: INCRBY z 9223372036854775808 | a: INCRBY z x | \
         a: INCRBY z 1.5",
    ),
];

const EXPIRY: &[Scenario] = &[
    scenario(
        "missing keys",
        "a: TTL k | a: PTTL k | a: EXPIRETIME k | a: PEXPIRETIME k | a: PERSIST k | \
         a: EXPIRE k 10 | a: PEXPIREAT k 10",
    ),
    scenario(
        "without expiry",
        "a: SET k 1 | a: TTL k | a: PTTL k | a: EXPIRETIME k | a: PEXPIRETIME k | a: PERSIST k",
    ),
    scenario(
        "EXPIRE and PERSIST",
        "a: SET k 1 | a: EXPIRE k 100 | a: TTL k | a: PERSIST k | a: TTL k | \
         a: PEXPIRE k 100000 | a: TTL k",
    ),
    scenario(
        "absolute",
        "a: SET k 1 | a: EXPIREAT k 33333333333 | a: EXPIRETIME k | a: PEXPIRETIME k | \
         a: PEXPIREAT k 33333333333333 | a: PEXPIRETIME k | a: EXPIRETIME k",
    ),
    scenario(
        "in the past",
        "a: MSET a 1 b 1 c 1 d 1 | a: EXPIRE a 0 | a: EXPIRE b -1 | a: EXPIREAT c 1 | \
         a: PEXPIREAT d 1 | a: DBSIZE",
    ),
    scenario(
        "NX XX GT LT",
        "a: SET k 1 | a: EXPIRE k 100 XX | a: EXPIRE k 100 GT | a: EXPIRE k 100 NX | \
         a: EXPIRE k 200 NX | a: EXPIRE k 50 GT | a: EXPIRE k 200 GT | a: TTL k | \
         a: EXPIRE k 300 LT | a: EXPIRE k 100 LT | a: TTL k | a: EXPIRE k 500 XX | a: TTL k | \
         a: PERSIST k | a: EXPIRE k 60 LT | a: TTL k",
    ),
    scenario(
        "options that exclude each other",
        "a: SET k 1 | a: EXPIRE k 100 NX XX | a: EXPIRE k 100 NX GT | a: EXPIRE k 100 GT LT | \
         a: EXPIRE k 100 XX GT | a: EXPIRE k 100 nope | a: EXPIRE k 100 NX nope | a: TTL k",
    ),
    scenario(
        "wrong times",
        "a: SET k 1 | a: EXPIRE k x | a: EXPIRE k 9223372036854775807 | \
         a: EXPIRE k -9223372036854775808 | a: PEXPIRE k 9223372036854775807 | \
         a: EXPIREAT k 9223372036854775807 | a: PEXPIREAT k 9223372036854775807 | \
         a: PEXPIRETIME k | a: EXPIRE k | a: EXPIRE k 1.5",
    ),
    scenario(
        "arity",
        "a: TTL | a: TTL a b | a: PERSIST | a: EXPIRETIME | a: PEXPIRE k | a: EXPIREAT",
    ),
    scenario(
        "MSET clears, INCR keeps",
        "a: SET a 1 EX 100 | a: SET b 1 EX 100 | a: MSET a 2 | a: INCR b | a: TTL a | a: TTL b",
    ),
];

const KEY_SPACE: &[Scenario] = &[
    scenario(
        "DEL UNLINK EXISTS",
        "a: MSET a 1 b 2 c 3 | a: EXISTS a b none a | a: DEL a a none | a: UNLINK b b | \
         a: EXISTS a b c | a: DBSIZE",
    ),
    scenario("TYPE", "a: SET k 1 | a: TYPE k | a: TYPE none"),
    scenario(
        "databases",
        "a: SET k 0 | a: SELECT 15 | a: GET k | a: SET k 15 | a: DBSIZE | a: SELECT 16 | \
         a: SELECT -1 | a: SELECT x | a: SELECT 99999999999 | a: GET k | a: SELECT 0 | a: GET k",
    ),
    scenario(
        "FLUSHDB",
        "a: SET k 0 | a: SELECT 1 | a: SET k 1 | a: FLUSHDB | a: DBSIZE | a: SELECT 0 | \
         a: DBSIZE",
    ),
    scenario(
        "FLUSHALL",
        "a: SET k 0 | a: SELECT 1 | a: SET k 1 | a: FLUSHALL | a: DBSIZE | a: SELECT 0 | \
         a: DBSIZE",
    ),
    scenario(
        "flush options",
        "a: SET k 0 | a: FLUSHALL ASYNC | a: FLUSHALL SYNC | a: FLUSHDB sync | \
         a: FLUSHDB ASYNC | a: FLUSHALL nope | a: FLUSHDB ASYNC SYNC | a: DBSIZE",
    ),
    scenario(
        "unknown commands",
        "a: NOSUCH | a: nosuch a b | a: \"no\\r\\nsuch\" x | \
         a: NOSUCH \"\\xff\\x00\" \"a b\" | \
         a: NOSUCH aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b c | \
         a: PING",
    ),
    scenario(
        "unknown subcommands",
        "a: CLIENT NOPE | a: CLIENT | a: CONFIG NOPE | a: CONFIG GET | a: COMMAND NOPE",
    ),
];
