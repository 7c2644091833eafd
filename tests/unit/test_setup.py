"""What setup.py asks of the compiler, and what it says where there is none."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))             # last: tests/support has names of its own

from cbuild import setup_module  # noqa: E402

SETUP = setup_module()
CROSS = "aarch64-linux-gnu-gcc"

pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir() or os.name == "nt", reason="needs the C sources")


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.delenv("ARCHFLAGS", raising=False)
    command = SETUP.compiler_command()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return command


def refusing(folder, compiler, flag):
    """A compiler that does not know a flag."""
    script = folder / "cc"
    script.write_text(f'#!/bin/sh\ncase " $* " in *" {flag} "*) echo unrecognized >&2; exit 1;; esac\n'
                      f'exec {" ".join(compiler)} "$@"\n')
    script.chmod(0o755)
    return [str(script)]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="others have portable kernels alone")
def test_the_machine_is_the_compilers(compiler):
    assert SETUP.target_machine(compiler) == platform.machine()


@pytest.mark.skipif(shutil.which(CROSS) is None, reason=f"{CROSS} is not installed")
def test_a_cross_build_has_the_sets_of_its_target(capsys):
    assert SETUP.target_machine([CROSS]) == "aarch64"
    assert SETUP.probed_isas([CROSS], "aarch64") == ["scalar", "neon", "neondot"]
    assert SETUP.probed_isas([CROSS], "x86_64") == ["scalar"], "a compiler for ARM has no AVX"
    assert "cannot compile for avx2" in capsys.readouterr().out


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX is x86's")
def test_sets_that_the_compiler_does_not_know_are_left_out(compiler, tmp_path, capsys):
    assert SETUP.probed_isas(compiler, "x86_64") == ["scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16",
                                                        "avx512amx"]
    assert capsys.readouterr().out == ""
    for flag, left in (("-mavx512f", ["scalar", "avx2", "avxvnni"]),
                       ("-mavxvnni", ["scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "avx512amx"])):
        old = refusing(tmp_path, compiler, flag)
        assert SETUP.probed_isas(old, "x86_64") == left
        assert "building without it" in capsys.readouterr().out


def test_every_set_has_a_probe():
    for machine in ("x86_64", "aarch64", "riscv64"):
        assert set(SETUP.isa_flags(machine)) - {"scalar"} <= set(SETUP.PROBES)


@pytest.mark.skipif(not (ROOT / "lstm_engine" / "__init__.py").exists(), reason="the package is elsewhere")
def test_no_compiler_is_one_sentence(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    shutil.copytree(ROOT / "lstm_engine", tmp_path / "lstm_engine", ignore=shutil.ignore_patterns("*.so", "_core.c"))
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    environment = {**os.environ, "CC": "no-such-cc -O2"}
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_clib"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "lstm-engine is built from C source, and the compiler 'no-such-cc' cannot be run (No such file or directory): "
        "install one (Debian and Ubuntu: apt install gcc python3-dev;")
    assert "Traceback" not in done.stderr
    # What needs no compiler does not ask for one.
    named = subprocess.run([sys.executable, "setup.py", "--name"], cwd=tmp_path, env=environment, capture_output=True,
                           text=True)
    assert named.returncode == 0 and named.stdout.split()[-1] == "lstm-engine", named.stderr


@pytest.mark.parametrize("python, given, architectures", [
    ("-arch arm64 -arch x86_64 -g", None, f"-arch {platform.machine()}"), ("-arch arm64 -g", None, None),
    ("-arch arm64 -arch x86_64", "-arch x86_64", "-arch x86_64"), ("-O2", "", ""),
])
def test_a_universal_python_builds_for_one_machine(monkeypatch, python, given, architectures):
    monkeypatch.setattr(SETUP.sysconfig, "get_config_var", {"CFLAGS": python}.get)
    monkeypatch.setattr(SETUP.sysconfig, "get_platform", lambda: "macosx-11.0-universal2")
    monkeypatch.delenv("_PYTHON_HOST_PLATFORM", raising=False)
    monkeypatch.setenv("ARCHFLAGS", given or "")
    if given is None:
        monkeypatch.delenv("ARCHFLAGS")
    SETUP.one_architecture()
    assert os.environ.get("ARCHFLAGS") == architectures
    chosen = given is None and architectures
    assert os.environ.pop("_PYTHON_HOST_PLATFORM", None) == (f"macosx-11.0-{platform.machine()}" if chosen else None)
    os.environ.pop("ARCHFLAGS", None)


def test_two_architectures_at_once_are_refused(monkeypatch):
    monkeypatch.setenv("ARCHFLAGS", "-arch arm64 -arch x86_64")
    with pytest.raises(SystemExit, match="build a wheel for each and join them with delocate-merge"):
        SETUP.one_architecture()
