"""Two processes that share the slices score what one process does, to the last bit."""

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from lts.metrics import BinnedAUROC, CaseOverlap

REGIONS = ["liver", "tumor"]


def score(ranks: int, rank: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(10, 2, 16, 16, generator=generator) < 0.3
    probs = (torch.randn(target.shape, generator=generator) + target).sigmoid()
    case = torch.arange(10) % 3
    overlap = CaseOverlap(regions=REGIONS, cases=3, threshold=0.5)
    auroc = BinnedAUROC(regions=REGIONS)
    for index in range(rank, 10, ranks):
        overlap.update(probs[index, None], target[index, None], case[index, None])
        auroc.update(probs[index, None], target[index, None])
    fpr, tpr = auroc.roc("tumor")
    return {**overlap.compute(), **overlap.per_case(), **auroc.compute(), "fpr": fpr, "tpr": tpr}


def run_rank(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(score(2, rank), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(run_rank, args=(port, str(tmp_path)), nprocs=2)
    alone = score(1, 0)
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            assert torch.equal(together[name], value), name
