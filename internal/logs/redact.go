package logs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// Mask stands where a secret was.
const Mask = "***"

// Shortest values that are looked for: of a secret, of one line of a secret of
// several lines, and of a secret in an encoded form. Shorter ones would mask
// ordinary output and hide nothing.
const (
	minSecret  = 3
	minLine    = 6
	minEncoded = 6
)

// Redactor knows the values that may not appear in a log. It finds them as they
// are, line by line where they have several, percent-encoded, escaped as JSON and in
// base64 (both alphabets, at any position of the encoded text).
type Redactor struct {
	// byFirst holds the patterns by their first byte, longest first.
	byFirst [256][][]byte
	any     bool
}

// NewRedactor makes the redactor of a set of secret values.
func NewRedactor(values ...string) *Redactor {
	seen := map[string]bool{}
	var all []string
	add := func(s string, least int) {
		if len(s) >= least && !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	for _, v := range values {
		add(v, minSecret)
		add(strings.TrimSpace(v), minSecret)
		if strings.ContainsAny(v, "\r\n") {
			for _, line := range strings.FieldsFunc(v, func(r rune) bool { return r == '\n' || r == '\r' }) {
				add(strings.TrimSpace(line), minLine)
			}
		}
		for _, form := range encoded(v) {
			add(form, minEncoded)
		}
	}
	r := &Redactor{any: len(all) > 0}
	for _, s := range all {
		r.byFirst[s[0]] = append(r.byFirst[s[0]], []byte(s))
	}
	for i := range r.byFirst {
		slices.SortFunc(r.byFirst[i], func(a, b []byte) int { return len(b) - len(a) })
	}
	return r
}

// encoded returns the forms in which tools print a value that they were given.
func encoded(v string) []string {
	if len(v) < minEncoded {
		return nil
	}
	forms := []string{url.QueryEscape(v), url.PathEscape(v)}
	if quoted, err := json.Marshal(v); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			text := enc.EncodeToString([]byte(strings.Repeat("x", shift) + v))
			// The first and the last character mix with what stands beside the value.
			first := []int{0, 2, 3}[shift]
			last := len(text)
			if (shift+len(v))%3 != 0 {
				last--
			}
			if last > first {
				forms = append(forms, text[first:last])
			}
		}
	}
	return forms
}

// Text returns s with the secrets masked.
func (r *Redactor) Text(s string) string {
	if !r.any {
		return s
	}
	var buf bytes.Buffer
	w := r.Writer(&buf)
	_, _ = w.Write([]byte(s)) // a bytes.Buffer does not fail
	_ = w.Close()
	return buf.String()
}

// Sink returns a sink that masks the secrets inside single records, for remarks; the
// output of steps goes through Writer, which also sees secrets across records.
func (r *Redactor) Sink(next Sink) Sink { return redactSink{r, next} }

type redactSink struct {
	redactor *Redactor
	next     Sink
}

func (s redactSink) Write(record glovebox.LogRecord) error {
	record.Text = s.redactor.Text(record.Text)
	return s.next.Write(record)
}

// Writer returns a writer that masks the secrets in a stream, across all borders of
// writes. It holds back only what may be the beginning of a secret; Close writes
// that too. It is not safe for concurrent use.
func (r *Redactor) Writer(next io.Writer) *RedactWriter {
	return &RedactWriter{redactor: r, next: next}
}

// RedactWriter is made by Redactor.Writer.
type RedactWriter struct {
	redactor *Redactor
	next     io.Writer
	held     []byte
	// masked is how many bytes at the start of held belong to a secret whose mask is written.
	masked int
}

// Write masks and passes on.
func (w *RedactWriter) Write(p []byte) (int, error) {
	if !w.redactor.any {
		return w.next.Write(p)
	}
	w.held = append(w.held, p...)
	if err := w.pass(false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close passes on what was held back.
func (w *RedactWriter) Close() error { return w.pass(true) }

func (w *RedactWriter) pass(final bool) error {
	out := make([]byte, 0, len(w.held))
	i := 0
	for ; i < len(w.held); i++ {
		n, partial := w.redactor.match(w.held[i:])
		if n > 0 && i+n > w.masked {
			if i >= w.masked {
				out = append(out, Mask...)
			}
			w.masked = i + n
		}
		if partial && !final {
			break
		}
		if i >= w.masked {
			out = append(out, w.held[i])
		}
	}
	w.held = append(w.held[:0], w.held[i:]...)
	w.masked = max(0, w.masked-i)
	if len(out) == 0 {
		return nil
	}
	_, err := w.next.Write(out)
	return err
}

// match returns the length of the longest secret that p begins with, and whether p
// is the beginning of a longer one.
func (r *Redactor) match(p []byte) (n int, partial bool) {
	for _, s := range r.byFirst[p[0]] {
		if len(s) > len(p) {
			partial = partial || bytes.HasPrefix(s, p)
		} else if bytes.HasPrefix(p, s) {
			return len(s), partial
		}
	}
	return 0, partial
}
