#: attack    a step replaces its workspace by a link to the host's root
#: exit      0
#: never     root:x:0
#: flags     --output **
cd /; rm -rf /work 2>/dev/null; mv /work /gone 2>/dev/null; ln -sfn / /work 2>/dev/null; ln -s / /work/root 2>/dev/null; mv --exchange /work /etc 2>/dev/null; true
