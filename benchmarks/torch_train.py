"""Train by PyTorch's layers from the same recipe and the very same samples as tools/train.py.

    python benchmarks/torch_train.py -c configs/denoise/srgb.yml --processes 2 --resume auto

On a CPU Paddle trains small convolutions several times slower than PyTorch does in bfloat16. The recipe is
read, the samples are made and the learning rate is computed by the package; network, optimiser and
average are PyTorch's (`benchmarks/torch_networks.py`). `benchmarks/torch_steps.py` proves both equal step by
step. The averaged weights, by Paddle's names, lie in OUTPUT/weights.safetensors after every evaluation;
OUTPUT/latest.pt and iter_N.pt are what a run goes on from.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
import torch.distributed
import torch_networks

from paddle_restore.data.batches import Order, batches
from paddle_restore.data.datasets import DATASETS
from paddle_restore.data.files import atomic_path
from paddle_restore.engine.config import Config, load_config
from paddle_restore.engine.optim import learning_rate
from paddle_restore.models.registry import model_spec
from paddle_restore.weights.writer import save_safetensors


def loss_log_mse(pred, target):
    return torch.log((pred - target).square().mean((1, 2, 3)) + 1e-5).mean()


def loss_charbonnier(pred, target):
    return ((pred - target).square() + 1e-3**2).sqrt().mean()


LOSSES = {"log_mse": loss_log_mse, "charbonnier": loss_charbonnier, "l1": torch.nn.functional.l1_loss}


SYNCHRONISE = 10
"""Steps between two averagings of the processes' weights (local SGD, Stich, ICLR 2019). On a busy machine
processes that wait for each other at every step lose a third of their time."""


class Trainer:
    """Network, optimiser and average of a recipe."""

    def __init__(self, config: Config, network: torch.nn.Module, bf16: bool, rank: int = 0, world: int = 1):
        self.config, self.bf16, self.rank, self.world = config, bf16, rank, world
        torch.manual_seed(config.seed)
        self.network = network.to(memory_format=torch.channels_last)
        options = config.optimizer
        kind = torch.optim.AdamW if options.kind == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            self.network.parameters(),
            lr=options.lr,
            betas=options.betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.iteration = 0
        self.decay: Optional[tuple[float, float]] = None  # clock times of its begin and end
        self.ended = False  # the decay is over, and all processes know it

    def lr(self) -> float:
        """The recipe's learning rate; with `decay` it falls by the clock, a half cosine."""
        config = self.config
        lr = learning_rate(config.schedule, config.optimizer.lr, self.iteration, config.train.iterations or 1)
        if self.decay:
            begin, end = self.decay
            progress = min(max((time.time() - begin) / (end - begin), 0), 1)
            lr *= 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * progress))
        return lr

    def step(self, batch: dict) -> float:
        """Take one step; return the loss."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr()
        noisy, clean = (torch.from_numpy(batch[key].numpy()) for key in ("input", "target"))
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            restored = self.network(noisy)
        restored = restored.float()
        loss = sum(w * LOSSES[name](restored, clean) for name, w in config.objective.losses.items())
        self.optimizer.zero_grad()
        loss.backward()
        if config.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.clip_norm)
        self.optimizer.step()
        self.iteration += 1
        if self.world > 1 and self.iteration % SYNCHRONISE == 0:
            self._average_weights()
        if config.train.ema and self.rank == 0:
            share = 1 - min(config.train.ema.decay, (1 + self.iteration) / (10 + self.iteration))
            with torch.no_grad():
                for name, value in self.network.state_dict().items():
                    self.average[name].lerp_(value, share)
        return float(loss.detach())

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Replace the weights by their means over all processes."""
        parameters = list(self.network.parameters())
        late = float(self.decay is not None and time.time() > self.decay[1])
        joined = torch.cat([parameter.flatten() for parameter in parameters] + [torch.tensor([late])])
        torch.distributed.all_reduce(joined)
        joined /= self.world
        self.ended = bool(joined[-1] > 0)
        for parameter, part in zip(parameters, joined[:-1].split([p.numel() for p in parameters])):
            parameter.copy_(part.reshape(parameter.shape))

    def save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "iteration": self.iteration,
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.iteration = state["average"], state["iteration"]

    def evaluate(self, samples: list[dict]) -> float:
        """Mean PSNR in dB, rounded to 8 bits as a written picture is, of the averaged weights."""
        own = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        values = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=False):
            for sample in samples:
                noisy = torch.from_numpy(sample["input"])[None].contiguous(memory_format=torch.channels_last)
                restored, clean = self.network(noisy).numpy()[0], sample["target"]
                if "develop" in sample:
                    restored, clean = map(sample["develop"], (restored, clean))
                restored, clean = (np.rint(values.clip(0, 1) * 255) / 255 for values in (restored, clean))
                error = np.mean((restored - clean) ** 2, dtype=np.float64)
                values.append(-10 * np.log10(max(error, 1e-10)))
        self.network.load_state_dict(own)
        return float(np.mean(values))


def write_weights(path: Path, state: dict) -> None:
    with atomic_path(path) as temporary:
        save_safetensors(temporary, {name: value.contiguous().numpy() for name, value in state.items()})


def eval_samples(config: Config) -> list[dict]:
    spec = model_spec(config.model.id)
    kind = DATASETS[config.data.kind]
    dataset = kind.eval(config.data, spec)
    return [dataset.sample(index) for index in range(len(dataset))]


def pair_samples(folder: Path) -> list[dict]:
    options = DATASETS["pairs"].options(root=folder, eval_folder="")
    dataset = DATASETS["pairs"].eval(options, model_spec("denoise_unet"))
    return [dataset.sample(index) for index in range(len(dataset))]


def clock_time(text: str) -> float:
    """HH:MM of today -> seconds since the epoch."""
    hour, minute = map(int, text.split(":"))
    return time.mktime((*time.localtime()[:3], hour, minute, 0, 0, 0, -1))


def train(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    world = arguments.processes
    if world > 1:
        torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=world)
    config = load_config(arguments.config, tuple(arguments.override))
    output = arguments.output or Path("output") / config.name
    output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)  # in the workers that make samples
    torch.manual_seed(config.seed)
    network = torch_networks.NETWORKS[arguments.network or config.model.id](**config.model.args)
    trainer = Trainer(config, network, not arguments.fp32, rank, world)
    if arguments.resume and (output / "latest.pt").exists():
        trainer.load(output / "latest.pt")
    sets = {}
    if rank == 0:
        (output / "config.yml").write_text(config.to_yaml())
        sets["synthetic"] = eval_samples(config)
        if arguments.watch:
            sets["watched"] = pair_samples(arguments.watch)
    if arguments.decay:
        trainer.decay = tuple(map(clock_time, arguments.decay))
    dataset = DATASETS[config.data.kind].train(config.data, model_spec(config.model.id))
    order = Order(len(dataset), config.train.batch_size // world, config.seed, rank, world)
    first, last = trainer.iteration, config.train.iterations
    pixels = config.train.batch_size * config.data.crop**2 / 1e6
    start, since, losses = time.time(), time.time(), []
    say = partial(print, flush=True) if rank == 0 else lambda *_: None
    say(f"{sum(p.numel() for p in network.parameters())} parameters, iterations {first} to {last}")
    for batch in batches(dataset, order, first, last, config.train.num_workers):
        losses.append(trainer.step(batch))
        done = trainer.iteration
        ended = done == last or trainer.ended or time.process_time() > 60 * arguments.cpu_minutes
        if done % config.train.log_every == 0:
            speed = pixels * len(losses) / (time.time() - since)
            rate = trainer.optimizer.param_groups[0]["lr"]
            progress = f"{done}/{last} loss {np.mean(losses):.4f} lr {rate:.2e}"
            say(time.strftime("%H:%M:%S"), f"{progress} {speed:.3f} MP/s {pixels * done:.0f} MP")
            losses, since = [], time.time()
        if rank == 0:
            if done % int(config.save.every) == 0 or ended:
                trainer.save(output / "latest.pt")
            if done % int(config.save.keep_every or last) == 0:
                trainer.save(output / f"iter_{done}.pt")
            if done % int(config.eval.every) == 0 or ended:
                entry = {"iteration": done, "seconds": round(time.time() - start), "cpu": time.process_time()}
                entry |= {"megapixels": pixels * done}
                entry |= {name: trainer.evaluate(samples) for name, samples in sets.items()}
                with open(output / "metrics.jsonl", "a") as file:
                    file.write(json.dumps(entry) + "\n")
                say(time.strftime("%H:%M:%S"), {k: round(v, 3) for k, v in entry.items()})
                write_weights(output / "weights.safetensors", trainer.average)
        if ended:
            break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-c", "--config", required=True)
    parser.add_argument("-o", "--override", action="append", default=[])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", choices=["auto"])
    parser.add_argument(
        "--processes", type=int, default=1, help="share each batch; on a busy machine the best"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--fp32", action="store_true", help="no bfloat16")
    parser.add_argument("--network", help="another one of torch_networks.py, for a comparison")
    parser.add_argument(
        "--cpu-minutes", type=float, default=float("inf"), help="of one process: stop by then"
    )
    parser.add_argument(
        "--decay", nargs=2, metavar="HH:MM", help="lower the rate from the first time to the second, and end"
    )
    parser.add_argument("--watch", type=Path, help="folder of real pairs, measured and logged at evaluations")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        if arguments.processes == 1:
            train(0, arguments, meeting)
        else:
            torch.multiprocessing.spawn(train, (arguments, meeting), arguments.processes)


if __name__ == "__main__":
    # What a step frees is needed again by the next one. glibc reads this at the start of a process.
    settings = {"OMP_WAIT_POLICY": "PASSIVE", "MALLOC_MMAP_THRESHOLD_": "4000000000"}
    settings["MALLOC_TRIM_THRESHOLD_"] = settings["MALLOC_MMAP_THRESHOLD_"]
    if not settings.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})
    main()
