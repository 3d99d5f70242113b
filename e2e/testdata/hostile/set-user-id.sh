#: attack    programs with set-user-ID and owners of their own left in workspace and outputs
#: flags     --output x
#: exit      0
#: says      1 outputs
cp /usr/bin/id x; chown 0:0 x; chmod 6755 x; chown 12345:12345 a.txt
