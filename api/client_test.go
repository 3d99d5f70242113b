package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func testClient(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL+"/", "secret", WithTimeout(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

// Each sentinel of the root package survives the way over the wire.
func TestErrorsSurviveTheWire(t *testing.T) {
	for _, want := range []error{glovebox.ErrNotFound, glovebox.ErrConflict, glovebox.ErrLeaseLost, glovebox.ErrOffset, glovebox.ErrTooLarge, glovebox.ErrUnauthorized, glovebox.ErrForbidden} {
		refusal := ErrorOf(fmt.Errorf("do it: %w", want))
		c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
			end := int64(42)
			w.WriteHeader(refusal.Status)
			json.NewEncoder(w).Encode(ErrorBody{Error: *refusal, End: &end})
		})
		_, err := c.Job(t.Context(), "x")
		if !errors.Is(err, want) {
			t.Errorf("%v came as %v", want, err)
		}
		for _, other := range []error{glovebox.ErrNotFound, glovebox.ErrConflict, glovebox.ErrLeaseLost} {
			if other != want && errors.Is(err, other) {
				t.Errorf("%v came as %v too", want, other)
			}
		}
		if end, err := c.AppendLog(t.Context(), glovebox.LeaseRef{JobID: "x", Attempt: 1}, 0, nil); end != 42 || !errors.Is(err, want) {
			t.Errorf("append: %d, %v", end, err)
		}
	}
	problems := []glovebox.Problem{{Path: "steps", Message: "is missing"}}
	refusal := ErrorOf(&glovebox.ValidationError{Problems: problems})
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(refusal.Status)
		json.NewEncoder(w).Encode(ErrorBody{Error: *refusal})
	})
	_, err := c.SubmitJob(t.Context(), glovebox.JobSpec{})
	if v, ok := errors.AsType[*glovebox.ValidationError](err); !ok || v.Problems[0] != problems[0] {
		t.Errorf("a validation error came as %v", err)
	}
	if internal := ErrorOf(errors.New("secret detail")); internal.Status != 500 || strings.Contains(internal.Message, "secret") {
		t.Errorf("an internal error shows %+v", internal)
	}
}

// What a proxy answers in our place says nothing about jobs and leases.
func TestForeignAnswers(t *testing.T) {
	ref := glovebox.LeaseRef{JobID: "x", Attempt: 1, Token: "t"}
	for _, status := range []int{200, 202, 302, 401, 403, 404, 409, 500, 502} {
		c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/login")
			http.Error(w, "<html>nginx", status)
		})
		for what, err := range map[string]error{
			"complete": c.Complete(t.Context(), ref, glovebox.Result{}),
			"upload":   c.PutArtifact(t.Context(), ref, glovebox.DiffArtifact, 1, strings.NewReader("a")),
		} {
			if err == nil {
				t.Errorf("%s: status %d is taken for success", what, status)
			}
			for _, sentinel := range []error{glovebox.ErrLeaseLost, glovebox.ErrNotFound, glovebox.ErrUnauthorized, glovebox.ErrForbidden} {
				if errors.Is(err, sentinel) {
					t.Errorf("%s: status %d: %v", what, status, err)
				}
			}
		}
	}
}

func TestClientSendsWhatItShould(t *testing.T) {
	var path, token string
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		path, token = r.Method+" "+r.URL.EscapedPath(), r.Header.Get("Authorization")
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	ref := glovebox.LeaseRef{JobID: "j", Attempt: 3, Token: "own"}
	if err := c.PutArtifact(t.Context(), ref, "outputs/a b/ü%2e?x#y", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if want := "PUT /api/v1/attempts/j/3/artifacts/outputs/a%20b/%C3%BC%252e%3Fx%23y"; path != want || token != "Bearer own" {
		t.Errorf("%s with %q, want %s", path, token, want)
	}
	if err := c.RemoveRepo(t.Context(), "a/b"); err != nil || path != "DELETE /api/v1/repos/a/b" || token != "Bearer secret" {
		t.Errorf("%s with %q, %v", path, token, err)
	}
}

func TestClientTimesOutAndKeepsItsToken(t *testing.T) {
	c := testClient(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server see the client leave
		<-r.Context().Done()
	})
	if _, err := c.Job(t.Context(), "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
	if err := c.PutArtifact(t.Context(), glovebox.LeaseRef{JobID: "x", Attempt: 1}, glovebox.DiffArtifact, 1, strings.NewReader("a")); !errors.Is(err, errStalled) {
		t.Errorf("an upload to a server that hangs: %v", err)
	}
	if _, err := c.FollowLog(t.Context(), "x", LogQuery{}, func(LogEvent) error { return nil }); err == nil {
		t.Error("a silent follower was not ended")
	}
	stolen := make(chan string, 1)
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stolen <- r.Header.Get("Authorization") }))
	defer thief.Close()
	c = testClient(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL, http.StatusFound) })
	if _, err := c.Job(t.Context(), "x"); err == nil {
		t.Error("a redirect to another host was followed")
	}
	select {
	case s := <-stolen:
		t.Errorf("another host was sent %q", s)
	default:
	}
	for _, bad := range []string{"", "localhost:80", "ftp://x", "http://", "http://x?y"} {
		if _, err := NewClient(bad, ""); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
