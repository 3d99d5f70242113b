package codehost_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

const secret = "webhook secret"

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func delivery(kind, event, body string) http.Header {
	h := http.Header{}
	switch kind {
	case codehost.KindGitHub:
		h.Set("X-GitHub-Event", event)
		h.Set("X-Hub-Signature-256", "sha256="+sign(body))
	case codehost.KindGitLab:
		h.Set("X-Gitlab-Event", event)
		h.Set("X-Gitlab-Token", secret)
	case "forgejo":
		h.Set("X-Forgejo-Event", event)
		h.Set("X-Forgejo-Signature", sign(body))
	default:
		h.Set("X-Gitea-Event", event)
		h.Set("X-Gitea-Signature", sign(body))
	}
	return h
}

func TestParseWebhook(t *testing.T) {
	const repo = `"repository":{"full_name":"acme/app"}`
	const project = `"project":{"path_with_namespace":"acme/sub/app"}`
	const head = "8f3c1c6e0b6f4a7d9e2b5a1c0d9f8e7a6b5c4d3e"
	request := codehost.Event{Kind: codehost.EventRequest, Repo: "acme/app", ID: "7", Branch: "change"}
	tests := []struct {
		kind, event, body string
		want              codehost.Event
	}{
		{"github", "pull_request", `{"action":"closed","number":7,"pull_request":{"number":7,"head":{"ref":"change"}},` + repo + `}`, request},
		{"github", "pull_request_review", `{"action":"submitted","pull_request":{"number":7,"head":{"ref":"change"}},` + repo + `}`, request},
		{"github", "push", `{"ref":"refs/heads/change",` + repo + `}`, codehost.Event{Kind: codehost.EventPush, Repo: "acme/app", Branch: "change"}},
		{"github", "status", `{"state":"success","branches":[{"name":"change"}],` + repo + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/app", Branch: "change"}},
		{"github", "check_suite", `{"check_suite":{"head_branch":"change","pull_requests":[{"number":7}]},` + repo + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/app", ID: "7", Branch: "change"}},
		{"github", "check_run", `{"check_run":{"check_suite":{"head_branch":"change","pull_requests":[]}},` + repo + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/app", Branch: "change"}},
		{"github", "issue_comment", `{"issue":{"number":7,"pull_request":{"url":"x"}},` + repo + `}`, codehost.Event{Kind: codehost.EventRequest, Repo: "acme/app", ID: "7"}},
		{"github", "issue_comment", `{"issue":{"number":7},` + repo + `}`, codehost.Event{Kind: codehost.EventOther, Repo: "acme/app"}},
		{"github", "ping", `{"zen":"x",` + repo + `}`, codehost.Event{Kind: codehost.EventOther, Repo: "acme/app"}},
		{"github", "pull_request", `{"pull_request":{"number":7,"head":{"ref":"--x"}},"repository":{"full_name":"../.."}}`, codehost.Event{Kind: codehost.EventOther}},
		{"gitea", "pull_request", `{"action":"closed","pull_request":{"number":7,"head":{"ref":"change"}},` + repo + `}`, request},
		{"gitea", "pull_request_approved", `{"pull_request":{"number":7,"head":{"ref":"change"}},` + repo + `}`, request},
		{"forgejo", "push", `{"ref":"refs/heads/change",` + repo + `}`, codehost.Event{Kind: codehost.EventPush, Repo: "acme/app", Branch: "change"}},
		{"gitea", "status", `{"state":"success","sha":"` + head + `",` + repo + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/app", Commit: head}},
		{"gitea", "status", `{"state":"success","sha":"--output=x",` + repo + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/app"}},
		{"gitlab", "Merge Request Hook", `{"object_attributes":{"iid":7,"source_branch":"change"},` + project + `}`, codehost.Event{Kind: codehost.EventRequest, Repo: "acme/sub/app", ID: "7", Branch: "change"}},
		{"gitlab", "Note Hook", `{"merge_request":{"iid":7,"source_branch":"change"},` + project + `}`, codehost.Event{Kind: codehost.EventRequest, Repo: "acme/sub/app", ID: "7", Branch: "change"}},
		{"gitlab", "Push Hook", `{"ref":"refs/heads/change",` + project + `}`, codehost.Event{Kind: codehost.EventPush, Repo: "acme/sub/app", Branch: "change"}},
		{"gitlab", "Pipeline Hook", `{"object_attributes":{"ref":"refs/merge-requests/7/head"},"merge_request":{"iid":7,"source_branch":"change"},` + project + `}`, codehost.Event{Kind: codehost.EventChecks, Repo: "acme/sub/app", ID: "7", Branch: "change"}},
	}
	for _, test := range tests {
		header, kind := delivery(test.kind, test.event, test.body), test.kind
		if kind == "forgejo" {
			kind = codehost.KindGitea
		}
		got, err := codehost.ParseWebhook(kind, header, []byte(test.body), secret)
		if err != nil || got != test.want {
			t.Errorf("%s %s: %+v, %v, want %+v", test.kind, test.event, got, err, test.want)
		}
		if _, err := codehost.ParseWebhook(kind, header, []byte(test.body), "other"); !errors.Is(err, glovebox.ErrUnauthorized) {
			t.Errorf("%s %s with another secret: %v", test.kind, test.event, err)
		}
		if _, err := codehost.ParseWebhook(kind, header, []byte(test.body), ""); !errors.Is(err, glovebox.ErrUnauthorized) {
			t.Errorf("%s %s with no secret: %v", test.kind, test.event, err)
		}
		if kind != codehost.KindGitLab {
			if _, err := codehost.ParseWebhook(kind, header, []byte(test.body+" "), secret); !errors.Is(err, glovebox.ErrUnauthorized) {
				t.Errorf("%s %s with another body: %v", test.kind, test.event, err)
			}
		}
		if _, err := codehost.ParseWebhook(kind, http.Header{}, []byte(test.body), secret); !errors.Is(err, glovebox.ErrUnauthorized) {
			t.Errorf("%s %s unsigned: %v", test.kind, test.event, err)
		}
	}
	if _, err := codehost.ParseWebhook(codehost.KindGitLab, delivery("gitlab", "", ""), make([]byte, codehost.MaxWebhook+1), secret); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("large body: %v", err)
	}
	if _, err := codehost.ParseWebhook(codehost.KindGit, http.Header{}, nil, secret); !errors.Is(err, glovebox.ErrUnauthorized) {
		t.Errorf("a plain remote: %v", err)
	}
}

// FuzzParseWebhook feeds signed garbage: whoever knows the secret can't crash us either.
func FuzzParseWebhook(f *testing.F) {
	f.Add("pull_request", `{"pull_request":{"number":7,"head":{"ref":"change"}},"repository":{"full_name":"acme/app"}}`)
	f.Add("Merge Request Hook", `{"object_attributes":{"iid":7},"project":{"path_with_namespace":"a/b"}}`)
	f.Add("check_run", `{"check_run":{},"issue":null,"branches":[{}]}`)
	f.Fuzz(func(t *testing.T, event, body string) {
		for _, kind := range kinds {
			e, err := codehost.ParseWebhook(kind, delivery(kind, event, body), []byte(body), secret)
			if err != nil {
				continue
			}
			for _, r := range e.Repo + e.Branch + e.ID {
				if r < ' ' {
					t.Fatalf("control characters in %+v", e)
				}
			}
		}
	})
}

// FuzzAnswers feeds hosts' clients with bytes that a host may answer.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"number":7,"title":"x","full_name":"a/b"}`))
	f.Add([]byte(`{"data":{"repository":{"p1":{"number":1,"state":"OPEN","commits":{"nodes":[null]}}}}}`))
	f.Add([]byte(`[{"iid":1,"state":"opened","head":null}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, kind := range kinds {
			c := codehost.Config{Kind: kind, URL: "https://host.example", Token: "x", Client: &http.Client{Transport: canned(answer)},
				Sleep: func(context.Context, time.Duration) error { return nil }}
			h, err := codehost.New(c)
			if err != nil {
				t.Fatal(err)
			}
			calls(t.Context(), h)
		}
	})
}
