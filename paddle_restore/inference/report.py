"""The report of an inference run in AutoLog's format: by auto_log if it is installed, else the same lines.

auto_log is not on PyPI, and imports NVIDIA's libraries even for a CPU. It measures memory in a process
that it spawns: the main module of a program that uses it needs `if __name__ == "__main__"`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Optional

import paddle
import psutil

from paddle_restore.devices import gpu_number, is_gpu
from paddle_restore.errors import UserError
from paddle_restore.metrics.resources import gpu_usage, physical_gpu

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
        self._helpers: list[BaseProcess] = []  # which measure for auto_log
        self._auto_log = self._auto_logger() if config is not None and find_spec("auto_log") else None
        self._gpu: Optional[tuple[float, float]] = None
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
        if name == "inference" and is_gpu(self.device):
            usage, before = gpu_usage(gpu_number(self.device)), self._gpu
            self._gpu = (max(usage[0], before[0]), max(usage[1], before[1])) if usage and before else usage

    def report(self) -> None:
        """Print the report."""
        if not (self._auto_log and self._auto_log_reports()):
            print("\n".join(self.lines()), flush=True)

    def _auto_log_reports(self) -> bool:
        """Let auto_log report; return False where its process died before it had measured.

        auto_log would wait for that process for ever, so it does in a thread. Some versions call sys.exit(0).
        """

        def report(logger: Any = self._auto_log) -> None:
            with suppress(SystemExit):
                logger.report()

        thread = Thread(target=report, daemon=True)
        thread.start()
        while thread.is_alive() and all(helper.is_alive() for helper in self._helpers):
            thread.join(0.1)
        thread.join(2)  # it kills its process before it prints
        return not thread.is_alive()

    def close(self) -> None:
        """End the process that auto_log has started: it never ends by itself, and Python waits for it."""
        for helper in self._helpers:
            helper.kill()

    def lines(self) -> list[str]:
        """Return AutoLog's lines."""
        mean = {name: f"{1000 * sum(s) / max(len(s), 1):.4f}" for name, s in self.seconds.items()}
        rss, vms = self._peak.rss / 2**20, self._peak.vms / 2**20
        gpu_rss, gpu_util = (f"{self._gpu[0]:.4f}", f"{self._gpu[1]:.0f}%") if self._gpu else (None, None)
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
                "enable_memory_optim": paddle_inference and is_gpu(self.device),
                "enable_tensorrt": paddle_inference and self._config.tensorrt_engine_enabled(),
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
                "cpu_rss(MB)": f"{rss:.4f}, gpu_rss(MB): {gpu_rss}, gpu_util: {gpu_util}",
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
        try:
            import auto_log  # type: ignore[import-not-found]
        except ModuleNotFoundError as error:
            raise UserError(
                f"auto_log is installed and lacks {error.name}; pip install psutil pynvml GPUtil, "
                "or uninstall auto_log: the report is the same"
            ) from None
        before = set(active_children())
        logger = auto_log.AutoLogger(
            model_name=self.model,
            model_precision=self.precision,
            batch_size=self.batch_size,
            data_shape="dynamic",
            save_path=None,
            inference_config=self._config,
            pids=os.getpid(),
            process_name=None,
            gpu_ids=physical_gpu(gpu_number(self.device)) if is_gpu(self.device) else None,
            time_keys=[f"{step}_time" for step in STEPS],
            warmup=0,
        )
        self._helpers = [child for child in active_children() if child not in before]
        return logger
