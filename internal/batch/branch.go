package batch

import (
	"fmt"
	"strings"
)

// CheckBranch returns why a name, without refs/heads/, can't be a branch, or nil: the rules of git
// check-ref-format --branch, and no names that git or code hosts take for something else.
func CheckBranch(name string) error {
	why := badBranch(name)
	if why == "" && (name == "HEAD" || strings.HasPrefix(name, "refs/")) {
		why = "it is taken for a ref of another kind"
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("branch %q: %s", clip(strings.ToValidUTF8(name, "\ufffd")), why)
}
