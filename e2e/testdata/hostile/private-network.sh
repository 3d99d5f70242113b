#: attack    reach the server, the host and private networks from a public job
#: flags     --network public
#: exit      0
#: says      probed
#: never     LEAK
try() {
  perl -MIO::Socket::IP -e '$s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 2) and print "LEAK $ARGV[0]:$ARGV[1]\n"' "$1" "$2"
}
gateway=$(perl -ne '@f = split; print join ".", reverse map hex, $f[2] =~ /../g if $f[1] eq "00000000"' /proc/net/route)
for a in $HOST_ADDRESSES $gateway 127.0.0.1 ::1 169.254.169.254 172.17.0.1 10.0.0.1 0.0.0.0 ::ffff:127.0.0.1; do
  [ -n "$a" ] && try "$a" "$HOST_PORT"
done
try 169.254.169.254 80
echo probed
