from __future__ import annotations

import subprocess
import sys


def test_importing_the_package_loads_no_slow_library():
    program = (
        "import sys, renalmap.imaging; print(sorted({'nibabel', 'pydicom', 'scipy'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"
