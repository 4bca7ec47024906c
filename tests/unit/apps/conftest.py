"""PyTorch is in no lock, since which build fits depends on the GPU: without it, its app's tests are not collected."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["test_mlp.py"]
