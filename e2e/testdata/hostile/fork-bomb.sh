#: attack    fork bomb
#: flags     --pids 300 --timeout 20s
#: exit      [1-9][0-9]*
bomb() { bomb | bomb & }; bomb; sleep 4; exit 3
