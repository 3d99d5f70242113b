package git

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted makes a repository whose own configuration tries to run things.
func planted(t *testing.T) (dir, mark string) {
	t.Helper()
	dir = t.TempDir()
	mark = filepath.Join(t.TempDir(), "mark")
	if err := Run(t.Context(), Options{}, "init", "-q", "--", dir); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "evil.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+mark+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"post-checkout", "pre-commit", "post-index-change", "reference-transaction"} {
		if err := os.WriteFile(filepath.Join(dir, ".git/hooks", name), []byte("#!/bin/sh\ntouch "+mark+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := "[core]\n\tfsmonitor = " + script + "\n\tsshCommand = " + script + "\n\tpager = " + script + "\n[diff]\n\texternal = " + script + "\n[credential]\n\thelper = " + script + "\n"
	f, err := os.OpenFile(filepath.Join(dir, ".git/config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(config); err != nil {
		t.Fatal(err)
	}
	return dir, mark
}

func TestPoisonedConfigRunsNothing(t *testing.T) {
	dir, mark := planted(t)
	opts := Options{GitDir: filepath.Join(dir, ".git"), WorkTree: dir, Dir: dir, Config: []string{"user.name=a", "user.email=a@b"}}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "one"}, {"status"}, {"diff", "--no-ext-diff", "--no-textconv", "HEAD"}, {"checkout", "-q", "-b", "two"}} {
		if err := Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("the repository's configuration ran a program")
	}
}

func TestTransportsAreClosed(t *testing.T) {
	dir, _ := planted(t)
	err := Run(t.Context(), Options{}, "ls-remote", "--", "file://"+dir)
	if err == nil || !strings.Contains(err.Error(), "not allowed") {
		t.Fatalf("file transport without leave: %v", err)
	}
	if err := Run(t.Context(), Options{Transports: []string{"file"}}, "ls-remote", "--", "file://"+dir); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "ext")
	if err := Run(t.Context(), Options{Transports: []string{"file"}}, "ls-remote", "--", "ext::touch "+mark); err == nil {
		t.Fatal("ext transport went through")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("ext transport ran a program")
	}
}

func TestCredentialsStayOutOfArgvAndErrors(t *testing.T) {
	opts := Options{Transports: []string{"https"}, Username: "x", Password: "hunter2secret", AuthURL: "https://127.0.0.1:1/a=b"}
	cmd := Command(t.Context(), opts, "ls-remote", "--", "https://127.0.0.1:1/")
	if strings.Contains(strings.Join(cmd.Args, " "), "hunter2") {
		t.Fatal("password in argv")
	}
	var found bool
	for _, e := range cmd.Env {
		found = found || strings.HasSuffix(e, "=http.https://127.0.0.1:1/a=b.extraHeader")
	}
	if !found {
		t.Fatal("the credential is not scoped to its address")
	}
	err := Error(t.Context(), opts, []string{"fetch"}, "fatal: 'https://u:hunter2secret@h/x' \x1b[31mhunter2secret", errors.New("exit status 128"))
	if s := err.Error(); strings.Contains(s, "hunter2") || strings.Contains(s, "\x1b") {
		t.Fatalf("unsafe error: %q", s)
	}
}

func TestCancelKillsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("stop it")
	opts := Options{Config: []string{"alias.wait=!sleep 1000"}}
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	start := time.Now()
	err := Run(ctx, opts, "wait")
	if !errors.Is(err, cause) || time.Since(start) > 4*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
}

func TestParseURL(t *testing.T) {
	good := map[string]URL{
		"https://ada:s3cret@example.org/a.git": {Remote: "https://example.org/a.git", Scheme: "https", Username: "ada", Password: "s3cret"},
		"https://tok@example.org/a":            {Remote: "https://example.org/a", Scheme: "https", Username: "git", Password: "tok"},
		"/srv/x/../y":                          {Remote: "/srv/y", Scheme: "file"},
		"file:///srv/y":                        {Remote: "/srv/y", Scheme: "file"},
		"git@example.org:a/b.git":              {Remote: "git@example.org:a/b.git", Scheme: "ssh"},
		"ssh://git@example.org:22/a":           {Remote: "ssh://git@example.org:22/a", Scheme: "ssh"},
	}
	for raw, want := range good {
		if got, err := ParseURL(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{"", "-x", "--upload-pack=touch /tmp/x", "ext::sh -c x", "fd::3", "ftp://x/y", "https://-o/x", "ssh://-oProxyCommand=x/y",
		"ssh://-x@h/y", "-oProxy:x", "a\nb", "relative/path", "https:///x", "file://host/x", "transport::https://x/y", "git@h:-x", strings.Repeat("a", 5000)} {
		if err := CheckURL(raw); err == nil {
			t.Errorf("%q was accepted", raw)
		}
	}
}

func TestCheckRev(t *testing.T) {
	for _, rev := range []string{"main", "v1.0", "feature/x-y", "HEAD", strings.Repeat("a", 40), "é"} {
		if err := CheckRev(rev); err != nil {
			t.Error(err)
		}
	}
	for _, rev := range []string{"", "-x", "--upload-pack=x", "a b", "a..b", "a:b", "a^", "HEAD~1", "@{u}", "a\x00", "x.lock", "/a", "a/", ".a", "a/.b"} {
		if CheckRev(rev) == nil {
			t.Errorf("%q was accepted", rev)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("https://a:b@c/d")
	f.Add("git@h:p")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseURL(raw)
		if err == nil && (u.Remote == "" || strings.HasPrefix(u.Remote, "-") || strings.Contains(u.Remote, "::") && u.Scheme == "ssh" && !strings.Contains(u.Remote, "://")) {
			t.Fatalf("%q became %+v", raw, u)
		}
	})
}

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("git"); err != nil {
		println("git is needed by these tests")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
