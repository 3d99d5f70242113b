// Package giteatest starts a real Gitea for tests: on a loopback port, with SQLite in a temporary
// folder, with no mail and nothing fetched. It must not know what is tested.
package giteatest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// Server is a running Gitea.
type Server struct {
	// URL is its address; User is an administrator, Token allows all in that name.
	URL, User, Token string

	program, dir string
	// stop ends the running process.
	stop func()
}

const ini = `APP_NAME = test
RUN_MODE = prod
RUN_USER = %[1]s
WORK_PATH = %[2]s
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]d
ROOT_URL = http://127.0.0.1:%[3]d/
LOCAL_ROOT_URL = http://127.0.0.1:%[3]d/
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = %[2]s/gitea.db
SQLITE_JOURNAL_MODE = WAL
[repository]
ROOT = %[2]s/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
SECRET_KEY = none
INTERNAL_TOKEN = eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjE3MDAwMDAwMDB9.Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LWF0LWFsbA
PASSWORD_HASH_ALGO = pbkdf2_v1
[oauth2]
ENABLED = false
JWT_SECRET = Zm9yLXRlc3RzLW9ubHktbm90LWEtc2VjcmV0LWF0LWE
[service]
DISABLE_REGISTRATION = true
[mailer]
ENABLED = false
[actions]
ENABLED = false
[indexer]
REPO_INDEXER_ENABLED = false
[cron]
ENABLED = false
[cron.update_checker]
ENABLED = false
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
MODE = console
LEVEL = warn
[queue]
TYPE = channel
[session]
PROVIDER = memory
`

// Start starts a Gitea that ends with the test. Without one to start the test is skipped (testenv).
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{program: testenv.Gitea(t), dir: t.TempDir(), User: "root-of-gitea"}
	for try := 1; ; try++ {
		port := freePort(t)
		s.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "app.ini"), fmt.Appendf(nil, ini, me.Username, s.dir, port), 0o600); err != nil {
			t.Fatal(err)
		}
		if try == 1 {
			s.cli(t, "migrate")
			s.Token = s.addUser(t, s.User, "--admin")
		}
		err = s.serve(t)
		if err == nil {
			return s
		}
		if try == 3 {
			t.Fatal(err)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *Server) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, append(args, "--config", filepath.Join(s.dir, "app.ini"))...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GITEA_WORK_DIR=" + s.dir, "TMPDIR=" + s.dir, "GIT_CONFIG_NOSYSTEM=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithTest(cmd.SysProcAttr)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (s *Server) cli(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := s.command(ctx, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("gitea %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func (s *Server) addUser(t testing.TB, name string, flags ...string) string {
	t.Helper()
	s.cli(t, append([]string{"admin", "user", "create", "--username", name, "--password", "for-tests-only-1", "--email", name + "@example.org", "--must-change-password=false"}, flags...)...)
	return s.NewToken(t, name, "test", "all")
}

// NewToken returns a token of a user's that allows what its scopes say: "write:repository,read:user".
func (s *Server) NewToken(t testing.TB, user, name, scopes string) string {
	t.Helper()
	out := s.cli(t, "admin", "user", "generate-access-token", "--username", user, "--token-name", name, "--scopes", scopes, "--raw")
	lines := strings.Fields(out)
	return lines[len(lines)-1]
}

// AddUser makes a user with no rights and returns a token that allows all in that name.
func (s *Server) AddUser(t testing.TB, name string) string { return s.addUser(t, name) }

// serve starts the server and waits until it answers.
func (s *Server) serve(t testing.TB) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := s.command(ctx, "web")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("gitea said:\n%s", said.Bytes()[max(0, said.Len()-8000):])
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if resp, err := http.Get(s.URL + "/api/v1/version"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				t.Cleanup(s.stop)
				return nil
			}
		}
		select {
		case <-tick.C:
			continue
		case <-ended:
		}
		break
	}
	cancel()
	<-ended
	return fmt.Errorf("gitea does not answer; it said:\n%s", said.String())
}

// Stop kills the server, whatever it is doing. Restart starts it again, at the same address and with all that it has.
func (s *Server) Stop() { s.stop() }

// Restart is for after Stop.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.serve(t); err != nil {
		t.Fatal(err)
	}
}

// API does one call of the test's own and wants it to succeed; path begins after /api/v1.
func (s *Server) API(t testing.TB, method, path string, in, out any) {
	t.Helper()
	s.APIAs(t, s.Token, method, path, in, out)
}

// APIAs is API with another token.
func (s *Server) APIAs(t testing.TB, token, method, path string, in, out any) {
	t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/api/v1"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, raw)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			t.Fatal(err)
		}
	}
}
