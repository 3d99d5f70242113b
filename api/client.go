package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls a server. Its methods may be used concurrently. It never retries: the
// caller knows what may be repeated. Refused requests come back as *Error.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	// timeout bounds calls that neither stream nor wait.
	timeout time.Duration
}

// Option changes a Client.
type Option func(*Client)

// WithHTTPClient makes the client use c, whose Timeout must be zero since logs are followed for hours.
func WithHTTPClient(c *http.Client) Option { return func(cl *Client) { cl.http = c } }

// WithTimeout bounds calls that neither stream nor wait; one minute by default.
func WithTimeout(d time.Duration) Option { return func(cl *Client) { cl.timeout = d } }

// maxReply bounds the JSON replies that are read into memory.
const maxReply = 128 << 20

// NewClient returns a client of the server at baseURL that presents token.
func NewClient(baseURL, token string, opts ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("parse server URL: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("server URL %q: want http://HOST[:PORT] or https://HOST[:PORT]", u.Redacted())
	}
	u.Path, u.User = strings.TrimRight(u.Path, "/"), nil
	c := &Client{base: u, token: token, timeout: time.Minute}
	for _, o := range opts {
		o(c)
	}
	if c.http == nil {
		c.http = &http.Client{Transport: newTransport(), CheckRedirect: sameHost}
	}
	return c, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// sameHost keeps a token from travelling to another server, and what is sent from becoming a GET of a page.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme || req.Method != via[0].Method {
		return errors.New("the server redirects elsewhere: check its URL")
	}
	return nil
}

// BaseURL is the server's URL.
func (c *Client) BaseURL() string { return c.base.String() }

// CloseIdle closes connections that no call uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

type call struct {
	method, path string
	query        url.Values
	token        string
	body         io.Reader
	size         int64 // of body; -1 when unknown
	contentType  string
	accept       string
}

// do sends the call and returns the response with a status below 300.
func (c *Client) do(ctx context.Context, in call) (*http.Response, error) {
	target := c.base.String() + in.path
	if len(in.query) > 0 {
		target += "?" + in.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, in.method, target, in.body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if in.body != nil && in.size >= 0 {
		req.ContentLength = in.size
		if in.size == 0 {
			req.Body = http.NoBody
		}
	}
	token := in.token
	if token == "" {
		token = c.token
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if in.contentType != "" {
		req.Header.Set("Content-Type", in.contentType)
	}
	if in.accept != "" {
		req.Header.Set("Accept", in.accept)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call server: %w", err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

// offsetError carries the log's end beside the refusal.
type offsetError struct {
	refusal *Error
	end     int64
}

func (e *offsetError) Error() string { return e.refusal.Error() }
func (e *offsetError) Unwrap() error { return e.refusal }

func readError(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var body ErrorBody
	if err := json.Unmarshal(raw, &body); err != nil || body.Error.Code == "" {
		text := strings.TrimSpace(string(raw[:min(len(raw), 200)]))
		return &Error{Status: resp.StatusCode, Code: codeOfStatus(resp.StatusCode), Message: fmt.Sprintf("server answered %s: %q", resp.Status, text)}
	}
	body.Error.Status = resp.StatusCode
	if body.End != nil {
		return &offsetError{refusal: &body.Error, end: *body.End}
	}
	return &body.Error
}

// codeOfStatus guesses the code of an answer that is not ours, such as a proxy's. A 401, 403, 404 or
// 409 without our envelope says nothing of the thing asked for nor of the token, so it maps to no sentinel.
func codeOfStatus(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case http.StatusTooManyRequests:
		return CodeRateLimited
	}
	if status >= 500 {
		return CodeUnavailable
	}
	return CodeInvalid
}

// json sends in (when not nil) as JSON and reads the reply into out (when not nil).
// wait is added to the client's time-out.
func (c *Client) json(ctx context.Context, method, path string, query url.Values, token string, in, out any, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+wait)
	defer cancel()
	request := call{method: method, path: path, query: query, token: token, accept: "application/json"}
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		request.body, request.size, request.contentType = bytes.NewReader(raw), int64(len(raw)), "application/json"
	}
	resp, err := c.do(ctx, request)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return wantNothing(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(out); err != nil {
		return fmt.Errorf("read reply of %s %s: %w", method, path, err)
	}
	return nil
}

// wantNothing refuses what our server, which has nothing to say, did not answer: a proxy's page
// in its place is no success.
func wantNothing(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	return &Error{Status: resp.StatusCode, Code: CodeUnavailable, Message: fmt.Sprintf("server answered %s where it says nothing: %q", resp.Status, strings.TrimSpace(string(raw)))}
}

// stream returns the body of a GET, to be closed by the caller.
func (c *Client) stream(ctx context.Context, path string, query url.Values, accept string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query, accept: accept})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// expand fills the pattern's wildcards in order; "{x...}" keeps slashes.
func expand(pattern string, values ...string) string {
	for _, v := range values {
		begin := strings.IndexByte(pattern, '{')
		end := begin + strings.IndexByte(pattern[begin:], '}')
		escaped := url.PathEscape(v)
		if strings.HasSuffix(pattern[begin:end], "...") {
			parts := strings.Split(v, "/")
			for i := range parts {
				parts[i] = url.PathEscape(parts[i])
			}
			escaped = strings.Join(parts, "/")
		}
		pattern = pattern[:begin] + escaped + pattern[end+1:]
	}
	return pattern
}
