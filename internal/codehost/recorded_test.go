package codehost_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/codehost/codehosttest"
)

// The recordings are written after the hosts' published API references.

func recorded(t *testing.T, kind, part string) codehost.Host {
	t.Helper()
	header, value := "Authorization", "Bearer "+token
	if kind == codehost.KindGitLab {
		header, value = "Private-Token", token
	}
	server := codehosttest.Recorded(t, "testdata/"+kind+"/"+part+".json", header, value)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	h, err := codehost.New(codehost.Config{Kind: kind, URL: server.URL, Token: token, Client: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRecorded(t *testing.T) {
	for _, kind := range []string{codehost.KindGitHub, codehost.KindGitLab} {
		t.Run(kind, func(t *testing.T) {
			codehosttest.Run(t, func(t *testing.T, part string) codehosttest.Scene {
				return codehosttest.Scene{Host: recorded(t, kind, part), Org: "acme", Repo: "acme/app", Archived: "acme/old",
					// What people did is in the recording.
					Act:      func(*testing.T, string, string) {},
					PushFork: func(*testing.T, codehost.Repository) {}}
			})
			t.Run("exists", func(t *testing.T) {
				r, err := recorded(t, kind, "exists").Open(t.Context(), "acme/app", codehost.Change{Title: "t", Branch: "change", Base: "main"})
				if err != nil || r.ID != "7" {
					t.Errorf("%+v, %v", r, err)
				}
			})
		})
	}
}

// TestLostAnswerOpensOnce: the host opens the request and its answer is lost.
func TestLostAnswerOpensOnce(t *testing.T) {
	answers := map[string]string{
		codehost.KindGitHub: `{"number":7,"state":"open","head":{"ref":"b","user":{"login":"acme"}},"base":{"ref":"main"}}`,
		codehost.KindGitLab: `{"iid":7,"state":"opened","source_branch":"b","target_branch":"main"}`,
		codehost.KindGitea:  `{"number":7,"state":"open","head":{"ref":"b"},"base":{"ref":"main"}}`,
	}
	for _, kind := range kinds {
		for name, lose := range map[string]func(http.ResponseWriter){
			"hang up": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
			"502":     func(w http.ResponseWriter) { w.WriteHeader(502) },
			"garbage": func(w http.ResponseWriter) { io.WriteString(w, "{") },
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				var opened atomic.Int64
				h, _ := against(t, kind, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					path := r.URL.Path
					switch {
					case strings.HasSuffix(path, "/graphql"):
						io.WriteString(w, `{"data":{"repository":{"p7":{"number":7,"state":"OPEN"}}}}`)
					case r.Method == http.MethodPost:
						opened.Add(1)
						lose(w)
					case strings.HasSuffix(path, "/7"):
						io.WriteString(w, answers[kind])
					case strings.HasSuffix(path, "/approvals"), strings.HasSuffix(path, "/status"):
						io.WriteString(w, `{}`)
					case strings.HasSuffix(path, "/reviews"):
						io.WriteString(w, `[]`)
					case opened.Load() == 0 && kind == codehost.KindGitea:
						w.WriteHeader(404)
					case opened.Load() == 0:
						io.WriteString(w, `[]`)
					case kind == codehost.KindGitea:
						io.WriteString(w, answers[kind])
					default:
						io.WriteString(w, "["+answers[kind]+"]")
					}
				})
				r, err := h.Open(t.Context(), "acme/app", codehost.Change{Title: "t", Branch: "b", Base: "main"})
				if err != nil || r.ID != "7" || opened.Load() != 1 {
					t.Errorf("%+v, %v, opened %d times", r, err, opened.Load())
				}
			})
		}
	}
}
