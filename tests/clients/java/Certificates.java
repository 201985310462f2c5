import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;

/** Those that the runner has made. */
final class Certificates {
    private Certificates() {}

    static File file(String name) {
        return new File(System.getenv("AFT_CERTIFICATES"), name);
    }

    /** Sockets of a client with the certificate of `who`, or none, that trusts our authority. */
    static SSLSocketFactory sockets(String who) {
        try {
            var trusted = empty();
            trusted.setCertificateEntry("ca", certificate("ca"));
            var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            var own = empty();
            if (who != null) {
                var chain = new Certificate[] {certificate(who)};
                own.setKeyEntry(who, key(who), new char[0], chain);
            }
            var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            keys.init(own, new char[0]);
            var context = SSLContext.getInstance("TLS");
            context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
            return context.getSocketFactory();
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static KeyStore empty() throws GeneralSecurityException, IOException {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        return store;
    }

    private static Certificate certificate(String name)
            throws GeneralSecurityException, IOException {
        try (var stream = Files.newInputStream(file(name + ".crt").toPath())) {
            return CertificateFactory.getInstance("X.509").generateCertificate(stream);
        }
    }

    private static java.security.Key key(String name) throws GeneralSecurityException, IOException {
        var pem = Files.readString(file(name + ".key").toPath()).replaceAll("-----[^-]*-----", "");
        var spec = new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(pem));
        return KeyFactory.getInstance("EC").generatePrivate(spec);
    }
}
