package syntax

import (
	"path"
	"strings"
)

// ByName returns the language of a file by its name, nil when it is not known.
func ByName(name string) *Language {
	base := strings.ToLower(path.Base(name))
	switch base {
	case "dockerfile", "containerfile":
		return &Language{lines: []string{"#"}, spans: quotes(), names: "$", read: instructions}
	case "makefile", "gnumakefile":
		return &Language{lines: []string{"#"}, spans: quotes(), names: "$", words: keywords("ifeq ifneq ifdef ifndef else endif include define endef export"), read: rules}
	case "go.mod", "go.work":
		return &Language{lines: []string{"//"}, words: keywords("module go toolchain require replace exclude retract use godebug tool ignore")}
	case "jenkinsfile":
		return cLike("def class if else for while return import new true false null in as try catch finally throw switch case break continue", quotes()...)
	case ".bashrc", ".profile", ".envrc":
		return shell()
	}
	if strings.HasPrefix(base, "dockerfile.") {
		return ByName("Dockerfile")
	}
	return byExtension(strings.TrimPrefix(path.Ext(base), "."))
}

func byExtension(ext string) *Language {
	switch ext {
	case "yaml", "yml":
		return &Language{lines: []string{"#"}, spans: quotes(), words: keywords("true false null yes no on off ~"), read: yaml}
	case "json", "jsonc", "json5", "webmanifest":
		return &Language{lines: []string{"//"}, words: keywords("true false null"), read: json}
	case "md", "markdown", "mdx":
		return &Language{read: markdown}
	case "html", "htm", "xml", "svg", "vue", "xhtml", "csproj", "plist", "xsd":
		return &Language{read: markup}
	case "toml", "ini", "cfg", "conf", "properties", "editorconfig", "gitconfig", "lock":
		return &Language{lines: []string{"#", ";"}, words: keywords("true false"), read: assignments,
			spans: append([]span{{open: `"""`, close: `"""`, class: String, multi: true}}, quotes()...)}
	case "mk":
		return ByName("Makefile")
	case "sh", "bash", "zsh", "ksh":
		return shell()
	case "css", "scss", "less":
		return &Language{lines: []string{"//"}, spans: append([]span{cComment()}, quotes()...), names: "-@$#.", keys: ":",
			words: keywords("@media @import @supports @keyframes @font-face @include @mixin @use @extend important inherit initial unset none auto")}
	case "sql":
		return &Language{lines: []string{"--"}, spans: []span{cComment(), {open: "'", close: "'", class: String, multi: true}, {open: `"`, close: `"`, class: String}}, fold: true, words: keywords(sqlWords)}
	case "py", "pyi", "bzl", "star":
		return &Language{lines: []string{"#"}, names: "@", words: keywords(pythonWords), spans: append([]span{
			{open: `"""`, close: `"""`, class: String, escape: true, multi: true}, {open: "'''", close: "'''", class: String, escape: true, multi: true}}, quotes()...)}
	case "rb", "rake", "gemspec":
		return &Language{lines: []string{"#"}, names: "@$?", words: keywords(rubyWords), spans: quotes()}
	case "tf", "hcl", "nomad":
		return &Language{lines: []string{"#", "//"}, spans: append([]span{cComment()}, quotes()...), words: keywords("resource data variable output module provider terraform locals for in if true false null dynamic")}
	}
	return compiled(ext)
}

// compiled are the languages with comments as in C.
func compiled(ext string) *Language {
	char := span{open: "'", close: "'", class: String, escape: true}
	double := span{open: `"`, close: `"`, class: String, escape: true}
	switch ext {
	case "go":
		return cLike(goWords, span{open: "`", close: "`", class: String, multi: true}, double, char)
	case "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts":
		l := cLike(scriptWords, span{open: "`", close: "`", class: String, escape: true, multi: true}, double, char)
		l.names = "$"
		return l
	case "java", "kt", "kts", "scala", "groovy", "gradle":
		l := cLike(javaWords, span{open: `"""`, close: `"""`, class: String, multi: true}, double, char)
		l.names = "@"
		return l
	case "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "ino", "m", "mm", "proto":
		l := cLike(cWords, double, char)
		l.names = "#"
		return l
	case "cs":
		return cLike(javaWords+" using namespace string bool var async await get set out ref params readonly virtual override sealed", double, char)
	case "rs":
		char.short = true
		return cLike(rustWords, span{open: `r#"`, close: `"#`, class: String, multi: true}, span{open: `"`, close: `"`, class: String, escape: true, multi: true}, char)
	case "swift", "dart":
		return cLike(javaWords+" func let var guard where in inout protocol extension struct self nil init deinit weak lazy mutating async await", double)
	case "php":
		l := cLike(javaWords+" function echo namespace use foreach as array require require_once include global isset unset fn match null", double, char)
		l.names, l.lines = "$", []string{"//", "#"}
		return l
	}
	return nil
}

// cLike is a language with comments as in C.
func cLike(words string, strs ...span) *Language {
	return &Language{lines: []string{"//"}, words: keywords(words), spans: append([]span{cComment()}, strs...)}
}

func shell() *Language {
	return &Language{lines: []string{"#"}, names: "$", words: keywords(shellWords), spans: []span{
		{open: "'", close: "'", class: String, multi: true}, {open: `"`, close: `"`, class: String, escape: true, multi: true}}}
}

func cComment() span { return span{open: "/*", close: "*/", class: Comment, multi: true} }

// quotes are strings in single or double quotes that end with their line.
func quotes() []span {
	return []span{{open: `"`, close: `"`, class: String, escape: true}, {open: "'", close: "'", class: String, escape: true}}
}

func keywords(list string) map[string]Class {
	words := map[string]Class{}
	for _, word := range strings.Fields(list) {
		words[word] = Keyword
	}
	return words
}

const (
	goWords = "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return " +
		"select struct switch type var true false nil iota any error string bool byte rune int int8 int16 int32 int64 uint uint8 uint16 uint32 " +
		"uint64 uintptr float32 float64 complex64 complex128"
	scriptWords = "abstract as async await break case catch class const continue debugger declare default delete do else enum export extends " +
		"false finally for from function get if implements import in instanceof interface is keyof let namespace new null of private protected " +
		"public readonly return satisfies set static super switch this throw true try type typeof undefined var void while with yield any " +
		"boolean number string unknown never object"
	javaWords = "abstract assert boolean break byte case catch char class const continue default do double else enum extends final finally " +
		"float for if implements import instanceof int interface long native new null package private protected public record return sealed " +
		"short static super switch synchronized this throw throws transient true false try val var void volatile while yield fun object when " +
		"is in by companion data suspend override open def trait case lazy implicit given with"
	cWords = "#include #define #ifdef #ifndef #if #else #elif #endif #pragma #undef alignas auto bool break case catch char class const constexpr " +
		"continue default delete do double else enum explicit extern false final float for friend goto if inline int long mutable namespace " +
		"new noexcept nullptr NULL operator override private protected public register return short signed sizeof static struct switch template " +
		"this throw true try typedef typename union unsigned using virtual void volatile while message service rpc returns repeated optional syntax package import"
	rustWords = "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref " +
		"return self Self static struct super trait true type unsafe use where while bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 " +
		"i128 isize f32 f64 String Vec Option Result Some None Ok Err Box"
	pythonWords = "and as assert async await break class continue def del elif else except False finally for from global if import in is " +
		"lambda match case None nonlocal not or pass raise return self True try while with yield"
	rubyWords = "alias and begin break case class def defined? do else elsif end ensure false for if in module next nil not or redo require " +
		"require_relative rescue retry return self super then true undef unless until when while yield attr_reader attr_accessor"
	shellWords = "if then elif else fi for while until do done case esac in function return export local readonly set unset shift exit " +
		"break continue trap source eval exec cd echo printf test true false"
	sqlWords = "add all alter and as asc begin between by case check column commit conflict constraint create cross default delete desc " +
		"distinct do drop else end exists explain foreign from full grant group having if in index inner insert into is join key left like limit " +
		"not null offset on or order outer primary references returning revoke right rollback select set table then transaction trigger truncate " +
		"union unique update using values view when where with integer text bigint boolean timestamp varchar"
)
