# Sourced by run.sh, Kaldi's idiom: every variable that help.txt names as `--name` is an option. Where
# the default is a number, a whole number, or true or false, the value must be one too. Of two values the last one wins.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the options

die() { echo "error: $*" >&2 && exit 1; }

declare -A option_defaults
while read -r option; do
  option_defaults[$option]=${!option}
done < <(sed 's/--config//' local/help.txt | grep -oP -e '--\K[a-z_]*')

set_option() { # NAME VALUE
  [ -n "$1" ] && [ -n "${option_defaults[$1]+known}" ] || die "unknown option --$1: --help lists the options"
  local value default=${option_defaults[$1]}
  read -r value <<<"${2//$'\n'/ }" # without blanks around it, in one line
  if [[ $default =~ ^[0-9]+$ && ! $value =~ ^(0|[1-9][0-9]{0,8})$ ]]; then die "option --$1 wants a whole number, not '$2'"; fi
  if [[ $default =~ ^[0-9]+\.[0-9]+$ && ! $value =~ ^[0-9]*\.?[0-9]+$ ]]; then die "option --$1 wants a number, not '$2'"; fi
  if [[ $default =~ ^(true|false)$ && ! $value =~ ^(true|false)$ ]]; then die "option --$1 wants true or false, not '$2'"; fi
  printf -v "$1" '%s' "$value"
}

set_options() { # --NAME VALUE...
  while [ $# -gt 0 ]; do
    if [ "$1" = --help ] || [ "$1" = -h ]; then
      cat local/help.txt && options_in_use | sed 's/^/  --/'
      exit
    fi
    [[ $1 == --* ]] || die "unknown option $1: --help lists the options"
    [[ $1 != *=* ]] || die "option $1: write ${1%%=*} ${1#*=}"
    [ $# -gt 1 ] || die "option $1 needs a value"
    if [ "$1" != --config ]; then set_option "${1#--}" "$2"; fi
    shift 2
  done
}

read_settings() { # FILE: lines name=value, taken as they are, and comments
  local line
  [ -r "$1" ] || die "--config: there is no file $1 (paths are relative to $PWD)"
  while read -r line || [ -n "$line" ]; do # the last may lack its end
    if [[ -z $line || $line == "#"* ]]; then continue; fi
    [[ $line == *=* ]] || die "$1: a line is name=value, not '$line'"
    set_option "${line%%=*}" "${line#*=}"
  done <"$1"
}

# The options as lines name=value.
options_in_use() {
  local name
  for name in "${!option_defaults[@]}"; do echo "$name=${!name}"; done | sort
}

case " $* " in
  *" --config "* | *" --data_sh "*) ;;
  *) read_settings egs2/asterisk/comsl1/settings.conf ;; # the embedded recipe
esac
for ((place = 1, next = 2; next <= $#; place++, next++)); do
  if [ "${!place}" = --config ]; then read_settings "${!next}"; fi
done
set_options "$@"
