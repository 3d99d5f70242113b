#: attack    write to what the host owns: /usr, the image cache, kernel settings, devices, mounts
#: exit      0
#: says      probed
#: never     LEAK
leak() { echo "LEAK $*"; }
for f in /usr/bin/glovebox-was-here /usr/local/glovebox-was-here /lib/glovebox-was-here /proc/sys/kernel/core_pattern /proc/sysrq-trigger \
  /sys/kernel/uevent_helper /proc/sys/vm/drop_caches "$CANARY/x"; do
  if (echo x > "$f") 2>/dev/null && [ -e "$f" ]; then case $f in /proc/*) [ "$(cat "$f" 2>/dev/null)" = x ] && leak "$f" ;; *) leak "$f" ;; esac; fi
done
mount -o remount,rw /usr 2>/dev/null && leak remount
mount -t tmpfs x /mnt 2>/dev/null && leak mount
umount /usr 2>/dev/null && leak umount
mknod disk b 7 0 2>/dev/null && leak block device
mknod mem c 1 1 2>/dev/null && leak character device
chroot / true 2>/dev/null && leak chroot
unshare -m true 2>/dev/null && leak unshare
# Of the capabilities, none beyond those of docs: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE.
for set in CapEff CapPrm CapBnd CapInh CapAmb; do
  perl -ne '/^'"$set"':\s*(\S+)/ and hex($1) & ~0x5fb and print "LEAK $_"' /proc/self/status
done
grep -q 'NoNewPrivs:.*0' /proc/self/status && leak new privileges
ln /usr/bin/env hardlink 2>/dev/null && leak hard link to /usr
echo probed
