package batch

import "context"

// Repos is how a batch change looks at repositories. What it returns comes from repositories and code
// hosts and is believed in nothing. It is used by several goroutines at once.
type Repos interface {
	// Names lists all repositories that are known, sorted: those that globs and queries choose from.
	Names(ctx context.Context) ([]string, error)
	// Revision says what a branch of a repository is now; the default branch when branch is empty. The name may be a git
	// URL or a local path where the implementation allows it.
	Revision(ctx context.Context, name, branch string) (Revision, error)
	// Files lists the paths of all files of a commit, slash-separated.
	Files(ctx context.Context, name, commit string) ([]string, error)
	// Grep lists the paths of the commit's text files that hold the pattern.
	Grep(ctx context.Context, name, commit string, p Pattern) ([]string, error)
	// Query asks a code host, in its own language, for names or URLs of repositories.
	Query(ctx context.Context, host, query string) ([]string, error)
	// ReadList reads a file of names; file is relative to the spec.
	ReadList(ctx context.Context, file string) ([]byte, error)
	// Folder makes a revision of a local folder that is no repository.
	Folder(ctx context.Context, path string) (Revision, error)
}

// Revision is a branch of a repository as it was found.
type Revision struct {
	// Name is the name by which the repository is known from then on, the same however it was asked for.
	Name string
	// Branch is a full ref, such as refs/heads/main. Of a folder it may be empty, as Commit.
	Branch string
	// Commit is a full object name.
	Commit string
}
