"""Which device, which precision, how much memory."""

import torch

from al_bench.errors import reject
from al_bench.learners.base import resident_peak


def resolve_device(name: str) -> torch.device:
    """auto: CUDA, else Apple's MPS, else CPU. Makes it the current one. Raises `UserError` where there is no such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    # Before torch parses it: torch wraps large indices round to negative ones.
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        here = f"this machine has {torch.cuda.device_count()} CUDA devices"
        raise reject("device", name, here, "use device=cpu, or device=auto for the best there is")
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise reject("device", name, "this machine has no MPS device", "use device=cpu or device=auto")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # streams, events and graphs are of the current device
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """auto: bfloat16 where the hardware multiplies in it, else float32."""
    if name != "auto":
        return name
    fast = False
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # Without these instructions bfloat16 is emulated and slower than float32.
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return "bfloat16" if fast else "float32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int:
    """Bytes: CUDA's peak since the last call; elsewhere the process's peak resident set."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return peak
    return resident_peak()


def hardware(device: torch.device) -> dict[str, str | int]:
    """For a run's provenance."""
    facts: dict[str, str | int] = {"device": str(device), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return facts
