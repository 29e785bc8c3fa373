#!/bin/sh
# DVC 3.67.1: a file that changes while a stage runs is written into dvc.lock as what made the stage's output.
#
# One would guess: dvc.lock names the code and the parameters that made an output, so that another checkout of them
# makes it again, and `dvc repro` runs the stage again where they have changed.
# What happens: dependencies are hashed when the command has ended (the public report treeverse/dvc 11058). Edited
# during the run, the new code and the new value stand in dvc.lock beside what the old ones made, `dvc status` calls
# it up to date and `dvc repro` runs nothing.
# Whom it hurts: who goes on working while a model trains, for an hour: the figures of a paper are then those of
# code and parameters that nobody has any more.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet dvc==3.67.1
dvc="$folder/venv/bin/dvc"
mkdir "$folder/project"
cd "$folder/project"
export DVC_NO_ANALYTICS=1
"$dvc" init --quiet --no-scm
echo "steps: 800" > params.yaml
cat > train.sh <<'SCRIPT'
steps=$(sed -n 's/steps: //p' params.yaml)
touch started
sleep 5
echo "trained for $steps steps" > model.txt
SCRIPT
cat > dvc.yaml <<'STAGES'
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    params: [steps]
    outs: [model.txt]
STAGES
"$dvc" repro --quiet &
until [ -e started ]; do sleep 0.1; done
echo "steps: 50" > params.yaml # the next thing to try
wait "$!"
cat model.txt
grep "steps:" dvc.lock
"$dvc" status
"$dvc" repro
grep -q "trained for 800 steps" model.txt
grep -q "steps: 50" dvc.lock
"$dvc" status | grep -q "up to date"
