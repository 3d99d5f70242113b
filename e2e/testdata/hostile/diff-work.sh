#: attack    contents that make a diff slow: large files of a few lines in another order
#: exit      0|1
#: limit     120s
#: flags     --timeout 60s
perl -e 'srand 1; for (1..400000) { print int(rand 50), "\n" }' > a.txt
perl -e 'srand 2; for (1..400000) { print int(rand 50), "\n" }' > b.txt
