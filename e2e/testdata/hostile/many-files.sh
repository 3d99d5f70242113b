#: attack    fill the workspace with files until nothing fits
#: flags     --disk 16M
#: exit      1
#: says      disk full
i=0
while mkdir "d$i"; do i=$((i+1)); (cd "d$i" 2>/dev/null || cd "d$((i-1))"; for n in 0 1 2 3 4 5 6 7 8 9; do : > "$n$n" || exit 1; done) || exit 1; done
exit 1
