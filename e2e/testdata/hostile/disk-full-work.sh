#: attack    fill the disk in /work
#: flags     --disk 32M
#: exit      1
#: says      disk full
cat /dev/zero > /work/zeros
