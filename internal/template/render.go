package template

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/glovebox-dev/glovebox"
)

const (
	// maxIterations bounds the expressions that one evaluation comes by, each as often as it does.
	maxIterations = 250_000
	// maxWork bounds the bytes that all functions of one evaluation take in and give out.
	maxWork = 64 << 20
	// maxTime is the net behind the counts.
	maxTime = 10 * time.Second
)

// errDynamic is why a template has no value yet: it reads what a step will come to.
var errDynamic = errors.New("known only when steps have run")

// RenderError says which expression could not be evaluated, and why.
type RenderError struct {
	Line, Column int
	Expression   string
	Message      string
	err          error
}

func (e *RenderError) Error() string {
	return fmt.Sprintf("evaluate %s at %d:%d: %s", e.Expression, e.Line, e.Column, e.Message)
}

// Unwrap returns the cause: a context's, glovebox.ErrTooLarge or another.
func (e *RenderError) Unwrap() error { return e.err }

// Render evaluates the template. Its error is a *RenderError.
func (t *Text) Render(ctx context.Context, s Scope) (string, error) {
	if t.tree == nil {
		return t.text, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, fmt.Errorf("took more than %v", maxTime))
	defer cancel()
	e := &evaluation{ctx: ctx, scope: s}
	return t.run(e)
}

// Partial evaluates the template over what is known before any step has run: repository,
// batch_change and steps.path. known is false when the text depends on more than that, or has no value.
func (t *Text) Partial(s Scope) (text string, known bool) {
	if t.tree == nil {
		return t.text, true
	}
	for _, read := range t.reads {
		if len(read) == 1 && read[0] == "steps" {
			return "", false // which of its fields are read can't be told
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxTime)
	defer cancel()
	text, err := t.run(&evaluation{ctx: ctx, scope: s, static: true})
	if err != nil {
		return "", false
	}
	return text, true
}

// run evaluates the template.
func (t *Text) run(e *evaluation) (text string, err error) {
	defer func() {
		// text/template is not made for hostile templates: what it overlooks ends this template alone.
		if r := recover(); r != nil {
			text, err = "", t.renderError(fmt.Errorf("unexpected: %v", r))
		}
	}()
	tmpl, err := template.New(treeName).Option("missingkey=error").Funcs(e.functions()).AddParseTree(treeName, t.tree)
	if err != nil {
		return "", fmt.Errorf("prepare template: %w", err)
	}
	out := &bounded{ctx: e.ctx}
	if err := tmpl.Execute(out, nil); err != nil {
		return "", t.renderError(err)
	}
	return out.text.String(), nil
}

var execError = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?s)^template: text:(\d+):(\d+): executing "text" at <.*?>: (.*)$`)
})

// renderError finds the expression that an error of text/template is about.
func (t *Text) renderError(err error) error {
	e := &RenderError{Message: err.Error(), err: err}
	at := t.exprs[0].from
	if m := execError().FindStringSubmatch(e.Message); m != nil {
		at, e.Message = t.offset(m[1], m[2]), m[3]
	}
	var own *callError
	switch {
	case errors.As(err, &own):
		e.Message = own.Error()
	case errors.Is(err, glovebox.ErrTooLarge):
		e.Message = err.Error()
	case strings.HasPrefix(e.Message, "map has no entry for key "):
		e.Message = "there is no value of the name " + strings.TrimPrefix(e.Message, "map has no entry for key ")
	}
	e.Message, e.Expression = clip(e.Message), t.excerpt(at)
	place := t.fault(at, "")
	e.Line, e.Column = place.Line, place.Column
	return e
}

// callError is an error of our own functions, whose words need no others around them.
type callError struct{ error }

func (e *callError) Unwrap() error { return e.error }

// bounded collects the text.
type bounded struct {
	ctx  context.Context
	text strings.Builder
}

func (b *bounded) Write(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	if b.text.Len()+len(p) > MaxText {
		return 0, fmt.Errorf("the text would be %w: more than %s", glovebox.ErrTooLarge, glovebox.Size(MaxText))
	}
	return b.text.Write(p)
}

const counter = "count_one_step"

// count puts a call of the counter before each expression of a list, so that no loop, not
// even one that writes nothing, goes on for ever.
func count(list *parse.ListNode, loop *parse.BranchNode) {
	if list == nil {
		return
	}
	var nodes []parse.Node
	if loop != nil {
		nodes = append(nodes, counting(loop.Pipe.Pos))
	}
	for _, n := range list.Nodes {
		if n.Type() != parse.NodeText {
			nodes = append(nodes, counting(n.Position()))
		}
		nodes = append(nodes, n)
		if b := branch(n); b != nil {
			body := b
			if n.Type() != parse.NodeRange {
				body = nil
			}
			count(b.List, body)
			count(b.ElseList, nil)
		}
	}
	list.Nodes = nodes
}

func counting(at parse.Pos) parse.Node {
	call := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: []parse.Node{parse.NewIdentifier(counter).SetPos(at)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: at, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: at, Cmds: []*parse.CommandNode{call}}}
}
