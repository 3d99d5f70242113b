package cli

import (
	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/api"
)

// remote is where commands that talk to a server find it.
type remote struct{ server, token string }

func (r *remote) addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&r.server, "server", "", "the server's `URL`")
	flags.StringVar(&r.token, "token", "", "your `token`; better given by GLOVEBOX_TOKEN or the configuration file, where other users can't see it")
}

// client returns a client of the server.
func (r *remote) client() (*api.Client, error) {
	if r.server == "" {
		return nil, withHint(usageErrorf("no server named"), "set GLOVEBOX_SERVER (or --server, or server: in the configuration file); glovebox dev starts one")
	}
	if r.token == "" {
		return nil, withHint(usageErrorf("no token for %s", visible(r.server)), "set GLOVEBOX_TOKEN (or --token, or token: in the configuration file); glovebox dev prints one")
	}
	c, err := api.NewClient(r.server, r.token)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	return c, nil
}
