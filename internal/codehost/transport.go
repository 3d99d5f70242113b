package codehost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// transport is the one way to a host's API for all clients. It adds the token, goes nowhere
// but to the API, bounds time and size, reads answers to their end, waits out short limits, and
// turns every answer that is no success into an *Error or *RateLimitError.
type transport struct {
	config Config
	base   http.RoundTripper
	// api is the address that all requests go beneath.
	api *url.URL
	// header and value carry the token.
	header, value string
	limits        *limits
}

// attempts is how often a read is tried that ends in a 5xx status or a network error.
const attempts = 3

// readKey marks a context: the request changes nothing although its method is POST.
type readKey struct{}

func reading(ctx context.Context) context.Context { return context.WithValue(ctx, readKey{}, true) }

// newClient returns an HTTP client that only talks to api.
func newClient(c Config, api *url.URL, header, value string) *http.Client {
	base := http.RoundTripper(nil)
	if c.Client != nil {
		base = c.Client.Transport
	}
	if base == nil {
		base = defaultTransport()
	}
	t := &transport{config: c, base: base, api: api, header: header, value: value, limits: &limits{now: c.Now, until: map[string]time.Time{}, strikes: map[string]int{}}}
	return &http.Client{Transport: t, CheckRedirect: t.checkRedirect}
}

func defaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        16,
		IdleConnTimeout:        30 * time.Second,
	}
}

// checkRedirect follows a renamed repository within the API, with the same method. The answer
// that points elsewhere is returned as it is, which makes it an error.
func (t *transport) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.Method != via[0].Method || !t.within(req.URL) {
		return &Error{Host: t.api.Host, Status: http.StatusFound, Message: "a redirect to " + printable(req.URL.Scheme+"://"+req.URL.Host, 200) + " was not followed",
			Err: errors.New("redirect")}
	}
	return nil
}

func (t *transport) within(u *url.URL) bool {
	// A joined path may lack its first slash.
	prefix := strings.Trim(t.api.Path, "/")
	return u.Scheme == t.api.Scheme && u.Host == t.api.Host && (prefix == "" || strings.HasPrefix(strings.TrimLeft(u.Path, "/")+"/", prefix+"/"))
}

// RoundTrip does one request, and again what may be done again.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if !t.within(req.URL) {
		closeBody(req)
		return nil, &Error{Host: t.api.Host, Message: "a request to " + printable(req.URL.Host, 200) + " was not sent", Err: errors.New("foreign address")}
	}
	bucket := bucketOf(req.URL.Path)
	read := req.Method == http.MethodGet || req.Method == http.MethodHead || ctx.Value(readKey{}) != nil
	var waited time.Duration
	for try := 1; ; try++ {
		if until, ok := t.limits.closed(bucket); ok {
			closeBody(req)
			return nil, &RateLimitError{Host: t.api.Host, Until: until}
		}
		resp, err := t.once(req, bucket, !read)
		if err == nil {
			return resp, nil
		}
		wait, again := t.again(err, read, try)
		if !again || ctx.Err() != nil || waited+wait > t.config.MaxWait+attempts*time.Second {
			return nil, err
		}
		if req.Body != nil && req.Body != http.NoBody {
			if req.GetBody == nil {
				return nil, err
			}
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				return nil, err
			}
			req = req.Clone(ctx)
			req.Body = body
		}
		if t.config.Sleep(ctx, wait) != nil {
			return nil, err
		}
		waited += wait
		t.limits.reopen(bucket)
	}
}

// again says whether a failed request may be done again, and after what wait. What was
// refused for a rate limit was not carried out, so every method may.
func (t *transport) again(err error, read bool, try int) (time.Duration, bool) {
	var limited *RateLimitError
	if errors.As(err, &limited) {
		wait := limited.Until.Sub(t.config.Now())
		return max(wait, 0) + jitter(time.Second), try < attempts && wait <= t.config.MaxWait
	}
	var e *Error
	if !read || try >= attempts || !errors.As(err, &e) || !e.Ambiguous {
		return 0, false
	}
	return time.Duration(1<<(try-1))*500*time.Millisecond + jitter(500*time.Millisecond), true
}

func jitter(d time.Duration) time.Duration { return rand.N(d) }

// once does the request one time and reads its answer to the end, within the bounds.
func (t *transport) once(req *http.Request, bucket string, write bool) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.config.Timeout, errSlow)
	defer cancel()
	out := req.Clone(ctx)
	out.Header.Del("Authorization")
	if t.config.Token != "" {
		out.Header.Set(t.header, t.value)
	}
	out.Header.Set("User-Agent", "glovebox")
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		return nil, t.broken(ctx, req, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, t.config.MaxBody+1))
	resp.Body.Close()
	if err != nil {
		return nil, t.broken(ctx, req, err)
	}
	if int64(len(body)) > t.config.MaxBody {
		return nil, &Error{Host: t.api.Host, Status: resp.StatusCode, Message: fmt.Sprintf("more than %d bytes of answer", t.config.MaxBody), Err: glovebox.ErrTooLarge, Ambiguous: write}
	}
	if until, limited := t.limits.read(bucket, resp, body); limited {
		return nil, &RateLimitError{Host: t.api.Host, Until: until}
	}
	resp.Body, resp.ContentLength, resp.Request = io.NopCloser(bytes.NewReader(body)), int64(len(body)), req
	return t.judge(resp, body)
}

var errSlow = errors.New("no whole answer in time")

func (t *transport) broken(ctx context.Context, req *http.Request, err error) error {
	if req.Context().Err() != nil {
		return context.Cause(req.Context())
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{Host: t.api.Host, Err: err, Ambiguous: true}
}

// judge lets successes and redirects within the API through.
func (t *transport) judge(resp *http.Response, body []byte) (*http.Response, error) {
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
			return nil, &Error{Host: t.api.Host, Message: "it answered with a web page, not with its API: is the address right?", Err: errors.New("web page"), Ambiguous: true}
		}
		if holes(body) {
			return nil, &Error{Host: t.api.Host, Message: "the answer is not what its API gives: a list with nothing in a place", Err: errors.New("null in a list"), Ambiguous: true}
		}
		return resp, nil
	case resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.Header.Get("Location") != "":
		return resp, nil
	}
	return nil, &Error{Host: t.api.Host, Status: resp.StatusCode, Message: message(body), Err: kindOf(resp.StatusCode), Ambiguous: resp.StatusCode >= 500}
}

// holes reports a list with null in it: clients take each entry for a thing and would panic.
func holes(body []byte) bool {
	if body = bytes.TrimSpace(body); len(body) == 0 || body[0] != '[' {
		return false
	}
	var entries []json.RawMessage
	if json.Unmarshal(body, &entries) != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e json.RawMessage) bool { return string(e) == "null" })
}

// message finds what a failed answer says: {"message": …} with GitHub's {"errors": [{"message": …}]},
// GitLab's lists in "message", or {"error": …}.
func message(body []byte) string {
	var answer struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var parts []string
	for _, raw := range []json.RawMessage{answer.Message, answer.Error, answer.Errors} {
		var v any
		if json.Unmarshal(raw, &v) == nil {
			parts = collect(parts, v, 0)
		}
	}
	return printable(strings.Join(parts, ": "), 300)
}

// collect gathers the texts in a message, of which hosts have several shapes.
func collect(parts []string, v any, depth int) []string {
	if depth > 4 || len(parts) > 10 {
		return parts
	}
	switch v := v.(type) {
	case string:
		if v != "" {
			parts = append(parts, v)
		}
	case []any:
		for _, x := range v {
			parts = collect(parts, x, depth+1)
		}
	case map[string]any:
		for key, x := range v {
			if key == "message" || depth == 0 {
				parts = collect(parts, x, depth+1)
			}
		}
	}
	return parts
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
