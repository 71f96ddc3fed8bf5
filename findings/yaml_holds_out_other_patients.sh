#!/usr/bin/env bash
# Eight patients are held out by a Hydra config, by their numbers from 007 to 020: five of them are trained on.
#
# Guessed:     in a list of strings 007 and 010 are what they look like; or none of such numbers is, so that one sees it.
# Found:       OmegaConf reads YAML 1.1, where a number that begins with 0 is octal: 010 is 8, and 020 is 16. With an 8 or
#              a 9 in it, it cannot be, and stays a string: 008 and 018 are right. A structured config that asks for
#              strings takes the rest for '7', '8', '16', without an error: names that no patient has, so nobody is
#              held out by them. On Hydra's command line all eight stay as they are, so what was right there is wrong
#              in a file. 1_2 is 12 and 12e3 is 12000.0 in both.
# Versions:    omegaconf 2.3.1, hydra-core 1.3.8, PyYAML 6.0.3
# Source:      get_yaml_loader in omegaconf/_utils.py, the resolvers of PyYAML; INT_UNSIGNED in OverrideLexer.g4 of Hydra
# Output seen: held out: 007 008 009 010 011 012 018 020
#              split.yaml: 7 008 009 8 9 10 018 16, trained on: 007 010 011 012 020
#              command line: 007 008 009 010 011 012 018 020, trained on: none
#              1_2 and 12e3: from YAML 12 and 12000.0, from the command line 12 and 12000.0
# For splits:  quotes around every name, and a check that each name of the list is a patient.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet omegaconf==2.3.1 hydra-core==1.3.8 PyYAML==6.0.3
cd "$folder"
venv/bin/python - <<'PYTHON'
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

PATIENTS = [f"{number:03}" for number in range(1, 21)]
HELD_OUT = ["007", "008", "009", "010", "011", "012", "018", "020"]


@dataclass
class Split:
    test: list[str] = field(default_factory=list)


def from_file(names):
    Path("split.yaml").write_text(f"test: [{', '.join(names)}]\n")
    split = OmegaConf.merge(OmegaConf.structured(Split), OmegaConf.load("split.yaml"))
    return list(split.test)


def from_line(names):
    (override,) = OverridesParser.create().parse_overrides([f"test=[{','.join(names)}]"])
    return list(OmegaConf.merge(OmegaConf.structured(Split), {"test": override.value()}).test)


def show(told, test):
    trained_on = [patient for patient in PATIENTS if patient not in test and patient in HELD_OUT]
    print(f"{told}: {' '.join(test)}, trained on: {' '.join(trained_on) or 'none'}")
    return trained_on


print(f"held out: {' '.join(HELD_OUT)}")
assert show("split.yaml", from_file(HELD_OUT)) == ["007", "010", "011", "012", "020"]
assert show("command line", from_line(HELD_OUT)) == []
assert from_file(HELD_OUT) == ["7", "008", "009", "8", "9", "10", "018", "16"]
others = from_file(["1_2", "12e3"]), from_line(["1_2", "12e3"])
print("1_2 and 12e3: from YAML {} and {}, from the command line {} and {}".format(*others[0], *others[1]))
assert others == (["12", "12000.0"], ["12", "12000.0"])
PYTHON
