"""Every Python under the sanitizer runs this first. The runtimes of two sanitizers in one process share the name of the
function that sets where reports go, so that the log_path of UBSAN_OPTIONS reaches AddressSanitizer alone: ask the
library itself."""

import ctypes
import os

if path := os.environ.get("LSTM_ENGINE_SANITIZER_REPORTS"):
    for name in os.environ.get("LD_PRELOAD", "").split(":"):
        if "ubsan" in name:
            ctypes.CDLL(name).__sanitizer_set_report_path(path.encode())
