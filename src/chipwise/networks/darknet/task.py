r"""What a Darknet network is for, told from its cfg.

How a picture is fitted is no part of a cfg: it is what the program does that goes with it. pjreddie's `detector` puts
the whole picture into a grey square (examples/detector.c letterbox_image), and so does this for its cfgs. AlexeyAB's
stretches it unless `letter_box=1` stands in [net] (src/detector.c); a cfg is taken for one of that kind when it has an
option, layer or activation that only that Darknet knows. The first YOLO stretches (examples/yolo.c); classifiers take
the middle square of the picture whose shorter side is the network's (examples/classifier.c, which validates so).

>>> from chipwise.networks.darknet.cfg import parse
>>> parse_fit = lambda text: fit_of(parse(text))
>>> parse_fit("[net]\n[yolo]\nscale_x_y=1.05"), parse_fit("[net]\n[yolo]"), parse_fit("[net]\n[detection]")
('stretch', 'letterbox', 'stretch')
"""

from __future__ import annotations

from typing import Literal

from chipwise.core.errors import NetworkError
from chipwise.core.task import Detection, Preprocess, Stream, Task
from chipwise.networks.darknet.cfg import Cfg, Section
from chipwise.networks.darknet.drawing import Drawing
from chipwise.tasks.guess import known_labels

_FORK_OPTIONS = frozenset(
    {
        "beta_nms", "cls_normalizer", "counters_per_class", "cutmix", "group_id", "iou_loss", "iou_normalizer",
        "iou_thresh_kind", "max_delta", "mosaic", "new_coords", "nms_kind", "obj_normalizer", "objectness_smooth",
        "scale_x_y", "weights_type",
    }
)  # fmt: skip
_FORK_LAYERS = frozenset({"reorg3d", "sam", "scale_channels"})
_FORK_ACTIVATIONS = frozenset({"gelu", "hard_mish", "mish", "relu6", "swish"})
_SCORES = frozenset({"avg", "avgpool", "conn", "connected", "soft", "softmax"})
_SILENT = frozenset({"cost", "dropout"})
_GREY = 128  # letterbox_image fills with 0.5


def task_of(cfg: Cfg, drawing: Drawing) -> Task:
    """Boxes, classes, a sequence, or arrays.

    Raises:
        NetworkError: when detection layers of several kinds are mixed.
    """
    if drawing.states:
        pairs = tuple((str(before.name), str(after.name)) for before, after in drawing.states)
        return Task("sequence", stream=Stream(step=1, states=pairs))
    if drawing.found:
        return _detection(cfg, drawing)
    scores = gives_scores(cfg, drawing)
    return Task("classification" if scores else "tensor", preprocess=_preprocess(cfg, drawing, scores=scores))


def gives_scores(cfg: Cfg, drawing: Drawing) -> bool:
    """Whether the last layer gives a score for each of at least two classes, and not a map."""
    last = next((section for section in reversed(cfg.layers) if section.type not in _SILENT), cfg.options)
    flow = drawing.flows[-1]
    return last.type in _SCORES and flow.shape[1:] == (1, 1) and flow.count >= 2


def fit_of(cfg: Cfg) -> Literal["letterbox", "stretch"]:
    """How a detector's picture is made to fit."""
    if "letter_box" in cfg.options.options:
        return "letterbox" if cfg.options.flag("letter_box") else "stretch"
    sections = (cfg.options, *cfg.layers)
    plain = any(section.type == "detection" or _of_fork(section) for section in sections)
    return "stretch" if plain else "letterbox"


def _of_fork(section: Section) -> bool:
    return (
        section.type in _FORK_LAYERS
        or section.text("activation") in _FORK_ACTIVATIONS
        or not _FORK_OPTIONS.isdisjoint(section.options)
    )


def _detection(cfg: Cfg, drawing: Drawing) -> Task:
    kinds = {(found.decoder, found.classes) for found in drawing.found}
    decoder, classes = next(iter(kinds))
    if len(kinds) > 1 or (decoder != "yolo" and len(drawing.found) > 1):
        listed = ", ".join(f"{found.decoder} with {found.classes} classes" for found in drawing.found)
        raise NetworkError(f"the cfg mixes detection layers: {listed}", hint="several [yolo] may share their classes")
    heads = tuple(found.head for found in drawing.found)
    return Task(
        "detection",
        labels=known_labels(classes),
        preprocess=_preprocess(cfg, drawing, scores=False),
        detection=Detection(decoder, heads, threshold=0.25, overlap=0.45),
    )


def _preprocess(cfg: Cfg, drawing: Drawing, *, scores: bool) -> Preprocess | None:
    channels = cfg.options.integer("channels")
    if not drawing.width or channels not in (1, 3):
        return None
    height, width = drawing.height, drawing.width
    fit: Literal["letterbox", "stretch", "crop"] = "stretch"
    if drawing.found:
        fit = fit_of(cfg)
    elif scores and height == width:
        fit = "crop"
    return Preprocess(
        height,
        width,
        3 if channels == 3 else 1,
        "RGB" if channels == 3 else "L",
        fit=fit,
        fill=_GREY if fit == "letterbox" else 0,
        resize=width if fit == "crop" else 0,
    )
