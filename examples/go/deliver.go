// Delivers one event to Runlatch: deliver KEY [FILE]. The JSON comes from stdin where there is no FILE.
// Needs Go 1.21 or later and no modules. How to run it, settings and exit codes are in ../README.md.
package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func stop(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "deliver: "+format+"\n", args...)
	os.Exit(code)
}

func setting(name, fallback, pattern string) string {
	value := os.Getenv(name)
	if value == "" {
		value = fallback
	}
	if !regexp.MustCompile(pattern).MatchString(value) {
		stop(64, "%s is missing or malformed", name)
	}
	return value
}

func number(name, fallback string) float64 {
	value, _ := strconv.ParseFloat(setting(name, fallback, `^[0-9]+(\.[0-9]+)?$`), 64)
	return value
}

// send makes one attempt. An error means that no whole answer came.
func send(client *http.Client, url string, headers map[string]string, body []byte) (*http.Response, string, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		stop(64, "RUNLATCH_URL or RUNLATCH_PATH is malformed")
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer, string(text), err
}

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		stop(64, "usage: deliver KEY [FILE]")
	}
	url := strings.TrimRight(setting("RUNLATCH_URL", "", `^https?://.`), "/") + setting("RUNLATCH_PATH", "", `^/`)
	secret := setting("RUNLATCH_SECRET", "", `^[!-~]+$`)
	attempts := int(number("RUNLATCH_ATTEMPTS", "10"))
	timeout := number("RUNLATCH_TIMEOUT_SECONDS", "10")
	backoff := number("RUNLATCH_BACKOFF_SECONDS", "0.1")
	key := os.Args[1]
	if !regexp.MustCompile(`^[!-~]{1,255}$`).MatchString(key) {
		stop(65, "refused: a key has 1 to 255 visible ASCII characters")
	}
	input, err := os.Stdin, error(nil)
	if len(os.Args) == 3 {
		input, err = os.Open(os.Args[2])
	}
	// Read once: each attempt sends these very bytes. Others would be another payload to the gateway, and a 409.
	var body []byte
	if err == nil {
		body, err = io.ReadAll(input)
	}
	if err != nil {
		stop(64, "the event cannot be read: %v", err)
	}

	// One for all attempts, so that the logs tell them together.
	requestID := fmt.Sprintf("%016x", rand.Uint64())
	headers := map[string]string{
		"X-Webhook-Secret":  secret,
		"X-Idempotency-Key": key,
		"X-Request-Id":      requestID,
		"Content-Type":      "application/json",
	}
	client := &http.Client{
		Timeout: time.Duration(timeout * float64(time.Second)), // of the whole attempt
		// A redirect is not followed: it would take the secret along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for attempt := 1; attempt <= attempts; attempt++ {
		asked := 0.0
		answer, text, err := send(client, url, headers, body)
		outcome := fmt.Sprintf("no answer (%v)", err) // it may or may not have arrived: sending it again is safe
		if err == nil {
			code := answer.StatusCode
			outcome = fmt.Sprintf("%d %s", code, text)
			accepted := code >= 200 && code < 300
			if accepted && strings.Contains(text, `"runId"`) {
				fmt.Println(text)
				return
			} // a 2xx without a run is of something in between, and the gateway may not have seen the event
			if !accepted && code != 408 && code != 429 && code < 500 {
				stop(65, "refused: %s (request %s)", outcome, requestID) // it would be refused again
			}
			// A date, which the gateway never sends, counts as nothing; a number too large as the largest.
			seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 32)
			asked = math.Min(60, float64(seconds))
		}
		fmt.Fprintf(os.Stderr, "deliver: attempt %d: %s\n", attempt, outcome)
		if attempt < attempts {
			// What Retry-After asks for, and a random part of the backoff on top, so that senders do not come back in step.
			ceiling := math.Min(30, backoff*math.Pow(2, math.Min(float64(attempt-1), 20)))
			time.Sleep(time.Duration((asked + rand.Float64()*ceiling) * float64(time.Second)))
		}
	}
	stop(75, "not accepted in %d attempts (request %s); send it again later, with the same key", attempts, requestID)
}
