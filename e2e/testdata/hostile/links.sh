#: attack    links to the host's files, planted to be followed: outputs, folders, .gitignore, tracked files
#: flags     --output ** --output passwd --output etc/*
#: exit      0
#: says      not a regular file
#: diff      1
ln -s /etc/shadow shadow; ln -s /etc/passwd passwd; ln -s /etc etc; ln -s "$CANARY" canary; ln -s "$CANARY/secret" out.txt
ln -s ../../../../../../../../.. up; ln -s /proc/self/environ environ; ln -s /proc/1/root proot; ln -s . loop; ln -s self self
rm a.txt; ln -s "$CANARY/secret" a.txt
rm -rf sub; ln -s "$CANARY" sub
mkdir dir; ln -s "$CANARY/secret" dir/.gitignore; ln -s "$CANARY/secret" .gitattributes
mkfifo pipe; perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un("socket"))'
