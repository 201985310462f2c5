"""Django's cache and sessions through django-redis, against the server in AFT_BINARY."""

import unittest

import django
from django.conf import settings

import closing
from server import PASSWORD, Server, tls_options

server = Server()
unittest.addModuleCleanup(server.close)
tls_server = Server(tls=True)
unittest.addModuleCleanup(tls_server.close)


def cache_at(database, pool=None, **options):
    pool = {"max_connections": 50} | (pool or {})
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://:{PASSWORD}@127.0.0.1:{server.port}/{database}",
        "OPTIONS": {
            "CLIENT_CLASS": "django_redis.client.DefaultClient",
            "CONNECTION_POOL_KWARGS": pool,
            **options,
        },
    }


def cache_over_tls(database):
    pool = {key: value for key, value in tls_options().items() if key != "ssl"}
    location = f"rediss://:{PASSWORD}@127.0.0.1:{tls_server.port}/{database}"
    return cache_at(database, pool | {"protocol": 3}) | {"LOCATION": location}


settings.configure(
    CACHES={
        "default": cache_at(1),
        "resp3": cache_at(2, {"protocol": 3}),
        "zlib": cache_at(3, COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor"),
        "sessions": cache_at(4),
        "tls": cache_over_tls(5),
    },
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="for these tests only",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_CACHE_ALIAS="sessions",
    ROOT_URLCONF=__name__,
)
django.setup()

from django.core.cache import caches  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def leave(request):
    request.session.flush()
    return HttpResponse("bye")


urlpatterns = [path("visit", visit), path("leave", leave)]


class Cache(unittest.TestCase):
    alias = "default"

    def setUp(self):
        self.cache = caches[self.alias]
        self.cache.clear()

    def test_values_of_all_kinds(self):
        cache = self.cache
        value = {"text": "täxt", "list": [1, 2.5, None], "bytes": bytes(range(256))}
        self.assertIsNone(cache.get("k"))
        self.assertEqual(cache.get("k", "fallback"), "fallback")
        cache.set("k", value)
        self.assertEqual(cache.get("k"), value)
        cache.set("n", 42)
        self.assertEqual(cache.get("n"), 42)
        self.assertTrue(cache.has_key("k") and "n" in cache)
        self.assertTrue(cache.delete("k"))
        self.assertFalse(cache.delete("k"))

    def test_add_touch_and_timeouts(self):
        cache = self.cache
        self.assertTrue(cache.add("k", 1, timeout=100))
        self.assertFalse(cache.add("k", 2))
        self.assertIn(cache.ttl("k"), range(95, 101))
        self.assertTrue(cache.touch("k", 200))
        self.assertIn(cache.ttl("k"), range(195, 201))
        self.assertTrue(cache.persist("k"))
        self.assertIsNone(cache.ttl("k"))
        self.assertTrue(cache.expire("k", timeout=50))
        cache.set("gone", 1, timeout=0)
        self.assertIsNone(cache.get("gone"))
        self.assertEqual(cache.get_or_set("computed", lambda: 7), 7)

    def test_many(self):
        cache = self.cache
        values = {f"k{n}": n for n in range(100)}
        cache.set_many(values, timeout=60)
        self.assertEqual(cache.get_many([*values, "none"]), values)
        self.assertEqual(cache.delete_many(["k0", "k1", "none"]), 2)

    def test_versions(self):
        cache = self.cache
        cache.set("k", 1)
        self.assertEqual(cache.incr_version("k"), 2)
        self.assertIsNone(cache.get("k"))
        self.assertEqual(cache.get("k", version=2), 1)

    def test_big_value(self):
        big = bytes(range(256)) * (32 << 10)
        self.cache.set("big", big)
        self.assertTrue(self.cache.get("big") == big)

    def test_patterns(self):
        self.cache.set_many({f"a{n}": n for n in range(50)} | {"b": 1})
        self.assertEqual(len(list(self.cache.iter_keys("a*"))), 50)
        self.assertEqual(self.cache.delete_pattern("a*"), 50)
        self.assertEqual(self.cache.keys("*"), ["b"])

    def test_incr_is_a_script(self):
        closing.needs(self, server, "EVAL", "return 1", 0)
        self.cache.set("n", 1)
        self.assertEqual(self.cache.incr("n"), 2)
        self.assertEqual(self.cache.decr("n"), 1)

    def test_a_lock_is_released_by_a_script(self):
        closing.needs(self, server, "EVAL", "return 1", 0)
        with self.cache.lock("lock", timeout=10):
            self.assertFalse(self.cache.lock("lock", timeout=10).acquire(blocking=False))


    def test_clear_empties_one_database(self):
        other = caches["resp3" if self.alias == "default" else "default"]
        other.set("other", 1)
        self.cache.set("k", 1)
        self.cache.clear()
        self.assertIsNone(self.cache.get("k"))
        self.assertEqual(other.get("other"), 1)


class CacheInResp3(Cache):
    alias = "resp3"


class CacheOverTls(Cache):
    alias = "tls"


class CacheCompressed(Cache):
    alias = "zlib"


class Sessions(unittest.TestCase):
    def test_visits_are_counted(self):
        first, second = Client(), Client()
        counts = [client.get("/visit").content for client in (first, first, second, first)]
        self.assertEqual(counts, [b"1", b"2", b"1", b"3"])
        self.assertEqual(len(first.cookies["sessionid"].value), 32)

    def test_a_session_that_ends(self):
        client = Client()
        client.get("/visit")
        self.assertEqual(client.get("/leave").content, b"bye")
        self.assertEqual(client.get("/visit").content, b"1")

    def test_a_session_outlives_the_server(self):
        client = Client()
        client.get("/visit")
        server.kill()
        server.start()
        self.assertEqual(client.get("/visit").content, b"2")


if __name__ == "__main__":
    closing.run("django-redis")
