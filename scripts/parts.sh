# shellcheck shell=bash
# What scripts/test and scripts/test-all share: parts that are run one after the other or beside each other, and a table
# of their times. A failing part does not keep the others from running.
failed=()
reasons=()
times=()
begin=$SECONDS
jobs=1
declare -A titles=() begins=() logs=()

# Where it is set, each of the hundreds of daemons that tests start would compile its modules again.
unset PYTHONDONTWRITEBYTECODE

# What pytest is told for the component tests: most of them wait, so four processes are what keeps two cores busy.
# shellcheck disable=SC2034
component=(-n 4 --dist loadfile python_runtime/tests/component)

# enter TITLE BEGIN STATUS LOG: a row of the table; of what failed, the lines that name it are kept for the end, which
# is all that one sees of a long run. LOG is removed.
enter() {
  local result=ok
  if [ "$3" -ne 0 ]; then
    failed+=("$1") result=FAILED
    mapfile -t -O "${#reasons[@]}" reasons < <(grep -aE '^(FAILED|ERROR|fatal:|E  ) ?' "$4" | cut -c 1-200 | awk '!seen[$0]++' | tail -n 12)
  fi
  rm -f "$4"
  times+=("$(printf '%6d s  %-6s  %s' $((SECONDS - $2)) "$result" "$1")")
}

# part TITLE COMMAND...: one that has the machine for itself.
part() {
  local title=$1 from log status=0
  shift
  together
  from=$SECONDS
  log=$(mktemp)
  printf '\n==> %s\n' "$title"
  "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  enter "$title" "$from" "$status" "$log"
}

# beside TITLE COMMAND...: one of at most $jobs at once, whose output is shown when it has ended.
beside() {
  local title=$1
  shift
  if [ "$jobs" -le 1 ]; then
    part "$title" "$@" </dev/null
    return
  fi
  while [ ${#titles[@]} -ge "$jobs" ]; do reap; done
  local log
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null &
  titles[$!]=$title begins[$!]=$SECONDS logs[$!]=$log
}

# Waits for one of those that run beside each other.
reap() {
  local pid status=0
  wait -n -p pid "${!titles[@]}" || status=$?
  printf '\n==> %s\n' "${titles[$pid]}"
  cat "${logs[$pid]}"
  enter "${titles[$pid]}" "${begins[$pid]}" "$status" "${logs[$pid]}"
  unset "titles[$pid]" "begins[$pid]" "logs[$pid]"
}

# Waits for all of them.
together() {
  while [ ${#titles[@]} -gt 0 ]; do reap; done
}

# The table, and the exit status of the whole.
conclude() {
  together
  printf '\n'
  printf '%s\n' "${times[@]}"
  printf '%6d s          altogether\n' $((SECONDS - begin))
  [ ${#failed[@]} -eq 0 ] && return
  printf '%s\n' "${reasons[@]}"
  printf '%s failed: %s\n' "$1" "$(IFS=,; echo "${failed[*]}")" >&2
  return 1
}
