#: attack    a poisoned .git: hooks, fsmonitor, filters, textconv, ssh command, includes, alternates, worktree
#: exit      0
#: says      1 files? changed
#: diff      1
touch="touch $CANARY/ran"
mkdir -p .git/hooks .git/info .git/objects/info
for h in pre-commit post-checkout post-index-change reference-transaction pre-auto-gc fsmonitor-watchman post-rewrite; do printf '#!/bin/sh\n%s-%s\n' "$touch" $h > .git/hooks/$h; chmod +x .git/hooks/$h; done
cat >> .git/config <<X
[core]
	fsmonitor = $touch-fsmonitor
	hooksPath = .git/hooks
	sshCommand = $touch-ssh
	pager = $touch-pager
	editor = $touch-editor
	alternateRefsCommand = $touch-alternates
	worktree = $CANARY
	gitProxy = $touch-proxy
[include]
	path = $CANARY/secret
[filter "evil"]
	clean = $touch-clean
	smudge = $touch-smudge
	process = $touch-process
	required = true
[diff "evil"]
	textconv = $touch-textconv
	command = $touch-diff
[diff]
	external = $touch-external
[extensions]
	worktreeConfig = true
X
echo "* filter=evil diff=evil" > .git/info/attributes
echo "* filter=evil diff=evil text working-tree-encoding=UTF-16" > .gitattributes
echo "$CANARY" > .git/objects/info/alternates
cp .git/config .git/config.worktree
echo "gitdir: $CANARY" > .git/commondir
echo changed > a.txt
rm .gitattributes
