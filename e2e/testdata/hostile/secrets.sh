#: attack    secrets printed in pieces, encoded, over two writes and without a newline
#: flags     --secret TOKEN=GIVEN_SECRET
#: exit      0
#: says      \*\*\*
for part in "$(printf %.5s "$TOKEN")" "${TOKEN#?????}"; do printf %s "$part"; sleep 0.2; done; echo
echo "$TOKEN"; echo "$TOKEN" >&2; printf %s "$TOKEN" | base64; printf "a%s" "$TOKEN" | base64; echo "x$TOKEN$TOKEN"
for i in 1 2 3 4 5 6 7 8 9; do printf %s "$TOKEN" | cut -c$i | tr -d '\n'; done; printf %s "$TOKEN" | cut -c10-
printf %s "$TOKEN"
