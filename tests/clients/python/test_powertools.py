"""Idempotency of Powertools for AWS Lambda (Python) on the server in AFT_BINARY."""

import json
import os
import threading
import unittest
from types import SimpleNamespace

os.environ.setdefault("AWS_DEFAULT_REGION", "nowhere-1")  # DynamoDB's layer is imported, not used
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

import redis  # noqa: E402
from aws_lambda_powertools.utilities.idempotency import (  # noqa: E402
    IdempotencyConfig,
    idempotent,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (  # noqa: E402
    IdempotencyAlreadyInProgressError,
    IdempotencyValidationError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.cache import (  # noqa: E402
    CachePersistenceLayer,
)
from aws_lambda_powertools.utilities.idempotency.persistence.redis import (  # noqa: E402
    RedisCachePersistenceLayer,
)

import closing  # noqa: E402
from server import PASSWORD, Server, tls_options  # noqa: E402


def lambda_context(left_ms=60_000):
    return SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms)


class Recording(redis.Redis):
    """Knows the keys that were set."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.names = []

    def set(self, name, *args, **kwargs):
        self.names.append(name)
        return super().set(name, *args, **kwargs)


class Idempotency(unittest.TestCase):
    protocol = 2
    tls = False

    @classmethod
    def setUpClass(cls):
        cls.server = Server(tls=cls.tls)
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.client = Recording(**self.server.where(self.protocol), decode_responses=True)
        self.addCleanup(self.client.close)
        self.client.flushall()
        self.layer = CachePersistenceLayer(client=self.client)
        self.runs = []

    def handler(self, body=None, layer=None, **config):
        config = IdempotencyConfig(**{"event_key_jmespath": "order", **config})

        @idempotent(config=config, persistence_store=layer or self.layer)
        def handle(event, context):
            self.runs.append(event)
            return body(event) if body else {"run": len(self.runs)}

        return handle

    def test_the_second_call_gets_the_first_ones_result(self):
        handle = self.handler(expires_after_seconds=100)
        first = handle({"order": 1}, lambda_context())
        self.assertEqual(handle({"order": 1, "try": 2}, lambda_context()), first)
        self.assertEqual(handle({"order": 2}, lambda_context()), {"run": 2})
        self.assertEqual(len(self.runs), 2)
        key = self.client.names[0]
        self.assertIn(self.client.ttl(key), range(90, 101))
        self.assertEqual(json.loads(self.client.get(key))["status"], "COMPLETED")

    def test_a_failed_call_can_be_repeated(self):
        def fails_once(_event):
            if len(self.runs) == 1:
                raise RuntimeError("first")
            return "fine"

        handle = self.handler(fails_once)
        with self.assertRaisesRegex(RuntimeError, "first"):
            handle({"order": 1}, lambda_context())
        self.assertEqual(self.client.dbsize(), 0)
        self.assertEqual(handle({"order": 1}, lambda_context()), "fine")

    def test_a_second_call_at_the_same_time_is_refused(self):
        begun, go_on = threading.Event(), threading.Event()

        def waits(_event):
            begun.set()
            self.assertTrue(go_on.wait(20))
            return "done"

        handle = self.handler(waits)
        thread = threading.Thread(target=handle, args=({"order": 1}, lambda_context()))
        thread.start()
        self.assertTrue(begun.wait(20))
        try:
            with self.assertRaises(IdempotencyAlreadyInProgressError):
                handle({"order": 1}, lambda_context())
        finally:
            go_on.set()
            thread.join()
        self.assertEqual(handle({"order": 1}, lambda_context()), "done")
        self.assertEqual(len(self.runs), 1)

    def test_a_call_that_died_is_taken_over(self):
        def dies(_event):
            raise SystemExit  # no cleanup runs, as when the function is killed

        with self.assertRaises(SystemExit):
            self.handler(dies)({"order": 1}, lambda_context(left_ms=0))
        key = self.client.names[0]
        self.assertEqual(json.loads(self.client.get(key))["status"], "INPROGRESS")
        self.assertEqual(self.handler()({"order": 1}, lambda_context()), {"run": 2})
        # The first try, the one that found it, the lock to take over, and both of the second.
        self.assertEqual(self.client.names, [key, key, f"{key}:lock", key, key])

    def test_a_changed_payload_is_noticed(self):
        handle = self.handler(payload_validation_jmespath="amount")
        handle({"order": 1, "amount": 5}, lambda_context())
        with self.assertRaises(IdempotencyValidationError):
            handle({"order": 1, "amount": 6}, lambda_context())

    def test_fifty_at_once_run_one(self):
        where = {k: v for k, v in self.server.where(self.protocol).items() if k != "ssl"}
        kind = redis.SSLConnection if self.tls else redis.Connection
        pool = redis.BlockingConnectionPool(connection_class=kind, max_connections=50, **where)
        layer = CachePersistenceLayer(client=redis.Redis(connection_pool=pool))
        results = []
        config = IdempotencyConfig(lambda_context=lambda_context())

        @idempotent_function(
            data_keyword_argument="order", persistence_store=layer, config=config
        )
        def pay(order):
            self.runs.append(order)
            return "paid"

        def call():
            try:
                results.append(pay(order={"id": 1}))
            except IdempotencyAlreadyInProgressError:
                results.append("in progress")

        threads = [threading.Thread(target=call) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(self.runs), 1)
        self.assertEqual(len(results), 50)
        self.assertLessEqual(set(results), {"paid", "in progress"})

    def test_it_connects_by_itself(self):
        scheme = "rediss" if self.tls else "redis"
        url = f"{scheme}://:{PASSWORD}@127.0.0.1:{self.server.port}/5?protocol={self.protocol}"
        if self.tls:
            files = {key: value for key, value in tls_options().items() if isinstance(value, str)}
            url += "".join(f"&{key}={value}" for key, value in files.items())
        layer = RedisCachePersistenceLayer(url=url)
        handle = self.handler(layer=layer)
        self.assertEqual(handle({"order": 1}, lambda_context()), {"run": 1})
        self.assertEqual(handle({"order": 1}, lambda_context()), {"run": 1})

    def test_results_outlive_the_server(self):
        handle = self.handler()
        first = handle({"order": 1}, lambda_context())
        self.server.kill()
        self.server.start()
        self.assertEqual(handle({"order": 1}, lambda_context()), first)
        self.assertEqual(len(self.runs), 1)


class IdempotencyInResp3(Idempotency):
    protocol = 3


class IdempotencyOverTls(Idempotency):
    protocol = 3
    tls = True


if __name__ == "__main__":
    closing.run("powertools")
