"""Export a checkpoint: `python export.py ckpt=FILE format=onnx|torchscript output=FILE [scan=FILE]`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("export")
