"""Proves with objdump that the objects of an instruction set hold nothing above it, and with nm that they stand alone.

    python tools/check_isa.py

Compiles the kernel files with setup.py's own flags, then looks at the registers and instructions of each object:
those of the core and the scalar ones may hold no AVX, AVX2 objects no AVX-512. An object that exported a helper could replace the helper of
the same name in a lesser object when they are linked, so each may define its own table and nothing else. Exits 1 if
one does otherwise, 0 if all are clean or objdump is missing.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# What must not stand in the objects of a variant: registers of 256 or 512 bits, masks, registers 16 to 31, VEX forms.
FORBIDDEN = {
    "scalar": re.compile(r"%[yz]mm\d+|%k[0-7]\b|%xmm(1[6-9]|2\d|3[01])\b|\tv[a-z]+\w*\s"),
    "avx2": re.compile(r"%zmm\d+|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b"),
}
FORBIDDEN["core"] = FORBIDDEN["scalar"]        # everything that is not a kernel runs on any CPU


def offences(objdump: str, compiler: str, isa: str, flags: list[str], sources: list[str], folder: Path) -> list[str]:
    """The instructions that an object of `isa` should not have, at most three of each file."""
    from setup import FLAGS, INCLUDE, isa_macros

    found = []
    macros = [f"-D{name}={value}" for name, value in isa_macros(platform.machine())]
    for source in sources:
        target = folder / (Path(source).stem + ".o")
        includes = [f"-I{ROOT / path}" for path in INCLUDE]
        subprocess.run([compiler, *FLAGS, *flags, *macros, *includes, "-c", str(ROOT / source), "-o", str(target)],
                       check=True)
        symbols = subprocess.run(["nm", "--defined-only", "--extern-only", "-f", "posix", str(target)], check=True,
                                 capture_output=True, text=True).stdout.split("\n")
        own = re.compile(r"le_\w+" if isa == "core" else "le_" + target.stem)
        found += [f"{source}: exports {line.split()[0]}" for line in symbols
                  if line and not own.fullmatch(line.split()[0])]
        listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", str(target)], check=True, capture_output=True,
                                 text=True).stdout
        bad = [line.strip() for line in listing.split("\n") if isa in FORBIDDEN and FORBIDDEN[isa].search(line)]
        found += [f"{source}: {line}" for line in bad[:3]]
    return found


def check() -> tuple[list[str], str]:
    """(offences, reason why nothing was checked or "")."""
    from setup import core_sources, isa_flags, isa_sources

    objdump, compiler = shutil.which("objdump"), shutil.which("gcc")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [], f"nothing to check on {platform.machine()}"
    if objdump is None or compiler is None:
        return [], "objdump or gcc is not there"
    flags, found = isa_flags(platform.machine()), []
    with tempfile.TemporaryDirectory() as folder:
        found += offences(objdump, compiler, "core", [], core_sources(), Path(folder))
        for isa in flags:
            found += offences(objdump, compiler, isa, flags[isa], isa_sources(isa), Path(folder))
    return found, ""


def main() -> int:
    import os

    os.chdir(ROOT)
    found, reason = check()
    print(f"skipped: {reason}" if reason else "\n".join(found) or "core and scalar objects hold no AVX, AVX2 objects no AVX-512; "
          "each kernel object defines its table alone")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
