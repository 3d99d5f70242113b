#: attack    a step closes its streams and works on
#: exit      7
exec >&- 2>&-
sleep 1; echo changed > a.txt
exit 7
