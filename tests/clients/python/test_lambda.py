"""The wrappers for Lambda of examples/, in the command LAMBDA_FUNCTION, under a runner that does
what Lambda does: it delivers at least once, invokes again what failed, and some deliveries twice at
the same time, so that a first attempt goes on while a second runs."""

import json
import os
import subprocess
import unittest

import redis

import closing
from server import PASSWORD, Server

COMMAND = os.environ["LAMBDA_FUNCTION"].split("\x1f")
CRASHES = ["0", "1", "2", "3", "told"]


class Lambda(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.db = redis.Redis(**self.server.where(2), decode_responses=True)
        self.addCleanup(self.db.close)
        self.db.mset({"rich": 1000, "poor": 0})

    def invoke(self, event, crash=""):
        env = os.environ | {
            "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{self.server.port}",
            "CRASH": crash,
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(COMMAND, env=env, text=True, **pipes)
        process.stdin.write(json.dumps(event))
        process.stdin.close()
        return process

    def result(self, process):
        """`None` if it failed."""
        with process:
            said, complained = process.stdout.read(), process.stderr.read()
        if process.returncode:
            self.complained = complained
            return None
        return json.loads(said)

    def deliver(self, event, crashes=()):
        """At least once: again until it succeeds."""
        for crash in crashes:
            self.assertIsNone(self.result(self.invoke(event, crash)), crash)
        for _ in range(10):
            if (result := self.result(self.invoke(event))) is not None:
                return result
        self.fail(self.complained)

    def accounts(self):
        return [int(balance) for balance in self.db.mget("rich", "poor")]

    def test_a_crash_at_each_line_and_then_a_retry(self):
        for number, crash in enumerate(CRASHES, 1):
            with self.subTest(crash=crash):
                event = {"id": f"crash:{crash}", "amount": 1}
                self.assertIsNone(self.result(self.invoke(event, crash)))
                moved = number if crash == "told" else number - 1
                self.assertEqual(self.accounts(), [1000 - moved, moved], "all of it or nothing")
                expected = {"rich": 1000 - number, "poor": number}
                self.assertEqual(self.deliver(event), expected)
                self.assertEqual(self.accounts(), [1000 - number, number])

    def test_crash_after_crash(self):
        event = {"id": "often", "amount": 7}
        self.assertEqual(self.deliver(event, CRASHES[:4]), {"rich": 993, "poor": 7})
        self.assertEqual(self.accounts(), [993, 7])

    def test_a_handler_that_returns_nothing(self):
        for _ in range(2):
            with self.invoke({"id": "silent", "amount": 3, "silent": True}) as process:
                said, complained = process.stdout.read(), process.stderr.read()
            self.assertEqual((process.returncode, said), (0, "null\n"), complained)
        self.assertEqual(self.accounts(), [997, 3])

    def test_delivered_twice(self):
        event = {"id": "twice", "amount": 5}
        first = self.deliver(event)
        self.assertEqual(self.deliver(event), first)
        self.assertEqual(self.accounts(), [995, 5])

    def test_delivered_twice_at_the_same_time(self):
        for number in range(1, 4):
            event = {"id": f"both:{number}", "amount": 1}
            both = [self.invoke(event) for _ in range(2)]
            results = [self.result(process) for process in both]
            # One may have been overtaken by the other: Lambda invokes it again.
            results = [result or self.deliver(event) for result in results]
            self.assertEqual(results, [{"rich": 1000 - number, "poor": number}] * 2)
            self.assertEqual(self.accounts(), [1000 - number, number])


closing.run("lambda")
