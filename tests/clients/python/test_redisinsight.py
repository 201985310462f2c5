"""What RedisInsight sends when it opens a database and its browser, and what it takes from it."""

import unittest

import redis

import closing
from server import Server

server = Server()
unittest.addModuleCleanup(server.close)


class Opening(unittest.TestCase):
    protocol = 2

    def setUp(self):
        self.r = redis.Redis(**server.where(self.protocol), decode_responses=True)
        self.addCleanup(self.r.close)
        self.r.flushall()
        self.r.set("text", "value")
        self.r.set("short-lived", "v" * 1000, ex=100)

    def test_info(self):
        info = self.r.info()
        self.assertEqual(info["redis_version"], "7.0.15")
        self.assertEqual((info["redis_mode"], info["role"]), ("standalone", "master"))
        self.assertGreaterEqual(info["connected_clients"], 1)
        self.assertGreater(info["used_memory"], 0)
        self.assertGreaterEqual(info["uptime_in_days"], 0)
        self.assertGreater(info["total_commands_processed"], 0)
        self.assertGreaterEqual(info["keyspace_hits"] + info["keyspace_misses"], 0)
        for rate in ("instantaneous_ops_per_sec", "instantaneous_input_kbps"):
            self.assertIn(rate, info)
        # avg_ttl is none of the things an exact count can be asked of.
        self.assertEqual((info["db0"]["keys"], info["db0"]["expires"]), (2, 1))
        for section in ("server", "clients", "memory", "stats", "replication", "keyspace"):
            self.assertTrue(self.r.info(section), section)

    def test_config_get_databases(self):
        self.assertEqual(self.r.config_get("databases"), {"databases": "16"})

    def test_module_list(self):
        self.assertEqual(self.r.execute_command("MODULE", "LIST"), [])

    def test_dbsize(self):
        self.assertEqual(self.r.dbsize(), 2)

    def test_command_info(self):
        self.r.response_callbacks.pop("COMMAND")  # it takes no nil for an unknown command
        known, unknown = self.r.execute_command("COMMAND", "INFO", "GET", "ft.search")
        self.assertEqual((known[0], known[1]), ("get", 2))
        self.assertIsNone(unknown)

    def test_acl_whoami(self):
        self.assertEqual(self.r.execute_command("ACL", "WHOAMI"), "default")

    def test_type_and_ttl(self):
        self.assertEqual([self.r.type(key) for key in ("text", "none")], ["string", "none"])
        self.assertEqual([self.r.ttl(key) for key in ("text", "none")], [-1, -2])
        self.assertIn(self.r.ttl("short-lived"), range(95, 101))

    def test_a_pipeline_of_type_and_ttl_as_the_browser_sends_it(self):
        pipe = self.r.pipeline(transaction=False)
        pipe.execute_command("TYPE", "text").execute_command("TTL", "text").strlen("text")
        self.assertEqual(pipe.execute(), ["string", -1, 5])

    def test_scan(self):
        found, cursor = [], None
        while cursor != 0:
            cursor, keys = self.r.scan(cursor or 0, match="*", count=500)
            found += keys
        self.assertEqual(sorted(found), ["short-lived", "text"])
        found = list(self.r.scan_iter(match="te*", _type="string", count=10_000))
        self.assertEqual(found, ["text"])

    def test_memory_usage(self):
        self.assertIn(self.r.memory_usage("text", samples=0), range(6, 1000))
        self.assertGreater(self.r.memory_usage("short-lived", samples=0), 1000)
        self.assertIsNone(self.r.memory_usage("none", samples=0))

    def test_object(self):
        self.r.set("n", 7)
        encodings = [self.r.object("encoding", key) for key in ("text", "short-lived", "n")]
        self.assertEqual(encodings, ["embstr", "raw", "int"])

    def test_it_is_neither_a_cluster_nor_a_sentinel(self):
        with self.assertRaisesRegex(redis.ResponseError, "cluster support disabled"):
            self.r.execute_command("CLUSTER INFO")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command 'SENTINEL'"):
            self.r.execute_command("SENTINEL", "MASTERS")

    def test_a_text_is_shown(self):
        self.assertEqual(self.r.getrange("short-lived", 0, 499), "v" * 500)
        self.assertEqual(self.r.strlen("short-lived"), 1000)

    def test_clients_and_slow_commands(self):
        self.r.client_setname("redisinsight")
        self.assertIn("redisinsight", [client["name"] for client in self.r.client_list()])
        self.assertEqual(self.r.config_set("slowlog-log-slower-than", 0), True)
        self.addCleanup(self.r.config_set, "slowlog-log-slower-than", 10_000)
        self.assertEqual(self.r.config_get("slowlog-*")["slowlog-log-slower-than"], "0")
        self.r.get("text")
        self.assertIn(b"GET text", [entry["command"] for entry in self.r.slowlog_get(50)])


class OpeningInResp3(Opening):
    protocol = 3


if __name__ == "__main__":
    closing.run("redisinsight")
