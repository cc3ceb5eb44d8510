#!/usr/bin/env bash
# The shipped bundle from scratch: real CT in ../shared/data, phantoms, two networks. About two
# hours on two CPU cores. Interrupted, it continues. Run it from the repository's root.
set -euo pipefail

here=experiments/first_result
data=../shared/data
work=${1:-runs/first_result}
renalmap=${RENALMAP:-.venv/bin/renalmap}
mkdir -p "$work"

[ -d "$work/phantoms" ] || "$renalmap" phantom --out "$work/phantoms" --cases 20 --seed 2019 \
    --config "$here/phantoms.toml" --first-number 90000

# Patients to validate on: drawn with NumPy's default_rng(0) from the KiTS19 and CURVAS patients of slices/.
# KiTS19 patients with more than six slices (case_00000, case_00135) were left to training beforehand:
# case_00135 alone holds a third of all slices with tumour.
validation=case_00025,case_00047,case_00056,case_00114,case_00139,case_00160,curvas_10001,curvas_10013
prepare=("$renalmap" prepare --store blosc2 --n-test 0 --validation "$validation" --config "$here/plan.toml")
"${prepare[@]}" "$data/slices" "$here/scans.csv" --out "$work/store_real"
"${prepare[@]}" "$data/slices" "$here/scans.csv" "$work/phantoms" --out "$work/store"

"$renalmap" train "$work/store_real" --stage localize --config "$here/localize_real.toml" --out "$work/localize_real"
"$renalmap" train "$work/store" --stage localize --config "$here/localize.toml" \
    --initial "$work/localize_real/last.safetensors" --out "$work/localize"
"$renalmap" train "$work/store" --stage segment --config "$here/segment.toml" \
    --initial "$work/localize/last.safetensors" --out "$work/segment"
"$renalmap" export "$work/store" --localizer "$work/localize/last.safetensors" \
    --segmenter "$work/segment/last.safetensors" --card "$here/MODEL_CARD.md" \
    --out src/renalmap/default_bundle --overwrite
