"""Export a network as a folder that runs without the network's code."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import paddle

from paddle_restore.arithmetic import round_up
from paddle_restore.data.files import make_folder
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import Network, open_network
from paddle_restore.inference.backends.paddle import BROKEN_ONEDNN_PASSES
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.onnx_export import require_onnx, write_onnx
from paddle_restore.inference.package import FILE, GRAPHS, METRICS, STEM, Check, Graph, Package, Preprocess
from paddle_restore.metrics.complexity import measure_cost
from paddle_restore.models.spec import ModelSpec
from paddle_restore.quiet import quiet

ONNX = f"{STEM}.onnx"
TOLERANCE = 1e-4
"""Largest difference allowed between the graph's output and the network's own, on [0, 1] data."""


_SPARE_BYTES = 1 << 20  # a disk with less is full


def export(
    model: paddle.nn.Layer,
    folder: str | Path,
    name: str,
    preprocess: Preprocess,
    noise_inside: bool = False,
    format: str = "paddle",
    legacy: bool = False,
    metrics: tuple[str, ...] = METRICS,
) -> Package:
    """Trace `model` (with `.spec`) for any batch, height and width, check it, and fill `folder`.

    The noise of a latent is the graph's second input, `noise`, or drawn by the graph itself.
    `format` is `paddle`, `onnx` or `all`; `legacy` writes Paddle's graph as `model.pdmodel`, which
    PaddlePaddle 2.6 reads too. `metrics` are the protocols that compare pictures with references.

    The folder appears whole or not at all. Raises UserError where a graph, run by Paddle Inference or
    ONNX Runtime, differs from the network's own code by more than `TOLERANCE` on any of three sizes.
    """
    graphs = GRAPHS[format]
    if "onnx" in graphs:
        if legacy:
            raise UserError("ONNX is made from the graph of PaddlePaddle 3; export it without --legacy")
        require_onnx()
    folder = Path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; choose a folder to export to")
    make_folder(folder.parent)
    spec = model.spec
    cost = measure_cost(model)  # before the network is traced, which changes its forward
    eager = EagerNetwork(model)
    eager.model.eval()
    with (
        _disk_errors(folder),
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as work,
    ):
        inner = Path(work) / "export"
        inner.mkdir()
        inputs = {"input": spec.in_channels}
        if spec.latent and not noise_inside:
            inputs["noise"] = spec.latent.channels
        package = Package(
            name=name,
            spec=spec.to_dict(),
            preprocess=preprocess,
            metrics=metrics,
            graph=_write_graphs(eager.model, inputs, inner, graphs, legacy),
            paddle=paddle.__version__,
            cost=cost,
        )
        package.write(inner)
        checks = [check for kind in graphs for check in _compare(eager, inner, spec, kind, "noise" in inputs)]
        package = package.model_copy(update={"checks": tuple(checks)})
        package.write(inner)
        _replace(inner, folder)
    return package


def _write_graphs(
    model: paddle.nn.Layer, inputs: dict[str, int], folder: Path, graphs: tuple[str, ...], legacy: bool
) -> Graph:
    """Write the graphs of `model`, whose inputs have these names and channels, to `folder`."""
    program, parameters = (_trace_legacy if legacy else _trace)(model, inputs, folder)
    graph = Graph(program=program, parameters=parameters, inputs=tuple(inputs))
    if "onnx" in graphs:
        _check_readable(folder / program, folder / parameters)
        write_onnx(folder / program, folder / parameters, folder / ONNX)
        graph = graph.model_copy(update={"onnx": ONNX})
    if "paddle" not in graphs:
        for file in (program, parameters):
            (folder / file).unlink()
        graph = graph.model_copy(update={"program": None, "parameters": None})
    return graph


def _check_readable(program: Path, parameters: Path) -> None:
    """Raise UserError if Paddle has not written both files whole.

    On a full disk it writes less without an error, and paddle2onnx then ends the process.
    """
    config = paddle.inference.Config(str(program), str(parameters))
    config.disable_gpu()
    config.disable_glog_info()
    for name in BROKEN_ONEDNN_PASSES:  # even with switch_ir_optim(False) Paddle 3.3.1 runs them
        config.delete_pass(name)
    try:
        paddle.inference.create_predictor(config)
    except Exception as error:
        raise UserError(
            f"{program.parent.parent.parent}: the graph was not written whole; is the disk full?"
        ) from error


def _trace(model: paddle.nn.Layer, inputs: dict[str, int], folder: Path) -> tuple[str, str]:
    """Write Paddle's graph to `folder`; return the names of its two files."""
    static = paddle.jit.to_static(
        model,
        input_spec=[
            paddle.static.InputSpec([None, channels, None, None], "float32", name)
            for name, channels in inputs.items()
        ],
        full_graph=True,
    )
    with quiet():  # Paddle prints a line of its own source for every mean
        paddle.jit.save(static, str(folder / STEM))
    program = next(n for n in (f"{STEM}.json", f"{STEM}.pdmodel") if (folder / n).is_file())
    return program, f"{STEM}.pdiparams"


def _trace_legacy(model: paddle.nn.Layer, inputs: dict[str, int], folder: Path) -> tuple[str, str]:
    guard = getattr(paddle.pir_utils, "OldIrGuard", nullcontext)  # PaddlePaddle 2.6 has no other graph
    try:
        with guard():
            return _trace(model, inputs, folder)
    except TypeError:
        # PaddlePaddle 3.3.1 has exp, sigmoid, matmul and more for its new graph only.
        raise UserError(
            f"PaddlePaddle {paddle.__version__} cannot trace this network as model.pdmodel; export it with "
            "PaddlePaddle 2.6.2, by the same command in an environment of its own (Python 3.9 to 3.12): "
            "python3.11 -m venv .venv26 && .venv26/bin/pip install -e '.[paddle26]' && "
            ".venv26/bin/python tools/export_model.py ...; or without --legacy"
        ) from None


def _compare(
    eager: EagerNetwork, folder: Path, spec: ModelSpec, graph: str, noise_given: bool
) -> list[Check]:
    """Compare the graph with the network on three sizes, one of them a batch of two."""
    network = open_network(folder, graph)
    rng = np.random.default_rng(0)
    checks = []
    for batch, height, width in ((1, 4, 4), (1, 8, 6), (2, 5, 9)):
        unit = round_up(8, spec.multiple)
        x = rng.random((batch, spec.in_channels, height * unit, width * unit), np.float32)
        if spec.latent and not noise_given:
            checks.append(_compare_statistics(eager, network, x, graph))
            continue
        noise = []
        if spec.latent:
            noise = [rng.standard_normal((batch, *spec.latent.shape(*x.shape[2:])), np.float32)]
        expected, got = eager(x, *noise), network(x, *noise)
        if expected.shape != got.shape:
            raise UserError(
                f"export: the {graph} graph gives {got.shape} where the network gives {expected.shape}; "
                "nothing was written"
            )
        difference = float(np.abs(expected - got).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise UserError(
                f"export: on input {x.shape} the {graph} graph differs from the network by {difference:.3g} "
                f"(allowed {TOLERANCE:g}); nothing was written"
            )
        checks.append(Check(graph=graph, input_shape=x.shape, max_difference=difference))
    return checks


def _compare_statistics(eager: EagerNetwork, network: Network, x: np.ndarray, graph: str) -> Check:
    """Compare the means over several draws, where the graph draws its noise itself."""
    draws = 8
    pairs = [(eager(x), network(x)) for _ in range(draws)]
    expected, got = (np.stack(values) for values in zip(*pairs))
    difference = float(np.abs(expected.mean(0) - got.mean(0)).mean())
    allowed = float(2 * expected.std(0).mean() / np.sqrt(draws)) + TOLERANCE
    if expected.shape != got.shape or not difference <= allowed or not got.std(0).mean() > 0:
        raise UserError(
            f"export: the {graph} graph's mean over {draws} draws differs from the network's "
            f"by {difference:.3g} (allowed {allowed:.3g}); nothing was written"
        )
    return Check(graph=graph, input_shape=x.shape, max_difference=difference)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one line. Paddle raises errors of its own for a full one."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); nothing was") from error
    except (RuntimeError, ValueError) as error:
        if shutil.disk_usage(folder.parent).free > _SPARE_BYTES:
            raise
        raise UserError(f"{folder}: the disk is full; nothing was written") from error


def _replace(new: Path, folder: Path) -> None:
    """Move the export `new` to `folder`, which may hold an earlier one and files of the user."""
    former = new.parent / "former"
    if folder.exists():
        suffixes = ("json", "pdmodel", "pdiparams", "pdiparams.info", "onnx")
        ours = {FILE, *(f"{STEM}.{suffix}" for suffix in suffixes)}
        if any(path.name not in ours for path in folder.iterdir()):
            _replace_files(new, folder, former, ours)
            return
        # The former export stays whole until the new one is in its place.
        folder.rename(former)
    new.replace(folder)


def _replace_files(new: Path, folder: Path, former: Path, ours: set[str]) -> None:
    """Move the files of `new` to `folder`, which holds files of the user too, as a run folder does.

    `FILE` goes first and comes last: a folder without it is no exported model, so a killed export leaves no
    mixture of two. An error brings the former export back.
    """
    former.mkdir()
    by_manifest = sorted(ours, key=lambda name: name != FILE)
    moved: list[tuple[Path, Path]] = []
    try:
        for name in by_manifest:
            if (folder / name).is_file():
                moved.append(((folder / name).rename(former / name), folder / name))
        for name in reversed(by_manifest):
            if (new / name).is_file():
                moved.append(((new / name).rename(folder / name), new / name))
    except OSError:
        for place, origin in reversed(moved):
            place.rename(origin)
        raise
