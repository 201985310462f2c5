/* hiredis against the server in AFT_BINARY. It has no pool and reconnects when it is told to.
 * Before 1.0 (Debian 12 has 0.14) it speaks neither RESP3 nor TLS. */
#include <errno.h>
#include <hiredis/hiredis.h>
#if HIREDIS_MAJOR >= 1
#include <hiredis/hiredis_ssl.h>
#endif
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* How a client connects. */
struct way {
    const char *name;
    int protocol, tls;
};
static const struct way ways[] = {
    {"RESP2", 2, 0},
#if HIREDIS_MAJOR >= 1
    {"RESP3", 3, 0},
    {"RESP2 over TLS", 2, 1},
    {"RESP3 over TLS", 3, 1},
#endif
};
static const struct way *way;

static int passed, failed, bad;
static const char *doing;

/* Ends the test it is in: all of them return nothing. */
#define CHECK(true_or_not)                                                            \
    do {                                                                              \
        if (!(true_or_not)) {                                                         \
            printf("%s: line %d: %s\n", doing, __LINE__, #true_or_not);               \
            bad = 1;                                                                  \
            return;                                                                   \
        }                                                                             \
    } while (0)

/* What ../serve starts, killed and brought back at will. */
static char dir[4096];
static int port;
static pid_t server;

static void start(void) {
    int lines[2];
    char line[4096], number[16];
    snprintf(number, sizeof number, "%d", port);
    if (pipe(lines) != 0 || (server = fork()) < 0) exit(2);
    if (server == 0) {
        const char *serve = getenv("AFT_SERVE");
        const char *certificates = way->tls ? getenv("AFT_CERTIFICATES") : "";
        dup2(lines[1], 1);
        close(lines[0]);
        close(lines[1]);
        execl(serve, serve, dir, number, "secret", certificates, (char *)NULL);
        _exit(127);
    }
    close(lines[1]);
    FILE *output = fdopen(lines[0], "r"); /* stays open: the server writes on */
    while (fgets(line, sizeof line, output)) {
        if (strncmp(line, "port ", 5) == 0) port = atoi(line + 5);
        if (strncmp(line, "listening", 9) == 0 || strstr(line, "Ready to accept")) return;
    }
    fputs("the server did not start\n", stderr);
    exit(2);
}

static void stop(void) {
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

#if HIREDIS_MAJOR >= 1
/* With the certificate of `who`, or none. */
static int begin_tls_as(redisContext *c, const char *who) {
    char authority[4096], certificate[4096], key[4096];
    const char *certificates = getenv("AFT_CERTIFICATES");
    redisSSLContextError error;
    snprintf(authority, sizeof authority, "%s/ca.crt", certificates);
    snprintf(certificate, sizeof certificate, "%s/%s.crt", certificates, who ? who : "");
    snprintf(key, sizeof key, "%s/%s.key", certificates, who ? who : "");
    redisSSLContext *tls = redisCreateSSLContext(authority, NULL, who ? certificate : NULL,
                                                 who ? key : NULL, "localhost", &error);
    if (tls == NULL) {
        fprintf(stderr, "%s: %s\n", doing, redisSSLContextGetError(error));
        exit(2);
    }
    int status = redisInitiateSSLWithContext(c, tls);
    redisFreeSSLContext(tls);
    return status;
}

static int begin_tls(redisContext *c) {
    return way->tls ? begin_tls_as(c, "client") : REDIS_OK;
}
#else
static int begin_tls(redisContext *c) {
    (void)c;
    return REDIS_OK;
}
#endif

static redisContext *bare(void) {
    struct timeval limit = {20, 0};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, limit);
    if (c == NULL || c->err || redisSetTimeout(c, limit) != REDIS_OK) {
        fprintf(stderr, "%s: cannot connect: %s\n", doing, c ? c->errstr : "no memory");
        exit(2);
    }
    return c;
}

static redisContext *without_password(void) {
    redisContext *c = bare();
    if (begin_tls(c) != REDIS_OK) {
        fprintf(stderr, "%s: no TLS: %s\n", doing, c->errstr);
        exit(2);
    }
    return c;
}

/* Whether a reply is of that type, with that text where it has one. Frees it. */
static int is(redisReply *reply, int type, const char *text) {
    int same = reply != NULL && reply->type == type && (!text || strcmp(reply->str, text) == 0);
    if (!same)
        printf("%s: type %d, %s\n", doing, reply ? reply->type : -1,
               reply && reply->str ? reply->str : "no text");
    if (reply) freeReplyObject(reply);
    return same;
}

static int is_number(redisReply *reply, long long number) {
    int same = reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number;
    if (reply) freeReplyObject(reply);
    return same;
}

static int starts(redisReply *reply, const char *start) {
    int same = reply != NULL && reply->type == REDIS_REPLY_ERROR &&
               strncmp(reply->str, start, strlen(start)) == 0;
    if (reply) freeReplyObject(reply);
    return same;
}

/* As its users do it: hiredis sends nothing by itself. */
static int authenticate(redisContext *c) {
    if (!is(redisCommand(c, "AUTH secret"), REDIS_REPLY_STATUS, "OK")) return 0;
#if HIREDIS_MAJOR >= 1
    if (way->protocol == 3) return is(redisCommand(c, "HELLO 3"), REDIS_REPLY_MAP, NULL);
#endif
    return 1;
}

static void the_protocol_asked_for(redisContext *c) {
    redisReply *hello = redisCommand(c, "HELLO");
    CHECK(hello && hello->elements > 0 && hello->elements % 2 == 0);
    for (size_t n = 0; n < hello->elements; n += 2)
        if (strcmp(hello->element[n]->str, "proto") == 0)
            CHECK(hello->element[n + 1]->integer == way->protocol);
    freeReplyObject(hello);
}

static void auth(redisContext *c) {
    redisContext *other = without_password();
    CHECK(starts(redisCommand(other, "GET k"), "NOAUTH"));
    CHECK(starts(redisCommand(other, "AUTH wrong"), "WRONGPASS"));
    CHECK(starts(redisCommand(other, "AUTH x secret"), "WRONGPASS"));
    CHECK(is(redisCommand(other, "AUTH default secret"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(other, "SET k v"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "GET k"), REDIS_REPLY_STRING, "v"));
    redisFree(other);
}

static void strings_and_errors(redisContext *c) {
    CHECK(is(redisCommand(c, "GET k"), REDIS_REPLY_NIL, NULL));
    CHECK(is(redisCommand(c, "SET k v EX 100"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "SET k w NX"), REDIS_REPLY_NIL, NULL));
    CHECK(is(redisCommand(c, "SET k w GET KEEPTTL"), REDIS_REPLY_STRING, "v"));
    CHECK(is(redisCommand(c, "MSET a 1 b 2"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is_number(redisCommand(c, "INCRBY a 41"), 42));
    CHECK(is(redisCommand(c, "INCR k"), REDIS_REPLY_ERROR,
             "ERR value is not an integer or out of range"));
    CHECK(starts(redisCommand(c, "NOSUCH"), "ERR unknown command 'NOSUCH'"));
    CHECK(is_number(redisCommand(c, "DEL a none"), 1));
    CHECK(is_number(redisCommand(c, "DBSIZE"), 2));
}

static void database(redisContext *c) {
    CHECK(is(redisCommand(c, "SELECT 3"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "SET k 3"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "SELECT 0"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "GET k"), REDIS_REPLY_NIL, NULL));
}

static void pipeline(redisContext *c) {
    char number[16];
    redisReply *reply;
    for (int n = 0; n < 1000; n++) {
        CHECK(redisAppendCommand(c, "SET k%d %d", n, n) == REDIS_OK);
        CHECK(redisAppendCommand(c, "GET k%d", n) == REDIS_OK);
    }
    for (int n = 0; n < 1000; n++) {
        snprintf(number, sizeof number, "%d", n);
        CHECK(redisGetReply(c, (void **)&reply) == REDIS_OK);
        CHECK(is(reply, REDIS_REPLY_STATUS, "OK"));
        CHECK(redisGetReply(c, (void **)&reply) == REDIS_OK);
        CHECK(is(reply, REDIS_REPLY_STRING, number));
    }
}

static void multi(redisContext *c) {
    CHECK(is(redisCommand(c, "SET s text"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(c, "SET a 1"), REDIS_REPLY_STATUS, "QUEUED"));
    CHECK(is(redisCommand(c, "INCR s"), REDIS_REPLY_STATUS, "QUEUED"));
    CHECK(is(redisCommand(c, "GET a"), REDIS_REPLY_STATUS, "QUEUED"));
    CHECK(is(redisCommand(c, "GET none"), REDIS_REPLY_STATUS, "QUEUED"));
    redisReply *replies = redisCommand(c, "EXEC");
    CHECK(replies && replies->type == REDIS_REPLY_ARRAY && replies->elements == 4);
    CHECK(replies->element[0]->type == REDIS_REPLY_STATUS);
    CHECK(replies->element[1]->type == REDIS_REPLY_ERROR); /* the others stand */
    CHECK(replies->element[2]->type == REDIS_REPLY_STRING);
    CHECK(strcmp(replies->element[2]->str, "1") == 0);
    CHECK(replies->element[3]->type == REDIS_REPLY_NIL);
    freeReplyObject(replies);
    CHECK(is(redisCommand(c, "GET a"), REDIS_REPLY_STRING, "1"));
}

static void watch_conflict(redisContext *c) {
    redisContext *other = without_password();
    CHECK(authenticate(other));
    for (int conflict = 1; conflict >= 0; conflict--) {
        CHECK(is(redisCommand(c, "WATCH k"), REDIS_REPLY_STATUS, "OK"));
        if (conflict) CHECK(is(redisCommand(other, "SET k theirs"), REDIS_REPLY_STATUS, "OK"));
        CHECK(is(redisCommand(c, "MULTI"), REDIS_REPLY_STATUS, "OK"));
        CHECK(is(redisCommand(c, "SET k mine"), REDIS_REPLY_STATUS, "QUEUED"));
        int type = conflict ? REDIS_REPLY_NIL : REDIS_REPLY_ARRAY;
        CHECK(is(redisCommand(c, "EXEC"), type, NULL));
        CHECK(is(redisCommand(other, "GET k"), REDIS_REPLY_STRING, conflict ? "theirs" : "mine"));
    }
    redisFree(other);
}

static void fifty_connections(redisContext *c) {
    enum { COUNT = 50 };
    redisContext *all[COUNT];
    redisReply *reply;
    for (int n = 0; n < COUNT; n++) {
        all[n] = without_password();
        CHECK(authenticate(all[n]));
    }
    for (int round = 0; round < 20; round++) {
        int done = 0;
        for (int n = 0; n < COUNT; n++) {
            CHECK(redisAppendCommand(all[n], "INCR n") == REDIS_OK);
            while (!done) CHECK(redisBufferWrite(all[n], &done) == REDIS_OK);
            done = 0;
        }
        for (int n = 0; n < COUNT; n++) {
            CHECK(redisGetReply(all[n], (void **)&reply) == REDIS_OK);
            CHECK(reply->type == REDIS_REPLY_INTEGER);
            freeReplyObject(reply);
        }
    }
    CHECK(is(redisCommand(c, "GET n"), REDIS_REPLY_STRING, "1000"));
    for (int n = 0; n < COUNT; n++) redisFree(all[n]);
}

static void big_value_and_all_bytes(redisContext *c) {
    size_t size = 8 << 20;
    char *big = malloc(size), key[256];
    CHECK(big != NULL);
    for (size_t n = 0; n < size; n++) big[n] = (char)n;
    memcpy(key, big, sizeof key);
    CHECK(is(redisCommand(c, "SET %b %b", key, sizeof key, big, size), REDIS_REPLY_STATUS, "OK"));
    redisReply *reply = redisCommand(c, "GET %b", key, sizeof key);
    CHECK(reply && reply->type == REDIS_REPLY_STRING && (size_t)reply->len == size);
    CHECK(memcmp(reply->str, big, size) == 0);
    freeReplyObject(reply);
    free(big);
}

static void reconnects_after_kill_9_and_the_acknowledged_data_is_there(redisContext *c) {
    char value[16];
    for (int n = 0; n < 100; n++)
        CHECK(is(redisCommand(c, "SET k%d %d", n, n), REDIS_REPLY_STATUS, "OK"));
    stop();
    CHECK(redisCommand(c, "GET k0") == NULL && c->err != 0);
    start();
    CHECK(redisReconnect(c) == REDIS_OK && begin_tls(c) == REDIS_OK);
    CHECK(authenticate(c));
    for (int n = 0; n < 100; n++) {
        snprintf(value, sizeof value, "%d", n);
        CHECK(is(redisCommand(c, "GET k%d", n), REDIS_REPLY_STRING, value));
    }
}

#if HIREDIS_MAJOR >= 1
static void who_has_no_certificate_of_ours_is_refused(redisContext *c) {
    const char *all[] = {NULL, "stranger"};
    for (int n = 0; n < 2; n++) {
        redisContext *other = bare();
        int begun = begin_tls_as(other, all[n]) == REDIS_OK;
        /* TLS 1.3 tells it only with the first answer. */
        CHECK(!begun || redisCommand(other, "PING") == NULL);
        CHECK(other->err != 0);
        redisFree(other);
    }
    CHECK(is(redisCommand(c, "PING"), REDIS_REPLY_STATUS, "PONG"));
}
#endif

/* Each starts with an empty server and its own connection. */
static void test(const char *name, void (*body)(redisContext *)) {
    doing = name;
    bad = 0;
    redisContext *c = without_password();
    if (!authenticate(c) || !is(redisCommand(c, "FLUSHALL"), REDIS_REPLY_STATUS, "OK")) exit(2);
    body(c);
    redisFree(c);
    printf("%s %s: %s\n", bad ? "not ok" : "ok", way->name, name);
    *(bad ? &failed : &passed) += 1;
}

static void all_tests(void) {
    const char *parent = getenv("TMPDIR");
    char remove[sizeof dir + 16];
    snprintf(dir, sizeof dir, "%s/aft-clients-XXXXXX", parent ? parent : "/tmp");
    if (mkdtemp(dir) == NULL) exit(2);
    port = 0;
    start();
#define TEST(name) test(#name, name)
    TEST(the_protocol_asked_for);
    TEST(auth);
    TEST(strings_and_errors);
    TEST(database);
    TEST(pipeline);
    TEST(multi);
    TEST(watch_conflict);
    TEST(fifty_connections);
    TEST(big_value_and_all_bytes);
    TEST(reconnects_after_kill_9_and_the_acknowledged_data_is_there);
#if HIREDIS_MAJOR >= 1
    if (way->tls) TEST(who_has_no_certificate_of_ours_is_refused);
#endif
    stop();
    snprintf(remove, sizeof remove, "rm -rf '%s'", dir);
    if (system(remove) != 0) exit(2);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    printf("hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    for (size_t n = 0; n < sizeof ways / sizeof *ways; n++) {
        way = &ways[n];
        all_tests();
    }
    printf("%s: %d passed, %d failed\n", getenv("SUITE"), passed, failed);
    return failed != 0;
}
