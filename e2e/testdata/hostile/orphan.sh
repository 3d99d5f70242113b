#: attack    a process left behind holds stdout open and writes on after the step
#: exit      0
#: says      step over
#: never     LEAK
setsid sh -c 'trap "" TERM HUP; sleep 2; echo LEAK; while :; do echo later >> late.txt; sleep 0.1; done' &
(setsid sh -c 'exec 2>&1; sleep 3600' &)
echo step over
