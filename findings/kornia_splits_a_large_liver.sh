#!/usr/bin/env bash
# Kornia is asked for the connected pieces of a liver on one slice, on the GPU that holds the mask: it finds thousands.
#
# Guessed:     pieces are pieces: an ellipse of 300 by 200 pixels, as a liver on a slice of 512, is one.
# Found:       a label travels one pixel an iteration, and there are 100 of them unless more are asked for. What lies
#              farther from its highest label comes out in pieces of a pixel each, and nothing says so. A lesion, or the
#              same liver on a slice of 128, is one piece: tests on small masks pass. As for "the largest piece", what
#              is kept of the liver is a part of it.
# Versions:    kornia 0.9.0, torch 2.14.1, scipy 1.17.1, numpy 2.4.6
# Source:      num_iterations=100 in kornia/contrib/connected_components.py
# Output seen: 128 pixels, as it comes: 1 pieces, the largest 100 %; 512 pixels: 13947 pieces, the largest 39 %
# For masks:   num_iterations of at least the longest way through a piece, or scipy.ndimage.label, cc3d, skimage.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet kornia==0.9.0 torch==2.14.1 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import scipy.ndimage
import torch
from kornia.contrib import connected_components


def pieces(side, **settings):
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    height, width = 0.2 * side, 0.29 * side
    liver = ((rows - side / 2) / height) ** 2 + ((columns - side / 2) / width) ** 2 <= 1
    labels = connected_components(liver[None, None].float(), **settings)
    sizes = torch.unique(labels[labels > 0], return_counts=True)[1]
    n_expected = scipy.ndimage.label(liver.numpy(), np.ones((3, 3)))[1]
    share = round(100 * sizes.max().item() / liver.sum().item())
    print(f"{side} pixels, {settings or 'as it comes'}: {len(sizes)} pieces, the largest {share} %; scipy {n_expected}")
    return len(sizes), share, n_expected


assert pieces(128) == (1, 100, 1)
n, share, n_expected = pieces(512)
assert n > 1000 and share < 90 and n_expected == 1
assert pieces(512, num_iterations=400) == (1, 100, 1)
PYTHON
