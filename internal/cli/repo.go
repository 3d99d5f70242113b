package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) repoCommand() *cobra.Command {
	r := &remote{}
	cmd := parent("repo", "Say which repositories the server's git gateway may serve", a.repoAddCommand(r), a.repoListCommand(r), a.repoRemoveCommand(r))
	r.addFlags(cmd)
	return cmd
}

func (a *app) repoAddCommand(r *remote) *cobra.Command {
	var in api.AddRepository
	var asJSON bool
	cmd := &cobra.Command{
		Use: "add NAME URL-or-PATH", Short: "Add a repository, by URL or by a path on the server", Args: cobra.ExactArgs(2),
		Long: `Add lets jobs name a repository. It is mirrored from a URL (https, http, ssh, git)
or a path on the server's machine; a relative path is taken from here, which is right when the
server runs on this machine.`,
		Example: "  glovebox repo add local/app ./app\n  glovebox repo add github.com/spf13/cobra https://github.com/spf13/cobra",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.URL = args[0], args[1]
			if isLocalPath(in.URL) {
				abs, err := filepath.Abs(in.URL)
				if err != nil {
					return err
				}
				in.URL = abs
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			repo, err := c.AddRepo(cmd.Context(), in)
			if err != nil {
				return fmt.Errorf("add repository %s: %w", in.Name, err)
			}
			if asJSON {
				return printJSON(a.out, repo)
			}
			_, err = fmt.Fprintf(a.out, "%s: %s\n", visible(repo.Name), visible(repo.URL))
			return err
		},
	}
	cmd.Flags().StringVar(&in.Tenant, "tenant", "", "only this tenant's jobs may use it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the repository as one JSON document")
	return cmd
}

// isLocalPath tells a path from a URL: it begins like a path, or is a folder here.
func isLocalPath(s string) bool {
	if strings.Contains(s, "://") {
		return false
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || s == "." || s == ".." {
		return true
	}
	info, err := os.Stat(s)
	return err == nil && info.IsDir()
}

func (a *app) repoListCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List repositories", Args: cobra.NoArgs,
		Example: "  glovebox repo list --json | jq -r .name",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			repos, err := c.Repos(cmd.Context())
			if err != nil {
				return fmt.Errorf("list repositories: %w", err)
			}
			t := a.table("NAME", "URL", "TENANT", "ADDED")
			for _, repo := range repos {
				if asJSON {
					if err := a.printLine(repo); err != nil {
						return err
					}
					continue
				}
				t.add(repo.Name, repo.URL, orDash(repo.Tenant), age(repo.CreatedAt))
			}
			if asJSON {
				return nil
			}
			return t.print("no repositories; add one with: glovebox repo add NAME URL-or-PATH")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document a line")
	return cmd
}

func (a *app) repoRemoveCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Remove a repository and its mirror", Args: cobra.ExactArgs(1),
		Example: "  glovebox repo remove local/app",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			if err := c.RemoveRepo(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("remove repository %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(a.out, "%s: removed\n", visible(args[0]))
			return err
		},
	}
}
