"""A function as Lambda starts it: the event on stdin, its result on stdout. It dies where CRASH says:
before its n-th command, or with its work done before it has told so."""

import json
import os
import sys

from lambda_once import once

CRASH = os.environ.get("CRASH")


def line(name):
    if name == CRASH:
        os._exit(1)


@once
def handler(event, db):
    line("0")
    rich = int(db.get("rich"))
    line("1")
    db.set("rich", rich - event["amount"])
    line("2")
    poor = db.incrby("poor", event["amount"])
    line("3")
    if event.get("silent"):
        return None
    return {"rich": rich - event["amount"], "poor": poor}


result = handler(json.load(sys.stdin), None)
line("told")
print(json.dumps(result))
