// Package template is the language of "${{ }}" in batch specs and templated jobs: Go's
// text/template with the variables and functions that batch specs have. It owns what a
// template may name, where, and what evaluating one may cost. It must not know specs, jobs
// or how steps are run.
//
// Templates, and the outputs they read, are hostile: a template's length, nesting, output,
// intermediate values, iterations and time are bounded, and no input makes it panic.
package template

import (
	"fmt"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/glovebox-dev/glovebox"
)

const (
	// MaxText bounds a template's text and what it comes out as, in bytes.
	MaxText = 4 << 20

	open, end      = "${{", "}}"
	maxExpressions = 10_000
	maxNesting     = 50
	treeName       = "text"
)

// Text is a parsed template. It is not changed by use, and may be used by several goroutines.
type Text struct {
	text  string
	exprs []expression
	plain *parse.Tree // nil when there is no expression
	tree  *parse.Tree // plain with steps counted
	reads [][]string  // each variable it may read, by its path as far as it is written out
}

// Place is where a template stands; it decides on what the template may read.
type Place int

const (
	// PlaceStep is a step's run, env, files, if and image.
	PlaceStep Place = iota
	// PlaceOutput is the value of a step's output: there step.* is known too.
	PlaceOutput
	// PlaceChangeset is the changeset template.
	PlaceChangeset
)

// Scope is what a template is evaluated over.
type Scope struct {
	// Place says which variables there are, and how repository.branch is written.
	Place    Place
	Template glovebox.Template
	// Previous is the step before, nil before the first. Step is the step itself, for PlaceOutput.
	Previous, Step *StepScope
	// Steps are the changes of all steps so far.
	Steps   glovebox.Changes
	Outputs map[string]any
	// Link is the batch change's address. When it is empty, "${{ batch_change_link }}" stays as it is.
	Link string
}

// StepScope is what templates see of one step.
type StepScope struct {
	glovebox.Changes
	Stdout, Stderr string
}

// SyntaxError is a fault of a template. Line and Column are 1-based within its text; columns count characters.
type SyntaxError struct {
	Line, Column int
	Message      string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// SyntaxErrors are all the faults that Check found.
type SyntaxErrors []*SyntaxError

func (e SyntaxErrors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first.
func (e SyntaxErrors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// Parse reads a template. Its error is a *SyntaxError. Names are not looked at: Check does that.
func Parse(text string) (*Text, error) {
	if len(text) > MaxText {
		return nil, &SyntaxError{1, 1, fmt.Sprintf("the template is larger than %s", glovebox.Size(MaxText))}
	}
	t := &Text{text: text, exprs: expressions(text)}
	if len(t.exprs) == 0 {
		return t, nil
	}
	if at, message := t.shape(); message != "" {
		return nil, t.fault(at, message)
	}
	tree, err := parseTree(text)
	if err != nil {
		return nil, t.locate(err)
	}
	t.reads = reads(tree.Root)
	t.plain, t.tree = tree, tree.Copy()
	count(t.tree.Root, nil)
	return t, nil
}

// parseTree parses without looking at the names of functions.
func parseTree(text string) (*parse.Tree, error) {
	tree := parse.New(treeName)
	tree.Mode = parse.SkipFuncCheck
	return tree.Parse(text, open, end, map[string]*parse.Tree{})
}

// Static reports whether the text holds no expression.
func (t *Text) Static() bool { return len(t.exprs) == 0 }

// Uses reports whether the template may read a variable: Uses("previous_step", "stdout"). A
// template that names only the variable's parent may read it too.
func (t *Text) Uses(prefix ...string) bool {
	return slices.ContainsFunc(t.reads, func(read []string) bool {
		n := min(len(read), len(prefix))
		return slices.Equal(read[:n], prefix[:n])
	})
}

// reads lists the variables that are named beneath a node.
func reads(n parse.Node) (paths [][]string) {
	walk(n, func(n parse.Node) bool {
		switch n := n.(type) {
		case *parse.ChainNode:
			if id, ok := n.Node.(*parse.IdentifierNode); ok {
				paths = append(paths, append([]string{id.Ident}, n.Field...))
				return false
			}
		case *parse.IdentifierNode:
			paths = append(paths, []string{n.Ident})
		}
		return true
	})
	return paths
}

// walk calls visit for a node and, where it returns true, for those in it.
func walk(n parse.Node, visit func(parse.Node) bool) {
	if !visit(n) {
		return
	}
	switch n := n.(type) {
	case *parse.ListNode:
		for _, sub := range n.Nodes {
			walk(sub, visit)
		}
	case *parse.ActionNode:
		walk(n.Pipe, visit)
	case *parse.PipeNode:
		for _, cmd := range n.Cmds {
			walk(cmd, visit)
		}
	case *parse.CommandNode:
		for _, arg := range n.Args {
			walk(arg, visit)
		}
	case *parse.ChainNode:
		walk(n.Node, visit)
	default:
		if b := branch(n); b != nil {
			walk(b.Pipe, visit)
			walk(b.List, visit)
			if b.ElseList != nil {
				walk(b.ElseList, visit)
			}
		}
	}
}

// branch returns what if, range and with have in common, nil for other nodes.
func branch(n parse.Node) *parse.BranchNode {
	switch n := n.(type) {
	case *parse.IfNode:
		return &n.BranchNode
	case *parse.RangeNode:
		return &n.BranchNode
	case *parse.WithNode:
		return &n.BranchNode
	}
	return nil
}
