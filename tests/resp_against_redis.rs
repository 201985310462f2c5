//! Our bytes against those of a real redis-server 7.0, malformed requests included.
//!
//! Each stream of bytes goes to both: to Redis through a socket, and through our
//! [`Decoder`] and [`Reply`] with a few commands imitated. All they answer must be
//! equal. Without a redis-server 7.0 in the path the tests pass without a word
//! to compare with; with `AFT_TEST_REDIS=1` they then fail.

mod resp_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use aft::resp::{Args, Decoded, Decoder, Protocol, Reply};
use aft::small_bytes::SmallBytes;
use resp_support::encode_request;

/// A redis-server of our own, on a socket in a directory of its own: no port to collide.
struct Redis {
    process: Child,
    directory: PathBuf,
    // Redis logs to it, as long as it is open.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    /// Starts one and waits until it accepts, or says that there is none of version 7.0.
    fn start(test: &str, options: &[&str]) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        let right =
            version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("v=7.0."));
        if !right {
            let wanted = std::env::var_os("AFT_TEST_REDIS").is_some();
            assert!(
                !wanted,
                "AFT_TEST_REDIS is set and redis-server 7.0 is not here"
            );
            println!("skipped: no redis-server 7.0");
            return None;
        }
        let directory =
            std::env::temp_dir().join(format!("aft-resp-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--unixsocket",
                "socket",
                "--save",
                "",
                "--dir",
            ])
            .arg(&directory)
            .args(options)
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        // Its last line before it serves; an end of the log means it didn't start.
        while !line.contains("ready to accept connections at") {
            line.clear();
            assert_ne!(
                log.read_line(&mut line).unwrap(),
                0,
                "redis-server did not start"
            );
        }
        Some(Self {
            process,
            directory,
            _log: log,
        })
    }

    /// All it answers to `stream` before it closes the connection, which it does at the
    /// stream's end at the latest.
    fn answers(&self, stream: &[u8]) -> Vec<u8> {
        let mut socket = UnixStream::connect(self.directory.join("socket")).unwrap();
        let mut sender = socket.try_clone().unwrap();
        // After a protocol error it reads no more: then neither sending nor an orderly
        // end can be expected, only the answers.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = sender.write_all(stream);
                let _ = sender.shutdown(Shutdown::Write);
            });
            let mut answers = Vec::new();
            let _ = socket.read_to_end(&mut answers);
            answers
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What we answer to `stream`.
fn our_answers(stream: &[u8], authenticated: bool) -> Vec<u8> {
    let mut decoder = Decoder::default();
    let mut answers = Vec::new();
    let mut rest = stream;
    loop {
        match decoder.decode(rest, authenticated) {
            Ok(Decoded::NeedMore { .. }) => return answers,
            Ok(Decoded::Empty { consumed }) => rest = &rest[consumed..],
            Ok(Decoded::Request { consumed }) => {
                let reply = if authenticated {
                    execute(decoder.args(rest))
                } else {
                    Reply::error("NOAUTH Authentication required.")
                };
                reply.write(Protocol::Resp2, &mut answers);
                rest = &rest[consumed..];
            }
            Err(error) => {
                Reply::from(error).write(Protocol::Resp2, &mut answers);
                return answers;
            }
        }
    }
}

/// A few of Redis' commands; of those it doesn't know, the reply shows the arguments.
fn execute(args: Args<'_>) -> Reply {
    let name = args[0].to_ascii_lowercase();
    match (name.as_slice(), args.len()) {
        (b"ping", 1) => Reply::Pong,
        (b"ping" | b"echo", 2) => Reply::bulk(args[1].to_vec()),
        (b"ping" | b"echo", _) => {
            let name = String::from_utf8(name).unwrap();
            Reply::error(format!(
                "ERR wrong number of arguments for '{name}' command"
            ))
        }
        _ => unknown_command(args),
    }
}

fn unknown_command(args: Args<'_>) -> Reply {
    // C's %.128s: at most so many bytes, and none from a NUL on.
    let shown = |arg: &[u8], bytes_max: usize| {
        let end = arg.iter().position(|&byte| byte == 0).unwrap_or(arg.len());
        arg[..end.min(bytes_max)].to_vec()
    };
    let mut list = Vec::new();
    for arg in args.iter().skip(1) {
        if list.len() >= 128 {
            break;
        }
        let room = 128 - list.len();
        list.push(b'\'');
        list.extend(shown(arg, room));
        list.extend(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(shown(&args[0], 128));
    text.extend(b"', with args beginning with: ");
    text.extend(list);
    Reply::Error(text.into())
}

#[track_caller]
fn check(redis: &Redis, stream: &[u8], authenticated: bool) {
    let theirs = redis.answers(stream);
    let ours = our_answers(stream, authenticated);
    assert_eq!(
        ours.escape_ascii().to_string(),
        theirs.escape_ascii().to_string(),
        "left: ours, right: Redis'; of {}",
        stream[..stream.len().min(300)].escape_ascii()
    );
}

/// Every way a request can be wrong, or looks wrong and isn't.
const ODD_STREAMS: &[&[u8]] = &[
    b"",
    b"\r\n\n\r\nPING\r\n",
    b"*0\r\n*-1\r\n*-5\r\nPING\r\n",
    b"*-9223372036854775808\r\nPING\r\n",
    b"*-9223372036854775809\r\nPING\r\n",
    b"*\r\n",
    b"*\rxPING\r\n",
    b"*1",
    b"*1\r",
    b"*x\r\n",
    b"*01\r\n$4\r\nPING\r\n",
    b"*+1\r\n$4\r\nPING\r\n",
    b"*-0\r\nPING\r\n",
    b"*-\r\nPING\r\n",
    b"* 1\r\n$4\r\nPING\r\n",
    b"*1 \r\n$4\r\nPING\r\n",
    b"*1\n$4\nPING\n",
    b"*1\n$4\r\nPING\r\n",
    b"*1\0\r\n$4\r\nPING\r\n",
    b"*2147483647\r\n$4\r\nPING\r\n",
    b"*2147483648\r\n",
    b"*4294967297\r\n$4\r\nPING\r\n",
    b"*9223372036854775807\r\n",
    b"*9223372036854775808\r\n",
    b"*18446744073709551617\r\n$4\r\nPING\r\n",
    b"*100000000000000000000000\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n\xff\r\n",
    b"*1\r\n\n\r\n",
    b"*1\r\n\0\r\n",
    b"*1\r\nx",
    b"*1\r\nx\r",
    b"*1\r\n$\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$4x\r\nPING\r\n",
    b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$4\0\r\nPING\r\n",
    b"*1\r\n$536870913\r\n",
    b"*1\r\n$536870912\r\nPING\r\n",
    b"*1\r\n$9223372036854775807\r\n",
    b"*1\r\n$18446744073709551620\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n:5\r\n",
    b"*2\r\n$4\r\nECHO\r\n$5\r\nab\r\n\n",
    b"*2\r\n$4\r\nECHO\r\n$2\r\nab*1\r\n$4\r\nPING\r\n",
    b"*1\rx$4\ryPINGzzPING\r\n",
    b"*1\r\r$4\r\rPING\r\rPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$6\r\n\0\r\n\xff*1\r\n",
    b"*1\r\n$0\r\n\r\nPING\r\n",
    b"*1\r\n$3\r\na\rb\r\n*1\r\n$4\r\na\0b\n\r\n",
    b"*3\r\n$1\r\nx\r\n$3\r\n\r\na\r\n$2\r\nb\n\r\n",
    b"PING",
    b"PING\r",
    b"PING\rPING\r\n",
    b"PING\0\r\nPING\r\n",
    b"\0",
    b"\0\r\n",
    b" *1\r\n",
    b"$4\r\nPING\r\n",
    b"+OK\r\n:1\r\n-ERR\r\n",
    b"\"\n",
    b"'\n",
    b"ECHO \"a\n",
    b"ECHO 'a\n",
    b"ECHO \"a\"b\n",
    b"ECHO 'a'b\n",
    b"ECHO 'a'\"b\"\n",
    b"ECHO \"a\\\n",
    b"ECHO \"a\\\"\n",
    b"ECHO \"a\\\\\"\n",
    b"ECHO 'a\\'\n",
    b"ECHO 'a\\\\'\n",
    b"ECHO 'a\\'b'\n",
    b"ECHO \"\"\nECHO ''\n\"\"\n",
    b"ECHO \"\\x41\\x4g\\xFf\\x0\\x00\\x\"\n",
    b"ECHO \"\\n\\r\\t\\b\\a\\v\\0\\e\\\\\\\"\\'\"\n",
    b"ECHO '\\n\\x41'\n",
    b"ECHO a\\nb\\x41\\\"b c\"\n",
    b"ECHO a\"b c\"\nECHO a'b c'\n",
    b"ECHO a\x0bb\nECHO a\x0cb\nECHO \x0b\x0ca\n",
    b"ECHO \"a\"\x0b\nECHO \"a\"\x0c\nECHO \"a\"\r\r\n",
    b"\x0b\x0c\nPING\x0b\n",
    b"ECHO \x85\nECHO \xa0a\xa0\n",
    b"ECHO\ta\r\nECHO a\rb\n",
    b"\tECHO  \t a \t \r\n",
];

#[test]
fn odd_requests_are_answered_as_redis_does() {
    let Some(redis) = Redis::start("odd", &[]) else {
        return;
    };
    for stream in ODD_STREAMS {
        check(&redis, stream, true);
    }
}

#[test]
fn lines_may_be_as_long_as_in_redis() {
    let Some(redis) = Redis::start("long", &[]) else {
        return;
    };
    for start in [
        "",
        "PING\r\n",
        "*",
        "*1\r\n",
        "*2\r\n$4\r\nECHO\r\n",
        "*2\r\n$4\r\nECHO\r\n$",
    ] {
        // The line that is too long starts here; what went before it is understood.
        let line_at = start.rfind('\n').map_or(0, |newline| newline + 1);
        for length in [65535, 65536, 65537, 65538, 100_000] {
            let mut stream = start.as_bytes().to_vec();
            stream.resize(line_at + length, b'1');
            check(&redis, &stream, true);
        }
        let mut hidden = start.as_bytes().to_vec();
        hidden.extend(b"1\0\r\n1");
        check(&redis, &hidden, true);
        hidden.resize(line_at + 65537, b'\n');
        check(&redis, &hidden, true);
        // A line of just the length allowed ends well, or badly for another reason.
        let mut fits = start.as_bytes().to_vec();
        fits.resize(line_at + 65535, b'1');
        fits.extend(b"\r\nPING\r\n");
        check(&redis, &fits, true);
    }
}

#[test]
fn strangers_are_refused_as_by_redis() {
    let Some(redis) = Redis::start("auth", &["--requirepass", "secret"]) else {
        return;
    };
    let ten = encode_request(&["ECHO"; 10]);
    let eleven = encode_request(&["ECHO"; 11]);
    let streams = [
        ten,
        eleven,
        b"*11\r\n".to_vec(),
        b"*2147483648\r\n".to_vec(),
    ];
    for stream in &streams {
        check(&redis, stream, false);
    }
    let long = encode_request(&[b"ECHO".to_vec(), vec![b'x'; 16384]]);
    check(&redis, &long, false);
    let longer = encode_request(&[b"ECHO".to_vec(), vec![b'x'; 16385]]);
    check(&redis, &longer, false);
    check(&redis, b"*1\r\n$536870913\r\n", false);
    check(
        &redis,
        format!("ECHO {}\r\n", "x ".repeat(20_000)).as_bytes(),
        false,
    );
}

/// Streams put together at random from pieces that mean something.
#[test]
fn random_requests_are_answered_as_redis_does() {
    const PIECES: &[&[u8]] = &[
        b"*1\r\n",
        b"*2\r\n",
        b"*3\r\n",
        b"$4\r\n",
        b"PING\r\n",
        b"ECHO\r\n",
        b"$1\r\n",
        b"a\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n",
        b"$3\r\nabc\r\n",
        b"$0\r\n\r\n",
        b"ECHO ",
        b"PING",
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b"\x0b",
        b"\"",
        b"'",
        b"\\",
        b"\\x4",
        b"*",
        b"$",
        b"-1",
        b"0",
        b"1",
        b"a",
        b"\xff",
        b"*0\r\n",
        b"*-1\r\n",
    ];
    let Some(redis) = Redis::start("random", &[]) else {
        return;
    };
    let mut choices = resp_support::cuts::random_ends(usize::MAX, PIECES.len(), 42);
    let mut last = 0;
    let mut choose = || {
        let end = choices.next().unwrap();
        let choice = end - last - 1;
        last = end;
        choice
    };
    for _ in 0..3000 {
        let stream: Vec<u8> = (0..=choose())
            .flat_map(|_| PIECES[choose()].iter().copied())
            .collect();
        check(&redis, &stream, true);
    }
}

/// Runs `request` on both protocols and compares with `reply`.
#[track_caller]
fn check_reply(redis: &Redis, request: &[&str], reply: Reply) {
    for (protocol, hello) in [
        (Protocol::Resp2, "HELLO 2\r\n"),
        (Protocol::Resp3, "HELLO 3\r\n"),
    ] {
        let greeting = redis.answers(hello.as_bytes());
        let mut stream = hello.as_bytes().to_vec();
        stream.extend(encode_request(request));
        let theirs = redis.answers(&stream);
        // Greetings differ in the connection's number, not in their count of lines.
        let lines = greeting.iter().filter(|&&byte| byte == b'\n').count();
        let theirs = theirs
            .splitn(lines + 1, |&byte| byte == b'\n')
            .last()
            .unwrap();
        let mut ours = Vec::new();
        reply.write(protocol, &mut ours);
        assert_eq!(
            ours.escape_ascii().to_string(),
            theirs.escape_ascii().to_string(),
            "left: ours, right: Redis'; of {request:?} in {protocol:?}"
        );
    }
}

#[test]
fn every_kind_of_reply_is_written_as_by_redis() {
    let Some(redis) = Redis::start("kinds", &["--enable-debug-command", "yes"]) else {
        return;
    };
    let numbers = |from: i64| (from..from + 3).map(Reply::Integer).collect::<Vec<_>>();
    let flags = (0..3)
        .map(|key| (Reply::Integer(key), Reply::Boolean(key == 1)))
        .collect();
    let big = "1234567999999999999999999999999999999";
    for (kind, reply) in [
        ("string", Reply::bulk("Hello World")),
        ("integer", Reply::Integer(12345)),
        ("double", Reply::Double(3.141)),
        ("null", Reply::Null),
        ("array", Reply::Array(numbers(0))),
        ("set", Reply::Set(numbers(0))),
        ("map", Reply::Map(flags)),
        ("bignum", Reply::BigNumber(SmallBytes::from(big))),
        ("true", Reply::Boolean(true)),
        ("false", Reply::Boolean(false)),
        ("verbatim", Reply::text("This is a verbatim\nstring")),
    ] {
        check_reply(&redis, &["DEBUG", "PROTOCOL", kind], reply);
    }
    check_reply(&redis, &["SET", "k", "v"], Reply::Ok);
    check_reply(&redis, &["TYPE", "k"], Reply::simple("string"));
    check_reply(&redis, &["GET", "none"], Reply::Null);
    check_reply(&redis, &["LPOP", "none", "1"], Reply::NullArray);
    check_reply(&redis, &["ECHO", ""], Reply::bulk(""));
    check_reply(
        &redis,
        &["LRANGE", "none", "0", "1"],
        Reply::Array(Vec::new()),
    );
    check_reply(
        &redis,
        &["EVAL", "return {err='ERR a\\r\\nb\\n'}", "0"],
        Reply::error("ERR a\r\nb "),
    );
    check_reply(
        &redis,
        &["EVAL", "return {ok='a\\rb\\n'}", "0"],
        Reply::simple("a\rb "),
    );
}

#[test]
fn integers_and_doubles_are_written_as_by_redis() {
    let Some(redis) = Redis::start("numbers", &[]) else {
        return;
    };
    for value in [
        0,
        1,
        -1,
        9,
        10,
        99,
        100,
        101,
        -1000,
        1_234_567_890,
        i64::MAX,
        i64::MIN,
    ] {
        redis.answers(format!("SET n {value}\r\n").as_bytes());
        check_reply(&redis, &["INCRBY", "n", "0"], Reply::Integer(value));
    }
    let mut doubles = vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1.0 / 3.0,
        100.0,
        1e15,
        1e16,
        123456789012345678.0,
        1e17,
        1e21,
        1e22,
        1e100,
        0.001,
        0.0001,
        0.00001,
        1.5e-7,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    // Every power of ten of any length, and its neighbours.
    for exponent in -320..308 {
        let power: f64 = format!("1e{exponent}").parse().unwrap();
        doubles.extend([power, power.next_down(), power.next_up()]);
    }
    // One exchange for all of them: the doubles as members' scores.
    let mut stream = Vec::new();
    let mut ours = Vec::new();
    for (index, double) in doubles.iter().enumerate() {
        // Not `{double:e}` for infinities: Redis wants `inf`.
        let text = format!("{double:e}");
        let member = index.to_string();
        stream.extend(encode_request(&["ZADD", "z", &text, &member]));
        Reply::Integer(1).write(Protocol::Resp2, &mut ours);
        stream.extend(encode_request(&["ZSCORE", "z", &member]));
        Reply::Double(*double).write(Protocol::Resp2, &mut ours);
    }
    let theirs = redis.answers(&stream);
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (ours, theirs) in lines(&ours).lines().zip(lines(&theirs).lines()) {
        assert_eq!(ours, theirs, "left: ours, right: Redis'");
    }
    assert_eq!(ours.len(), theirs.len());
    check_reply(&redis, &["ZSCORE", "z", "4"], Reply::Double(0.1));
    check_reply(&redis, &["ZSCORE", "z", "21"], Reply::Double(f64::INFINITY));
    check_reply(
        &redis,
        &["ZSCORE", "z", "22"],
        Reply::Double(f64::NEG_INFINITY),
    );
    for (script, sign) in [
        ("return {double=0/0}", -1.0),
        ("return {double=-(0/0)}", 1.0),
    ] {
        check_reply(
            &redis,
            &["EVAL", script, "0"],
            Reply::Double(f64::NAN.copysign(sign)),
        );
    }
}
