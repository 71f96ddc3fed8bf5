"""NIfTI files sound and spoilt, drawn by hypothesis, and what nibabel and zlib read from them."""

import gzip
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from nibabel.imageglobals import LoggingOutputSuppressor
from scipy.spatial.transform import Rotation

HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
IMAGES = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
BOMB_BYTES = 2**23

_ROTATIONS = Rotation.from_euler(
    "xyz", [(0, 0, 0), (90, 0, 90), (10, 20, 30), (-80, 5, 44), (180, 1, 0)], degrees=True
).as_matrix()

_WEIGHTY = (
    *("sizeof_hdr", "magic", "dim", "datatype", "vox_offset", "scl_slope", "scl_inter", "pixdim"),
    *("xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x"),
    *("srow_x", "srow_y", "srow_z", "intent_code"),
)
_WILD_INTS = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    -1,
    16,
    63,
    64,
    255,
    256,
    700,
    1536,
    2**15 - 1,
    2**31 - 1,
    2**62,
    10**14,
)
_WILD_FLOATS = (0, -0.0, 1, -1, 0.5, 352, 353.5, 544, 1e-45, 1e-30, 1e5, 1e10, 1e38, 1e308, np.nan, np.inf)


@dataclass(frozen=True)
class Made:
    """A file that was drawn.

    Attributes:
        content: Its bytes.
        sound: Whether nothing was done to it that a reader may refuse.
        honest: Bytes of the image as they lie in it, gzip taken away.
        spoilt_by: What was done to it.
    """

    content: bytes
    sound: bool
    honest: int
    spoilt_by: tuple[str, ...] = ()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Spare hypothesis to print the bytes."""
        printer.text(f"<{len(self.content)} bytes: {', '.join(self.spoilt_by)}>")


@dataclass(frozen=True)
class Seen:
    """What nibabel reads: `(Z, H, W)` float64, and the affines on disk and in memory."""

    values: npt.NDArray[np.float64]
    affine: npt.NDArray[np.float64]
    canonical_affine: npt.NDArray[np.float64]


@st.composite
def files(draw: st.DrawFn) -> Made:
    """A sound file, then spoilt in none to three ways, then packed or not."""
    raw = draw(sound_files())
    times = draw(st.sampled_from([0, 0, 1, 1, 1, 1, 2, 3]))
    spoilt_by = [draw(st.sampled_from(list(_SPOIL))) for _ in range(times)]
    for name in spoilt_by:
        raw = draw(_SPOIL[name](raw))
    pack = draw(st.sampled_from(list(_PACK)))
    content = draw(_PACK[pack](raw))
    sound = not spoilt_by and pack in _HARMLESS
    bomb = BOMB_BYTES if pack == "bomb" and spoilt_by else 0
    return Made(content, sound=sound, honest=len(raw) + bomb, spoilt_by=(*spoilt_by, pack))


@st.composite
def sound_files(draw: st.DrawFn) -> bytes:
    """Any version, byte order, type, small shape, scaling, orientation and spacing, with or without gaps."""
    size = draw(st.sampled_from(list(HEADERS)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    fill = draw(st.sampled_from([_labels, _signal, _anything]))
    rng = np.random.default_rng(draw(st.integers(0, 2**64 - 1)))
    shape = tuple(rng.integers(1, rng.choice([4, 7, 7, 30]), 3).tolist())
    header = HEADERS[size](endianness=rng.choice(["<", ">"]))
    header.set_data_dtype(dtype)
    header.set_data_shape((*shape, 1, 1)[: rng.integers(3, 6)])
    header["magic"] = header.single_magic
    gap = rng.choice([0, 0, 16, 1008])
    header["vox_offset"] = header.single_vox_offset + gap
    header["scl_slope"] = rng.choice([np.nan, 0, 1, 1, 0.01, -2])
    header["scl_inter"] = rng.choice([0, 0, -1024, 0.5])
    header["xyzt_units"] = rng.choice([0, 1, 2, 2, 3, 10])
    affine = np.eye(4)
    affine[:3, :3] = rng.choice(_ROTATIONS) * rng.choice([0.5, 0.7, 1, 2.5, 5, -0.5, -1, -3], 3)
    affine[:3, 3] = rng.integers(-500, 500, 3)
    if rng.random() < 0.5:
        header.set_qform(affine, code=rng.integers(1, 6))
    if rng.random() < 0.5:
        header.set_sform(affine, code=rng.integers(1, 6))
    block = header.binaryblock.ljust(header.single_vox_offset + gap, b"\0")
    return block + fill(rng, shape, dtype).astype(dtype.newbyteorder(header.endianness)).tobytes(order="F")


def _labels(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return rng.integers(0, 3, shape).astype(dtype)


def _signal(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    return rng.normal(50, 30, shape).clip(0, 100).astype(dtype)


def _anything(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind == "f":
        return rng.normal(0, 3e4, shape).astype(dtype)
    return np.frombuffer(rng.bytes(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


@st.composite
def _wild_field(draw: st.DrawFn, raw: bytes) -> bytes:
    """One field of the header set to what it should never be."""
    size = 540 if raw[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else 348
    order = "<" if raw[:1] in (b"\x5c", b"\x1c") else ">"
    block = np.frombuffer(
        raw[:size].ljust(size, b"\0"), HEADERS[size].template_dtype.newbyteorder(order)
    ).copy()
    name = draw(st.sampled_from([*_WEIGHTY, *_WEIGHTY, *block.dtype.names]))
    numbers = block[name].reshape(-1)
    if numbers.dtype.kind not in "iuf" or (draw(st.booleans()) and name not in ("dim", "datatype")):
        content = draw(st.binary(min_size=numbers.nbytes, max_size=numbers.nbytes))
        numbers[:] = np.frombuffer(content, numbers.dtype)
    else:
        at = draw(st.integers(0, min(len(numbers), 5) - 1))
        value = draw(st.sampled_from(_WILD_FLOATS if numbers.dtype.kind == "f" else _WILD_INTS))
        with np.errstate(all="ignore"):
            numbers[at] = np.array(value).astype(numbers.dtype)
    block[name] = numbers.reshape(block[name].shape)
    return block.tobytes() + raw[size:]


@st.composite
def _flipped(draw: st.DrawFn, raw: bytes) -> bytes:
    changed = bytearray(raw)
    last = max(len(raw) - 1, 0) if draw(st.booleans()) else min(351, max(len(raw) - 1, 0))
    for at, byte in draw(
        st.lists(st.tuples(st.integers(0, last), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        changed[at : at + 1] = bytes([byte])
    return bytes(changed)


@st.composite
def _cut(draw: st.DrawFn, raw: bytes) -> bytes:
    return raw[: draw(st.integers(0, max(len(raw) - 1, 0)))]


@st.composite
def _longer(draw: st.DrawFn, raw: bytes) -> bytes:
    return raw + draw(st.binary(min_size=1, max_size=40)) * draw(st.sampled_from([1, 1, 3000]))


@st.composite
def _other_magic(draw: st.DrawFn, raw: bytes) -> bytes:
    magic = draw(st.sampled_from([b"ni1\0", b"ni2\0", b"n+1\0", b"n+2\0", b"n+3\0", b"\0\0\0\0", b"DICM"]))
    start = 4 if raw[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else 344
    return raw[:start] + magic + raw[start + 4 :]


@st.composite
def _broken_gzip(draw: st.DrawFn, raw: bytes) -> bytes:
    return draw(_flipped(gzip.compress(raw, mtime=0)))


@st.composite
def _cut_gzip(draw: st.DrawFn, raw: bytes) -> bytes:
    return draw(_cut(gzip.compress(raw, mtime=0)))


@st.composite
def _two_members(draw: st.DrawFn, raw: bytes) -> bytes:
    at = draw(st.integers(0, len(raw)))
    return gzip.compress(raw[:at], mtime=0) + gzip.compress(raw[at:], mtime=0)


@st.composite
def _gzip_with_garbage(draw: st.DrawFn, raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0) + draw(st.binary(min_size=1, max_size=40))


@st.composite
def _lying_trailer(draw: st.DrawFn, raw: bytes) -> bytes:
    return gzip.compress(raw, mtime=0)[:-8] + draw(st.binary(min_size=8, max_size=8))


_SPOIL = {
    "field": _wild_field,
    "field again": _wild_field,
    "bytes flipped": _flipped,
    "cut": _cut,
    "longer": _longer,
    "magic": _other_magic,
}
_PACK = {
    "plain": st.just,
    "plain again": st.just,
    "gzip": lambda raw: st.just(gzip.compress(raw, mtime=0)),
    "stored gzip": lambda raw: st.just(gzip.compress(raw, 0, mtime=0)),
    "padded gzip": lambda raw: st.just(gzip.compress(raw, mtime=0) + bytes(99)),
    "two members": _two_members,
    "cut gzip": _cut_gzip,
    "broken gzip": _broken_gzip,
    "garbage after gzip": _gzip_with_garbage,
    "lying trailer": _lying_trailer,
    "bomb": lambda raw: st.just(gzip.compress(raw + bytes(BOMB_BYTES), 1, mtime=0)),
}
_HARMLESS = ("plain", "plain again", "gzip", "stored gzip", "padded gzip", "two members")


def inflated(content: bytes) -> bytes | None:
    """The bytes of an image, None where gzip is not sound to its end."""
    if content[:2] != b"\x1f\x8b":
        return content
    parts = []
    while content:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(content))
        except zlib.error:
            return None
        if not member.eof:
            return None
        content = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def seen_by_nibabel(raw: bytes) -> Seen:
    """What nibabel makes of an image, extensions left out; raises whatever nibabel does."""
    size = 540 if b"\x02\x1c" in (raw[:4][::-1][2:], raw[2:4]) else 348
    # A header's extensions are no business of a reader of voxels, but may be as wrong as the rest.
    header = HEADERS[size](raw[:size], check=False)
    # A sform that was never written leaves its code to the qform, where nibabel would take its zeros.
    if header["sform_code"] > 0 and not any(header[f"srow_{axis}"][:3].any() for axis in "xyz"):
        quaternion_and_offset = [header[f"{name}"] for name in header if name.startswith(("quatern", "qoff"))]
        if header["qform_code"] == 0 and np.any(quaternion_and_offset):
            header["qform_code"] = header["sform_code"]
        header["sform_code"] = 0
    raw = header.binaryblock + bytes(4) + raw[size + 4 :]
    with warnings.catch_warnings(), LoggingOutputSuppressor(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        image = IMAGES[size].from_bytes(raw)
        values = image.get_fdata()
    x, y, z, *_ = (*values.shape, 1, 1, 1)
    values = values.reshape(x, y, z)
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= MM_PER_UNIT.get(int(image.header["xyzt_units"]) & 7, 1.0)
    ras = nib.as_closest_canonical(nib.Nifti2Image(values, affine))
    x, y, _ = ras.shape
    zhw_to_ras = np.array([[0, 0, -1, x - 1], [0, -1, 0, y - 1], [1, 0, 0, 0], [0, 0, 0, 1]])
    return Seen(
        values=ras.get_fdata()[::-1, ::-1].transpose(2, 1, 0),
        affine=affine,
        canonical_affine=ras.affine @ zhw_to_ras,
    )
