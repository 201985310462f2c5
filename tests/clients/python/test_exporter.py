"""Debian's prometheus-redis-exporter against the server in AFT_BINARY."""

import os
import re
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

import redis

import closing
from server import PASSWORD, Server, certificate

EXPORTER = os.environ.get("EXPORTER", "prometheus-redis-exporter")


class Exporter(unittest.TestCase):
    tls = False

    @classmethod
    def setUpClass(cls):
        cls.server = Server(tls=cls.tls)
        cls.addClassCleanup(cls.server.close)
        cls.exporter = cls.start(PASSWORD)

    @classmethod
    def start(cls, password):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        words = [EXPORTER, "-web.listen-address", f"127.0.0.1:{port}"]
        scheme = "rediss" if cls.tls else "redis"
        words += ["-redis.addr", f"{scheme}://127.0.0.1:{cls.server.port}"]
        if cls.tls:
            words += ["-tls-ca-cert-file", certificate("ca.crt")]
            words += ["-tls-client-cert-file", certificate("client.crt")]
            words += ["-tls-client-key-file", certificate("client.key")]
        # Its own clients announce themselves, and it asks for one value.
        words += ["-set-client-name", "-check-single-keys", "db0=counted"]
        process = subprocess.Popen(
            words,
            env=os.environ | {"REDIS_PASSWORD": password},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        for line in process.stderr:  # ends with the process, so this does too
            if "Providing metrics" in line:
                break
        return f"http://127.0.0.1:{port}/metrics"

    def metrics(self, address=None):
        """Name with labels to value; the exporter listens a moment after it says so."""
        for _ in range(200):
            try:
                with urllib.request.urlopen(address or self.exporter, timeout=20) as answer:
                    text = answer.read().decode()
                break
            except urllib.error.URLError:
                continue
        else:
            raise AssertionError("the exporter does not answer")
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    def setUp(self):
        self.r = redis.Redis(**self.server.where(2))
        self.addCleanup(self.r.close)
        self.r.flushall()

    def test_the_server_is_up(self):
        metrics = self.metrics()
        self.assertEqual(metrics["redis_up"], 1)
        self.assertEqual(metrics["redis_exporter_last_scrape_error{err=\"\"}"], 0)
        [info] = (name for name in metrics if name.startswith("redis_instance_info"))
        self.assertIn('redis_version="7.0.15"', info)
        self.assertIn('role="master"', info)

    def test_what_dashboards_show(self):
        before = self.metrics()
        for n in range(100):
            self.r.set(f"k{n}", n, ex=100 if n < 10 else None)
            self.r.get(f"k{n}")
        self.r.get("none")
        after = self.metrics()

        def grown(name):
            return after[name] - before[name]

        self.assertGreaterEqual(grown("redis_commands_processed_total"), 201)
        self.assertGreaterEqual(grown("redis_keyspace_hits_total"), 100)
        self.assertGreaterEqual(grown("redis_keyspace_misses_total"), 1)
        self.assertEqual(after['redis_db_keys{db="db0"}'], 100)
        self.assertEqual(after['redis_db_keys_expiring{db="db0"}'], 10)
        self.assertGreaterEqual(after["redis_connected_clients"], 2)
        self.assertGreater(after["redis_memory_used_bytes"], 0)
        self.assertGreater(after["redis_net_input_bytes_total"], 0)
        self.assertGreaterEqual(after["redis_config_maxclients"], 1)
        self.assertGreaterEqual(after["redis_uptime_in_seconds"], 0)
        self.assertGreater(after["redis_start_time_seconds"], 0)

    def test_commands_are_counted_by_name(self):
        self.r.set("k", 1)
        before = self.metrics().get('redis_commands_total{cmd="set"}', 0)
        for _ in range(10):
            self.r.set("k", 1)
        metrics = self.metrics()
        self.assertEqual(metrics['redis_commands_total{cmd="set"}'], before + 10)
        self.assertGreater(metrics['redis_commands_duration_seconds_total{cmd="set"}'], 0)

    def test_a_value_it_is_asked_for(self):
        self.r.set("counted", 42)
        values = {n: v for n, v in self.metrics().items() if re.match("redis_key_value{", n)}
        self.assertEqual(values, {'redis_key_value{db="db0",key="counted"}': 42})

    def test_a_wrong_password_is_told(self):
        self.assertEqual(self.metrics(self.start("wrong"))["redis_up"], 0)


class ExporterOverTls(Exporter):
    tls = True


if __name__ == "__main__":
    closing.run("prometheus-redis-exporter")
