"""A server to test against: what `../serve` starts, killed and brought back at will."""

import os
import re
import shutil
import subprocess
import tempfile
import threading

SERVE = os.environ["AFT_SERVE"]
CERTIFICATES = os.environ["AFT_CERTIFICATES"]
PASSWORD = "secret"
READY = re.compile(r"^listening|Ready to accept")


class Server:
    """On 127.0.0.1 at `port`, which speaks TLS and nothing else where that is asked for."""

    def __init__(self, tls=False):
        self.tls = tls
        self.dir = tempfile.mkdtemp(prefix="aft-clients-")
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        """Starts, after a kill on the same port: that is where clients reconnect."""
        words = [SERVE, self.dir, str(self.port), PASSWORD, CERTIFICATES if self.tls else ""]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
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

    def where(self, protocol):
        """What redis-py has to know to be let in."""
        where = {"host": "127.0.0.1", "port": self.port, "protocol": protocol, "password": PASSWORD}
        return where | (tls_options() if self.tls else {})

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def tls_options(who="client"):
    """With that client's certificate, or none; redis-py's options."""
    options = {"ssl": True, "ssl_ca_certs": certificate("ca.crt"), "ssl_check_hostname": True}
    if who:
        options |= {
            "ssl_certfile": certificate(f"{who}.crt"),
            "ssl_keyfile": certificate(f"{who}.key"),
        }
    return options


def certificate(name):
    return os.path.join(CERTIFICATES, name)
