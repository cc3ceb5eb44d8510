from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from renalmap.bundle import LOCALIZER_FILE, SEGMENTER_FILE, Bundle, default_bundle_path, write_sums
from renalmap.errors import BundleError, ConfigError, MissingDependencyError
from renalmap.imaging.in_memory import volume_from_array
from renalmap.inference.cascade import Cascade
from renalmap.inference.session import (
    ENGINES,
    OnnxRuntimeSession,
    OpenVinoSession,
    Runtime,
    available_cores,
    import_onnxruntime,
    is_installed,
    open_session,
    try_session,
)
from renalmap.phantom import PhantomConfig, make_phantom

needs_openvino = pytest.mark.skipif(not is_installed("openvino"), reason="needs the extra openvino")
LINUX = sys.platform == "linux"


@pytest.fixture(params=[*ENGINES])
def engine(request):
    """Each engine that is installed."""
    if not is_installed(request.param):
        pytest.skip(f"needs the extra {request.param}")
    return request.param


def images(count, size=64):
    return np.random.default_rng(0).normal(size=(count, 1, size, size)).astype(np.float32)


def test_probabilities_come_as_foreground_or_as_three_classes(make_bundle, engine):
    root = make_bundle()
    foreground = open_session(root / LOCALIZER_FILE, Runtime(engine)).run(images(5))
    classes = open_session(root / SEGMENTER_FILE, Runtime(engine)).run(images(3))
    assert foreground.shape == (5, 1, 64, 64)
    assert classes.shape == (3, 3, 64, 64)
    np.testing.assert_allclose(classes.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(foreground > 0.5, images(5) > 0.7)


def test_many_threads_may_share_a_session(make_bundle, engine):
    session = open_session(make_bundle() / SEGMENTER_FILE, Runtime(engine))
    inputs = list(images(40)[:, None])
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(session.run, inputs))
    for ours, alone in zip(together, map(session.run, inputs), strict=True):
        np.testing.assert_array_equal(ours, alone)
    np.testing.assert_array_equal(session.run(images(40)), np.concatenate(together))


def test_more_sizes_than_are_compiled_one_by_one(make_bundle, engine):
    session = open_session(make_bundle() / SEGMENTER_FILE, Runtime(engine))
    assert session.free_size
    for size in (8, 16, 24, 32, 40, 48, 8):
        batch = images(2, size)
        got = session.run(batch[:, :, :, ::-1])
        assert got.shape == (2, 3, size, size)
        np.testing.assert_allclose(got[..., ::-1], session.run(batch), atol=1e-5)


def test_graphs_of_one_size_still_work(engine):
    """The bundle that shipped before sizes were free."""
    graph = default_bundle_path() / SEGMENTER_FILE
    session = open_session(graph, Runtime(engine))
    session.prepare(256, 256)
    got = session.run(images(1, 256))
    assert got.shape == (1, 3, 256, 256)
    np.testing.assert_allclose(got.sum(axis=1), 1.0, atol=1e-5)


@needs_openvino
def test_the_engines_give_the_same_labels():
    """The shipped networks on a synthetic scan."""
    phantom = make_phantom(PhantomConfig(shape_zyx=(8, 512, 512)), np.random.default_rng(5))
    bundle = Bundle.open(default_bundle_path())
    ours, other = (
        Cascade(bundle, Runtime(engine)).segment(phantom.scan).label_map.labels for engine in ENGINES
    )
    assert np.count_nonzero(ours) > 1000
    assert (ours != other).mean() <= 1e-5


# Which engine.


def test_the_engine_is_the_one_that_was_asked_for(make_bundle):
    graph = make_bundle() / LOCALIZER_FILE
    assert isinstance(open_session(graph), OnnxRuntimeSession)
    if is_installed("openvino"):
        assert isinstance(open_session(graph, Runtime("openvino")), OpenVinoSession)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("openvino", r"OpenVINO.*renalmap\[openvino\]"), ("onnxruntime", "ONNX Runtime.*pip install")],
)
def test_an_engine_that_is_not_installed_is_named(make_bundle, monkeypatch, name, hint):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=f"{hint}.*--engine") as caught:
        open_session(make_bundle() / LOCALIZER_FILE, Runtime(name))
    assert caught.value.exit_code == 2


def test_openvino_does_not_pretend_to_know_cuda(make_bundle):
    with pytest.raises(ConfigError, match=r"CUDA.*--engine onnxruntime"):
        open_session(make_bundle() / LOCALIZER_FILE, Runtime("openvino", "cuda"))


@pytest.mark.skipif(
    "CUDAExecutionProvider" in import_onnxruntime().get_available_providers(),
    reason="this runtime has CUDA",
)
def test_a_device_that_is_not_there_is_named(make_bundle):
    with pytest.raises(ConfigError, match=r"cuda is not available.*--device cpu") as caught:
        open_session(make_bundle() / LOCALIZER_FILE, Runtime(device="cuda"))
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_graph_is_named(tmp_path, engine):
    (tmp_path / "localizer.onnx").write_text("no graph")
    with pytest.raises(BundleError, match=r"localizer\.onnx.*cannot load"):
        open_session(tmp_path / "localizer.onnx", Runtime(engine))


# How many threads.


def test_there_is_at_least_one_core():
    assert available_cores() >= 1


RUNS = 60
"""Slices to count threads by: a second or two of processor time, however long that takes to get."""


def busy_threads(work):
    """How many of this process's threads did a good part of the work, by the processor's time."""

    def ticks():
        spent = {}
        for task in Path("/proc/self/task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            spent[task.name] = int(fields[11]) + int(fields[12])
        return spent

    before = ticks()
    work()
    grown = [after - before.get(name, 0) for name, after in ticks().items()]
    return sum(ticks > 0.1 * sum(grown) for ticks in grown)


@pytest.mark.skipif(not LINUX, reason="counts threads in /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_threads_work_than_were_asked_for(engine, threads):
    """As many as callers: neither engine spreads a slice over several cores."""
    session = open_session(default_bundle_path() / SEGMENTER_FILE, Runtime(engine, threads=threads))
    batch = images(1, 256)
    session.run(batch)
    with ThreadPoolExecutor(threads) as pool:
        assert 1 <= busy_threads(lambda: list(pool.map(session.run, [batch] * RUNS))) <= threads


# That nothing is sent.

GUARDED = """
import ctypes, os, struct, sys

# A seccomp filter: whoever asks for an internet socket, of this process or its children, is killed.
SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
KILL, ALLOW = 0x80000000, 0x7FFF0000
program = [
    (LOAD, 0, 0, 0), (EQUAL, 0, 4, SOCKET),
    (LOAD, 0, 0, 16), (EQUAL, 1, 0, 2), (EQUAL, 0, 1, 10),
    (RETURN, 0, 0, KILL), (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
filter = struct.pack("HP", len(program), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
assert libc.prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())
"""

SEGMENT = """
# pydicom imports requests where it is installed, which asks a socket whether the machine knows IPv6.
sys.modules["requests"] = None
from pathlib import Path
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
scan, out, model = map(Path, sys.argv[1:4])
assert segment([scan], out, SegmentRequest(model, engine=sys.argv[4])).cases[0].status == "ok"
assert sys.argv[4] in sys.modules
assert not sys.modules.get("openvino_telemetry")
"""


def run_guarded(program, home, *arguments):
    """A program under the guard, with a home of its own, as a user would start it: not in CI."""
    suppressing = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in suppressing and not name.startswith(("XDG_", "PYTEST_"))
    }
    return subprocess.run(
        [sys.executable, "-c", GUARDED + program, *map(str, arguments)],
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not LINUX, reason="the guard is Linux's seccomp")
def test_the_guard_bites(tmp_path):
    socket = "import socket; socket.socket()"
    assert run_guarded(socket, tmp_path).returncode < 0
    child = f"import subprocess; sys.exit(subprocess.run([sys.executable, '-c', '{socket}']).returncode)"
    assert run_guarded(child, tmp_path).returncode != 0
    assert run_guarded("print('ready')", tmp_path).stdout == "ready\n"


@pytest.mark.skipif(not LINUX, reason="the guard is Linux's seccomp")
def test_segmenting_opens_no_socket_and_leaves_nothing_at_home(
    tmp_path, make_bundle, write_scan, engine
):
    """Left to themselves, both engines send telemetry, and note in the home what they could not send."""
    hu = np.full((3, 128, 128), -1000, np.int16)
    hu[:, 40:60, 40:60] = 200
    scan = write_scan(tmp_path / "scan.nii.gz", hu)
    home = tmp_path / "home"
    home.mkdir()
    finished = run_guarded(SEGMENT, home, scan, tmp_path / "out.nii.gz", make_bundle(), engine)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert [*home.rglob("*")] == []


# Graphs that are none of ours.


@pytest.fixture
def swapped(make_bundle):
    """A bundle whose graphs stand in each other's place, under sums that are right."""
    root = make_bundle()
    first, second = root / LOCALIZER_FILE, root / SEGMENTER_FILE
    graphs = first.read_bytes(), second.read_bytes()
    first.write_bytes(graphs[1])
    second.write_bytes(graphs[0])
    write_sums(root)
    return root


def test_graphs_that_are_swapped_are_refused_before_any_scan(swapped, engine):
    with pytest.raises(BundleError, match=r"localizer.*not the one.*\(N, 1, H, W\)"):
        Cascade(Bundle.open(swapped), Runtime(engine))


def test_a_graph_of_other_outputs_is_refused(make_bundle, engine):
    graph = make_bundle() / SEGMENTER_FILE
    model = onnx.load(graph)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    onnx.save(model, graph)
    with pytest.raises(BundleError, match=r"got image .* to logits .*expected"):
        open_session(graph, Runtime(engine))


@pytest.mark.parametrize("offset", [np.nan, np.inf])
def test_a_network_that_gives_no_numbers_is_an_error_and_not_an_empty_result(
    make_bundle, engine, offset
):
    root = make_bundle(offsets=(0.0, offset, 0.0))
    hu = np.full((96, 96, 2), -1000, np.int16)
    hu[20:70, 20:70] = 120
    volume = volume_from_array(hu, np.diag([-1.0, -1.0, 3.0, 1.0]))
    with pytest.raises(BundleError, match=r"segmenter.*something other than probabilities.*nan"):
        Cascade(Bundle.open(root), Runtime(engine)).segment(volume)


def test_logits_in_place_of_probabilities_are_an_error(make_bundle):
    graph = make_bundle() / SEGMENTER_FILE
    model = onnx.load(graph)
    model.graph.node[0].output[0] = "probabilities"
    del model.graph.node[1:]
    onnx.save(model, graph)
    with pytest.raises(BundleError, match="something other than probabilities"):
        try_session(open_session(graph), 64)
