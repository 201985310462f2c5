/** How a client connects: each test runs in all four ways. */
enum Way {
    RESP2(2, false),
    RESP3(3, false),
    RESP2_OVER_TLS(2, true),
    RESP3_OVER_TLS(3, true);

    final int protocol;
    final boolean tls;

    Way(int protocol, boolean tls) {
        this.protocol = protocol;
        this.tls = tls;
    }
}
