"""The configuration as anyone may see it: for the API and for reports of trouble. It holds no secret."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import TYPE_CHECKING

from mediawatchd.paths import unslashed

if TYPE_CHECKING:
    from .schema import Config


def public(config: Config) -> dict[str, object]:
    """All keys as JSON values, with the choices made for null; `has_secret_token` stands for the secret.

    Every path has a twin ending in `_b64`: None when the path is valid UTF-8, else its bytes in base64. The
    twin of a list of paths is a list as long.
    """
    shown = asdict(config)
    shown["has_secret_token"] = shown.pop("secret_token") is not None
    roots = [_with_twin(unslashed(root)) for root in config.scan_dirs]
    shown["scan_dirs"] = [text for text, _ in roots]
    shown["scan_dirs_b64"] = [twin for _, twin in roots]
    shown["db_path"], shown["db_path_b64"] = _with_twin(config.db_path)
    control = shown["control"]
    control["socket"], control["socket_b64"] = _with_twin(config.control.socket)
    control["mode"] = f"{config.control.mode:04o}"
    return shown


def _with_twin(path: bytes) -> tuple[str, str | None]:
    try:
        return path.decode(), None
    except UnicodeDecodeError:
        return path.decode(errors="replace"), base64.b64encode(path).decode()
