"""A server to test against: what `../serve` starts, killed and brought back at will."""

import os
import re
import shutil
import subprocess
import tempfile
import threading

SERVE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "serve")
READY = re.compile(r"^listening|Ready to accept")


class Server:
    def __init__(self, password=None):
        self.password = password
        self.dir = tempfile.mkdtemp(prefix="aft-clients-")
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        """Starts, after a stop on the same port: that is where clients reconnect."""
        command = [SERVE, self.dir, str(self.port), self.password or ""]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # A server that hangs in its start must not hang the tests.
        killer = threading.Timer(20, self.process.kill)
        killer.start()
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("port "):
                self.port = int(line.split()[1])
            elif READY.search(line):
                break
        else:
            raise AssertionError("no start:\n" + "".join(lines))
        killer.cancel()
        threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()

    @staticmethod
    def _drain(stream):
        with stream:
            for _ in stream:
                pass

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
