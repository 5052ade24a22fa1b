# What a terminal runs: the user's own shell, ended before the server when memory is short, and with the Python of the
# kernel `python3`. Called with the folder of Jupyter's own programs; $HUBWRIGHT_PYTHON names that kernel's starting script.
if [ "${2-}" != entered ]; then
  read -r own </proc/self/oom_score_adj && echo $((own + 500)) 2>/dev/null >/proc/self/oom_score_adj
  if [ -r "${HUBWRIGHT_PYTHON-}" ] && grep -q -F '"$1" != --in ' "$HUBWRIGHT_PYTHON"; then # an older one knows no such word
    exec /bin/sh "$HUBWRIGHT_PYTHON" --in /bin/sh "$0" "$1" entered
  fi
fi
export HUBWRIGHT_BEFORE='' HUBWRIGHT_AFTER=":$1"
if [ "${2-}" = entered ]; then
  HUBWRIGHT_BEFORE=$VIRTUAL_ENV/bin:
  case $HUBWRIGHT_SHARED in
    /usr/lib/* | /usr/local/lib/*) ;; # its programs are on every PATH
    "$VIRTUAL_ENV"/*) ;;
    *) HUBWRIGHT_BEFORE=$HUBWRIGHT_BEFORE${HUBWRIGHT_SHARED%/lib/python*}/bin: ;;
  esac
fi
unset HUBWRIGHT_PYTHON HUBWRIGHT_SHARED
shell=${SHELL:-/bin/sh}
case ${shell##*/} in
  bash) exec "$shell" --rcfile "${0%.sh}.bashrc" ;;
  sh | dash) # /etc/profile sets PATH anew, and what the user has set himself is to count more
    [ ! -r /etc/profile ] || . /etc/profile
    PATH=$HUBWRIGHT_BEFORE$PATH$HUBWRIGHT_AFTER
    unset HUBWRIGHT_BEFORE HUBWRIGHT_AFTER
    [ ! -r ~/.profile ] || . ~/.profile
    exec "$shell" ;;
esac
PATH=$HUBWRIGHT_BEFORE$PATH$HUBWRIGHT_AFTER
exec "$shell" -l
