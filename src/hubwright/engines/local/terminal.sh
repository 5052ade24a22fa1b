# What a terminal runs: the user's own shell, ended before the server when memory is short, and with the Python of the
# kernel `python3`. Called with the folder of Jupyter's own programs; $HUBWRIGHT_PYTHON names that kernel's starting script.
if [ "${2-}" != entered ]; then
  read -r own </proc/self/oom_score_adj && echo $((own + 500)) 2>/dev/null >/proc/self/oom_score_adj
  if [ -r "${HUBWRIGHT_PYTHON-}" ] && grep -q -e --in "$HUBWRIGHT_PYTHON"; then # an older one knows no such word
    exec /bin/sh "$HUBWRIGHT_PYTHON" --in /bin/sh "$0" "$1" entered
  fi
fi
unset HUBWRIGHT_PYTHON
export HUBWRIGHT_PATH="$1"
[ "${2-}" != entered ] || HUBWRIGHT_PATH="$VIRTUAL_ENV/bin:${HUBWRIGHT_SHARED%/lib/python*}/bin:$1"
shell=${SHELL:-/bin/sh}
case ${shell##*/} in
  bash) exec "$shell" --rcfile "${0%.sh}.bashrc" ;;
  sh | dash | ksh) export ENV="${0%.sh}.profile" ;; # read after /etc/profile, which sets PATH anew
  *) PATH=$HUBWRIGHT_PATH:$PATH ;;
esac
exec "$shell" -l
