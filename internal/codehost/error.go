package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/glovebox-dev/glovebox"
)

// Errors that callers branch on, besides those of package glovebox.
var (
	// ErrRateLimited: the host asks us to wait; the error is a *RateLimitError.
	ErrRateLimited = errors.New("rate limited")
	// ErrForeignCommits: the branch holds commits that we did not push; the error is a *ForeignCommitsError.
	ErrForeignCommits = errors.New("commits of others on the branch")
	// ErrBranchGone: a branch that we pushed is not there any more.
	ErrBranchGone = errors.New("branch is gone")
	// ErrEmptyPatch: the patch changes nothing.
	ErrEmptyPatch = errors.New("the patch changes nothing")
	// ErrPatch: the patch does not apply to the base commit.
	ErrPatch = errors.New("the patch does not apply")
)

// RateLimitError says until when a host is to be left alone. Nothing was done.
type RateLimitError struct {
	Host  string
	Until time.Time
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%s: too many requests: try again after %s", e.Host, e.Until.UTC().Format(time.RFC3339))
}

func (e *RateLimitError) Unwrap() error { return ErrRateLimited }

// ForeignCommitsError says what somebody else pushed. Nothing was overwritten.
type ForeignCommitsError struct {
	Branch string
	// Head is the branch's commit, Author who made it ("Name <address>"), "" if that could not be found out.
	Head, Author string
}

func (e *ForeignCommitsError) Error() string {
	by := ""
	if e.Author != "" {
		by = " by " + e.Author
	}
	return fmt.Sprintf("push branch %s: its head %s%s is not ours: left as it is", e.Branch, e.Head, by)
}

func (e *ForeignCommitsError) Unwrap() error { return ErrForeignCommits }

// Error is what a host answered, or how talking to it went wrong.
type Error struct {
	// Op says what we wanted: "open request in acme/app".
	Op   string
	Host string
	// Status is the HTTP status, 0 if there was none.
	Status int
	// Message is what the host said, printable and short.
	Message string
	// Ambiguous: the request may have been carried out although it looks failed.
	Ambiguous bool
	Err       error
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(e.Host)
	if e.Status != 0 {
		fmt.Fprintf(&b, " answered %d", e.Status)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if advice := e.advice(); advice != "" {
		b.WriteString(" (" + advice + ")")
	}
	if e.Status == 0 && e.Err != nil && e.Message == "" {
		b.WriteString(": " + printable(e.Err.Error(), 300))
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// advice says what the reader can do about it.
func (e *Error) advice() string {
	switch {
	case e.archived():
		return "the repository is archived: unarchive it or leave it out"
	case e.Status == http.StatusUnauthorized:
		return "the token is wrong, expired or revoked"
	case e.Status == http.StatusForbidden:
		return "the token lacks a scope or its user the right: see docs/code-hosts.md"
	case e.Status == http.StatusNotFound:
		return "it does not exist, or the token may not see it"
	case e.Status >= 300 && e.Status < 400:
		return "it points elsewhere: is the address right, or was the repository renamed?"
	case e.Status >= 500:
		return "the host is in trouble: try again later"
	}
	return ""
}

func (e *Error) archived() bool {
	return (e.Status == http.StatusForbidden || e.Status == http.StatusLocked) && strings.Contains(strings.ToLower(e.Message), "archived")
}

// kindOf maps a status to the error that callers branch on.
func kindOf(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return glovebox.ErrUnauthorized
	case http.StatusForbidden, http.StatusLocked:
		return glovebox.ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return glovebox.ErrNotFound
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return glovebox.ErrConflict
	}
	return fmt.Errorf("status %d", status)
}

// failed gives an error of a client its operation; what is not from our transport is an
// answer that could not be understood.
func failed(ctx context.Context, host, op string, err error) error {
	if err == nil {
		return nil
	}
	op = printable(op, 300)
	var limited *RateLimitError
	if errors.As(err, &limited) {
		return fmt.Errorf("%s: %w", op, limited)
	}
	var ours *Error
	if errors.As(err, &ours) {
		e := *ours
		e.Op = op
		return &e
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", op, host, context.Cause(ctx))
	}
	if errors.Is(err, glovebox.ErrNotFound) || errors.Is(err, glovebox.ErrTooLarge) || errors.Is(err, glovebox.ErrUnsupported) {
		return fmt.Errorf("%s: %s: %w", op, host, err)
	}
	return &Error{Op: op, Host: host, Message: "the answer is not what its API gives: " + printable(err.Error(), 300), Err: err, Ambiguous: true}
}

// ambiguous reports whether a write may have been carried out although it ended in err: an answer that
// can't be understood leaves that open too.
func ambiguous(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Ambiguous
	}
	return err != nil && !errors.Is(err, ErrRateLimited)
}

// printable makes a foreign text fit for a terminal and a log: one line of at most max bytes.
func printable(s string, max int) string {
	s = clean(s, max)
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, s)
}

// clean keeps line breaks and tabs of a foreign text and drops what else controls or deceives a terminal.
func clean(s string, max int) string {
	cut := len(s) > max
	if cut {
		s = s[:max]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r == unicode.ReplacementChar, unicode.Is(unicode.Cf, r) && r != '\u200d', r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if cut {
		s += "…"
	}
	return s
}
