package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseCodeHost(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token, secret, empty := file("token", "  from-file\n"), file("secret", "hook\n"), file("empty", " \n")
	env := func(name string) string {
		return map[string]string{"TOKEN": "from-env", "HOOK": "hook-env", "BAD": "two words"}[name]
	}
	type want struct {
		name, kind, url, user, token, secret string
		max                                  int
	}
	for text, w := range map[string]want{
		"gh=github,https://github.com,token-file=" + token:                                                    {"gh", "github", "https://github.com", "x-access-token", "from-file", "", 0},
		"lab=gitlab,https://gitlab.example.org/sub/,token-env=TOKEN,webhook-secret-file=" + secret + ",max=7": {"lab", "gitlab", "https://gitlab.example.org/sub", "oauth2", "from-env", "hook", 7},
		"tea=gitea,http://127.0.0.1:3000,token-env=TOKEN,webhook-secret-env=HOOK":                             {"tea", "gitea", "http://127.0.0.1:3000", "token", "from-env", "hook-env", 0},
		"tea=gitea,http://git.internal,insecure,max=100,webhook-secret-env=UNSET,token-env=TOKEN":             {"tea", "gitea", "http://git.internal", "token", "from-env", "", 100},
	} {
		h, err := parseCodeHost(text, env)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := (want{h.Name, h.Client.Kind(), h.URL, h.Username, h.Token, h.WebhookSecret, h.Max}); got != w {
			t.Errorf("%s: %+v, want %+v", text, got, w)
		}
	}
	const good = "a=gitea,https://git.example.org,token-env=TOKEN"
	for text, want := range map[string]string{
		"":                                      "want NAME=KIND,URL",
		"a":                                     "want NAME=KIND,URL",
		"a=gitea":                               "want NAME=KIND,URL",
		"secret-token-and-no-more":              "want NAME=KIND,URL",
		"a=git,https://x,token-env=TOKEN":       `kind "git": want github`,
		"a=,https://x,token-env=TOKEN":          `kind ""`,
		"a=gitea,https://x":                     "no token",
		"a=gitea,https://x,token-env=UNSET":     "no token",
		"a=gitea,https://x,token-env=BAD":       "the token holds spaces",
		"a=gitea,https://x,token-file=" + empty: "is empty",
		"a=gitea,https://x,token-file=" + dir + "/none": "read secret",
		"a=gitea,https://x,token-file=" + dir:           "read secret",
		"a=gitea,https://u:hidden@x,token-env=TOKEN":    "without credentials",
		"a=gitea,http://x.example,token-env=TOKEN":      "use https",
		"a=gitea,ftp://x,token-env=TOKEN":               "want an https address",
		"a=gitea,x,token-env=TOKEN":                     "no URL",
		"a=gitea,,token-env=TOKEN":                      "no URL",
		good + ",token-file=" + token:                   "token is given twice",
		good + ",max=1,max=2":                           "max is given twice",
		good + ",max=0":                                 "want 1 to 100",
		good + ",max=101":                               "want 1 to 100",
		good + ",max=many":                              "want 1 to 100",
		good + ",insecure=false":                        "insecure has no value",
		good + ",webhook-secret-file=" + empty:          "is empty",
		good + ",nonsense=1":                            `option "nonsense"`,
		good + ",":                                      `option ""`,
	} {
		_, err := parseCodeHost(text, env)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		} else if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "two words") {
			t.Errorf("%s: the error shows a secret: %v", text, err)
		}
	}
}
