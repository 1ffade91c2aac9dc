# Sourced by run.sh: a study, conf/<study>/, is a table of models that are trained alike but for what each row's YAML
# file changes. A row whose name begins with a number builds on the rows numbered before it; others stand alone.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the options and variables of run.sh

studies() { printf '%s\n' conf/*/*.yaml | cut -d / -f 2 | sort -u; }

# Those of the study, in their order; `none`, which the others are compared with, is the first.
rows() {
  printf '%s\n' conf/"$study"/*.yaml | sed 's|.*/||; s/\.yaml$//' | sort -V |
    awk '$0 == "none" { print; next } { others = others $0 "\n" } END { printf "%s", others }'
}

# Those that were asked for.
selected_rows() {
  # shellcheck disable=SC2086 # several rows
  if [ -z "${study_rows:-}" ]; then rows; else rows | grep -xFe "$(printf '%s\n' $study_rows)"; fi
}

# The files that make a row; the last one is its own.
row_files() {
  local row
  for row in $(rows); do
    if [[ $row == "$1" || ($row =~ ^[0-9] && $1 =~ ^[0-9]) ]]; then echo "conf/$study/$row.yaml"; fi
    if [ "$row" = "$1" ]; then break; fi
  done
}

# The row that a row is compared with, as in comsl/evaluation/study.py: the one above it where they build on each other, else the
# first.
compared_row() {
  if [[ $1 =~ ^[0-9] ]]; then
    selected_rows | grep -xB 1 -- "$1" | head -n -1
  elif [ "$1" != "$(selected_rows | sed -n 1p)" ]; then
    selected_rows | sed -n 1p
  fi
}

fold_name() { if [ "$1" = 0 ]; then echo "$recipe"; else echo "${recipe}_fold$1"; fi; }

check_study() {
  local row twice
  studies | grep -qxF -- "$study" || die "there is no study '$study': choose from $(studies | paste -sd ' ')"
  for row in $study_rows; do
    rows | grep -qxF -- "$row" || die "study $study has no row '$row': choose from $(rows | paste -sd ' ')"
  done
  [[ "$study_folds " =~ ^((0|[1-9][0-9]*)\ )*$ || -z $study_folds ]] ||
    die "--study_folds is '$study_folds': write numbers, such as \"0 1 2\""
  twice=$(tr ' ' '\n' <<<"$study_folds" | sort | uniq -d | sed -n 1p)
  [ -z "$twice" ] || die "--study_folds names fold $twice twice"
  [ -z "$override$tag$compare_with" ] || die "--study sets --override, --tag and --compare_with itself, row by row"
  [ "$stage $stop_stage" = "1 11" ] || die "--study takes its rows through all stages: --skip_stages leaves some out"
}

# run_row FOLD ROW OPTIONS...: by run.sh's own stages, which leave out what is there already.
run_row() {
  local split=()
  if [ "$1" != 0 ]; then split=(--recipe "$(fold_name "$1")" --local_data_opts "$local_data_opts --fold $1"); fi
  # shellcheck disable=SC2086 # several options
  ./run.sh "${arguments[@]}" --study "" --tasks st $study_opts "${split[@]}" --skip_stages "$skip_stages 8 9" \
    --override "$(row_files "$2" | paste -sd ' ')" --tag "$study/$2" "${@:3}"
}

# Options by which the table finds its rows, and those that make what the rows share; no row can change them.
table_options="datadir dumpdir expdir recipe langs target_lang test_set decode_config stage stop_stage dry_run"
table_options+=" study override tag compare_with"
shared_options() { echo "silence speech_encoder $(options_of stage_1) $(options_of stage_2) $(options_of stage_3)"; }

values_of() {
  local name
  for name in "$@"; do echo "$name ${!name}"; done
}

# Both checks are in a subshell, where the row's options don't touch those of others.
# shellcheck disable=SC2046,SC2086 # several files, several options
check_row() (
  before=$(values_of $table_options)
  parse_options $study_opts
  before+=$'\n'$(values_of $(shared_options))
  parse_overrides $(row_files "$1")
  after=$(values_of $table_options $(shared_options))
  changed=$(comm -13 <(sort <<<"$before") <(sort <<<"$after") | sed -n '1s/ .*//p')
  [ -z "$changed" ] || die "row $1 of study $study changes --$changed, which all rows share: give it to run.sh itself"
  check_experiment
  check_files 6
  command python -m comsl.bin.overrides $(row_files "$1") >/dev/null
)

# check_row_data FOLD ROW
# shellcheck disable=SC2034,SC2046,SC2086 # check_3 reads raw; several files, several options
check_row_data() (
  parse_options $study_opts
  parse_overrides $(row_files "$2")
  raw=$dumpdir/$(fold_name "$1")/raw
  check_3
)

# The data of all folds and rows, before any row trains: what is wrong with the last would else be found hours later.
prepare_study() {
  local fold row lang texts=() twice
  for fold in $study_folds; do
    echo "study $study: data of $(fold_name "$fold")"
    run_row "$fold" "$(selected_rows | sed -n 1p)" --stop_stage 3
    for row in $(selected_rows); do check_row_data "$fold" "$row"; done
    for lang in $langs; do texts+=("$dumpdir/$(fold_name "$fold")/raw/${test_set}_$lang/text.tgt"); done
  done
  twice=$(cut -d ' ' -f 1 "${texts[@]}" | sort | uniq -d | sed -n 1p)
  [ -z "$twice" ] || die "--study_folds $study_folds: utterance '$twice' is in the test sets of two"
}

# Every row on every fold; then the table.
run_study() {
  local fold row other folds=()
  study_folds=${study_folds:-0}
  for row in $(selected_rows); do check_row "$row"; done
  if ! $dry_run; then prepare_study; fi
  for fold in $study_folds; do
    folds+=(--fold "$dumpdir/$(fold_name "$fold")/raw" "$expdir/$(fold_name "$fold")/$study")
    for row in $(selected_rows); do
      echo "study $study: row $row of $(fold_name "$fold")"
      other=$(compared_row "$row")
      run_row "$fold" "$row" --stop_stage 10 ${other:+--compare_with "${folds[-1]}/$other"}
    done
  done
  python -m comsl.bin.study --study "$study" --rows "$(selected_rows | paste -sd ' ')" "${folds[@]}" --recipe "$recipe" \
    --set "$test_set" --langs "$langs" --target_lang "$target_lang" --decode "$(basename "$decoded")" \
    --out "$report/$study" --command "$COMSL_COMMAND"
}
