# A POSIX shell reads this in a terminal after what a login reads, which sets PATH anew.
PATH=$HUBWRIGHT_PATH:$PATH
unset ENV HUBWRIGHT_PATH
