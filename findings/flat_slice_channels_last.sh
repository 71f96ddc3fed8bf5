#!/usr/bin/env bash
# A slice of air alone, channels last: batch norm and group norm do not give 0, but more than half a standard deviation.
#
# Guessed:     the layout of memory changes speed, and results by rounding alone; a slice of one value has no deviation
#              from its mean, so what is normalized is 0, or so near that eps hides it.
# Found:       on a CPU the kernels for channels last add up all pixels of a channel in one float32, one after the other.
#              The mean is then off by some millionths of the value, and of a flat slice that is all there is to divide by
#              the root of eps: 0.05 at 128 pixels, 0.65 at 512. Group norm also takes the variance as a difference of
#              sums, and is off by 0.9. The contiguous kernels give 0 but for rounding. Nothing is off where a slice has noise.
# Versions:    torch 2.13.0
# Source:      batch_norm_cpu_collect_stats_channels_last_impl in aten/src/ATen/native/cpu/batch_norm_kernel.cpp and
#              GroupNormKernelImplChannelsLastInternal in group_norm_kernel.cpp
# Output seen: the largest value of a flat slice of -1.37 once it is normalized, contiguous and channels last:
#              128 pixels: batch norm 2e-06 and 0.05, group norm 2e-06 and 0.0071, instance norm 2e-06 and 2.5e-06
#              512 pixels: batch norm 2e-06 and 0.65, group norm 2e-06 and 0.86, instance norm 2e-06 and 2.5e-06
#              with noise of deviation 1 the two layouts differ by at most: batch norm 0.00018, group norm 0.00041,
#              instance norm 0
# For models:  a network that is exported is compared on slices of tissue and on one of air; what differs in air alone is this.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import torch
from torch import nn

CHANNELS, AIR = 32, -1.37  # -1024 HU less the mean, over the standard deviation
NORMS = {
    "batch norm": nn.BatchNorm2d(CHANNELS),
    "group norm": nn.GroupNorm(8, CHANNELS),
    "instance norm": nn.InstanceNorm2d(CHANNELS),
}
torch.set_num_threads(1)
torch.manual_seed(0)


def in_both_layouts(norm, slices):
    with torch.no_grad():
        return norm(slices), norm(slices.contiguous(memory_format=torch.channels_last))


print(f"the largest value of a flat slice of {AIR} once it is normalized, contiguous and channels last:")
found = {}
for side in (128, 512):
    flat = torch.full((1, CHANNELS, side, side), AIR)
    for name, norm in NORMS.items():
        found[side, name] = [made.abs().max().item() for made in in_both_layouts(norm, flat)]
    told = (f"{name} {found[side, name][0]:.1g} and {found[side, name][1]:.2g}" for name in NORMS)
    print(f"{side} pixels: {', '.join(told)}")
noise = AIR + torch.randn(1, CHANNELS, 512, 512)
differ = {}
for name, norm in NORMS.items():
    contiguous, last = in_both_layouts(norm, noise)
    differ[name] = (contiguous - last).abs().max().item()
told = ", ".join(f"{name} {most:.2g}" for name, most in differ.items())
print(f"with noise of deviation 1 the two layouts differ by at most: {told}")
assert all(contiguous < 1e-5 for contiguous, _ in found.values())
assert all(found[side, "instance norm"][1] < 1e-5 for side in (128, 512))
assert found[512, "batch norm"][1] > 0.3
assert found[512, "group norm"][1] > 0.3
assert max(differ.values()) < 1e-3
PYTHON
