#: attack    memory hog
#: flags     --memory 192M
#: exit      137
#: says      out of memory
perl -e '$x = "a" x (600 << 20); print length $x'
