#: attack    read the host: files, processes' environments, sockets, other jobs, tokens
#: exit      0
#: says      probed
#: never     LEAK
leak() { echo "LEAK $*"; }
for f in /etc/shadow /etc/gshadow /etc/ssh /root/.ssh /root/.gitconfig /root/.docker /var/run/docker.sock /run/docker.sock /run/netns /run/glovebox \
  /proc/kcore /dev/mem /dev/sda /dev/vda /dev/loop0 /dev/loop-control /dev/kmsg /dev/kvm "$CANARY" "$LAB" "/proc/1/root$CANARY" "/../../../..$CANARY" "/work/../..$CANARY"; do
  if head -c 1 "$f" >/dev/null 2>&1 || ls "$f" 2>/dev/null | grep -q .; then leak "$f"; fi
done
for p in /proc/[0-9]*; do
  if tr '\0' '\n' 2>/dev/null < "$p/environ" | grep -q 'HOST_ONLY='; then leak "$p/environ"; fi
  # Split, for the pattern is in this script's own command line.
  for pattern in "gb""j_" "gb""u_" "--bundle""=" "/executor""/" ; do
    if tr '\0' ' ' 2>/dev/null < "$p/cmdline" | grep -q -e "$pattern"; then leak "$p/cmdline $pattern"; fi
  done
done
env | grep -e 'HOST_ONLY' -e 'gb[jue]_' -e '^GLOVEBOX_.*TOKEN' -e DOCKER_HOST && leak env
find / -xdev \( -name '*.sock' -o -name '*.ext4' \) ! -path '/proc/*' 2>/dev/null | grep . && leak socket
grep -rs -e 'gb[je]_' -e Authorization -e extraheader .git && leak .git
grep -q ' / / \(rw\|ro\).* ext4 ' /proc/self/mountinfo && leak root
echo probed
