"""The forms of records of processing (GDPR Art. 30) and of material for impact assessments (Art. 35)."""

from __future__ import annotations

from typing import Literal, get_args

Form = Literal["art30", "art30.json", "art35", "art35.json"]
PROCESSING: tuple[Form, ...] = get_args(Form)
