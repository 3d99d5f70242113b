#: attack    one endless line, then NUL bytes
#: exit      0
#: quiet
head -c 30000000 /dev/zero | tr '\0' x; head -c 3000000 /dev/zero; echo end
