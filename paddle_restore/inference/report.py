"""The report of an inference run in AutoLog's format: by auto_log where it is installed, else the same lines.

auto_log is not on PyPI, imports NVIDIA's libraries even for a CPU, and ends the process in its `report()`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import paddle
import psutil

STEPS = ("preprocess", "inference", "postprocess")


class Recorder:
    """Times the three steps of every file and records the memory of the process."""

    def __init__(
        self,
        model: str,
        device: str,
        threads: int,
        precision: str = "fp32",
        batch_size: int = 1,
        config: Any = None,
    ):
        """`config` is Paddle Inference's; None where another library runs the network."""
        self.model, self.device, self.threads = model, device, threads
        self.precision, self.batch_size, self._config = precision, batch_size, config
        self._auto_log = self._auto_logger() if config is not None and find_spec("auto_log") else None
        self.seconds: dict[str, list[float]] = {step: [] for step in STEPS}
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._peak = self._process.memory_info()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block as the step `name`; the three steps come in order."""
        if self._auto_log and name == STEPS[0]:
            self._auto_log.times.start()
        start = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - start)
        if self._auto_log:
            if name == STEPS[-1]:
                self._auto_log.times.end(stamp=True)
            else:
                self._auto_log.times.stamp()
        memory = self._process.memory_info()
        self._peak = memory if memory.rss > self._peak.rss else self._peak

    def report(self) -> None:
        """Print the report."""
        if self._auto_log:
            with suppress(SystemExit):  # its report() calls sys.exit(0)
                self._auto_log.report()
            return
        print("\n".join(self.lines()), flush=True)

    def lines(self) -> list[str]:
        """Return AutoLog's lines."""
        mean = {name: f"{1000 * sum(s) / max(len(s), 1):.4f}" for name, s in self.seconds.items()}
        rss, vms = self._peak.rss / 2**20, self._peak.vms / 2**20
        paddle_inference = self._config is not None
        sections: dict[str, dict[str, object]] = {
            "Env info": {"OS_version": platform.platform(), "python_version": platform.python_version()},
            "Paddle info": {
                "paddle_version": paddle.__version__,
                "paddle_commit": paddle.version.commit,
                "log_api_version": "1.0",
            },
            "Conf info": {
                "runtime_device": self.device,
                "ir_optim": paddle_inference,
                "enable_memory_optim": False,
                "enable_tensorrt": False,
                "enable_mkldnn": paddle_inference and self.device == "cpu",
                "cpu_math_library_num_threads": self.threads,
            },
            "Model info": {"model_name": self.model, "precision": self.precision},
            "Data info": {
                "batch_size": self.batch_size,
                "input_shape": "dynamic",
                "data_num": len(self.seconds["inference"]),
            },
            "Perf info": {
                "cpu_rss(MB)": f"{rss:.4f}, gpu_rss(MB): None, gpu_util: None",
                "cpu_vms(MB)": f"{vms:.4f}, cpu_util: {self._process.cpu_percent()}%",
                "total time spent(s)": f"{sum(map(sum, self.seconds.values())):.4f}",
                # AutoLog puts the three times on one line, which scripts parse.
                "preprocess_time(ms)": f"{mean['preprocess']}, inference_time(ms): {mean['inference']}, "
                f"postprocess_time(ms): {mean['postprocess']}",
            },
        }
        lines = []
        for title, values in sections.items():
            lines.append(f"[INFO] {'-' * 22} {title} {'-' * 22}")
            lines += [f"[INFO] {key}: {value}" for key, value in values.items()]
        return lines

    def _auto_logger(self) -> Any:
        import auto_log  # type: ignore[import-not-found]

        return auto_log.AutoLogger(
            model_name=self.model,
            model_precision=self.precision,
            batch_size=self.batch_size,
            data_shape="dynamic",
            save_path=None,
            inference_config=self._config,
            pids=os.getpid(),
            process_name=None,
            gpu_ids=None,
            time_keys=[f"{step}_time" for step in STEPS],
            warmup=0,
        )
