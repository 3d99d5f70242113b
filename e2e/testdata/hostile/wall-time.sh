#: attack    a busy loop beyond the wall-time limit
#: flags     --timeout 2s --cpus 1
#: exit      124
#: says      timed out
while :; do :; done
