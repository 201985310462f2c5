"""redis-py 5 and newest against the server in AFT_BINARY, in both protocols."""

import os
import threading
import unittest

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import AuthenticationError, ResponseError, WatchError
from redis.retry import Retry

import closing
from server import PASSWORD, Server, tls_options

IS_REDIS = os.path.basename(os.environ["AFT_BINARY"]).startswith("redis-server")


def in_threads(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Plain(unittest.TestCase):
    protocol = 2
    tls = False

    @classmethod
    def setUpClass(cls):
        cls.server = Server(tls=cls.tls)
        cls.addClassCleanup(cls.server.close)
        cls.where = cls.server.where(cls.protocol)

    def connect(self, **options):
        options = {"decode_responses": True, "socket_timeout": 20} | options
        client = redis.Redis(**self.where, **options)
        self.addCleanup(client.close)
        return client

    def setUp(self):
        self.r = self.connect()
        self.r.flushall()

    def test_it_speaks_the_protocol_asked_for(self):
        info = self.r.execute_command("HELLO")
        if isinstance(info, list):
            info = dict(zip(info[::2], info[1::2]))
        self.assertEqual(info["proto"], self.protocol)

    def test_strings(self):
        r = self.r
        self.assertIsNone(r.get("k"))
        self.assertTrue(r.set("k", "v"))
        self.assertEqual(r.get("k"), "v")
        self.assertIsNone(r.set("k", "w", nx=True))
        self.assertEqual(r.set("k", "w", get=True), "v")
        self.assertTrue(r.mset({"a": 1, "b": 2}))
        self.assertEqual(r.mget("a", "none", "b"), ["1", None, "2"])
        self.assertEqual([r.incr("a"), r.incrby("a", 40), r.decr("a")], [2, 42, 41])
        self.assertEqual(r.exists("a", "b", "none"), 2)
        self.assertEqual(r.delete("a", "none"), 1)
        self.assertEqual(r.type("b"), "string")
        self.assertEqual(r.dbsize(), 2)

    def test_bytes_are_kept(self):
        r = self.connect(decode_responses=False)
        everything = bytes(range(256))
        r.set(everything, everything)
        self.assertEqual(r.get(everything), everything)

    def test_expiry(self):
        r = self.r
        r.set("k", "v", ex=100)
        self.assertIn(r.ttl("k"), range(95, 101))
        self.assertTrue(r.persist("k"))
        self.assertEqual(r.ttl("k"), -1)
        self.assertTrue(r.pexpireat("k", 33333333333333))
        self.assertEqual(r.pexpiretime("k"), 33333333333333)

    def test_errors(self):
        self.r.set("k", "text")
        with self.assertRaisesRegex(ResponseError, "^value is not an integer or out of range$"):
            self.r.incr("k")
        with self.assertRaisesRegex(ResponseError, "^unknown command 'NOSUCH'"):
            self.r.execute_command("NOSUCH")

    def test_name_and_database_at_connect(self):
        r = self.connect(client_name="me", db=3)
        self.assertEqual(r.client_getname(), "me")
        r.set("k", "3")
        self.assertIsNone(self.r.get("k"))
        self.assertEqual(r.get("k"), "3")

    @unittest.skipIf(IS_REDIS, "redis-server has no AFT.BEGIN")
    def test_a_url_alone_binds_to_a_transaction(self):
        runner = self.connect(single_connection_client=True)
        token = runner.execute_command("AFT.BEGIN")[0]
        runner.execute_command("AFT.LEAVE")
        where = ("rediss" if self.tls else "redis"), f"127.0.0.1:{self.server.port}"
        options = {"decode_responses": True, "protocol": self.protocol}
        if self.tls:
            options |= {name: value for name, value in tls_options().items() if name != "ssl"}
        urls = (
            "{}://:{password}@{}?client_name=aft:{token}",
            "{}://default~{token}:{password}@{}",
        )
        functions = []
        for url in urls:
            url = url.format(*where, password=PASSWORD, token=token)
            functions.append(redis.Redis.from_url(url, **options))
            self.addCleanup(functions[-1].close)
        for number, function in enumerate(functions, 1):
            self.assertEqual(function.incr("k"), number)
            self.assertIsNone(self.r.get("k"))
        runner.execute_command("AFT.COMMIT", token)
        self.assertEqual(self.r.get("k"), "2")
        for function in functions:
            with self.assertRaisesRegex(ResponseError, "^NOTXN"):
                function.incr("k")

    def test_pipeline(self):
        pipe = self.r.pipeline(transaction=False)
        for n in range(1000):
            pipe.set(f"k{n}", n).get(f"k{n}")
        self.assertEqual(pipe.execute(), [x for n in range(1000) for x in (True, str(n))])

    def test_multi(self):
        pipe = self.r.pipeline(transaction=True)
        pipe.set("a", 1).incr("a").get("a").get("none")
        self.assertEqual(pipe.execute(), [True, 2, "2", None])

    def test_an_error_inside_multi_leaves_the_others(self):
        self.r.set("s", "text")
        pipe = self.r.pipeline().set("a", 1).incr("s").set("b", 2)
        ok, error, also_ok = pipe.execute(raise_on_error=False)
        self.assertEqual((ok, also_ok), (True, True))
        self.assertIsInstance(error, ResponseError)
        self.assertEqual(self.r.mget("a", "b"), ["1", "2"])

    def test_watch_conflict(self):
        with self.r.pipeline() as pipe:
            pipe.watch("k")
            self.r.set("k", "other")
            pipe.multi()
            pipe.set("k", "mine")
            with self.assertRaises(WatchError):
                pipe.execute()
        self.assertEqual(self.r.get("k"), "other")

    def test_a_transaction_is_retried(self):
        self.r.set("k", 1)
        attempts = []

        def double(pipe):
            value = int(pipe.get("k"))
            attempts.append(value)
            if len(attempts) == 1:
                self.r.set("k", 10)
            pipe.multi()
            pipe.set("k", value * 2)

        self.assertEqual(self.r.transaction(double, "k"), [True])
        self.assertEqual(attempts, [1, 10])
        self.assertEqual(self.r.get("k"), "20")

    def test_big_value(self):
        big = "0123456789abcdef" * (2 << 20)
        self.r.set("big", big)
        self.assertTrue(self.r.get("big") == big)

    def test_pool_of_50(self):
        where = {key: value for key, value in self.where.items() if key != "ssl"}
        kind = redis.SSLConnection if self.tls else redis.Connection
        pool = redis.BlockingConnectionPool(connection_class=kind, max_connections=50, **where)
        r = redis.Redis(connection_pool=pool)
        self.addCleanup(r.close)
        counts = []

        def work():
            counts.extend([r.incr("n") for _ in range(20)])

        in_threads(100, work)
        self.assertEqual(sorted(counts), list(range(1, 2001)))

    def test_auth(self):
        # By default it tries a wrong password ten times before it says so.
        once = self.where | {"password": None, "retry": Retry(NoBackoff(), 0)}
        for wrong in ({}, {"password": "wrong"}, {"username": "x", "password": PASSWORD}):
            with self.subTest(wrong=wrong), redis.Redis(**once | wrong) as client:
                with self.assertRaises(AuthenticationError):
                    client.get("k")
        with redis.Redis(**self.where, username="default") as client:
            self.assertTrue(client.set("k", "v"))

    def test_reconnects_after_kill_9_and_the_acknowledged_data_is_there(self):
        client = self.connect(
            retry=Retry(ConstantBackoff(0.1), 100),
            retry_on_error=[ConnectionRefusedError],  # redis-py 5 has to be told
        )
        for n in range(100):
            client.set(f"k{n}", n)
        self.server.kill()
        # The first command meets the dead connection, and is sent again.
        restart = threading.Thread(target=self.server.start)
        restart.start()
        values = client.mget([f"k{n}" for n in range(100)])
        restart.join()
        self.assertEqual(values, [str(n) for n in range(100)])
        self.assertTrue(client.set("again", "yes"))

    # redis-py's Lock acquires, waits, looks and expires by SET NX PX and GET.

    def test_one_holds_the_lock_until_it_expires(self):
        mine, theirs = (self.r.lock("lock", timeout=0.5, sleep=0.05) for _ in range(2))
        self.assertTrue(mine.acquire())
        self.assertTrue(mine.owned() and mine.locked() and theirs.locked())
        self.assertFalse(theirs.acquire(blocking=False))
        self.assertTrue(theirs.acquire(blocking_timeout=20))
        self.assertTrue(theirs.owned() and not mine.owned())

    def test_exactly_one_of_many_gets_the_lock(self):
        won = []

        def work():
            won.append(self.r.lock("lock", timeout=60).acquire(blocking=False))

        in_threads(50, work)
        self.assertEqual(sorted(won), [False] * 49 + [True])

    def test_the_lock_is_extended_and_released_by_scripts(self):
        closing.needs(self, self.server, "EVAL", "return 1", 0)
        mine, theirs = (self.r.lock("lock", timeout=60) for _ in range(2))
        with mine:
            self.assertTrue(mine.extend(60) and mine.reacquire())
            self.assertFalse(theirs.acquire(blocking=False))
        self.assertTrue(theirs.acquire(blocking=False))


class Plain3(Plain):
    protocol = 3


class Tls(Plain):
    tls = True

    def test_who_has_no_certificate_of_ours_is_refused(self):
        for who in (None, "stranger"):
            options = self.where | {"ssl_certfile": None, "ssl_keyfile": None}
            options |= tls_options(who) | {"retry": Retry(NoBackoff(), 0)}
            with self.subTest(who=who), redis.Redis(**options) as client:
                with self.assertRaises(redis.ConnectionError):
                    client.get("k")


class Tls3(Tls):
    protocol = 3


if __name__ == "__main__":
    closing.run("redis-py")
