"""Proves with objdump that the objects of an instruction set hold nothing above it, and with nm that they stand alone.

    python tools/check_isa.py

Compiles the kernel files with setup.py's own flags, then looks at the registers and instructions of each object:
those of the core and the scalar ones may hold no AVX, AVX2 and AVX-VNNI objects no AVX-512, and dot products of
integers or of bfloat16 stand only where their name says so. An object that exported a helper could replace the helper
of the same name in a lesser object when they are linked, so each may define its own tables and nothing else. Exits 1 if
one does otherwise, 0 if all are clean or objdump is missing.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# What must not stand in the objects of a variant: registers of 256 or 512 bits, masks, registers 16 to 31, VEX forms,
# and dot products, of which objdump writes the form of CPUs without AVX-512 as "{vex} vpdpbusd".
ABOVE_AVX2 = r"%zmm\d+|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b"
INTEGERS, BFLOATS = r"\bvpdp[bw]\w+", r"\bv(dp|cvtne\w*)bf16\w*"
FORBIDDEN = {
    "scalar": re.compile(r"%[yz]mm\d+|%k[0-7]\b|%xmm(1[6-9]|2\d|3[01])\b|\tv[a-z]+\w*\s"),
    "avx2": re.compile(f"{ABOVE_AVX2}|{INTEGERS}|{BFLOATS}"),
    "avxvnni": re.compile(f"{ABOVE_AVX2}|(?<!{{vex}} ){INTEGERS}|{BFLOATS}"),
    "avx512": re.compile(f"{INTEGERS}|{BFLOATS}"),
    "avx512vnni": re.compile(BFLOATS),
    "avx512bf16": re.compile(INTEGERS),
}
FORBIDDEN["core"] = FORBIDDEN["scalar"]        # everything that is not a kernel runs on any CPU


def offences(source: str, isa: str, flags: list[str], folder: Path) -> list[str]:
    """What the object of one file of `isa` should not have: instructions (three at most) and exported names."""
    from setup import FLAGS, INCLUDE, isa_flags, isa_macros

    target = folder / (Path(source).stem + ".o")
    macros = [f"-D{name}={value}" for name, value in isa_macros(isa_flags(platform.machine()))]
    includes = [f"-I{ROOT / path}" for path in INCLUDE]
    subprocess.run(["gcc", *FLAGS, *flags, *macros, *includes, "-c", str(ROOT / source), "-o", str(target)], check=True)
    symbols = output("nm", "--defined-only", "--extern-only", "-f", "posix", str(target))
    own = re.compile(r"le_\w+" if isa == "core" else rf"le_(kernels|products)_{isa}_\w+")
    found = [f"exports {line.split()[0]}" for line in symbols if line and not own.fullmatch(line.split()[0])]
    if isa in FORBIDDEN:
        listing = output("objdump", "-d", "--no-show-raw-insn", str(target))
        found += [line.strip() for line in listing if FORBIDDEN[isa].search(line)][:3]
    return [f"{source}: {offence}" for offence in found]


def output(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")


def check() -> tuple[list[str], str]:
    """(offences, reason why nothing was checked or "")."""
    from setup import core_sources, isa_flags, isa_sources

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [], f"nothing to check on {platform.machine()}"
    if missing := [name for name in ("gcc", "objdump", "nm") if shutil.which(name) is None]:
        return [], f"{', '.join(missing)} not installed"
    # The slowest to compile first: the portable kernels, whose vectors are arrays.
    tasks = [(source, isa, flags)
             for isa, flags in isa_flags(platform.machine()).items() for source in isa_sources(isa)]
    tasks += [(source, "core", []) for source in core_sources()]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = pool.map(lambda task: offences(*task, Path(folder)), tasks)
        return [offence for offences_of_one in found for offence in offences_of_one], ""


def main() -> int:
    os.chdir(ROOT)
    found, reason = check()
    clean = ("core and scalar objects hold no AVX, AVX2 and AVX-VNNI objects no AVX-512, no object a dot product that "
             "its name does not say; each kernel object defines its tables alone")
    print(f"skipped: {reason}" if reason else "\n".join(found) or clean)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
