"""OpenVINO with its telemetry off. All other modules import ``ov`` from here.

On import OpenVINO writes an id into the home directory and tells its makers of the import, unless
its package for that cannot be imported: None stands for such a module.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402

__all__ = ["FrontEndManager", "ov"]
