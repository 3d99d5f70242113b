#: attack    a glob for outputs that takes exponential time to match
#: exit      1
#: says      too many alternatives
#: flags     --output {a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}b
touch "$(printf 'a%.0s' $(seq 1 240))"
