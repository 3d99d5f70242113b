#: attack    fill what a runtime mounts itself in /etc, /dev and elsewhere
#: flags     --disk 48M --memory 512M
#: exit      0
#: says      probed
#: never     LEAK
for f in /etc/hosts /etc/hostname /etc/resolv.conf /etc/mtab /root/x /run/x /x /var/tmp/x /home/x /opt/x /srv/x /mnt/x; do
  head -c 60000000 /dev/zero 2>/dev/null > "$f" && [ "$(stat -c %s "$f")" -ge 60000000 ] && echo "LEAK $f"
  : > "$f"
done 2>/dev/null
find / -xdev -type d -writable ! -path '/proc*' ! -path '/sys*' ! -path '/dev*' 2>/dev/null | head -12 | while read -r d; do
  head -c 60000000 /dev/zero 2>/dev/null > "$d/fill" && echo "LEAK $d"
  rm -f "$d/fill"
done
echo probed
