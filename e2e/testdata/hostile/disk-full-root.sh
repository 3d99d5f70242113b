#: attack    fill the disk in /
#: flags     --disk 32M
#: exit      1
#: says      disk full
cat /dev/zero > /zeros
