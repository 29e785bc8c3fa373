"""Where parallel work is done, as the parameters say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from ucr.foundation.schema import PARAMS_FILE, Section, checked, read_yaml


class ExecutorParams(Section):
    """Where parallel work is done: by `loky` on this machine's cores, by `dask` on the cluster of `scheduler`, an
    address such as `tcp://host:8786`. No result depends on it."""

    backend: Literal["loky", "dask"] = "loky"
    scheduler: str | None = None

    @model_validator(mode="after")
    def _dask_has_a_scheduler(self) -> ExecutorParams:
        if self.backend == "dask" and not self.scheduler:
            raise ValueError("dask needs `scheduler`, its address, such as tcp://host:8786")
        return self


def read_executor(path: str | Path = PARAMS_FILE) -> ExecutorParams:
    """The `executor` of a params file, the default where there is none, whatever else the file holds."""
    section = read_yaml(path).get("executor", {}) if Path(path).is_file() else {}
    return checked(ExecutorParams, section, path, place=("executor",))
