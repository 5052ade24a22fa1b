# Sourced by ./up and ./test: finds a Python, keeps an environment in step with this checkout. POSIX sh.
# Callers set `here` (the checkout) and `me` (their name in messages).

fail() {
  printf '%s: %s\n' "$me" "$1" >&2
  [ -z "${2:-}" ] || printf '  %s\n' "$2" >&2
  exit 1
}

# Prints a Python that is new enough; as root only one that no other account controls and every account can run.
find_python() {
  if [ "$(id -u)" -eq 0 ]; then
    candidates='/usr/bin/python3 /usr/bin/python3.14 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11
      /usr/local/bin/python3'
  else
    candidates='python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3'
  fi
  for candidate in $candidates; do
    found=$(command -v "$candidate" 2>/dev/null) || continue
    if "$found" -I - <<'PYTHON' 2>/dev/null; then
import os, stat, sys
if sys.version_info < (3, 11):
    sys.exit(1)
if os.geteuid() == 0:
    for path in {os.path.realpath(sys.executable), os.path.realpath(os.__file__)}:
        while True:
            found = os.stat(path)
            if found.st_uid != 0 or found.st_mode & 0o022 or not found.st_mode & 0o001 | stat.S_ISREG(found.st_mode):
                sys.exit(1)
            if path == "/":
                break
            path = os.path.dirname(path)
PYTHON
      printf '%s\n' "$found"
      return
    fi
  done
  if [ "$(id -u)" -eq 0 ]; then
    fail "No Python 3.11 or newer was found that belongs to the system." "Install one: apt install python3 python3-venv"
  fi
  fail "No Python 3.11 or newer was found." "Install one: apt install python3 python3-venv"
}

# A number that changes when anything changes that an installation is made of.
stamp_of_checkout() {
  (cd "$here" && find src pyproject.toml README.md LICENSE -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort | cksum)
}

# make_environment FOLDER: an empty environment, unless there is one whose Python runs.
make_environment() {
  if "$1/bin/python" -I -S -c '' 2>/dev/null; then
    return
  fi
  python=$(find_python) || exit 1
  "$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module." "Install it: apt install python3-venv"
  mkdir -p "$(dirname "$1")" 2>/dev/null && [ -w "$(dirname "$1")" ] ||
    fail "Cannot write in $(dirname "$1")." "Run it as a user who may, or copy the checkout to a folder of your own."
  "$python" -m venv --clear "$1" || fail "Cannot make an environment in $1." "Is there room on the disk? See: df -h $1"
}

last_step() {
  grep -E '^ *(Collecting|Downloading|Installing|Building|Using|Preparing|Processing) ' "$1" | tail -n 1 | sed 's/^ *//'
}

# run_pip FOLDER WORDS...: pip with progress in one line, tries three times, tells what went wrong.
run_pip() {
  environment=$1
  shift
  log=$environment/install.log
  for try in 1 2 3; do
    "$environment/bin/python" -m pip --disable-pip-version-check --no-input --retries 10 --timeout 30 \
      "$@" --progress-bar off >"$log" 2>&1 </dev/null &
    pip=$!
    trap 'kill "$pip" 2>/dev/null; exit 130' INT TERM
    seconds=0
    while kill -0 "$pip" 2>/dev/null; do
      sleep 0.5
      seconds=$((seconds + 1))
      if [ -t 2 ]; then
        printf '\r\033[K  %d s  %s' $((seconds / 2)) "$(last_step "$log" | cut -c 1-60)" >&2
      elif [ $((seconds % 30)) -eq 0 ]; then
        printf '  %d s  %s\n' $((seconds / 2)) "$(last_step "$log" | cut -c 1-100)" >&2
      fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    trap - INT TERM
    if wait "$pip"; then
      return
    fi
    if grep -q 'No space left on device' "$log"; then
      fail "The disk is full." "Make room (df -h $environment), then run it again."
    fi
    grep -qiE 'retrying|timed out|name resolution|unreachable|connection|refused|incomplete|hash' "$log" || break
    printf '  The download broke off; trying again.\n' >&2
  done
  tail -n 15 "$log" >&2
  if grep -qiE 'name resolution|unreachable|connection|refused|timed out|no matching distribution' "$log"; then
    fail "Packages could not be downloaded." "Check the network, or the proxy and index in pip's settings; then run it again."
  fi
  fail "Installing failed; all that pip said is in $log."
}

# prepare_environment WORDS...: with `hubwright`'s words, installs this checkout where it runs from, when it has changed,
# with what its hub.yaml needs. Sets `environment`: /opt/hubwright/env on the system's Python for root, as everybody's
# notebooks run from it; .venv in the checkout for others.
prepare_environment() {
  if [ "$(id -u)" -eq 0 ]; then
    umask 022
    environment=${HUBWRIGHT_ENVIRONMENT:-/opt/hubwright/env}
  else
    environment=${HUBWRIGHT_ENVIRONMENT:-$here/.venv}
  fi

  # What only one engine, or one way to log in, needs is installed when hub.yaml names it.
  config=hub.yaml
  previous=
  for word in "$@"; do
    case $previous in --config | -c) config=$word ;; esac
    case $word in --config=*) config=${word#--config=} ;; esac
    previous=$word
  done
  [ -e "$config" ] || [ "$(id -u)" -ne 0 ] || config=/etc/hubwright/hub.yaml
  extra=
  for kind in conda docker ldap 'oauth|oidc|google|github' uv; do
    if grep -Eqs "kind: *[\"']?($kind)" "$config"; then
      extra=$extra,${kind%%|*}
    fi
  done
  extra=${extra:+[${extra#,}]}

  stamp="$(stamp_of_checkout)$extra"
  if [ "$stamp" != "$(cat "$environment/hubwright.stamp" 2>/dev/null)" ] || ! "$environment/bin/python" -I -S -c '' 2>/dev/null
  then
    make_environment "$environment"
    if [ -e "$environment/hubwright.stamp" ]; then
      printf 'Bringing %s up to date with this checkout.\n' "$environment" >&2
    else
      printf 'Installing Hubwright into %s (once; a minute or two).\n' "$environment" >&2
    fi
    run_pip "$environment" install --compile "$here$extra"
    printf '%s\n' "$stamp" >"$environment/hubwright.stamp"
  fi
}
