package codehost_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kinds are the hosts with an API: what a hostile one answers concerns all.
var kinds = []string{codehost.KindGitHub, codehost.KindGitLab, codehost.KindGitea}

const token = "hunter2secret"

// clock is a time that moves when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// against makes a host of a kind in front of a server of the test's.
func against(t *testing.T, kind string, answer http.HandlerFunc) (codehost.Host, *clock) {
	t.Helper()
	server := httptest.NewServer(answer)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	h, err := codehost.New(codehost.Config{Kind: kind, URL: server.URL, Token: token, Client: &http.Client{Transport: transport},
		Timeout: time.Second, MaxBody: 1 << 20, MaxRepositories: 500, Now: c.Now, Sleep: c.Sleep})
	if err != nil {
		t.Fatal(err)
	}
	return h, c
}

// calls are one of each method.
func calls(ctx context.Context, h codehost.Host) map[string]error {
	c := codehost.Change{Title: "t", Branch: "b", Base: "main"}
	errs := map[string]error{}
	_, errs["Repository"] = h.Repository(ctx, "acme/app")
	_, errs["Search"] = h.Search(ctx, "org:acme app")
	_, errs["Fork"] = h.Fork(ctx, "acme/app")
	_, errs["Open"] = h.Open(ctx, "acme/app", c)
	_, errs["Update"] = h.Update(ctx, "acme/app", "1", c)
	_, errs["Close"] = h.Close(ctx, "acme/app", "1")
	_, errs["Reopen"] = h.Reopen(ctx, "acme/app", "1")
	_, errs["Get"] = h.Get(ctx, "acme/app", "1")
	_, errs["List"] = h.List(ctx, "acme/app", []string{"1", "2"})
	return errs
}

func TestHostileAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a request went elsewhere: %s %s %v", r.Method, r.URL, r.Header)
	}))
	defer elsewhere.Close()
	say := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	const js = "application/json"
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"garbage":      {say(200, js, "{{{{\x00\xff"), ""},
		"empty":        {say(200, js, ""), ""},
		"null":         {say(200, js, "null"), ""},
		"array":        {say(200, js, "[1,2,[]]"), ""},
		"text":         {say(200, js, `"text"`), ""},
		"wrong types":  {say(200, js, `{"full_name":7,"path_with_namespace":{},"number":"x","iid":[],"data":{"repository":[]},"items":3}`), ""},
		"deep":         {say(200, js, strings.Repeat("[", 500_000)), ""},
		"page":         {say(200, "text/html; charset=utf-8", "<html>Sign in</html>"), "web page"},
		"error 500":    {say(500, js, `{"message":"oops"}`), "answered 500: oops"},
		"unauthorized": {say(401, js, `{"message":"Bad credentials"}`), "the token is wrong"},
		"forbidden":    {say(403, js, `{"message":"Resource not accessible by personal access token"}`), "lacks a scope"},
		"archived":     {say(403, js, `{"message":"Repository was archived so is read-only."}`), "unarchive it"},
		"controls":     {say(400, js, `{"message":"\u001b[31mred\u0007\u202e"}`), "answered 400: [31mred"},
		"elsewhere":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+"/x", 307) }, "was not followed"},
		"outside API":  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", 302) }, "was not followed"},
		"circle":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), 307) }, "was not followed"},
		"hang up":      {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, ""},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "of answer"},
		"status 299 null": {say(299, js, "null"), ""},
	}
	for name, test := range tests {
		for _, kind := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				h, _ := against(t, kind, test.answer)
				for call, err := range calls(t.Context(), h) {
					if err == nil && (call == "Search" || call == "List") && !strings.Contains(name, "error") && test.want == "" {
						// An empty list is an answer.
						continue
					}
					if err == nil || !strings.Contains(err.Error(), test.want) {
						t.Errorf("%s: %v, want %q", call, err, test.want)
					} else if s := err.Error(); strings.Contains(s, token) || strings.ContainsAny(s, "\x1b\x07\n\u202e") || len(s) > 1000 {
						t.Errorf("%s: unsafe or long error %q", call, s)
					}
				}
			})
		}
	}
}

// TestSlowAnswer: one byte now and then does not keep a call alive.
func TestSlowAnswer(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h, _ := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						io.WriteString(w, " ")
						w.(http.Flusher).Flush()
					case <-r.Context().Done():
						return
					}
				}
			})
			start := time.Now()
			_, err := h.Repository(t.Context(), "acme/app")
			if err == nil || !strings.Contains(err.Error(), "no whole answer in time") || time.Since(start) > 30*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("stop it")
			time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
			if _, err := h.Repository(ctx, "acme/app"); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
				t.Errorf("stopped: %v", err)
			}
		})
	}
}

// TestRateLimit: a long limit is told at once, and nothing is sent until it is over.
func TestRateLimit(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tests := map[string]struct {
		status int
		header map[string]string
		body   string
		min    time.Duration
		max    time.Duration
	}{
		"an hour":            {429, map[string]string{"Retry-After": "3600"}, "", time.Hour, time.Hour},
		"a date":             {503, map[string]string{"Retry-After": now.Add(time.Hour).UTC().Format(http.TimeFormat)}, "", time.Hour, time.Hour},
		"GitHub's reset":     {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(time.Hour).Unix())}, `{"message":"API rate limit exceeded"}`, time.Hour, time.Hour},
		"GitLab's reset":     {429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": fmt.Sprint(now.Add(time.Minute).Unix())}, "", time.Minute, time.Minute},
		"secondary, no time": {403, nil, `{"message":"You have exceeded a secondary rate limit."}`, time.Minute, 70 * time.Second},
		"no time":            {429, nil, "", time.Minute, 70 * time.Second},
		"a hundred years":    {429, map[string]string{"Retry-After": "3153600000"}, "", 24 * time.Hour, 24 * time.Hour},
		"overflow":           {429, map[string]string{"Retry-After": "9223372036854775807"}, "", 24 * time.Hour, 24 * time.Hour},
		"negative":           {429, map[string]string{"Retry-After": "-5", "X-RateLimit-Reset": "-1"}, "", time.Minute, 70 * time.Second},
	}
	for name, test := range tests {
		for _, kind := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				var count atomic.Int64
				h, c := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
					count.Add(1)
					for k, v := range test.header {
						w.Header().Set(k, v)
					}
					w.WriteHeader(test.status)
					io.WriteString(w, test.body)
				})
				for range 3 {
					_, err := h.Repository(t.Context(), "acme/app")
					var limited *codehost.RateLimitError
					if !errors.As(err, &limited) || !errors.Is(err, codehost.ErrRateLimited) {
						t.Fatalf("got %v", err)
					}
					if wait := limited.Until.Sub(now); wait < test.min || wait > test.max {
						t.Errorf("until %v, want %v to %v", wait, test.min, test.max)
					}
				}
				if count.Load() != 1 || len(c.slept) != 0 {
					t.Errorf("%d requests, slept %v", count.Load(), c.slept)
				}
			})
		}
	}
}

// TestShortLimitIsWaitedFor, and a write that was refused for it is written once.
func TestShortLimitIsWaitedFor(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			var count atomic.Int64
			h, c := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
				if count.Add(1) == 1 {
					w.Header().Set("Retry-After", "2")
					w.WriteHeader(429)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"full_name":"acme/app","path_with_namespace":"acme/app","default_branch":"main"}`)
			})
			r, err := h.Repository(t.Context(), "acme/app")
			if err != nil || r.Name != "acme/app" || count.Load() != 2 || len(c.slept) != 1 || c.slept[0] < 2*time.Second || c.slept[0] > 3*time.Second {
				t.Errorf("%+v, %v, %d requests, slept %v", r, err, count.Load(), c.slept)
			}
		})
	}
}

// TestSpentLimitIsRemembered: the last free answer closes the door before the host does.
func TestSpentLimitIsRemembered(t *testing.T) {
	var count atomic.Int64
	h, c := against(t, codehost.KindGitHub, func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", "1800000600")
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"full_name":"acme/app"}`)
	})
	if _, err := h.Repository(t.Context(), "acme/app"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Repository(t.Context(), "acme/app"); !errors.Is(err, codehost.ErrRateLimited) || count.Load() != 1 {
		t.Errorf("%v, %d requests", err, count.Load())
	}
	c.Sleep(t.Context(), 11*time.Minute)
	if _, err := h.Repository(t.Context(), "acme/app"); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}

// TestReadsAreRetriedAndWritesAreNot counts what reaches a host in trouble.
func TestReadsAreRetriedAndWritesAreNot(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]int{}
			h, _ := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				seen[r.Method]++
				w.WriteHeader(502)
			})
			if _, err := h.Repository(t.Context(), "acme/app"); err == nil || seen["GET"] != 3 {
				t.Errorf("read: %v, %v", err, seen)
			}
			clear(seen)
			if _, err := h.Update(t.Context(), "acme/app", "1", codehost.Change{Title: "t"}); err == nil || seen["PATCH"]+seen["PUT"] != 1 {
				t.Errorf("write: %v, %v", err, seen)
			}
		})
	}
}

// TestEndlessPages: a host that always has another page is not followed for ever.
func TestEndlessPages(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			var count atomic.Int64
			h, _ := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
				n := count.Add(1)
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/users/acme") {
					io.WriteString(w, `{"id":7}`)
					return
				}
				w.Header().Set("X-Next-Page", fmt.Sprint(n+1))
				w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?page=%d>; rel="next"`, r.Host, r.URL.Path, n+1))
				repo := fmt.Sprintf(`{"full_name":"acme/a%d","path_with_namespace":"acme/a%d"}`, n%3, n%3)
				switch {
				case strings.HasSuffix(r.URL.Path, "/repos/search"):
					io.WriteString(w, `{"data":[`+repo+`]}`)
				case strings.HasSuffix(r.URL.Path, "/search/repositories"):
					io.WriteString(w, `{"items":[`+repo+`]}`)
				default:
					io.WriteString(w, `[`+repo+`]`)
				}
			})
			if _, err := h.Search(t.Context(), "org:acme"); !errors.Is(err, glovebox.ErrTooLarge) || count.Load() > 100 {
				t.Errorf("%v after %d pages", err, count.Load())
			}
		})
	}
}

// TestForeignNamesInAnswers: an answer can't send the token, or a reader, elsewhere.
func TestForeignNamesInAnswers(t *testing.T) {
	for _, kind := range kinds {
		h, _ := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"full_name":"acme/app","path_with_namespace":"acme/app","default_branch":"--upload-pack=x","html_url":"javascript:alert(1)","web_url":"javascript:alert(1)","clone_url":"https://evil.example/x","http_url_to_repo":"https://evil.example/x"}`)
		})
		r, err := h.Repository(t.Context(), "acme/app")
		if err != nil || r.DefaultBranch != "" || r.WebURL != "" || !strings.HasPrefix(r.CloneURL, "http://127.0.0.1:") {
			t.Errorf("%s: %+v, %v", kind, r, err)
		}
	}
}

func TestNew(t *testing.T) {
	for _, raw := range []string{"https://github.com", "https://gitlab.com/", "https://codeberg.org", "https://gitea.example.org/sub", "http://127.0.0.1:3000"} {
		c := codehost.Config{URL: raw, Token: "x"}
		if strings.Contains(raw, "127") {
			c.Kind = codehost.KindGitea
		}
		if _, err := codehost.New(c); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, c := range []codehost.Config{
		{URL: "https://example.org"}, {URL: "http://github.com", Token: "x"}, {Kind: "gitea", URL: "ftp://x"}, {Kind: "gitea", URL: "https://a:b@x"},
		{Kind: "svn", URL: "https://x"}, {Kind: "gitea", URL: "https://x", Token: "a\r\nX: y"}, {Kind: "gitea"}, {Kind: "git", URL: "ext::sh"}, {Kind: "git", URL: "http://example.org/x", Token: "x"},
	} {
		if _, err := codehost.New(c); err == nil || strings.Contains(err.Error(), "a:b") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// canned answers everything with the same bytes.
type canned []byte

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(c)))}, nil
}
