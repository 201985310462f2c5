import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.ConnectionPoolConfig;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.util.SafeEncoder;

/** Jedis against the server in AFT_BINARY, in both protocols. */
class JedisTest {
    private static Server server;

    @BeforeAll
    static void start() {
        server = new Server("secret");
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    @BeforeEach
    void empty() {
        try (var jedis = connect(RedisProtocol.RESP2)) {
            jedis.flushAll();
        }
    }

    private static DefaultJedisClientConfig.Builder config(RedisProtocol protocol) {
        return DefaultJedisClientConfig.builder()
                .protocol(protocol)
                .password(server.password)
                .timeoutMillis(20_000);
    }

    /** One connection. */
    private static Jedis connect(RedisProtocol protocol) {
        return new Jedis("127.0.0.1", server.port, config(protocol).build());
    }

    /** A pool of 50. */
    private static RedisClient pool(RedisProtocol protocol) {
        var size = new ConnectionPoolConfig();
        size.setMaxTotal(50);
        size.setMaxIdle(50);
        size.setMinIdle(50);
        return RedisClient.builder()
                .hostAndPort("127.0.0.1", server.port)
                .clientConfig(config(protocol).build())
                .poolConfig(size)
                .build();
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void theProtocolAskedFor(RedisProtocol protocol) {
        try (var jedis = connect(protocol)) {
            var hello = (List<?>) jedis.sendCommand(() -> SafeEncoder.encode("HELLO"));
            var pairs = hello.get(0) instanceof byte[] ? hello : flat(hello);
            long proto = 0;
            for (int n = 0; n < pairs.size(); n += 2) {
                if (SafeEncoder.encode((byte[]) pairs.get(n)).equals("proto")) {
                    proto = (Long) pairs.get(n + 1);
                }
            }
            assertEquals(protocol == RedisProtocol.RESP3 ? 3 : 2, proto);
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void stringsAndErrors(RedisProtocol protocol) {
        try (var jedis = connect(protocol)) {
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void nameAndDatabaseAtConnect(RedisProtocol protocol) {
        var there = config(protocol).clientName("me").database(3).build();
        try (var named = new Jedis("127.0.0.1", server.port, there); var jedis = connect(protocol)) {
            assertEquals("me", named.clientGetname());
            named.set("k", "3");
            assertNull(jedis.get("k"));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void pipeline(RedisProtocol protocol) {
        try (var jedis = connect(protocol); var pipeline = jedis.pipelined()) {
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void multi(RedisProtocol protocol) {
        try (var jedis = connect(protocol)) {
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void aWatchConflictIsRetried(RedisProtocol protocol) {
        try (var jedis = connect(protocol); var other = connect(protocol)) {
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void poolOf50(RedisProtocol protocol) throws Exception {
        var threads = Executors.newFixedThreadPool(100);
        try (var pool = pool(protocol)) {
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void bigValueAndAllBytes(RedisProtocol protocol) {
        var key = new byte[256];
        var big = new byte[8 << 20];
        for (int n = 0; n < big.length; n++) {
            big[n] = (byte) n;
        }
        System.arraycopy(big, 0, key, 0, key.length);
        try (var jedis = connect(protocol)) {
            jedis.set(key, big);
            assertArrayEquals(big, jedis.get(key));
        }
    }

    /** Jedis sends nothing twice by itself: a connection that broke is one error, then a new one. */
    @ParameterizedTest
    @EnumSource(names = {"RESP2", "RESP3"})
    void thePoolReconnectsAfterKill9AndTheAcknowledgedDataIsThere(RedisProtocol protocol) {
        try (var pool = pool(protocol)) {
            var keys = IntStream.range(0, 100).mapToObj(n -> "k" + n).toArray(String[]::new);
            for (var key : keys) {
                pool.set(key, key);
            }
            server.kill();
            assertThrows(JedisConnectionException.class, () -> pool.get("k0"));
            server.start();
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
    @EnumSource(names = {"RESP2", "RESP3"})
    void auth(RedisProtocol protocol) {
        record User(String name, String password, String refused) {}
        for (var user : List.of(
                new User(null, null, "NOAUTH"),
                new User(null, "wrong", "WRONGPASS"),
                new User("x", "secret", "WRONGPASS"),
                new User(null, "secret", null),
                new User("default", "secret", null))) {
            var config = DefaultJedisClientConfig.builder()
                    .protocol(protocol)
                    .user(user.name)
                    .password(user.password)
                    .build();
            if (user.refused == null) {
                try (var jedis = new Jedis("127.0.0.1", server.port, config)) {
                    assertEquals("OK", jedis.set("k", "v"));
                }
            } else {
                var error = assertThrows(JedisDataException.class, () -> {
                    try (var jedis = new Jedis("127.0.0.1", server.port, config)) {
                        jedis.get("k");
                    }
                });
                assertTrue(error.getMessage().startsWith(user.refused), error.getMessage());
            }
        }
    }
}
