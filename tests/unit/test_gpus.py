"""What nvidia-smi says: understood whole, or there are no GPUs."""

from __future__ import annotations

import pytest

from node import limits
from node.compute.gpus import Gpu, parsed

ONE = "GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01, NVIDIA L4, 23034"
TWO = "GPU-0a1b2c3d-94ba-5d62-8a5c-4d8c2a3b9e02, Tesla T4, 15360"


def test_an_answer_is_read_line_by_line():
    assert parsed(f"{ONE}\n{TWO}\n") == (
        Gpu("GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01", "NVIDIA L4", 23034 * limits.MiB),
        Gpu("GPU-0a1b2c3d-94ba-5d62-8a5c-4d8c2a3b9e02", "Tesla T4", 15360 * limits.MiB),
    )
    assert parsed("") == parsed("\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "No devices were found",
        f"{ONE}\nUnable to determine the device handle for GPU 0000:01:00.0: Unknown Error",
        ONE.replace("GPU-", "MIG-"),
        ONE.replace("23034", "[N/A]"),
        ONE.replace("NVIDIA L4, ", ""),
        ONE.replace("6f0f3f6b", "6f0f3f6b; rm -rf"),
        f"{ONE}\n{ONE}",
        "\0" * 100,
    ],
)
def test_an_answer_that_is_not_understood_is_none(text):
    assert parsed(text) == ()


def test_so_many_gpus_and_no_more():
    many = "\n".join(f"GPU-{number:08x}-94ba-5d62-8a5c-4d8c2a3b9e01, X, 1" for number in range(limits.GPUS_MAX + 1))
    assert len(parsed(many)) == limits.GPUS_MAX
