"""`ucr data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Get data sets.

    \b
    ucr data slakh2100 --download /data     Slakh2100, about 100 GB, from Zenodo
    """


@app.command()
def slakh2100(
    download: Annotated[
        Path,
        typer.Option(metavar="TARGET", help="The folder that gets slakh2100_flac_redux.", show_default=False),
    ],
) -> None:
    """Download Slakh2100 (redux, FLAC) from Zenodo and unpack it.

    \b
    ucr data slakh2100 --download /data
        writes /data/slakh2100_flac_redux/train, validation and test
    ucr data slakh2100 --download .
        where params/paper.yaml looks for it

    The archive has about 100 GB and is unpacked while it arrives; until it is whole and its checksum has matched,
    both lie on the disk. Run the same command again after an interruption: what has arrived is not asked for again.
    The archive's folder `omitted`, of tracks that occur twice, is left out. Licence: CC BY 4.0.
    """
    import yaml

    import ucr

    folder = ucr.download_slakh2100(download)
    print(folder)
    print("To use it, set name and path in params.yaml or a file laid over it (params/paper.yaml):")
    values = {"data": {"name": "slakh2100", "path": str(folder)}}
    print(yaml.safe_dump(values, default_flow_style=None, sort_keys=False, width=10**6), end="")
