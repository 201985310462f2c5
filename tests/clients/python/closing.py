"""Runs the tests of the file that was started, and says in one line how they went."""

import os
import unittest

import redis


def run(suite):
    """`suite: 12 passed, 0 failed`; the runner gives the version of the library to the name."""
    result = unittest.main(exit=False, verbosity=2, warnings="ignore").result
    bad = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    passed = max(0, result.testsRun - bad - skipped)  # a setup that fails is no test that ran
    line = f"{os.environ.get('SUITE', suite)}: {passed} passed, {bad} failed"
    print(line + (f", {skipped} skipped" if skipped else ""), flush=True)
    raise SystemExit(bool(bad or not result.testsRun))


def needs(test, server, *command):
    """Skips a test, saying so, where the server doesn't know a command yet."""
    where = server.where(2) | {"decode_responses": True}
    with redis.Redis(**where) as client:
        try:
            client.execute_command(*command)
        except redis.ResponseError as error:
            if "unknown command" in str(error):
                test.skipTest(f"the server has no {command[0]} yet")
