# shellcheck shell=bash
# What scripts/test and scripts/test-all share: parts that are run one after the other, and a table of their times.
# A failing part does not keep the others from running.
failed=()
times=()
begin=$SECONDS

part() {
  local title=$1 from=$SECONDS result=ok
  shift
  printf '\n==> %s\n' "$title"
  "$@" || { failed+=("$title"); result=FAILED; }
  times+=("$(printf '%6d s  %-6s  %s' $((SECONDS - from)) "$result" "$title")")
}

# The table, and the exit status of the whole.
conclude() {
  printf '\n'
  printf '%s\n' "${times[@]}"
  printf '%6d s          altogether\n' $((SECONDS - begin))
  [ ${#failed[@]} -eq 0 ] && return
  printf '%s failed: %s\n' "$1" "$(IFS=,; echo "${failed[*]}")" >&2
  return 1
}
