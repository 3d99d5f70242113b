package codehosttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// exchange is one request that must come and the answer it gets. What the recording does not name is
// not compared: a body is held to the fields given, a text that begins with "~" to what follows it.
type exchange struct {
	Request struct {
		Method string            `json:"method"`
		Path   string            `json:"path"`
		Query  map[string]string `json:"query"`
		Body   any               `json:"body"`
	} `json:"request"`
	Response struct {
		Status int               `json:"status"`
		Header map[string]string `json:"header"`
		Body   json.RawMessage   `json:"body"`
	} `json:"response"`
}

// Recorded serves a recording: a list of exchanges, in order. Any other request fails the test, and so does
// one that does not come. header is what must carry the token. "${URL}" in answers is the server's address.
func Recorded(t *testing.T, file, header, value string) *httptest.Server {
	t.Helper()
	raw, err := os.ReadFile(filepath.FromSlash(file))
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []exchange
	if err := json.Unmarshal(raw, &exchanges); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var mu sync.Mutex
	next := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		fail := func(format string, args ...any) {
			t.Errorf("%s, exchange %d: %s %s %s: %s", file, next, r.Method, r.URL.RequestURI(), body, fmt.Sprintf(format, args...))
			http.Error(w, "unexpected", http.StatusTeapot)
		}
		if next >= len(exchanges) {
			fail("no further request was expected")
			return
		}
		e := exchanges[next]
		if why := e.differs(r, body, header, value); why != "" {
			fail("%s", why)
			return
		}
		next++
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for k, v := range e.Response.Header {
			w.Header().Set(k, strings.ReplaceAll(v, "${URL}", "http://"+r.Host))
		}
		w.WriteHeader(e.Response.Status)
		fmt.Fprint(w, strings.ReplaceAll(string(e.Response.Body), "${URL}", "http://"+r.Host))
	}))
	t.Cleanup(func() {
		server.Close()
		mu.Lock()
		defer mu.Unlock()
		if next != len(exchanges) && !t.Failed() && !t.Skipped() {
			t.Errorf("%s: %d requests of %d came", file, next, len(exchanges))
		}
	})
	return server
}

func (e *exchange) differs(r *http.Request, body []byte, header, value string) string {
	want := e.Request
	if r.Method != want.Method || r.URL.EscapedPath() != want.Path {
		return fmt.Sprintf("want %s %s", want.Method, want.Path)
	}
	if got := r.Header.Get(header); got != value {
		return fmt.Sprintf("header %s is %q, want %q", header, got, value)
	}
	for key, v := range want.Query {
		if got := r.URL.Query().Get(key); got != v {
			return fmt.Sprintf("query %s is %q, want %q", key, got, v)
		}
	}
	if want.Body == nil {
		return ""
	}
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		return err.Error()
	}
	return within(want.Body, got, "body")
}

// within reports the first place where got lacks what want says.
func within(want, got any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return at + ": no object"
		}
		for key, v := range want {
			if why := within(v, m[key], at+"."+key); why != "" {
				return why
			}
		}
		return ""
	case string:
		if part, ok := strings.CutPrefix(want, "~"); ok {
			if s, _ := got.(string); strings.Contains(s, part) {
				return ""
			}
			return fmt.Sprintf("%s: %v does not hold %q", at, got, part)
		}
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s: got %v, want %v", at, got, want)
	}
	return ""
}
