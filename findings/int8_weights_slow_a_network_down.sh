#!/usr/bin/env bash
# onnxruntime's dynamic quantization of a convolutional network to int8 makes it many times slower on a CPU.
#
# Guessed:     8-bit weights in place of 32-bit ones, by the one call that needs no calibration, make a network faster,
#              or leave it as fast where a processor gains nothing.
# Found:       quantize_dynamic takes convolutions too and makes ConvInteger of each. With the default QInt8 weights there
#              is no fast kernel for it, and a step takes ten times as long and more. With QUInt8 weights it comes near float32 and does
#              not pass it. The probabilities are off by 1e-3 in either case. (Static quantization, with calibration, is
#              the one meant for convolutions.)
# Versions:    onnxruntime 1.32.0, onnx 1.23.2, numpy 2.2.6
# Source:      IntegerOpsRegistry in onnxruntime/quantization/registry.py; "Method selection" in its documentation
# Output seen: on a processor with AVX-512, one thread: float32 1.0, QInt8 17.7, QUInt8 1.3 times as long
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import logging
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

SIDE, REPEATS = 128, 15
random = np.random.default_rng(0)
logging.disable(logging.WARNING)  # it advises shape inference for fewer nodes, which changes nothing here


def weight(name, *shape):
    return numpy_helper.from_array(random.normal(0, 0.06, shape).astype(np.float32), name)


nodes = [
    helper.make_node("Conv", ["scan", "first"], ["a"], pads=[1] * 4),
    helper.make_node("Relu", ["a"], ["b"]),
    helper.make_node("Conv", ["b", "second"], ["c"], pads=[1] * 4),
    helper.make_node("Relu", ["c"], ["d"]),
    helper.make_node("Conv", ["d", "last"], ["logit"]),
    helper.make_node("Sigmoid", ["logit"], ["probability"]),
]
weights = [weight("first", 32, 3, 3, 3), weight("second", 32, 32, 3, 3), weight("last", 1, 32, 1, 1)]
ends = [
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, SIDE, SIDE])]
    for name, channels in (("scan", 3), ("probability", 1))
]
graph = helper.make_graph(nodes, "network", *ends, weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float32.onnx")
quantize_dynamic("float32.onnx", "QInt8.onnx")  # its default
quantize_dynamic("float32.onnx", "QUInt8.onnx", weight_type=QuantType.QUInt8)
for name in ("QInt8", "QUInt8"):
    kinds = [node.op_type for node in onnx.load(f"{name}.onnx").graph.node]
    assert kinds.count("ConvInteger") == 3
    assert "Conv" not in kinds

scan = {"scan": random.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)}
one_thread = onnxruntime.SessionOptions()
one_thread.intra_op_num_threads = 1
sessions = {
    name: onnxruntime.InferenceSession(f"{name}.onnx", one_thread, providers=["CPUExecutionProvider"])
    for name in ("float32", "QInt8", "QUInt8")
}
answers = {name: session.run(None, scan)[0] for name, session in sessions.items()}
took_s = {name: [] for name in sessions}
for _ in range(REPEATS):
    for name, session in sessions.items():
        began = time.perf_counter()
        session.run(None, scan)
        took_s[name].append(time.perf_counter() - began)
ratios = {name: min(each) / min(took_s["float32"]) for name, each in took_s.items()}
print(", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items()), "times as long")
off = {name: float(np.abs(answers[name] - answers["float32"]).max()) for name in ("QInt8", "QUInt8")}
print("largest difference of a probability:", ", ".join(f"{name} {value:.0e}" for name, value in off.items()))
assert ratios["QInt8"] > 3
assert ratios["QUInt8"] > 0.8
assert min(off.values()) > 1e-3
PYTHON
