#: attack    a step removes its workspace
#: exit      0
#: says      files changed
rm -rf /work/* /work/.[!.]*; rmdir /work 2>/dev/null; rm -rf /work 2>/dev/null; true
