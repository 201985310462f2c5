import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisException;
import io.lettuce.core.RedisURI;
import io.lettuce.core.api.sync.RedisCommands;
import java.util.function.Function;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.exceptions.JedisException;

/** Counts once, whatever happens, and then once more: Lost LIBRARY WAY,PORT,USER,KEY… */
final class Lost {
    public static void main(String[] words) {
        for (var at = 1; at < words.length; at++) {
            var parts = words[at].split(",");
            var port = Integer.parseInt(parts[1]);
            switch (words[0]) {
                case "jedis" -> jedis(parts[0], port, parts[2], parts[3]);
                default -> lettuce(parts[0], port, parts[2], parts[3]);
            }
        }
        System.exit(0);
    }

    private static void jedis(String way, int port, String user, String key) {
        var config = DefaultJedisClientConfig.builder().user(user).password("secret").build();
        var address = new HostAndPort("127.0.0.1", port);
        var r = new Jedis(address, config);
        var who = "library";
        while (true) {
            try {
                if (way.equals("INCR")) {
                    r.incr(key);
                } else if (way.equals("MULTI")) {
                    var transaction = r.multi();
                    transaction.incr(key);
                    transaction.exec();
                } else {
                    r.watch(key);
                    var seen = number(r.get(key));
                    var transaction = r.multi();
                    transaction.set(key, String.valueOf(seen + 1));
                    transaction.exec();
                }
                break;
            } catch (JedisException e) {
                who = "program";
                r.close();
                r = new Jedis(address, config);
            }
        }
        tell(way, who, r.get(key), r::incr, r::get, key);
        r.close();
    }

    private static void lettuce(String way, int port, String user, String key) {
        var uri = RedisURI.builder().withHost("127.0.0.1").withPort(port)
                .withAuthentication(user, "secret".toCharArray()).build();
        var client = RedisClient.create(uri);
        RedisCommands<String, String> r = client.connect().sync();
        var who = "library";
        while (true) {
            try {
                switch (way) {
                    case "INCR" -> r.incr(key);
                    case "MULTI" -> {
                        r.multi();
                        r.incr(key);
                        r.exec();
                    }
                    default -> {
                        r.watch(key);
                        var seen = number(r.get(key));
                        r.multi();
                        r.set(key, String.valueOf(seen + 1));
                        r.exec();
                    }
                }
                break;
            } catch (RedisException e) {
                who = "program";
            }
        }
        tell(way, who, r.get(key), r::incr, r::get, key);
        client.shutdown(java.time.Duration.ZERO, java.time.Duration.ZERO);
    }

    private static long number(String text) {
        return text == null ? 0 : Long.parseLong(text);
    }

    private static void tell(
            String way, String who, String first, Function<String, Long> incr,
            Function<String, String> get, String key) {
        incr.apply(key);
        System.out.println(way + " " + who + " " + first + " " + get.apply(key));
    }
}
