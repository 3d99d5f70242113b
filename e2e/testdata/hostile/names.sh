#: attack    names that are not UTF-8, hold newlines, escapes, quotes, or look like options or magic
#: flags     --output **
#: exit      0
#: says      not UTF-8
#: diff      1
printf 'mkdir -- "%s"\n' x >/dev/null
for n in "$(printf 'bad\377name')" "$(printf 'line\nbreak')" "$(printf 'esc\033]0;owned\007')" '--upload-pack=touch' '-rf' ':(top)x' '"quoted"' 'back\slash' '...' ' ' '*' "$(printf 'rtl\342\200\256txt')" '%2e%2e%2fx' 'a:b' 'CON' 'café'; do
  echo content > "./$n"
done
mkdir -p .gitx 'd\..\x'; echo x > .gitx/config; echo y > 'd\..\x/f'
