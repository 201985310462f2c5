"""A Lambda handler whose requests count once, however often they are delivered.

    @once(lambda event: event["order"])
    def handler(event, db): ...             # what it does with `db` is done in one transaction
"""

import json
import os

import redis

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
runner = redis.Redis.from_url(URL, single_connection_client=True, decode_responses=True)


def once(request_of):
    def wrap(handler):
        def invoke(event, context):
            token, state, result = runner.execute_command("AFT.BEGIN", "REQUEST", request_of(event))
            if state == "committed":
                return json.loads(result)
            try:
                with redis.Redis.from_url(URL, client_name=f"aft:{token}", decode_responses=True) as db:
                    result = handler(event, db)
            except BaseException:
                runner.execute_command("AFT.ABORT", token)
                raise
            runner.execute_command("AFT.COMMIT", token, "RESULT", json.dumps(result))
            return result

        return invoke

    return wrap
