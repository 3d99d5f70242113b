package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/glovebox-dev/glovebox/internal/glob"
)

// maxFaults bounds what Check reports.
const maxFaults = 20

// Check looks for what would fail when the template is evaluated at its place: unknown names,
// variables that are not known there, and functions called with too few, too many or the
// wrong arguments. outputs are the names that the steps before declare; nil when they are not
// known. Its error is SyntaxErrors.
func (t *Text) Check(p Place, outputs []string) error {
	if t.tree == nil {
		return nil
	}
	c := &checker{text: t, place: p, outputs: outputs}
	c.list(t.plain.Root, nil)
	if len(c.faults) == 0 {
		return nil
	}
	return c.faults
}

type checker struct {
	text    *Text
	place   Place
	outputs []string
	faults  SyntaxErrors
}

func (c *checker) fail(at parse.Pos, format string, args ...any) value {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, c.text.fault(int(at), fmt.Sprintf(format, args...)))
	}
	return value{}
}

// list checks nodes; dot is what "." stands for, nil at the top, where it is nothing.
func (c *checker) list(l *parse.ListNode, dot *value) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			c.pipe(n.Pipe, dot)
		case *parse.TemplateNode:
			c.fail(n.Pos, "templates can't be called here")
		default:
			if b := branch(n); b != nil {
				c.branch(b, dot)
			}
		}
	}
}

func (c *checker) branch(b *parse.BranchNode, dot *value) {
	got := c.pipe(b.Pipe, dot)
	inner := dot
	switch b.NodeType {
	case parse.NodeRange:
		inner = &value{}
		if got.kind == list && got.fields == nil {
			inner.kind = text
		}
		if got.kind == text || got.kind == truth {
			c.fail(b.Pipe.Pos, "range wants a list, not %s", got.kind)
		}
	case parse.NodeWith:
		inner = &got
	}
	c.list(b.List, inner)
	c.list(b.ElseList, dot)
}

// pipe returns the shape of what a pipeline comes to.
func (c *checker) pipe(p *parse.PipeNode, dot *value) value {
	var got value
	for i, cmd := range p.Cmds {
		var piped *value
		if i > 0 {
			piped = &value{got.kind, got.fields}
		}
		got = c.command(cmd, piped, dot)
	}
	if len(p.Decl) > 0 {
		return value{}
	}
	return got
}

func (c *checker) command(cmd *parse.CommandNode, piped, dot *value) value {
	first := cmd.Args[0]
	if id, ok := first.(*parse.IdentifierNode); ok {
		if _, ok := variableShapes[id.Ident]; !ok {
			return c.call(id, cmd.Args[1:], piped, dot)
		}
	}
	got := c.value(first, dot)
	if len(cmd.Args) > 1 || piped != nil {
		if _, literal := first.(*parse.PipeNode); !literal {
			c.fail(first.Position(), "%s is a value, not a function: it takes no arguments", clip(first.String()))
		}
	}
	for _, arg := range cmd.Args[1:] {
		c.value(arg, dot)
	}
	return got
}

// call checks a function's arguments; one that is piped in comes last.
func (c *checker) call(id *parse.IdentifierNode, args []parse.Node, piped, dot *value) value {
	values := make([]value, len(args))
	for i, arg := range args {
		values[i] = c.value(arg, dot)
	}
	sig, ok := signatures[id.Ident]
	if !ok {
		return c.unknown(id)
	}
	if piped != nil {
		values = append(values, *piped)
	}
	switch {
	case len(values) < sig.min && (sig.rest || len(sig.args) > sig.min):
		return c.fail(id.Pos, "%s takes at least %s, not %d", id.Ident, arguments(sig.min), len(values))
	case len(values) < sig.min, len(values) > len(sig.args) && !sig.rest:
		return c.fail(id.Pos, "%s takes %s, not %d", id.Ident, arguments(len(sig.args)), len(values))
	}
	for i, v := range values {
		want := sig.args[min(i, len(sig.args)-1)]
		if v.kind == unknown || want == unknown || v.kind == want || want == text && (v.kind == number || v.kind == truth) {
			continue
		}
		at := id.Pos
		if i < len(args) {
			at = start(args[i])
		}
		c.fail(at, "%s wants %s as argument %d, not %s", id.Ident, want, i+1, v.kind)
	}
	c.constants(id, args)
	return value{kind: sig.result}
}

// constants checks what is known of arguments that are written out.
func (c *checker) constants(id *parse.IdentifierNode, args []parse.Node) {
	for i, arg := range args {
		s, ok := arg.(*parse.StringNode)
		if !ok {
			continue
		}
		if bad := badFormat(s.Text); id.Ident == "printf" && i == 0 && bad != "" {
			c.fail(s.Pos, "%s", bad)
		}
		if id.Ident == "matches" && i == 1 {
			if _, err := glob.Compile(s.Text); err != nil {
				c.fail(s.Pos, "matches: %v", err)
			}
		}
	}
	if id.Ident == "len" && len(args) == 1 && args[0].Type() == parse.NodeNumber {
		c.fail(args[0].Position(), "len wants a text or a list, not a number")
	}
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// unknown reports a name that is neither a variable nor a function.
func (c *checker) unknown(id *parse.IdentifierNode) value {
	if id.Ident == "call" {
		return c.fail(id.Pos, "the function call is not allowed here")
	}
	known := append(slices.Collect(maps.Keys(variableShapes)), slices.Collect(maps.Keys(signatures))...)
	if best := suggest(id.Ident, known); best != "" {
		return c.fail(id.Pos, "unknown name %s: did you mean %s?", clip(id.Ident), best)
	}
	return c.fail(id.Pos, "unknown name %s: the variables are %s", clip(id.Ident), strings.Join(slices.Sorted(maps.Keys(variableShapes)), ", "))
}

// value returns the shape of an argument.
func (c *checker) value(n parse.Node, dot *value) value {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		if _, ok := variableShapes[n.Ident]; ok {
			return c.variable(n, nil)
		}
		return c.call(n, nil, nil, dot)
	case *parse.ChainNode:
		if id, ok := n.Node.(*parse.IdentifierNode); ok {
			if _, ok := variableShapes[id.Ident]; ok {
				return c.variable(id, n.Field)
			}
		}
		return c.fields(n.Pos, n.Node.String(), c.value(n.Node, dot), n.Field)
	case *parse.FieldNode:
		if dot == nil {
			name := strings.TrimPrefix(n.String(), ".")
			at := n.Pos
			if len(n.Ident) > 1 {
				at -= parse.Pos(len(n.Ident[0]) + 1) // the parser has the place of the second field
			}
			return c.fail(at, "%s has nothing before its dot: write %s", clip(n.String()), clip(name))
		}
		return c.fields(n.Pos, "", *dot, n.Ident)
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			return c.fail(n.Pos, "%s: $ holds nothing here", clip(n.String()))
		}
	case *parse.DotNode:
		if dot != nil {
			return *dot
		}
		return c.fail(n.Pos, "the dot stands for nothing here: it has a value inside range and with")
	case *parse.PipeNode:
		return c.pipe(n, dot)
	case *parse.StringNode:
		return value{kind: text}
	case *parse.NumberNode:
		return value{kind: number}
	case *parse.BoolNode:
		return value{kind: truth}
	}
	return value{}
}

// start is where a node's text begins.
func start(n parse.Node) parse.Pos {
	if chain, ok := n.(*parse.ChainNode); ok {
		return start(chain.Node)
	}
	return n.Position()
}

// variable checks that a variable is known at the place, and its fields.
func (c *checker) variable(id *parse.IdentifierNode, fields []string) value {
	changeset := c.place == PlaceChangeset
	switch {
	case id.Ident == "step" && c.place != PlaceOutput:
		if changeset {
			return c.fail(id.Pos, "step is known only in the values of a step's outputs")
		}
		return c.fail(id.Pos, "step is known only in the values of a step's outputs: did you mean previous_step?")
	case id.Ident == "previous_step" && changeset:
		return c.fail(id.Pos, "previous_step is not known in the changeset template: steps and outputs are")
	case id.Ident == "batch_change_link" && !changeset:
		return c.fail(id.Pos, "batch_change_link is known only in the changeset template")
	}
	if id.Ident != "outputs" {
		return c.fields(id.Pos, id.Ident, variableShapes[id.Ident], fields)
	}
	if len(fields) == 0 {
		return value{kind: unknown}
	}
	if c.outputs == nil || slices.Contains(c.outputs, fields[0]) {
		return value{}
	}
	if best := suggest(fields[0], slices.Clone(c.outputs)); best != "" {
		return c.fail(id.Pos, "no earlier step has the output %s: did you mean outputs.%s?", clip(fields[0]), best)
	}
	return c.fail(id.Pos, "no earlier step has the output %s", clip(fields[0]))
}

// fields follows fields from a value of the name before.
func (c *checker) fields(at parse.Pos, before string, v value, fields []string) value {
	for _, name := range fields {
		path := before + "." + name
		switch {
		case v.kind == unknown:
			return value{}
		case v.kind != group:
			return c.fail(at, "%s: %s is %s, which has no fields", clip(path), clip(before), v.kind)
		}
		next, ok := v.fields[name]
		if !ok {
			known := slices.Sorted(maps.Keys(v.fields))
			if best := suggest(name, known); best != "" {
				return c.fail(at, "unknown variable %s: did you mean %s.%s?", clip(path), clip(before), best)
			}
			return c.fail(at, "unknown variable %s: %s has %s", clip(path), clip(before), strings.Join(known, ", "))
		}
		v, before = next, path
	}
	return v
}
