package batch

import (
	"fmt"
	"strings"
)

// CheckBranch returns why a name, without refs/heads/, can't be a branch, or nil: the rules of git
// check-ref-format --branch, and no names that code hosts or git take for something else.
func CheckBranch(name string) error {
	fault := func(why string) error {
		return fmt.Errorf("branch %q: %s", short(strings.ToValidUTF8(name, "\ufffd")), why)
	}
	switch {
	case name == "":
		return fault("want a name")
	case len(name) > 244: // with .lock and its folder, a file's name has 255 bytes
		return fault("want at most 244 bytes")
	case !plain(name):
		return fault("holds control characters or is not UTF-8")
	case strings.HasPrefix(name, "-"):
		return fault(`begins with "-"`)
	case strings.ContainsAny(name, " ~^:?*[\\"):
		return fault("holds a space or one of ~ ^ : ? * [ \\")
	case strings.Contains(name, ".."), strings.Contains(name, "@{"), name == "@":
		return fault(`holds ".." or "@{", or is "@"`)
	case strings.HasSuffix(name, "."):
		return fault(`ends with "."`)
	case name == "HEAD", strings.HasPrefix(name, "refs/"):
		return fault("is taken for a ref of another kind")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return fault(`holds "//", or begins or ends with "/"`)
		case strings.HasPrefix(part, "."):
			return fault(`has a part that begins with "."`)
		case strings.HasSuffix(part, ".lock"):
			return fault(`has a part that ends with ".lock"`)
		}
	}
	return nil
}
