package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/glovebox-dev/glovebox/api"
)

func openAPIDocument(t testing.TB) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatal(err)
	}
	return doc
}

// documented is the path as OpenAPI writes it.
func documented(path string) string { return strings.ReplaceAll(path, "...}", "}") }

// The document describes exactly the operations there are, with the access that they need.
func TestOpenAPIMatchesRoutes(t *testing.T) {
	doc := openAPIDocument(t)
	var have, want []string
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			scheme := "none"
			if op.Security != nil && len(*op.Security) > 0 {
				for name := range (*op.Security)[0] {
					scheme = name
				}
			}
			have = append(have, method+" "+path+" "+scheme)
		}
	}
	for _, r := range routes {
		if r.access == inBody {
			continue // the git gateway speaks git
		}
		scheme := map[access]string{anybody: "none", machine: "executorToken", attempt: "jobToken"}[r.access]
		if scheme == "" {
			scheme = "userToken"
			role := "role " + string(r.access)
			if op := doc.Paths.Find(documented(r.path)).GetOperation(r.method); op != nil && !strings.Contains(op.Description, role) {
				t.Errorf("%s %s: the document does not say %q", r.method, r.path, role)
			}
		}
		want = append(want, r.method+" "+documented(r.path)+" "+scheme)
	}
	sort.Strings(have)
	sort.Strings(want)
	if h, w := strings.Join(have, "\n"), strings.Join(want, "\n"); h != w {
		t.Errorf("the document describes\n%s\n\nthe routes are\n%s", h, w)
	}
}

// conformance wraps the server's handler and checks every answer that a test gets against the document.
type conformance struct {
	testing.TB
	doc  *openapi3.T
	find *http.ServeMux
	next http.Handler
}

func newConformance(t testing.TB, next http.Handler) *conformance {
	c := &conformance{TB: t, doc: openAPIDocument(t), find: http.NewServeMux(), next: next}
	for _, r := range routes {
		if r.access != inBody {
			c.find.Handle(r.method+" "+r.path, http.NotFoundHandler())
		}
	}
	return c
}

func (c *conformance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, pattern := c.find.Handler(r)
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		c.next.ServeHTTP(w, r)
		return
	}
	copied := &copiedReply{ResponseWriter: w}
	c.next.ServeHTTP(copied, r)
	if copied.status == http.StatusTemporaryRedirect || copied.status == http.StatusMovedPermanently {
		return // the mux cleans a path
	}
	op := c.doc.Paths.Find(documented(path)).GetOperation(method)
	if err := checkReply(op, copied); err != nil {
		c.Errorf("%s %s: answer %d differs from the document: %v\n%.2000s", method, path, copied.status, err, copied.body.String())
	}
}

type copiedReply struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *copiedReply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *copiedReply) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *copiedReply) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.body.Len() < 1<<20 {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

func checkReply(op *openapi3.Operation, got *copiedReply) error {
	if got.status == 0 {
		got.status = http.StatusOK
	}
	want := op.Responses.Status(got.status)
	if want == nil && got.status >= 400 {
		want = op.Responses.Default()
	}
	if want == nil {
		return fmt.Errorf("the status is not described")
	}
	if len(want.Value.Content) == 0 {
		if got.body.Len() > 0 {
			return fmt.Errorf("a body where none is described")
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(got.Header().Get("Content-Type"))
	if err != nil {
		return err
	}
	described := want.Value.Content[media]
	if described == nil {
		return fmt.Errorf("content type %q is not described", media)
	}
	if media != "application/json" {
		return nil
	}
	var value any
	if err := json.Unmarshal(got.body.Bytes(), &value); err != nil {
		return err
	}
	return described.Schema.Value.VisitJSON(value)
}

// The contract's examples are what the document says.
func TestContractMatchesDocument(t *testing.T) {
	doc := openAPIDocument(t)
	files, err := filepath.Glob("../../api/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		schema := doc.Components.Schemas[name]
		if schema == nil {
			t.Errorf("the document has no schema %s", name)
			continue
		}
		if err := schema.Value.VisitJSON(value); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
