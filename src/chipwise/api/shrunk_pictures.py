"""Pictures of what compression does: of one that was done, and of what each layer alone can lose.

chipwise.sensitivity("runs/lenet5", "digits", picture="curves.svg")
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from chipwise.api.given import data_from, need, trained_from, with_graph
from chipwise.api.notebook import drawn
from chipwise.api.pictures import check_picture
from chipwise.core.errors import InputError
from chipwise.core.events import Progress, silent

if TYPE_CHECKING:
    from chipwise.api.given import DataLike, NetworkLike
    from chipwise.core.compression import Compression
    from chipwise.core.sensitivity import Sensitivity


@drawn
def sensitivity(
    network: NetworkLike,
    data: DataLike,
    *,
    samples: int = 2000,
    picture: str | Path | None = None,
    weights: str | Path | None = None,
    preprocess: str | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Sensitivity:
    """Tell what a trained network loses when one layer alone is pruned, or rounded to few values.

    Each layer takes 23 evaluations: nine densities, and seven numbers of bits in two ways. Nothing is trained.

    Args:
        network: a trained folder, a model file, or a zoo name with `weights`.
        data: labelled samples, of which the validation split judges.
        samples: at most so many of them, evenly spread.
        picture: an .svg or .html file for the curves.
        weights: a file of trained weights, for a zoo name.
        preprocess: how pictures become inputs, instead of what the network says.
        threads: of torch; all cores where nothing is said.
        progress: told after each layer.

    Raises:
        NetworkError: the network has no trained weights, or cannot be translated. DataError: the data do not fit.
        InputError: no samples, or a picture of another kind. MissingExtraError: torch is not installed.
    """
    path = None if picture is None else check_picture(Path(picture), "curves")
    if samples < 1:
        raise InputError(f"{samples} samples; at least 1 is wanted")
    need("torch", "safetensors", extra="torch")
    from chipwise.compression.sensitivity import sensitivity as measured
    from chipwise.devices.detect import detect
    from chipwise.training.feed import check_fits, check_task, feed_of
    from chipwise.training.process import threads as with_threads
    from chipwise.training.trainable import simplified, trainable

    loaded = trained_from(network, weights=weights, preprocess=preprocess)
    graphed, dataset = with_graph(loaded), data_from(data)
    check_task(graphed)
    assert graphed.graph is not None, "it was just exported"
    split = dataset.split().validation
    validation, graph = feed_of(split, graphed, what="validation"), simplified(graphed.graph)
    check_fits(trainable(graph).module, validation, split.classes)
    with with_threads(threads or detect().cores):
        record = measured(
            graph, validation, samples=samples, network=graphed.name, data=dataset.name, progress=progress
        )
    return record if path is None else _with_picture(record, path)


def _with_picture(record: Sensitivity, path: Path) -> Sensitivity:
    from chipwise.codec.files import atomic_write

    if path.suffix.lower() == ".html":
        from chipwise.views.picture_page import sensitivity_html

        text = sensitivity_html(record)
    else:
        from chipwise.views.sensitivity_charts import curves

        text = curves(record, ".svg")
    atomic_write(path, text.encode())
    return replace(record, picture=str(path))


def check_pictures(given: str | Path | None) -> Path | None:
    """Where pictures of a compression go, refused before any work is done.

    Args:
        given: a page, "X.html", or a folder, which is made where it is missing.

    Raises:
        InputError: a file of another kind. StorageError: nothing can be written there.
    """
    if given is None:
        return None
    path = Path(given)
    if path.suffix.lower() == ".html":
        return check_picture(path, "a compression", (".svg", ".html"))
    if path.suffix or path.is_file():
        raise InputError(f"pictures cannot be drawn into {path.name!r}", hint="give X.html for a page, or a folder")
    from chipwise.codec.files import check_writable

    check_writable(path / "weights.svg")
    return path


def draw_compression(record: Compression, path: Path) -> None:
    """Draw where weights lie, stage by stage, and accuracy as weights go.

    Args:
        record: of a compression.
        path: "X.html" for one page with the tables too, else a folder for weights.svg, values.svg and accuracy.svg.
    """
    from chipwise.codec.files import atomic_write

    if path.suffix.lower() == ".html":
        from chipwise.views.picture_page import compression_html

        atomic_write(path, compression_html(record).encode())
        return
    from chipwise.views import compression_charts as charts

    before = record.validation.source.value
    for name, text in {
        "weights": charts.weight_stages(record.weights, ".svg"),
        "values": charts.value_histograms(record.weights, ".svg"),
        "accuracy": charts.run_curves(record.stages, before, ".svg"),
    }.items():
        atomic_write(path / f"{name}.svg", text.encode())
