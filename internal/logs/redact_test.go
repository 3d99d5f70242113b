package logs

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// redacted writes data in pieces and returns what came out.
func redacted(t *testing.T, r *Redactor, data []byte, piece int) string {
	t.Helper()
	var out bytes.Buffer
	w := r.Writer(&out)
	for len(data) > 0 {
		n := min(len(data), piece)
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRedact(t *testing.T) {
	tests := []struct{ secrets, in, want string }{
		{"hunter22", "x hunter22 y", "x *** y"},
		{"abc,abcdef", "abcdef abc abcd", "*** *** ***d"},
		{"abcd,cdef", "abcdef!", "***!"},
		{"aab", "aaab", "a***"},
		{"aaaa", "aaaaaaaaa!", "***!"},
		{"secret", "secre", "secre"},
		{"a secret with spaces", "a secret with", "a secret with"},
		{"", "nothing", "nothing"},
		{"line one\nline two", "line two and line one", "*** and ***"},
	}
	for _, tt := range tests {
		var secrets []string
		if tt.secrets != "" {
			secrets = strings.Split(tt.secrets, ",")
		}
		for piece := 1; piece < 12; piece++ {
			if got := redacted(t, NewRedactor(secrets...), []byte(tt.in), piece); got != tt.want {
				t.Errorf("%q of %q in pieces of %d: %q, want %q", tt.secrets, tt.in, piece, got, tt.want)
			}
		}
	}
}

func TestRedactEncodedForms(t *testing.T) {
	secret := "p@ss w0rd/+?&\"x"
	r := NewRedactor(secret)
	forms := []string{url.QueryEscape(secret), url.PathEscape(secret), `p@ss w0rd/+?\u0026\"x`}
	for shift := range 4 {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding} {
			forms = append(forms, enc.EncodeToString([]byte(strings.Repeat("u", shift)+secret+"tail")))
		}
	}
	for _, form := range forms {
		if got := r.Text("<" + form + ">"); !strings.Contains(got, Mask) {
			t.Errorf("%s got through as %s", form, got)
		}
	}
}

func TestRedactHoldsBackOnlyBeginnings(t *testing.T) {
	var out bytes.Buffer
	w := NewRedactor("secret").Writer(&out)
	if _, err := w.Write([]byte("name? se")); err != nil {
		t.Fatal(err)
	}
	if out.String() != "name? " {
		t.Errorf("%q", out.String())
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("secret", "other", []byte("xsecretother"), byte(2))
	f.Add("aaa", "aab", []byte("aaaabaaab"), byte(1))
	f.Fuzz(func(t *testing.T, one, two string, data []byte, piece byte) {
		r := NewRedactor(one, two)
		split := redacted(t, r, data, int(piece)+1)
		if whole := redacted(t, r, data, len(data)+1); whole != split {
			t.Fatalf("in pieces %q, whole %q", split, whole)
		}
		for _, secret := range []string{one, two} {
			// What a mask and its neighbours happen to spell is no leak.
			if len(secret) >= minSecret && !strings.Contains(secret, "*") && strings.Contains(split, secret) {
				t.Fatalf("%q in %q", secret, split)
			}
		}
	})
}
