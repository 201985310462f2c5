import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisChannelHandler;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisConnectionStateListener;
import io.lettuce.core.RedisException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.SetArgs;
import io.lettuce.core.SslOptions;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.NestedMultiOutput;
import io.lettuce.core.protocol.ProtocolKeyword;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.resource.ClientResources;
import io.lettuce.core.resource.Delay;
import io.lettuce.core.support.ConnectionPoolSupport;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Lettuce against the server in AFT_BINARY, in both protocols. */
class LettuceTest {
    private static final Map<Boolean, Server> servers = new HashMap<>();
    private static ClientResources resources;
    private static final Map<Way, RedisClient> clients = new EnumMap<>(Way.class);

    @BeforeAll
    static void start() {
        resources = ClientResources.builder()
                .reconnectDelay(Delay.constant(Duration.ofMillis(100)))
                .build();
        for (var tls : List.of(false, true)) {
            servers.put(tls, new Server(tls));
        }
        for (var way : Way.values()) {
            clients.put(way, client(way, uri(way).withPassword(SECRET).build(), "client"));
        }
    }

    @AfterAll
    static void stop() {
        clients.values().forEach(client -> client.shutdown(0, 10, TimeUnit.SECONDS));
        resources.shutdown(0, 10, TimeUnit.SECONDS);
        servers.values().forEach(Server::close);
    }

    @BeforeEach
    void empty() {
        for (var way : List.of(Way.RESP2, Way.RESP2_OVER_TLS)) {
            try (var redis = connect(way)) {
                redis.sync().flushall();
            }
        }
    }

    private static final char[] SECRET = Server.PASSWORD.toCharArray();

    /** Without a password. */
    private static RedisURI.Builder uri(Way way) {
        return RedisURI.builder()
                .withHost("127.0.0.1")
                .withPort(servers.get(way.tls).port)
                .withSsl(way.tls)
                .withTimeout(Duration.ofSeconds(20));
    }

    /** With the certificate of `who`, or none. */
    private static RedisClient client(Way way, RedisURI uri, String who) {
        var client = RedisClient.create(resources, uri);
        var options = ClientOptions.builder()
                .protocolVersion(way.protocol == 3 ? ProtocolVersion.RESP3 : ProtocolVersion.RESP2);
        if (way.tls) {
            var tls = SslOptions.builder().trustManager(Certificates.file("ca.crt"));
            if (who != null) {
                var key = Certificates.file(who + ".key");
                tls.keyManager(Certificates.file(who + ".crt"), key, new char[0]);
            }
            options.sslOptions(tls.build());
        }
        client.setOptions(options.build());
        return client;
    }

    private static StatefulRedisConnection<String, String> connect(Way way) {
        return clients.get(way).connect();
    }

    private enum Unusual implements ProtocolKeyword {
        HELLO,
        NOSUCH;

        @Override
        public byte[] getBytes() {
            return name().getBytes(StandardCharsets.US_ASCII);
        }
    }

    @ParameterizedTest
    @EnumSource
    void theProtocolAskedFor(Way way) {
        try (var redis = connect(way)) {
            var output = new NestedMultiOutput<>(StringCodec.UTF8);
            List<Object> hello = redis.sync().dispatch(Unusual.HELLO, output);
            long proto = (Long) hello.get(hello.indexOf("proto") + 1);
            assertEquals(way.protocol, proto);
        }
    }

    @ParameterizedTest
    @EnumSource
    void stringsAndErrors(Way way) {
        try (var connection = connect(way)) {
            var redis = connection.sync();
            assertNull(redis.get("k"));
            assertEquals("OK", redis.set("k", "v", SetArgs.Builder.ex(100)));
            assertNull(redis.set("k", "w", SetArgs.Builder.nx()));
            assertEquals("v", redis.setGet("k", "w", SetArgs.Builder.keepttl()));
            var ttl = redis.ttl("k");
            assertTrue(ttl > 95 && ttl <= 100, "ttl " + ttl);
            assertEquals("OK", redis.mset(Map.of("a", "1", "b", "2")));
            var values = redis.mget("a", "none", "b");
            assertEquals("1", values.get(0).getValue());
            assertTrue(values.get(1).isEmpty());
            assertEquals("2", values.get(2).getValue());
            assertEquals(42, redis.incrby("a", 41));
            var error = assertThrows(RedisCommandExecutionException.class, () -> redis.incr("k"));
            assertEquals("ERR value is not an integer or out of range", error.getMessage());
            var output = new NestedMultiOutput<>(StringCodec.UTF8);
            error = assertThrows(
                    RedisCommandExecutionException.class,
                    () -> redis.dispatch(Unusual.NOSUCH, output));
            assertTrue(error.getMessage().startsWith("ERR unknown command 'NOSUCH'"));
            assertEquals(1, redis.del("a", "none"));
            assertEquals(2, redis.dbsize());
        }
    }

    @ParameterizedTest
    @EnumSource
    void nameAndDatabaseAtConnect(Way way) {
        var there = uri(way).withPassword(SECRET).build();
        there.setClientName("me");
        there.setDatabase(3);
        try (var named = clients.get(way).connect(there); var redis = connect(way)) {
            assertEquals("me", named.sync().clientGetname());
            named.sync().set("k", "3");
            assertNull(redis.sync().get("k"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void pipeline(Way way) throws Exception {
        try (var redis = connect(way)) {
            redis.setAutoFlushCommands(false);
            var replies = new ArrayList<RedisFuture<String>>();
            for (int n = 0; n < 1000; n++) {
                replies.add(redis.async().set("k" + n, "" + n));
                replies.add(redis.async().get("k" + n));
            }
            redis.flushCommands();
            for (int n = 0; n < 1000; n++) {
                assertEquals("OK", replies.get(2 * n).get(20, TimeUnit.SECONDS));
                assertEquals("" + n, replies.get(2 * n + 1).get(20, TimeUnit.SECONDS));
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void multi(Way way) {
        try (var connection = connect(way)) {
            var redis = connection.sync();
            redis.set("s", "text");
            redis.multi();
            redis.set("a", "1");
            redis.incr("s");
            redis.get("a");
            redis.get("none");
            var replies = redis.exec();
            assertEquals("OK", replies.get(0));
            var error = assertInstanceOf(RedisException.class, replies.<Object>get(1));
            assertTrue(error.getMessage().contains("not an integer")); // the others stand
            assertEquals("1", replies.get(2));
            assertNull(replies.get(3));
        }
    }

    @ParameterizedTest
    @EnumSource
    void aWatchConflictIsRetried(Way way) {
        try (var connection = connect(way); var other = connect(way)) {
            var redis = connection.sync();
            redis.set("k", "1");
            var seen = new ArrayList<Integer>();
            for (TransactionResult done = null; done == null || done.wasDiscarded(); ) {
                redis.watch("k");
                int value = Integer.parseInt(redis.get("k"));
                seen.add(value);
                if (seen.size() == 1) {
                    other.sync().set("k", "10");
                }
                redis.multi();
                redis.set("k", "" + value * 2);
                done = redis.exec();
            }
            assertEquals(List.of(1, 10), seen);
            assertEquals("20", redis.get("k"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void poolOf50(Way way) throws Exception {
        var size = new GenericObjectPoolConfig<StatefulRedisConnection<String, String>>();
        size.setMaxTotal(50);
        size.setMaxIdle(50);
        var threads = Executors.newFixedThreadPool(100);
        try (var pool = ConnectionPoolSupport.createGenericObjectPool(() -> connect(way), size)) {
            pool.addObjects(50);
            var counts = new ArrayList<CompletableFuture<Long>>();
            for (int n = 0; n < 2000; n++) {
                counts.add(CompletableFuture.supplyAsync(() -> {
                    try (var connection = pool.borrowObject()) {
                        return connection.sync().incr("n");
                    } catch (Exception e) {
                        throw new IllegalStateException(e);
                    }
                }, threads));
            }
            var sorted = counts.stream().mapToLong(CompletableFuture::join).sorted().toArray();
            assertArrayEquals(IntStream.rangeClosed(1, 2000).asLongStream().toArray(), sorted);
            assertEquals(50, pool.getCreatedCount());
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
        try (var redis = clients.get(way).connect(ByteArrayCodec.INSTANCE)) {
            redis.sync().set(key, big);
            assertArrayEquals(big, redis.sync().get(key));
        }
    }

    @ParameterizedTest
    @EnumSource
    void reconnectsAfterKill9AndTheAcknowledgedDataIsThere(Way way)
            throws Exception {
        try (var redis = connect(way)) {
            var keys = IntStream.range(0, 100).mapToObj(n -> "k" + n).toArray(String[]::new);
            for (var key : keys) {
                redis.sync().set(key, key);
            }
            var noticed = new CountDownLatch(1);
            redis.addListener(new RedisConnectionStateListener() {
                @Override
                public void onRedisDisconnected(RedisChannelHandler<?, ?> connection) {
                    noticed.countDown();
                }
            });
            servers.get(way.tls).kill();
            assertTrue(noticed.await(20, TimeUnit.SECONDS));
            var values = redis.async().mget(keys); // waits for the connection that comes
            servers.get(way.tls).start();
            var expected = IntStream.range(0, 100).mapToObj(n -> "k" + n).toList();
            var got = values.get(20, TimeUnit.SECONDS).stream().map(v -> v.getValue()).toList();
            assertEquals(expected, got);
            assertEquals("OK", redis.sync().set("again", "yes"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void auth(Way way) {
        record User(String name, String password, boolean right) {}
        for (var user : List.of(
                new User(null, null, false),
                new User(null, "wrong", false),
                new User("x", Server.PASSWORD, false),
                new User(null, Server.PASSWORD, true),
                new User("default", Server.PASSWORD, true))) {
            var uri = uri(way);
            if (user.name != null) {
                uri.withAuthentication(user.name, user.password);
            } else if (user.password != null) {
                uri.withPassword(user.password.toCharArray());
            }
            var client = client(way, uri.build(), "client");
            try {
                if (user.right) {
                    assertEquals("OK", client.connect().sync().set("k", "v"));
                } else {
                    // Its message is the server's, or that the connection closed: a race of its own.
                    assertThrows(RedisException.class, () -> client.connect().sync().get("k"));
                }
            } finally {
                client.shutdown(0, 10, TimeUnit.SECONDS);
            }
        }
    }

    @Test
    void whoHasNoCertificateOfOursIsRefused() {
        for (var who : Arrays.asList(null, "stranger")) {
            var way = Way.RESP3_OVER_TLS;
            var client = client(way, uri(way).withPassword(SECRET).build(), who);
            try {
                assertThrows(RedisException.class, () -> client.connect().sync().get("k"));
            } finally {
                client.shutdown(0, 10, TimeUnit.SECONDS);
            }
        }
    }
}
