#: attack    a step ignores SIGTERM and its children leave its session
#: flags     --timeout 3s
#: exit      124
#: says      timed out
trap '' TERM INT HUP
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' &
while :; do sleep 1; done
