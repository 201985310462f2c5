"""Starts the server in AFT_BINARY (redis-server too, to check the tests themselves)."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading

READY = re.compile(r"^listening\s+\S+:(\d+)$|Ready to accept connections")


class Server:
    def __init__(self, password=None):
        self.binary = os.environ["AFT_BINARY"]
        self.is_redis = os.path.basename(self.binary).startswith("redis-server")
        self.password = password
        self.dir = tempfile.mkdtemp(prefix="aft-clients-")
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        """Starts, after a stop on the same port: that is where clients reconnect."""
        self.process = subprocess.Popen(
            self._command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # A server that hangs in its start must not hang the tests.
        killer = threading.Timer(20, self.process.kill)
        killer.start()
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            ready = READY.search(line.rstrip())
            if ready:
                self.port = int(ready.group(1) or self.port)
                break
        else:
            raise AssertionError("no start:\n" + "".join(lines))
        killer.cancel()
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()

    def _command(self):
        if not self.is_redis:
            words = ["--listen", f"127.0.0.1:{self.port}", "--store", f"embedded:{self.dir}"]
            words += ["--durability", "always"]
        else:
            self.port = self.port or free_port()
            words = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
            words += ["--appendonly", "yes", "--appendfsync", "always", "--dir", self.dir]
        if self.password:
            words += ["--requirepass", self.password]
        return [self.binary, *words]

    @staticmethod
    def _drain(stream):
        for _ in stream:
            pass

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
