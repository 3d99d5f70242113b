#: attack    .git as a link to a folder of the host
#: exit      0
#: diff      1
rm -rf .git; ln -s "$CANARY" .git; echo changed > a.txt
