#: attack    memory hog by files in memory
#: flags     --memory 192M
#: exit      1|137
#: says      out of memory|No space left
cat /dev/zero > /dev/shm/x && exit 0
rm -f /dev/shm/x; cat /dev/zero > /dev/x
