#: attack    fill the disk in /var/tmp
#: flags     --disk 32M
#: exit      1
#: says      disk full
cat /dev/zero > /var/tmp/zeros
