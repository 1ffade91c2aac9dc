# Sourced by run.sh. Its options are the assignments between `# Options` and `# End of options`, one a line with a
# comment: that block gives the names, the defaults and the text of --help.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the options

die() {
  echo "error: $*" >&2
  exit 1
}

# Names of the options, or of those under the heading `# Options: $1 ...` only.
option_names() {
  sed -n "/^# Options: ${1:-}/,/^# End of options/s/^\([a-z_]*\)=.*/\1/p" run.sh
}

print_help() {
  local line
  echo "usage: run.sh [--name value]..."
  while IFS= read -r line; do
    if [[ $line =~ ^([a-z_]+)=.*\ #\ (.*) ]]; then
      printf '  --%-15s %s [%s]\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${!BASH_REMATCH[1]}"
    elif [[ $line == "# Options: "* ]]; then
      printf '\n%s\n' "${line#\# }"
    fi
  done < <(sed -n '/^# Options/,/^# End of options/p' run.sh)
  printf '\nStages\n'
  list_stages | while read -r number text; do
    printf '  %2d  %s\n' "$number" "$text"
  done
}

declare -A option_defaults
remember_defaults() {
  local name
  for name in $(option_names); do option_defaults[$name]=${!name}; done
}
remember_defaults

# parse_options "$@": sets the variable of every `--name value`; the last one wins. A default that is a number, a whole
# number or true/false says that the value must be one too.
parse_options() {
  local name default
  while [ $# -gt 0 ]; do
    if [ "$1" = --help ] || [ "$1" = -h ]; then
      print_help
      exit
    fi
    name=${1#--}
    if [[ $1 != --* ]] || ! option_names | grep -qxF -- "$name"; then
      die "unknown option $1: --help lists the options"
    fi
    [ $# -gt 1 ] || die "option $1 needs a value"
    default=${option_defaults[$name]}
    if [[ $default =~ ^[0-9]+$ && ! $2 =~ ^[0-9]{1,9}$ ]]; then die "option $1 wants a whole number, not '$2'"; fi
    if [[ $default =~ ^[0-9]+\.[0-9]+$ && ! $2 =~ ^[0-9]*\.?[0-9]+$ ]]; then die "option $1 wants a number, not '$2'"; fi
    if [[ $default =~ ^(true|false)$ && ! $2 =~ ^(true|false)$ ]]; then die "option $1 wants true or false, not '$2'"; fi
    printf -v "$name" '%s' "$2"
    shift 2
  done
}

# parse_overrides FILE...: sets what the files say under `run`.
parse_overrides() {
  local overrides
  overrides=$(command python -m comsl.bin.overrides --run "$@") # in a dry run too
  eval "parse_options $overrides"                               # words that are quoted
}

# What one option alone can't tell: names that would put one thing in another's place, languages that make no sense.
check_options() {
  local name lang words seen=$target_lang
  for name in override study_rows study_folds; do # lists: blanks around them say nothing
    read -ra words <<<"${!name}"
    printf -v "$name" '%s' "${words[*]}"
  done
  [[ $recipe =~ ^[[:alnum:]_][[:alnum:]_.-]*$ ]] ||
    die "--recipe names folders: letters, digits, points, hyphens and underscores, not '$recipe'"
  for name in datadir dumpdir expdir; do
    [[ -n ${!name} && ${!name} != *[[:space:]]* ]] || die "--$name is the path of a folder, without spaces, not '${!name}'"
  done
  [ "$(realpath -m "$datadir" "$dumpdir" "$expdir" | sort -u | wc -l)" -eq 3 ] ||
    die "--datadir, --dumpdir and --expdir are three different folders"
  [ -n "${langs// /}" ] || die "--langs is empty: name the source languages, such as \"fr it\""
  for lang in $langs; do
    [[ " $seen " != *" $lang "* ]] || die "--langs names '$lang' twice, or the language of the translations"
    seen+=" $lang"
  done
}

# The same of what an override file may set too.
check_experiment() {
  [[ $frozen_phase =~ ^(none|some|all)$ ]] || die "--frozen_phase is none, some or all, not '$frozen_phase'"
  [[ $tag =~ ^([[:alnum:]_][[:alnum:]_./-]*)?$ && $tag != *..* ]] ||
    die "--tag names a folder: letters, digits, points, hyphens and underscores, not '$tag'"
  [[ ! $tag =~ ^(lm|lm_train|whisper_train|logs|report|alignment|cascade|mt-true-transcript|whisper-[a-z-]*)$ ]] ||
    die "--tag: the recipe has a folder '$tag' already, which is no experiment"
}
