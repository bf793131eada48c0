"""Networks are imported, saved and loaded on systems with less than Linux has.

A process takes from Python what the system lacks, after its libraries are imported, and before danet is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.suites.conftest import NETWORKS

MACOS = """
import os, sys
sys.platform = "darwin"
del os.preadv  # before macOS 11
"""
# An open file is neither renamed nor removed, and a folder is not opened.
WINDOWS = """
import multiprocessing.resource_tracker, os, pathlib, shutil, signal, subprocess, sys
for module, names in {
    os: "preadv pread O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_NOCTTY O_CLOEXEC WNOHANG set_blocking getuid fork",
    signal: "SIGHUP SIGKILL pthread_sigmask SIG_BLOCK SIG_UNBLOCK SIG_SETMASK",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
sys.platform = "win32"

def require_closed(path):
    for descriptor in os.listdir("/proc/self/fd"):
        if os.path.realpath(f"/proc/self/fd/{descriptor}") == os.path.realpath(path):
            raise PermissionError(13, "the file is open", str(path))

def closed(function, exclusive=False):
    def call(path, *arguments, **settings):
        require_closed(path)
        if exclusive and os.path.lexists(arguments[0]):
            raise FileExistsError(17, "exists", str(path))
        return function(path, *arguments, **settings)
    return call

def no_folder(path, *arguments, open=os.open, **settings):
    if os.path.isdir(path):
        raise PermissionError(13, "is a folder", str(path))
    return open(path, *arguments, **settings)

os.replace, os.unlink, os.rename = closed(os.replace), closed(os.unlink), closed(os.rename, exclusive=True)
os.open = no_folder
shutil._use_fd_functions = False  # opens folders
"""
NETWORK = """
import numpy as np, weights_convert
import danet_{network} as danet
from pathlib import Path

model = danet.DANet("danet_tiny", seed=3)
for name in ("tiny.safetensors", "tiny.safetensors", "tiny.npz", "tiny.pth"):
    danet.save(model, name)
danet.save_pretrained(model, "folder", max_shard_bytes=200_000)
danet.save_pretrained(model, "folder")
expected = weights_convert.read("tiny.safetensors").tensors
for name in ("tiny.npz", "tiny.pth", "folder"):
    model = danet.load(name)
    danet.save(model, "again.safetensors")
    actual = weights_convert.read("again.safetensors").tensors
    assert expected.keys() == actual.keys()
    for key in expected:
        np.testing.assert_array_equal(np.asarray(actual[key]), np.asarray(expected[key]))
assert len(list(Path().iterdir())) == 5  # and no temporary file
"""
COMMAND = """
from danet_cli.main import main
sys.argv = ["danet", {arguments}]
main()
"""
LIBRARIES = "import h5py, jaxtyping, numpy, numpy.testing, PIL.Image, rich.console, typer\n"
FRAMEWORKS = {"torch": "torch", "tf": "keras, tensorflow", "jax": "jax, flax.nnx"}
SYSTEMS = {"macos": MACOS, "windows": WINDOWS}


def run(program: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "network", [name if name == "torch" else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_network_is_saved_and_loaded(system: str, network: str, tmp_path: Path) -> None:
    libraries = f"{LIBRARIES}import {FRAMEWORKS[network]}\n"
    run(f"{libraries}{SYSTEMS[system]}{NETWORK.format(network=network)}", tmp_path)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_command_runs(system: str, tmp_path: Path) -> None:
    assert "convert" in run(f"{LIBRARIES}{SYSTEMS[system]}{COMMAND.format(arguments=repr('--help'))}", tmp_path)
