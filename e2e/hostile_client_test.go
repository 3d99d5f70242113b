package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHostileClient sends a server what no client should, and wants a clear refusal of each and a
// server that answers as before.
func TestHostileClient(t *testing.T) {
	l := newLab(t, "fake")
	l.serve()
	const job = `{"steps":[{"image":"host","run":"true"}]}`
	env := func(n int) string {
		var vars []string
		for i := range n {
			vars = append(vars, fmt.Sprintf(`"V%d":"x"`, i))
		}
		return `{"steps":[{"image":"host","run":"true","env":{` + strings.Join(vars, ",") + `}}]}`
	}
	with := func(field string) string { return `{"steps":[{"image":"host","run":"true"}],` + field + `}` }
	for attack, c := range map[string]struct {
		method, path, body string
		codes              string
	}{
		"job as an array":                {"POST", "/api/v1/jobs", `[` + job + `]`, "400"},
		"keys twice":                     {"POST", "/api/v1/jobs", `{"steps":[],"steps":[{"image":"host","run":"true"}]}`, "400"},
		"deep JSON":                      {"POST", "/api/v1/jobs", strings.Repeat(`{"a":`, 100_000), "400"},
		"numbers for texts":              {"POST", "/api/v1/jobs", `{"steps":[{"image":1,"run":2}]}`, "400"},
		"body beyond the limit":          {"POST", "/api/v1/jobs", with(`"name":"` + strings.Repeat("x", 64<<20) + `"`), "413"},
		"5,000 variables":                {"POST", "/api/v1/jobs", env(5000), "422"},
		"NUL in a command":               {"POST", "/api/v1/jobs", `{"steps":[{"image":"host","command":["a\u0000b"]}]}`, "422"},
		"file name that climbs":          {"POST", "/api/v1/jobs", with(`"files":[{"path":"a/../../etc/passwd","content":"x"}]`), "422"},
		"file in .git":                   {"POST", "/api/v1/jobs", with(`"files":[{"path":".GIT/hooks/x","content":"x"}]`), "422"},
		"absolute output":                {"POST", "/api/v1/jobs", with(`"outputs":["/etc/*"]`), "422"},
		"output that climbs":             {"POST", "/api/v1/jobs", with(`"outputs":["../*"]`), "422"},
		"revision as an option":          {"POST", "/api/v1/jobs", with(`"repo":{"name":"a","rev":"--upload-pack=x"}`), "422"},
		"image as an option":             {"POST", "/api/v1/jobs", `{"steps":[{"image":"--privileged","run":"true"}]}`, "422"},
		"memory without end":             {"POST", "/api/v1/jobs", with(`"limits":{"memory":"900000T"}`), "400|422"},
		"negative limits":                {"POST", "/api/v1/jobs", with(`"limits":{"cpus":-1,"pids":-5}`), "422"},
		"repository by a helper":         {"POST", "/api/v1/repos", `{"name":"x","url":"ext::sh -c true"}`, "400|422"},
		"repository that climbs":         {"POST", "/api/v1/repos", `{"name":"../x","url":"https://example.org/x"}`, "400|422"},
		"output of the host":             {"GET", "/api/v1/jobs/x/outputs/..%2f..%2f..%2fetc%2fpasswd", "", "404|400"},
		"job id of the host":             {"GET", "/api/v1/jobs/..%2f..%2fetc%2fpasswd", "", "404|400"},
		"static file of the host":        {"GET", "/static/..%2f..%2f..%2fetc%2fpasswd", "", "404|400"},
		"git of a path":                  {"GET", "/git/..%2f..%2fetc/info/refs?service=git-upload-pack", "", "401|403|404"},
		"push":                           {"GET", "/git/a/info/refs?service=git-receive-pack", "", "401|403|404"},
		"log from far beyond":            {"GET", "/api/v1/jobs/x/log?offset=9223372036854775807", "", "400|404|416"},
		"limit of a list":                {"GET", "/api/v1/jobs?limit=999999999999", "", "400|200"},
		"cursor of nobody's":             {"GET", "/api/v1/jobs?cursor=%00%ff'--", "", "422"},
		"attempt of another's with ours": {"POST", "/api/v1/attempts/x/1/complete", `{}`, "401|403"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+l.addr+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", attack, err)
			continue
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		t.Logf("%s: expected %s; seen %d %.120q", attack, c.codes, res.StatusCode, text)
		if err != nil || !strings.Contains("|"+c.codes+"|", fmt.Sprintf("|%d|", res.StatusCode)) || strings.Contains(string(text), "root:x:0") {
			t.Errorf("%s: %d %v %.300q, want %s", attack, res.StatusCode, err, text, c.codes)
		}
	}
	for attack, text := range map[string]string{
		"no HTTP":              "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\xff", 100) + "\r\n\r\n",
		"headers without end":  "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Y: "+strings.Repeat("z", 1000)+"\r\n", 5000) + "\r\n",
		"two lengths":          "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"length and chunks":    "POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"path without a slash": "GET api/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, text) // the server may have hung up already
		line, _ := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		t.Logf("%s: expected a refusal or a closed connection; seen %q", attack, line)
		if line != "" && !strings.Contains(line, " 4") && !strings.Contains(line, " 501 ") {
			t.Errorf("%s: %q", attack, line)
		}
	}
	if id := l.submit(l.job("echo hi")); id == "" {
		t.Error("the server takes no job any more")
	}
}
