package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func decode(r io.Reader, out any) error {
	if err := json.NewDecoder(io.LimitReader(r, maxReply)).Decode(out); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	return nil
}

// Repos lists the repositories that the caller may use.
func (c *Client) Repos(ctx context.Context) ([]glovebox.Repository, error) {
	var out Repositories
	err := c.json(ctx, "GET", PathRepos, nil, "", nil, &out, 0)
	return out.Repositories, err
}

// AddRepo adds a repository to the git gateway and fetches it, to see that it can be.
func (c *Client) AddRepo(ctx context.Context, in AddRepository) (glovebox.Repository, error) {
	var out glovebox.Repository
	err := c.json(ctx, "POST", PathRepos, nil, "", in, &out, submitWait)
	return out, err
}

// RemoveRepo removes a repository and its mirror.
func (c *Client) RemoveRepo(ctx context.Context, name string) error {
	return c.json(ctx, "DELETE", expand(PathRepo, name), nil, "", nil, nil, 0)
}

// Executors lists the executors the server has heard of.
func (c *Client) Executors(ctx context.Context) ([]glovebox.Executor, error) {
	var out Executors
	err := c.json(ctx, "GET", PathExecutors, nil, "", nil, &out, 0)
	return out.Executors, err
}

// DrainExecutor asks the executor to claim nothing more; UndrainExecutor takes that back.
func (c *Client) DrainExecutor(ctx context.Context, name string) error {
	return c.json(ctx, "POST", expand(PathExecutorDrain, name), nil, "", nil, nil, 0)
}

// UndrainExecutor lets the executor claim again.
func (c *Client) UndrainExecutor(ctx context.Context, name string) error {
	return c.json(ctx, "POST", expand(PathExecutorUndrain, name), nil, "", nil, nil, 0)
}

// Tokens lists tokens without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]glovebox.Token, error) {
	var out Tokens
	err := c.json(ctx, "GET", PathTokens, nil, "", nil, &out, 0)
	return out.Tokens, err
}

// CreateToken creates a token; the answer alone holds its secret.
func (c *Client) CreateToken(ctx context.Context, in CreateToken) (glovebox.Token, error) {
	var out glovebox.Token
	err := c.json(ctx, "POST", PathTokens, nil, "", in, &out, 0)
	return out, err
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.json(ctx, "DELETE", expand(PathToken, id), nil, "", nil, nil, 0)
}

// Whoami describes the client's own token.
func (c *Client) Whoami(ctx context.Context) (glovebox.Token, error) {
	var out glovebox.Token
	err := c.json(ctx, "GET", PathWhoami, nil, "", nil, &out, 0)
	return out, err
}

// Version describes the server; it needs no token.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var out Version
	err := c.json(ctx, "GET", PathVersion, nil, "", nil, &out, 0)
	return out, err
}

// Healthy reports whether the server answers, within a few seconds.
func (c *Client) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := c.stream(ctx, PathHealthz, nil, "")
	if err != nil {
		return err
	}
	return body.Close()
}
