"""Starts the server in AFT_BINARY (redis-server too, to check the tests themselves)."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading

READY = re.compile(r"^listening\s+\S+:(\d+)$|Ready to accept connections")
READY_TLS = re.compile(r"^listening\s+tls\s+\S+:(\d+)$|Ready to accept connections")
CERTIFICATES = pathlib.Path(__file__).parents[2] / "tls" / "make_certificates"


class Server:
    """With `tls`, `port` is the one that speaks TLS, and `certificates` a directory."""

    def __init__(self, password=None, tls=False):
        self.binary = os.environ["AFT_BINARY"]
        self.is_redis = os.path.basename(self.binary).startswith("redis-server")
        self.password = password
        self.dir = tempfile.mkdtemp(prefix="aft-clients-")
        self.certificates = tempfile.mkdtemp(prefix="aft-clients-tls-") if tls else None
        if tls:
            subprocess.run(["bash", str(CERTIFICATES), self.certificates], check=True)
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
        ready_line = READY_TLS if self.certificates else READY
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            ready = ready_line.search(line.rstrip())
            if ready:
                self.port = int(ready.group(1) or self.port)
                break
        else:
            raise AssertionError("no start:\n" + "".join(lines))
        killer.cancel()
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()

    def _command(self):
        if not self.is_redis:
            words = ["--store", f"embedded:{self.dir}", "--durability", "always"]
            words += ["--tls-listen" if self.certificates else "--listen", f"127.0.0.1:{self.port}"]
            words += ["--listen", "127.0.0.1:0"] if self.certificates else []
        else:
            self.port = self.port or free_port()
            words = ["--bind", "127.0.0.1", "--save", ""]
            words += ["--port", "0", "--tls-port"] if self.certificates else ["--port"]
            words += [str(self.port), "--appendonly", "yes", "--appendfsync", "always"]
            words += ["--dir", self.dir]
        if self.certificates:
            files = {"cert": "server.crt", "key": "server.key", "ca-cert": "ca.crt"}
            for what, name in files.items():
                words += [f"--tls-{what}-file", os.path.join(self.certificates, name)]
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
        if self.certificates:
            shutil.rmtree(self.certificates, ignore_errors=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
