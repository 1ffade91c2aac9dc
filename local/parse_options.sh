# Sourced by run.sh, Kaldi's idiom: every variable that help_message names as `--name` is an option. A default that is a
# number, a whole number or true/false says that the value must be one too; of two values the last one wins.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the options

die() {
  echo "error: $*" >&2
  exit 1
}

declare -A option_defaults
while read -r option; do
  option=${option#--}
  if [ "$option" != config ]; then option_defaults[$option]=${!option}; fi
done < <(grep -o -e '--[a-z_]*' <<<"$help_message")

set_option() { # NAME VALUE
  [ -n "$1" ] && [ -n "${option_defaults[$1]+known}" ] || die "unknown option --$1: --help lists the options"
  local default=${option_defaults[$1]}
  if [[ $default =~ ^[0-9]+$ && ! $2 =~ ^[0-9]{1,9}$ ]]; then die "option --$1 wants a whole number, not '$2'"; fi
  if [[ $default =~ ^[0-9]+\.[0-9]+$ && ! $2 =~ ^[0-9]*\.?[0-9]+$ ]]; then die "option --$1 wants a number, not '$2'"; fi
  if [[ $default =~ ^(true|false)$ && ! $2 =~ ^(true|false)$ ]]; then die "option --$1 wants true or false, not '$2'"; fi
  printf -v "$1" '%s' "$2"
}

set_options() { # --NAME VALUE...
  while [ $# -gt 0 ]; do
    [[ $1 == --* ]] || die "unknown option $1: --help lists the options"
    [ $# -gt 1 ] || die "option $1 needs a value"
    if [ "$1" != --config ]; then set_option "${1#--}" "$2"; fi
    shift 2
  done
}

read_settings() { # FILE: lines name=value, taken as they are
  local line
  [ -r "$1" ] || die "--config: there is no file $1 (paths are relative to $PWD)"
  while IFS= read -r line; do
    if [[ $line == [a-z]*=* ]]; then set_option "${line%%=*}" "${line#*=}"; fi
  done <"$1"
}

# The options, or those only that aren't as in run.sh, as lines name=value.
options_in_use() {
  local name
  for name in "${!option_defaults[@]}"; do
    if [ "${1:-all}" = all ] || [ "${!name}" != "${option_defaults[$name]}" ]; then echo "$name=${!name}"; fi
  done | sort
}

show_help=false
words=()
for word; do
  case $word in
    --help | -h) show_help=true ;;
    *) words+=("$word") ;;
  esac
done
case " ${words[*]} " in
  *" --config "* | *" --data_sh "*) ;;
  *) read_settings egs2/asterisk/comsl1/settings.conf ;; # the embedded recipe
esac
for ((place = 0; place + 1 < ${#words[@]}; place++)); do
  if [ "${words[place]}" = --config ]; then read_settings "${words[place + 1]}"; fi
done
set_options "${words[@]}"
if $show_help; then
  printf '%s\n\nSet here\n' "$help_message"
  options_in_use changed | sed 's/^/  --/'
  exit
fi
