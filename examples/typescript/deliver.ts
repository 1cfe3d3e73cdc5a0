// Delivers one event to Runlatch: node deliver.js KEY [FILE]. The JSON comes from stdin where there is no FILE.
// Needs Node 20 or later and no packages. How to run it, settings and exit codes are in ../README.md.

import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { arrayBuffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** Ends the program with this code and text. */
class Stop extends Error {
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

function setting(name: string, fallback: string, pattern = /^[0-9]+(\.[0-9]+)?$/): string {
  const value = process.env[name] || fallback;
  if (!pattern.test(value)) throw new Stop(64, `${name} is missing or malformed`);
  return value;
}

/** Seconds that the gateway asks for. A date, which it never sends, counts as nothing. */
function retryAfter(answer: Response): number {
  const value = answer.headers.get("retry-after") ?? "";
  return /^[0-9]+$/.test(value) ? Math.min(60, Number(value)) : 0;
}

/** The answer to an event that was accepted. */
async function deliver(args: string[]): Promise<string> {
  const [key, file] = args;
  if (key === undefined || args.length > 2) throw new Stop(64, "usage: deliver.js KEY [FILE]");
  const url = setting("RUNLATCH_URL", "", /^https?:\/\/./).replace(/\/+$/, "") + setting("RUNLATCH_PATH", "", /^\//);
  const secret = setting("RUNLATCH_SECRET", "", /^[!-~]+$/);
  const attempts = Number(setting("RUNLATCH_ATTEMPTS", "10", /^[0-9]+$/));
  const timeout = Number(setting("RUNLATCH_TIMEOUT_SECONDS", "10"));
  const backoff = Number(setting("RUNLATCH_BACKOFF_SECONDS", "0.1"));
  if (!/^[!-~]{1,255}$/.test(key)) throw new Stop(65, "refused: a key has 1 to 255 visible ASCII characters");
  // Read once: each attempt sends these very bytes. Others would be another payload to the gateway, and a 409.
  const body = await arrayBuffer(file === undefined ? process.stdin : createReadStream(file)).catch((error: Error) => {
    throw new Stop(64, `the event cannot be read: ${error.message}`);
  });

  // One for all attempts, so that the logs tell them together.
  const requestId = randomUUID();
  const headers = {
    "X-Webhook-Secret": secret,
    "X-Idempotency-Key": key,
    "X-Request-Id": requestId,
    "Content-Type": "application/json",
  };
  for (let attempt = 1; attempt <= attempts; attempt++) {
    let asked = 0;
    let outcome: string;
    try {
      // The time-out covers the whole answer. A redirect is not followed: it would take the secret along.
      const signal = AbortSignal.timeout(Math.ceil(timeout * 1000));
      const answer = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
      const text = await answer.text();
      outcome = `${answer.status} ${text}`;
      if (answer.ok) {
        if (text.includes('"runId"')) return text;
        // Else something in between has answered, and the gateway may not have seen it.
      } else if (![408, 429].includes(answer.status) && answer.status < 500) {
        throw new Stop(65, `refused: ${outcome} (request ${requestId})`); // it would be refused again
      }
      asked = retryAfter(answer);
    } catch (error) {
      if (error instanceof Stop) throw error;
      // It may or may not have arrived: sending it again is safe.
      outcome = `no answer (${(error instanceof Error && error.cause) || error})`;
    }
    console.error(`deliver: attempt ${attempt}: ${outcome}`);
    if (attempt < attempts) {
      // What Retry-After asks for, and a random part of the backoff on top, so that senders do not come back in step.
      await sleep(1000 * (asked + Math.random() * Math.min(30, backoff * 2 ** (attempt - 1))));
    }
  }
  throw new Stop(75, `not accepted in ${attempts} attempts (request ${requestId}); send it again later, with the same key`);
}

try {
  console.log(await deliver(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  console.error(`deliver: ${error.message}`);
  process.exitCode = error.code;
}
