#!/usr/bin/env python3
"""Delivers one event to Runlatch: deliver.py KEY [FILE]. The JSON comes from stdin where there is no FILE.

Needs the package `requests`. Settings and exit codes are in ../README.md.
"""

import os
import random
import re
import sys
import time
import uuid

import requests


def stop(code: int, text: str) -> None:
    print("deliver:", text, file=sys.stderr)
    sys.exit(code)


def setting(name: str, default: str, pattern: str = r"[0-9]+(\.[0-9]+)?") -> str:
    value = os.environ.get(name) or default
    if not re.fullmatch(pattern, value):
        stop(64, f"{name} is missing or malformed")
    return value


def retry_after(answer: requests.Response) -> float:
    """Seconds that the gateway asks for. A date, which it never sends, counts as nothing."""
    value = answer.headers.get("Retry-After", "")
    return min(60.0, float(value)) if re.fullmatch("[0-9]+", value) else 0.0


def main() -> None:
    if len(sys.argv) not in (2, 3):
        stop(64, "usage: deliver.py KEY [FILE]")
    url = setting("RUNLATCH_URL", "", "https?://.+").rstrip("/") + setting("RUNLATCH_PATH", "", "/.*")
    secret = setting("RUNLATCH_SECRET", "", "[!-~]+")
    attempts = int(setting("RUNLATCH_ATTEMPTS", "10", "[0-9]+"))
    timeout = float(setting("RUNLATCH_TIMEOUT_SECONDS", "10"))
    backoff = float(setting("RUNLATCH_BACKOFF_SECONDS", "0.1"))
    key = sys.argv[1]
    if not re.fullmatch("[!-~]{1,255}", key):
        stop(65, "refused: a key has 1 to 255 visible ASCII characters")
    try:
        # Read once: each attempt sends these very bytes. Others would be another payload to the gateway, and a 409.
        with open(sys.argv[2], "rb") if len(sys.argv) == 3 else sys.stdin.buffer as file:
            body = file.read()
    except OSError as error:
        stop(64, f"the event cannot be read: {error}")

    # One for all attempts, so that the logs tell them together.
    request_id = str(uuid.uuid4())
    headers = {
        "X-Webhook-Secret": secret,
        "X-Idempotency-Key": key,
        "X-Request-Id": request_id,
        "Content-Type": "application/json",
    }
    for attempt in range(1, attempts + 1):
        asked = 0.0
        try:
            # The time-out bounds each silence, not their sum; an answer is so short that it comes in one piece.
            # A redirect is not followed: it would take the secret along.
            answer = requests.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
            code, text = answer.status_code, answer.content.decode(errors="replace")
            outcome = f"{code} {text}"
            if 200 <= code < 300:
                if '"runId"' in text:
                    print(text)
                    return
                # Else something in between has answered, and the gateway may not have seen it.
            elif code not in (408, 429) and code < 500:
                stop(65, f"refused: {outcome} (request {request_id})")  # it would be refused again
            asked = retry_after(answer)
        except requests.RequestException as error:
            # It may or may not have arrived: sending it again is safe.
            outcome = f"no answer ({type(error).__name__})"
        print(f"deliver: attempt {attempt}: {outcome}", file=sys.stderr)
        if attempt < attempts:
            # What Retry-After asks for, and a random part of the backoff on top, so that senders do not come back in step.
            time.sleep(asked + random.uniform(0, min(30.0, backoff * 2 ** min(attempt - 1, 20))))
    stop(75, f"not accepted in {attempts} attempts (request {request_id}); send it again later, with the same key")


main()
