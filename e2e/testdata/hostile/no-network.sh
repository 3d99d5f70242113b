#: attack    reach anything without a network
#: exit      0
#: says      probed
#: never     LEAK
for a in $HOST_ADDRESSES 127.0.0.1 169.254.169.254; do
  perl -MIO::Socket::IP -e '$s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 2) and print "LEAK $ARGV[0]\n"' "$a" "$HOST_PORT"
done
awk 'NR > 1 { print "LEAK route", $0 }' /proc/net/route
echo probed
