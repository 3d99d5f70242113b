package git

import (
	"fmt"
	"strings"
)

// IsDotGit reports whether git on any file system may take the name for ".git": by
// case, by code points that HFS+ ignores, or by what NTFS ignores at the end, streams, short
// names, and a backslash that separates there.
func IsDotGit(name string) bool {
	if strings.IndexByte(name, '\\') >= 0 {
		for part := range strings.SplitSeq(name, "\\") {
			if IsDotGit(part) {
				return true
			}
		}
		return false
	}
	if !strings.ContainsAny(name, "gG") {
		return false
	}
	plain := folded(name)
	return plain == ".git" || plain == "git~1"
}

// IsDotGitmodules reports whether git refuses a link of that name, as it may be ".gitmodules" on some file system.
func IsDotGitmodules(name string) bool {
	for part := range strings.SplitSeq(name, "\\") {
		plain := folded(part)
		if plain == ".gitmodules" {
			return true
		}
		stem, number, ok := strings.Cut(plain, "~")
		if !ok || len(number) == 0 || strings.Trim(number, "0123456789") != "" || number[0] == '0' {
			continue
		}
		if (stem == "gitmod" && len(number) == 1 && number <= "4") || (len(plain) == 8 && stem != "" && strings.HasPrefix("gi7eba", stem)) {
			return true
		}
	}
	return false
}

// folded is a name without what file systems do not tell apart.
func folded(name string) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name)
	plain, _, _ = strings.Cut(strings.ToLower(plain), ":")
	return strings.TrimRight(plain, " .")
}

// QuotePath writes a path as git does, every byte that is not plain ASCII in octal.
func QuotePath(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(path) {
		switch c := path[i]; {
		case c < 0x20, c >= 0x7f, c == '"', c == '\\':
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
