#: attack    .gitignore rules and globs that take an expert for ever to match
#: exit      1
#: says      gitignore files take longer
#: limit     90s
#: flags     --output **/a*a*a*a*a*a*a*a*a*a*a*a*b/**/*a*a*a*a*a*b
stars=$(printf 'a*%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
for i in 1 2 3 4 5 6 7 8; do echo "*${stars}b$i"; echo "**/${stars}**/${stars}/b$i"; done > .gitignore
n=$(printf 'a%.0s' $(seq 1 240)); for i in 1 2 3 4 5 6 7 8 9; do echo x > "$n$i"; mkdir -p "d/$n/$n/$i"; echo x > "d/$n/$n/$i/$n"; done
