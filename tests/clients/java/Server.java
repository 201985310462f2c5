import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Timer;
import java.util.TimerTask;

/** What ../serve starts, killed and brought back at will. */
final class Server implements AutoCloseable {
    static final String PASSWORD = "secret";

    /** Whether the tests themselves are checked, with a server that has nothing of what is only aft's. */
    static final boolean IS_REDIS =
            new java.io.File(System.getenv("AFT_BINARY")).getName().startsWith("redis-server");

    private final Path dir;
    /** The port speaks TLS, and nothing else does. */
    final boolean tls;
    int port;
    private Process process;

    Server(boolean tls) {
        this.tls = tls;
        try {
            dir = Files.createTempDirectory("aft-clients-");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        start();
    }

    /** After a kill it takes the same port: that is where clients reconnect. */
    void start() {
        try {
            var certificates = tls ? System.getenv("AFT_CERTIFICATES") : "";
            var command = new ProcessBuilder(
                    System.getenv("AFT_SERVE"),
                    dir.toString(),
                    String.valueOf(port),
                    PASSWORD,
                    certificates);
            process = command.redirectErrorStream(true).start();
            // A server that hangs in its start must not hang the tests.
            var killer = new Timer(true);
            var started = process;
            killer.schedule(new TimerTask() {
                public void run() {
                    started.destroyForcibly();
                }
            }, 20_000);
            waitUntilReady(process.inputReader());
            killer.cancel();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void waitUntilReady(BufferedReader lines) throws IOException {
        for (String line; (line = lines.readLine()) != null; ) {
            if (line.startsWith("port ")) {
                port = Integer.parseInt(line.substring("port ".length()));
            } else if (line.startsWith("listening") || line.contains("Ready to accept")) {
                var rest = new Thread(() -> lines.lines().forEach(ignored -> {}));
                rest.setDaemon(true);
                rest.start();
                return;
            }
        }
        throw new IOException("the server did not start");
    }

    void kill() {
        process.destroyForcibly();
        process.onExit().join();
    }

    @Override
    public void close() {
        kill();
        try (var files = Files.walk(dir)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
