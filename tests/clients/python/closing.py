"""Runs the tests of the file that was started, and says in one line how they went."""

import os
import socket
import unittest


def run(suite):
    """`suite: 12 passed, 0 failed`; the runner gives the version of the library to the name."""
    result = unittest.main(exit=False, verbosity=2, warnings="ignore").result
    bad = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = max(0, result.testsRun - bad - skipped)  # a setup that fails is no test that ran
    line = f"{os.environ.get('SUITE', suite)}: {passed} passed, {bad} failed"
    print(line + (f", {skipped} skipped" if skipped else ""), flush=True)
    raise SystemExit(bool(bad or not result.testsRun))


def needs(server, *command):
    """Skips a test, saying so, where the server doesn't know a command yet."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        lines = [f"AUTH {server.password}"] if server.password else []
        quoted = " ".join(f'"{word}"' for word in command)
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, quoted, "QUIT"]).encode())
        replies = b"".join(iter(lambda: connection.recv(4096), b""))
    unknown = b"unknown command" in replies
    return unittest.skipIf(unknown, f"the server has no {command[0]} yet")
