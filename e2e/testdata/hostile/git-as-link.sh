#: attack    .git as a file, a link, in many spellings and in folders below
#: exit      0
#: says      a git directory inside the workspace
#: diff      1
rm -rf .git; echo "gitdir: $CANARY" > .git
mkdir -p a/.git/hooks b; ln -s "$CANARY" b/.git; printf '#!/bin/sh\ntouch %s/ran\n' "$CANARY" > a/.git/hooks/post-checkout
mkdir .GIT .Git git~1 ".git " "$(printf '.g\342\200\214it')"; for d in .GIT .Git git~1 ".git "; do echo evil > "$d/config"; done
printf '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch %s/ran"\n\tupdate = !touch %s/ran\n' "$CANARY" "$CANARY" > .gitmodules
