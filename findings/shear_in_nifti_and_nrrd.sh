#!/usr/bin/env bash
# A sheared grid (a gantry tilt left in the affine): ITK refuses it as NIfTI and takes it as NRRD.
#
# Guessed:     what an image cannot have for axes in one format it cannot have in another.
# Found:       of the NIfTI file, whose sform alone is set, SimpleITK says that it has no orthonormal definition. The same
#              grid as NRRD is read; its direction cosines are not orthogonal, and the product of its spacings is not the
#              volume of its voxel.
# Versions:    nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), pynrrd 1.1.3, numpy 2.4.6
# Source:      ITK Modules/IO/NIFTI/src/itkNiftiImageIO.cxx; Modules/IO/NRRD/src/itkNrrdImageIO.cxx
# Output seen: NIfTI refused (no orthonormal definition); NRRD: voxel 6.75 mm3, product of spacings 9.546 mm3
# For volumes: multiply by the determinant of the axes, never by the product of the spacings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet nibabel==5.4.2 SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import nibabel
import nrrd
import numpy as np
import SimpleITK

axes_mm = np.array([[1.5, 0, 0], [0, 1.5, 3.0], [0, 0, 3.0]])  # a column an axis; slices move to the back by 45 degrees
voxels = np.zeros((3, 4, 5), np.int16)

affine = np.eye(4)
affine[:3, :3] = np.diag([-1, -1, 1]) @ axes_mm  # NIfTI points to the right and the front, LPS to the left and the back
image = nibabel.Nifti1Image(voxels, affine)
image.set_sform(affine, code=1)
image.header["qform_code"] = 0
image.to_filename("scan.nii")
try:
    SimpleITK.ReadImage("scan.nii")
except RuntimeError as error:
    refusal = str(error)
else:
    raise SystemExit("the sheared NIfTI file was read")
assert "orthonormal" in refusal

nrrd.write("scan.nrrd", voxels, {"space": "left-posterior-superior", "space directions": axes_mm.T})
scan = SimpleITK.ReadImage("scan.nrrd")
product = float(np.prod(scan.GetSpacing()))
axes = np.array(scan.GetDirection()).reshape(3, 3) * scan.GetSpacing()
print(
    f"NIfTI refused (no orthonormal definition); NRRD: voxel {np.linalg.det(axes):.4g} mm3, "
    f"product of spacings {product:.4g} mm3"
)
assert abs(np.linalg.det(axes) - 6.75) < 1e-6
assert abs(product - 1.5 * 1.5 * np.hypot(3, 3)) < 1e-6
PYTHON
