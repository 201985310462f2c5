"""Who counts twice when a reply is lost: real client libraries, on redis-server and on aft.

    cut.py LIBRARY=COMMAND…            runs each and checks docs/lost_replies.md
    AFT_LOST_WITHOUT="A B" cut.py …    these are not on the machine: their rows stand as they are
    AFT_LOST_WRITE=1 cut.py …          writes that page, of which no library may be left out

A program (lost.py, lost.mjs, lost.go, Lost.java: the same in each language) counts `n` once: by
INCR, by MULTI … EXEC, by a WATCH loop; where its library raises an error it tries again, as
programs do. It reaches its server through a relay that cuts the connection once: when the reply to
the INCR or EXEC has come, it closes both sides without having read it, so the server sees the
reset that a client makes that closes with bytes unread. Then the program reads what was counted,
and counts once more because it means it.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "../../../docs/lost_replies.md")
PASSWORD = "secret"
WAYS = ["INCR", "MULTI", "WATCH"]
PATIENCE_S = 20


class Server:
    """What ../serve starts."""

    def __init__(self, binary):
        self.dir = tempfile.mkdtemp(prefix="aft-lost-")
        env = os.environ | {"AFT_BINARY": binary}
        words = [os.environ["AFT_SERVE"], self.dir, "0", PASSWORD]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)
        killer = threading.Timer(PATIENCE_S, self.process.kill)
        killer.start()
        for line in self.process.stdout:
            if line.startswith("port "):
                self.port = int(line.split()[1])
            elif re.search("^listening|Ready to accept", line):
                break
        else:
            raise AssertionError("no server")
        killer.cancel()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def begin(self):
        """A transaction for somebody else."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as s:
            s.sendall(b"AUTH %s\r\nAFT.BEGIN\r\n" % PASSWORD.encode())
            said = b""
            while not (token := re.search(rb"\*3\r\n\$\d+\r\n([^\r]+)\r\n\$5\r\nbegun", said)):
                piece = s.recv(4096)
                assert piece, said
                said += piece
            return token[1].decode()


class Relay:
    """Passes bytes on to a server, and loses one reply: that to a command of this name."""

    def __init__(self, port, command):
        self.to = port
        # Some say INCRBY.
        self.command = b"\r\n" + command.encode()
        self.cuts = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to), PATIENCE_S)
            for s in (client, server):
                s.settimeout(None)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lose = threading.Event()
            threading.Thread(target=self.requests, args=(client, server, lose), daemon=True).start()
            threading.Thread(target=self.replies, args=(client, server, lose), daemon=True).start()

    def requests(self, client, server, lose):
        before = b""
        try:
            while piece := client.recv(65536):
                before = (before + piece)[-65600:]
                with self.lock:
                    if self.command in before.lower() and not self.cuts:
                        self.cuts = 1
                        lose.set()
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def replies(self, client, server, lose):
        try:
            while piece := server.recv(65536, socket.MSG_PEEK):
                if lose.is_set():
                    # Not read: to close is to reset. Of an EXEC the reply may be in two pieces.
                    whole = rb"^:\d+\r\n$" if b"incr" in self.command else rb"\*1\r\n[:+].*\r\n$"
                    if re.search(whole, piece):
                        server.close()
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    time.sleep(0.0005)
                    continue
                client.sendall(server.recv(len(piece)))
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def run(library, command, server, is_aft):
    """What the program says of each way: who sent again, the count, the count after one more."""
    relays = [Relay(server.port, "exec" if way != "INCR" else "incr") for way in WAYS]
    words = command.split("\x1f")
    for way, relay in zip(WAYS, relays):
        user = f"default~{server.begin()}" if is_aft else "default"
        words.append(f"{way},{relay.port},{user},{library}:{way}")
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
    for relay in relays:
        relay.close()
    said = {line.split()[0]: line.split()[1:] for line in ran.stdout.splitlines()}
    if ran.returncode or list(said) != WAYS:
        raise AssertionError(f"{library}: {ran.returncode} {ran.stdout}{ran.stderr}")
    assert all(relay.cuts == 1 for relay in relays), f"{library}: nothing was cut"
    return said


def page(rows):
    with open(os.path.join(HERE, "page.md")) as text:
        return text.read().replace("TABLE\n", "\n".join(rows) + "\n")


def alike(text, without):
    """Lettuce sends again what it has no reply to: how often that counts on Redis, more than once, is
    a matter of which replies had come. Libraries that were not run are left out."""
    lines = [line for line in text.split("\n") if not line.startswith(without)]
    more = re.compile(r"^(\| Lettuce .*) [2-9] (\| \d \|)$")
    return [more.sub(r"\1 more \2", line) for line in lines]


def main():
    libraries = [word.split("=", 1) for word in sys.argv[1:]]
    redis, aft = Server("redis-server"), Server(os.environ["AFT_BINARY"])
    rows = ["| library | counts by | who sends again | redis-server | aft |", "|---|---|---|---|---|"]
    bad = []
    passed = 0
    try:
        for library, command in libraries:
            on_redis = run(library, command, redis, False)
            on_aft = run(library, command, aft, True)
            for way in WAYS:
                (who, count, more), (_, own, own_more) = on_redis[way], on_aft[way]
                if (own, own_more) == ("1", "2"):
                    passed += 1
                else:
                    bad.append(f"{library} {way}: {own}, then {own_more}")
                how = {"MULTI": "MULTI, INCR, EXEC", "WATCH": "WATCH, GET, MULTI, SET, EXEC"}
                name, version = library.rsplit("@", 1)
                rows.append(
                    f"| {name} {version} | {how.get(way, way)} | the {who} | {count} | {own} |"
                )
    finally:
        redis.close()
        aft.close()
    made = page(rows)
    without = tuple(f"| {name} " for name in os.environ.get("AFT_LOST_WITHOUT", "").split())
    if os.environ.get("AFT_LOST_WRITE") and not without:
        with open(PAGE, "w") as out:
            out.write(made)
    else:
        with open(PAGE) as there:
            if alike(there.read(), without) != alike(made, without):
                bad.append("docs/lost_replies.md says something else: AFT_LOST_WRITE=1")
                print(made)
    for line in bad:
        print(line)
    print(f"lost-replies: {passed} passed, {len(bad)} failed", flush=True)
    raise SystemExit(bool(bad or not passed))


main()
