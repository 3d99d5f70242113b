#: attack    sequences that write titles, the clipboard, links, move the cursor or ask the terminal
#: exit      0
#: says      visible
printf '\033]0;title\007\033]52;c;cm0gLXJmIC8K\007\033]8;;http://evil\007link\033]8;;\007\033[2J\033[1;1H\033[6n\033P$qm\033\\\033_x\033\\\302\233 2J\302\235x\302\234'
printf '\033]0;unfinished\n'; printf 'visible\r\n\b\b\033[8mhidden\033[0m\n' >&2
