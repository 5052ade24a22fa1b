# Bash reads this in a terminal in place of what a login reads. It reads the same; but /etc/profile sets PATH anew, and
# what the user has set himself is to count more than the notebooks' programs.
[ ! -r /etc/profile ] || . /etc/profile
PATH=$HUBWRIGHT_BEFORE$PATH$HUBWRIGHT_AFTER
unset HUBWRIGHT_BEFORE HUBWRIGHT_AFTER
if [ -r ~/.bash_profile ]; then . ~/.bash_profile
elif [ -r ~/.bash_login ]; then . ~/.bash_login
elif [ -r ~/.profile ]; then . ~/.profile
fi
