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

# The files that make a row; the last one is its own.
row_files() {
  local row
  for row in $(rows); do
    if [[ $row == "$1" || ($row =~ ^[0-9] && $1 =~ ^[0-9]) ]]; then echo "conf/$study/$row.yaml"; fi
    if [ "$row" = "$1" ]; then break; fi
  done
}

# The row that a row is compared with, as in comsl/study.py: the one above it where they build on each other, else the
# first.
compared_row() {
  if [[ $1 =~ ^[0-9] ]]; then
    rows | grep -xB 1 -- "$1" | head -n -1
  elif [ "$1" != "$(rows | sed -n 1p)" ]; then
    rows | sed -n 1p
  fi
}

check_study() {
  local row
  studies | grep -qxF -- "$study" || die "there is no study '$study': choose from $(studies | paste -sd ' ')"
  for row in $study_rows; do
    rows | grep -qxF -- "$row" || die "study $study has no row '$row': choose from $(rows | paste -sd ' ')"
  done
  [[ $study_folds =~ ^[0-9\ ]*$ ]] || die "--study_folds is '$study_folds': write numbers, such as \"0 1 2\""
}

# Every row on every fold, by run.sh's own stages, which leave out what is there already; then the table.
run_study() {
  local row fold name folds=() options other
  for fold in ${study_folds:-0}; do
    name=$recipe options=()
    if [ "$fold" != 0 ]; then
      name+=_fold$fold
      options=(--recipe "$name" --local_data_opts "$local_data_opts --fold $fold")
    fi
    folds+=(--fold "$dumpdir/$name/raw" "$expdir/$name/$study")
    for row in ${study_rows:-$(rows)}; do
      echo "study $study: row $row of $name"
      other=$expdir/$name/$study/$(compared_row "$row")
      if [ ! -e "$other/valid.ce_st.ave.pth" ]; then other=; fi # not trained
      # shellcheck disable=SC2086 # several options
      ./run.sh "${arguments[@]}" --study "" --tasks st $study_opts "${options[@]}" --stop_stage 10 \
        --skip_stages "$skip_stages 8 9" --compare_with "$other" --override "$(row_files "$row" | paste -sd ' ')"
    done
  done
  python -m comsl.bin.study --study "$study" --rows "$(rows | paste -sd ' ')" "${folds[@]}" --recipe "$recipe" \
    --set "$test_set" --langs "$langs" --decode "$(basename "$decoded")" --out "$report/$study" \
    --command "$COMSL_COMMAND"
}
