// Package git runs the host's git in the one hardened way: no system or user
// configuration, no hooks, no fsmonitor, no external diff or filters, no transports
// but those asked for, no prompt, "--" before every name that came from outside. It
// must not know workspaces, jobs or servers.
package git
