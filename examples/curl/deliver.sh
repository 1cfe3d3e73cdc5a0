#!/usr/bin/env bash
# Delivers one event to Runlatch: deliver.sh KEY [FILE]. The JSON comes from stdin where there is no FILE.
# Needs curl 7.55 or later. Settings and exit codes are in ../README.md.
set -u
export LC_ALL=C # bytes in patterns, and a point in decimals

stop() { # exit code, text
  printf 'deliver: %s\n' "$2" >&2
  exit "$1"
}

attempts=${RUNLATCH_ATTEMPTS:-10}
timeout=${RUNLATCH_TIMEOUT_SECONDS:-10}
backoff=${RUNLATCH_BACKOFF_SECONDS:-0.1}
visible='^[!-~]+$'
number='^[0-9]+(\.[0-9]+)?$'
[[ $# == 1 || $# == 2 ]] || stop 64 "usage: deliver.sh KEY [FILE]"
[[ ${RUNLATCH_URL:-} =~ ^https?:// ]] || stop 64 "RUNLATCH_URL is not an http or https address"
[[ ${RUNLATCH_PATH:-} == /* ]] || stop 64 "RUNLATCH_PATH does not begin with a slash"
[[ ${RUNLATCH_SECRET:-} =~ $visible ]] || stop 64 "RUNLATCH_SECRET is missing, or has other than visible ASCII characters"
[[ $attempts =~ ^[0-9]+$ && $timeout =~ $number && $backoff =~ $number ]] || stop 64 "a setting is not a number"
key=$1
[[ $key =~ $visible && ${#key} -le 255 ]] || stop 65 "refused: a key has 1 to 255 visible ASCII characters"

work=$(mktemp -d) || stop 75 "no room for a temporary file; send it again later, with the same key"
trap 'rm -rf "$work"' EXIT
# Read once: each attempt sends these very bytes. Others would be another payload to the gateway, and a 409.
cat -- "${@:2}" >"$work/body" || stop 64 "the event cannot be read"
# One for all attempts, so that the logs tell them together.
request_id=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')

send() { # prints the status code; fails where no whole answer came
  : >"$work/head"
  : >"$work/answer"
  # The secret goes through a pipe: a command line can be read by everybody on the machine. Redirects are not followed.
  curl --silent --globoff --max-time "$timeout" \
    --header @<(printf 'X-Webhook-Secret: %s\n' "$RUNLATCH_SECRET") \
    --header "X-Idempotency-Key: $key" --header "X-Request-Id: $request_id" --header "Content-Type: application/json" \
    --data-binary "@$work/body" --dump-header "$work/head" --output "$work/answer" --write-out '%{http_code}' \
    "${RUNLATCH_URL%/}$RUNLATCH_PATH"
}

pause() { # attempt, random number below 32768: what Retry-After asks for, and a random part of the backoff on top
  awk -F ':[ \t]*|\r' -v n="$1" -v luck="$2" -v backoff="$backoff" '
    tolower($1) == "retry-after" && $2 ~ /^[0-9]+$/ { asked = $2 > 60 ? 60 : $2 }
    END { top = backoff * 2 ^ (n < 20 ? n - 1 : 20); printf "%.3f", asked + luck / 32768 * (top > 30 ? 30 : top) }
  ' "$work/head"
}

for ((attempt = 1; attempt <= 10#$attempts; attempt++)); do
  code=$(send) || code="no answer (curl: $?)"
  answer=$(tr -d '\0' <"$work/answer")
  case $code in
    2??)
      if [[ $answer == *'"runId"'* ]]; then
        printf '%s\n' "$answer"
        exit 0
      fi # else something in between has answered, and the gateway may not have seen it
      ;;
    no* | 408 | 429 | 5??) ;;                             # it may or may not have arrived: sending it again is safe
    *) stop 65 "refused: $code $answer (request $request_id)" ;; # it would be refused again
  esac
  printf 'deliver: attempt %s: %s %s\n' "$attempt" "$code" "$answer" >&2
  ((attempt == 10#$attempts)) || sleep "$(pause "$attempt" "$RANDOM")"
done
stop 75 "not accepted in $attempts attempts (request $request_id); send it again later, with the same key"
