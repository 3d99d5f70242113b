#: attack    fill the disk in /tmp
#: flags     --disk 32M
#: exit      1
#: says      disk full
cat /dev/zero > /tmp/zeros
