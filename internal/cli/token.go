package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) tokenCommand() *cobra.Command {
	r := &remote{}
	cmd := parent("token", "Create, list and revoke tokens of users and executors", a.tokenCreateCommand(r), a.tokenListCommand(r), a.tokenRevokeCommand(r))
	r.addFlags(cmd)
	return cmd
}

func (a *app) tokenCreateCommand(r *remote) *cobra.Command {
	var role, tenant, executor string
	var ttl time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a token; its secret is shown this once", Args: cobra.ExactArgs(1),
		Long: `Create makes a user's token with a role (viewer, operator, admin), or with
--executor the token with which the executor of that name connects. The secret is
printed to stdout, once; the server keeps only its hash.`,
		Example: "  glovebox token create ci --role operator --ttl 720h\n  glovebox token create build-1 --executor build-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := api.CreateToken{Name: args[0], Kind: glovebox.TokenUser, Role: glovebox.Role(role), Tenant: tenant, TTL: glovebox.Duration(ttl)}
			if executor != "" {
				if cmd.Flags().Changed("role") {
					return usageErrorf("--role is for users' tokens, --executor for an executor's: name one of them")
				}
				in.Kind, in.Role, in.Executor = glovebox.TokenExecutor, "", executor
			}
			if ttl < 0 {
				return usageErrorf("--ttl %v: want a time such as 720h, or 0 for ever", ttl)
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			token, err := c.CreateToken(cmd.Context(), in)
			if err != nil {
				return fmt.Errorf("create token %s: %w", in.Name, err)
			}
			if asJSON {
				return printJSON(a.out, token)
			}
			fmt.Fprintf(a.err, "token %s (%s): keep it, it is not shown again\n", visible(token.Name), visible(token.ID))
			_, err = fmt.Fprintln(a.out, token.Secret)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&role, "role", string(glovebox.RoleOperator), "what its user may do: viewer, operator or admin")
	flags.StringVar(&tenant, "tenant", "", "the tenant whose jobs it sees (default \"default\")")
	flags.StringVar(&executor, "executor", "", "make the token of the executor with this `name`")
	flags.DurationVar(&ttl, "ttl", 0, "how long it lives; for ever when 0")
	flags.BoolVar(&asJSON, "json", false, "print the token, with its secret, as one JSON document")
	return cmd
}

func (a *app) tokenListCommand(r *remote) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens, without their secrets", Args: cobra.NoArgs,
		Example: "  glovebox token list",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			tokens, err := c.Tokens(cmd.Context())
			if err != nil {
				return fmt.Errorf("list tokens: %w", err)
			}
			t := a.table("ID", "NAME", "KIND", "FOR", "TENANT", "CREATED", "USED", "STATE")
			for _, token := range tokens {
				if asJSON {
					if err := a.printLine(token); err != nil {
						return err
					}
					continue
				}
				whom := string(token.Role)
				if token.Kind == glovebox.TokenExecutor {
					whom = token.Executor
				}
				used := "never"
				if token.LastUsedAt != nil {
					used = age(*token.LastUsedAt)
				}
				t.add(token.ID, token.Name, token.Kind, orDash(whom), orDash(token.Tenant), age(token.CreatedAt), used, tokenState(token, time.Now()))
			}
			if asJSON {
				return nil
			}
			return t.print("no tokens")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON document a line")
	return cmd
}

func tokenState(t glovebox.Token, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case t.ExpiresAt != nil && t.ExpiresAt.Before(now):
		return "expired"
	case t.ExpiresAt != nil:
		return "for " + short(t.ExpiresAt.Sub(now))
	}
	return "valid"
}

func (a *app) tokenRevokeCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token, at once and for ever", Args: cobra.ExactArgs(1),
		Example: "  glovebox token revoke ID",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := r.client()
			if err != nil {
				return err
			}
			if err := c.RevokeToken(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("revoke token %s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(a.out, "%s: revoked\n", visible(args[0]))
			return err
		},
	}
}
