package cli

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// batchSettings are what a server's operator chooses about batch changes.
type batchSettings struct {
	codeHosts []string
	rollout   string
	stepCache glovebox.Size
}

// add makes the flags of "server" and "dev".
func (s *batchSettings) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&s.codeHosts, "code-host", nil, "a code host that batch changes publish to, `NAME=KIND,URL,token-file=PATH`; may be repeated (docs/operations.md)")
	flags.StringVar(&s.rollout, "rollout", "", "when changesets may be published, and how many: \"mon-fri 09:00-17:00 10/hour\"; always when empty")
	flags.Var(sizeFlag{&s.stepCache}, "step-cache-size", "bound of one tenant's step cache (default 10G)")
}

// options reads the settings. Secrets are read now, and from nowhere else.
func (s *batchSettings) options(getenv func(string) string) (hosts []changeset.Host, rollout changeset.Rollout, err error) {
	for _, text := range s.codeHosts {
		host, err := parseCodeHost(text, getenv)
		if err != nil {
			return nil, rollout, usageErrorf("--code-host: %w", err)
		}
		hosts = append(hosts, host)
	}
	if rollout, err = changeset.ParseRollout(s.rollout); err != nil {
		return nil, rollout, usageErrorf("--rollout: %w", err)
	}
	return hosts, rollout, nil
}

// parseCodeHost reads NAME=KIND,URL and options: token-file=PATH or token-env=VARIABLE, webhook-secret-file=PATH or
// webhook-secret-env=VARIABLE, max=N, insecure.
func parseCodeHost(text string, getenv func(string) string) (changeset.Host, error) {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	if !ok || len(parts) < 2 {
		return changeset.Host{}, fmt.Errorf("%q: want NAME=KIND,URL,token-file=PATH, such as github=github,https://github.com,token-file=/etc/glovebox/github", name)
	}
	config := codehost.Config{Kind: parts[0], URL: strings.TrimRight(parts[1], "/")}
	switch config.Kind {
	case codehost.KindGitHub, codehost.KindGitLab, codehost.KindGitea:
	default:
		return changeset.Host{}, fmt.Errorf("%s: kind %q: want github, gitlab or gitea", name, config.Kind)
	}
	if u, err := url.Parse(config.URL); err != nil || u.User != nil {
		return changeset.Host{}, fmt.Errorf("%s: want an address without credentials", name)
	}
	host := changeset.Host{Name: name, URL: config.URL, Username: codehost.PushUsername(config.Kind)}
	seen := map[string]bool{}
	for _, option := range parts[2:] {
		key, value, _ := strings.Cut(option, "=")
		if kind := strings.TrimSuffix(strings.TrimSuffix(key, "-env"), "-file"); seen[kind] {
			return host, fmt.Errorf("%s: %s is given twice", name, kind)
		} else {
			seen[kind] = true
		}
		if err := setHostOption(&host, &config, key, value, getenv); err != nil {
			return host, fmt.Errorf("%s: %w", name, err)
		}
	}
	if host.Token == "" {
		return host, fmt.Errorf("%s: no token: want token-file=PATH or token-env=VARIABLE", name)
	}
	config.Token = host.Token
	var err error
	host.Client, err = codehost.New(config)
	return host, err
}

func setHostOption(host *changeset.Host, config *codehost.Config, key, value string, getenv func(string) string) (err error) {
	switch key {
	case "token-file":
		host.Token, err = readSecret(value)
	case "token-env":
		host.Token = strings.TrimSpace(getenv(value))
	case "webhook-secret-file":
		host.WebhookSecret, err = readSecret(value)
	case "webhook-secret-env":
		host.WebhookSecret = strings.TrimSpace(getenv(value))
	case "max":
		host.Max, err = strconv.Atoi(value)
		if err != nil || host.Max < 1 || host.Max > 100 {
			err = fmt.Errorf("max=%q: want 1 to 100", value)
		}
	case "insecure":
		config.Insecure = true
	default:
		err = fmt.Errorf("option %q: want token-file, token-env, webhook-secret-file, webhook-secret-env, max or insecure", key)
	}
	return err
}

// maxSecret bounds a file that holds a secret.
const maxSecret = 64 << 10

// readSecret reads the one line of a file.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret := strings.TrimSpace(string(raw))
	if secret == "" {
		return "", fmt.Errorf("read secret: %s is empty", path)
	}
	return secret, nil
}
