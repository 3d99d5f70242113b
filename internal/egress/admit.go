package egress

import (
	"bytes"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// admitTag marks our rules in others' chains.
const admitTag = "glovebox"

// admit lets what our table lets through pass where Docker (or a firewall made with iptables-nft)
// drops forwarded packets by default: an accept at the head of that table's FORWARD.
// Our own refusals come first and are final.
func admit(c *nftables.Conn) error {
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return err
		}
		for _, chain := range chains {
			drops := chain.Policy != nil && *chain.Policy == nftables.ChainPolicyDrop
			if chain.Table.Name != "filter" || chain.Name != "FORWARD" || !drops {
				continue
			}
			if err := admitIn(c, chain); err != nil {
				return err
			}
		}
	}
	return nil
}

func admitIn(c *nftables.Conn, chain *nftables.Chain) error {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return err
	}
	// They must come before others' rules: Docker puts its own at the head, too.
	if len(rules) >= 2 && bytes.Equal(rules[0].UserData, []byte(admitTag)) && bytes.Equal(rules[1].UserData, []byte(admitTag)) {
		return nil
	}
	for _, r := range rules {
		if bytes.Equal(r.UserData, []byte(admitTag)) {
			if err := c.DelRule(r); err != nil {
				return err
			}
		}
	}
	accept := verdict(expr.VerdictAccept)
	for _, part := range []expressions{append(oifname(expr.CmpOpEq), established()...), iifname()} {
		c.InsertRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: append(part, accept...), UserData: []byte(admitTag)})
	}
	return c.Flush()
}
