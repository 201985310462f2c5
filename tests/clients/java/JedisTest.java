import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.util.SafeEncoder;

/** Jedis against the server in AFT_BINARY, in both protocols. */
class JedisTest {
    private static final Map<Boolean, Server> servers = new HashMap<>();

    @BeforeAll
    static void start() {
        for (var tls : List.of(false, true)) {
            servers.put(tls, new Server(tls));
        }
    }

    @AfterAll
    static void stop() {
        servers.values().forEach(Server::close);
    }

    @BeforeEach
    void empty() {
        for (var way : List.of(Way.RESP2, Way.RESP2_OVER_TLS)) {
            try (var jedis = connect(way)) {
                jedis.flushAll();
            }
        }
    }

    private static HostAndPort address(Way way) {
        return new HostAndPort("127.0.0.1", servers.get(way.tls).port);
    }

    /** Without a password. */
    private static DefaultJedisClientConfig.Builder stranger(Way way) {
        var config = DefaultJedisClientConfig.builder()
                .protocol(way.protocol == 3 ? RedisProtocol.RESP3 : RedisProtocol.RESP2)
                .timeoutMillis(20_000);
        return way.tls ? config.ssl(true).sslSocketFactory(Certificates.sockets("client")) : config;
    }

    private static DefaultJedisClientConfig.Builder config(Way way) {
        return stranger(way).password(Server.PASSWORD);
    }

    /** One connection. */
    private static Jedis connect(Way way) {
        return new Jedis(address(way), config(way).build());
    }

    /** A pool of 50. */
    private static RedisClient pool(Way way) {
        var size = new ConnectionPoolConfig();
        size.setMaxTotal(50);
        size.setMaxIdle(50);
        size.setMinIdle(50);
        return RedisClient.builder()
                .hostAndPort(address(way))
                .clientConfig(config(way).build())
                .poolConfig(size)
                .build();
    }

    @ParameterizedTest
    @EnumSource
    void theProtocolAskedFor(Way way) {
        try (var jedis = connect(way)) {
            var hello = (List<?>) jedis.sendCommand(() -> SafeEncoder.encode("HELLO"));
            var pairs = hello.get(0) instanceof byte[] ? hello : flat(hello);
            long proto = 0;
            for (int n = 0; n < pairs.size(); n += 2) {
                if (SafeEncoder.encode((byte[]) pairs.get(n)).equals("proto")) {
                    proto = (Long) pairs.get(n + 1);
                }
            }
            assertEquals(way.protocol, proto);
        }
    }

    private static List<Object> flat(List<?> pairs) {
        var flat = new ArrayList<Object>();
        for (var pair : pairs) {
            var entry = (Map.Entry<?, ?>) pair;
            flat.add(entry.getKey());
            flat.add(entry.getValue());
        }
        return flat;
    }

    @ParameterizedTest
    @EnumSource
    void stringsAndErrors(Way way) {
        try (var jedis = connect(way)) {
            assertNull(jedis.get("k"));
            assertEquals("OK", jedis.set("k", "v", new SetParams().ex(100)));
            assertNull(jedis.set("k", "w", new SetParams().nx()));
            assertEquals("v", jedis.setGet("k", "w", new SetParams().keepTtl()));
            var ttl = jedis.ttl("k");
            assertTrue(ttl > 95 && ttl <= 100, "ttl " + ttl);
            assertEquals("OK", jedis.mset("a", "1", "b", "2"));
            assertEquals(Arrays.asList("1", null, "2"), jedis.mget("a", "none", "b"));
            assertEquals(42, jedis.incrBy("a", 41));
            var error = assertThrows(JedisDataException.class, () -> jedis.incr("k"));
            assertEquals("ERR value is not an integer or out of range", error.getMessage());
            error = assertThrows(
                    JedisDataException.class,
                    () -> jedis.sendCommand(() -> SafeEncoder.encode("NOSUCH")));
            assertTrue(error.getMessage().startsWith("ERR unknown command 'NOSUCH'"));
            assertEquals(1, jedis.del("a", "none"));
            assertEquals(2, jedis.dbSize());
        }
    }

    @ParameterizedTest
    @EnumSource
    void nameAndDatabaseAtConnect(Way way) {
        var there = config(way).clientName("me").database(3).build();
        try (var named = new Jedis(address(way), there); var jedis = connect(way)) {
            assertEquals("me", named.clientGetname());
            named.set("k", "3");
            assertNull(jedis.get("k"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aUrlAloneBindsToATransaction(Way way) {
        assumeFalse(Server.IS_REDIS, "redis-server has no AFT.BEGIN");
        try (var runner = connect(way); var other = connect(way)) {
            var begun = (List<?>) runner.sendCommand(() -> SafeEncoder.encode("AFT.BEGIN"));
            var token = SafeEncoder.encode((byte[]) begun.get(0));
            runner.sendCommand(() -> SafeEncoder.encode("AFT.LEAVE"));
            var url = "%s://default~%s:%s@%s".formatted(
                    way.tls ? "rediss" : "redis", token, Server.PASSWORD, address(way));
            try (var bound = new Jedis(URI.create(url), stranger(way).build())) {
                assertEquals(1, bound.incr("k"));
                assertNull(other.get("k"));
                runner.sendCommand(() -> SafeEncoder.encode("AFT.COMMIT"), token);
                assertEquals("1", other.get("k"));
                var refused = assertThrows(JedisDataException.class, () -> bound.incr("k"));
                assertTrue(refused.getMessage().startsWith("NOTXN"), refused.getMessage());
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void pipeline(Way way) {
        try (var jedis = connect(way); var pipeline = jedis.pipelined()) {
            var expected = new ArrayList<Object>();
            for (int n = 0; n < 1000; n++) {
                pipeline.set("k" + n, "" + n);
                pipeline.get("k" + n);
                expected.addAll(List.of("OK", "" + n));
            }
            assertEquals(expected, pipeline.syncAndReturnAll());
        }
    }

    @ParameterizedTest
    @EnumSource
    void multi(Way way) {
        try (var jedis = connect(way)) {
            jedis.set("s", "text");
            var multi = jedis.multi();
            multi.set("a", "1");
            multi.incr("s");
            multi.get("a");
            multi.get("none");
            var replies = multi.exec();
            var error = assertInstanceOf(JedisDataException.class, replies.get(1));
            assertTrue(error.getMessage().contains("not an integer")); // the others stand
            assertEquals(Arrays.asList("OK", error, "1", null), replies);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWatchConflictIsRetried(Way way) {
        try (var jedis = connect(way); var other = connect(way)) {
            jedis.set("k", "1");
            var seen = new ArrayList<Integer>();
            for (List<Object> done = null; done == null; ) {
                jedis.watch("k");
                int value = Integer.parseInt(jedis.get("k"));
                seen.add(value);
                if (seen.size() == 1) {
                    other.set("k", "10");
                }
                var multi = jedis.multi();
                multi.set("k", "" + value * 2);
                done = multi.exec();
            }
            assertEquals(List.of(1, 10), seen);
            assertEquals("20", jedis.get("k"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void poolOf50(Way way) throws Exception {
        var threads = Executors.newFixedThreadPool(100);
        try (var pool = pool(way)) {
            var counts = new ArrayList<CompletableFuture<Long>>();
            for (int n = 0; n < 2000; n++) {
                counts.add(CompletableFuture.supplyAsync(() -> pool.incr("n"), threads));
            }
            var sorted = counts.stream().mapToLong(CompletableFuture::join).sorted().toArray();
            assertArrayEquals(IntStream.rangeClosed(1, 2000).asLongStream().toArray(), sorted);
        } finally {
            threads.shutdownNow();
        }
    }

    @ParameterizedTest
    @EnumSource
    void bigValueAndAllBytes(Way way) {
        var key = new byte[256];
        var big = new byte[8 << 20];
        for (int n = 0; n < big.length; n++) {
            big[n] = (byte) n;
        }
        System.arraycopy(big, 0, key, 0, key.length);
        try (var jedis = connect(way)) {
            jedis.set(key, big);
            assertArrayEquals(big, jedis.get(key));
        }
    }

    /** Jedis sends nothing twice by itself: a connection that broke is one error, then a new one. */
    @ParameterizedTest
    @EnumSource
    void thePoolReconnectsAfterKill9AndTheAcknowledgedDataIsThere(Way way) {
        try (var pool = pool(way)) {
            var keys = IntStream.range(0, 100).mapToObj(n -> "k" + n).toArray(String[]::new);
            for (var key : keys) {
                pool.set(key, key);
            }
            servers.get(way.tls).kill();
            assertThrows(JedisConnectionException.class, () -> pool.get("k0"));
            servers.get(way.tls).start();
            List<String> values = null;
            for (int broken = 0; values == null; broken++) {
                try {
                    values = pool.mget(keys);
                } catch (JedisConnectionException e) {
                    assertTrue(broken < 50, "more broken connections than the pool has");
                }
            }
            assertEquals(List.of(keys), values);
        }
    }

    @ParameterizedTest
    @EnumSource
    void auth(Way way) {
        record User(String name, String password, String refused) {}
        for (var user : List.of(
                new User(null, null, "NOAUTH"),
                new User(null, "wrong", "WRONGPASS"),
                new User("x", Server.PASSWORD, "WRONGPASS"),
                new User(null, Server.PASSWORD, null),
                new User("default", Server.PASSWORD, null))) {
            var config = stranger(way).user(user.name).password(user.password).build();
            if (user.refused == null) {
                try (var jedis = new Jedis(address(way), config)) {
                    assertEquals("OK", jedis.set("k", "v"));
                }
            } else {
                var error = assertThrows(JedisDataException.class, () -> {
                    try (var jedis = new Jedis(address(way), config)) {
                        jedis.get("k");
                    }
                });
                assertTrue(error.getMessage().startsWith(user.refused), error.getMessage());
            }
        }
    }

    @Test
    void whoHasNoCertificateOfOursIsRefused() {
        for (var who : Arrays.asList(null, "stranger")) {
            var config = config(Way.RESP3_OVER_TLS)
                    .sslSocketFactory(Certificates.sockets(who))
                    .build();
            assertThrows(JedisConnectionException.class, () -> {
                try (var jedis = new Jedis(address(Way.RESP3_OVER_TLS), config)) {
                    jedis.get("k");
                }
            });
        }
    }
}
