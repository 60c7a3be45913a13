"""The line as Python functions, one a verb: the command line and notebooks call these and nothing else."""

from chipwise.api.advising import advise
from chipwise.api.array_race import ARRAY_SIZES, array_libraries, array_operations, arrays
from chipwise.api.counting import count_layers
from chipwise.api.crossing import CROSSOVER_SIZES, crossover
from chipwise.api.curves import learning_curve
from chipwise.api.customs import custom_layer
from chipwise.api.doctoring import doctor
from chipwise.api.estimating import estimate
from chipwise.api.formatting import format_names, formats
from chipwise.api.given import augmentation_names, data_names, label_names, network_names, variant_names
from chipwise.api.hardware import hardware, hardware_names
from chipwise.api.leaderboard import leaderboard
from chipwise.api.line import fit, report
from chipwise.api.memory import training_memory
from chipwise.api.moving import check_moved
from chipwise.api.offers import offers
from chipwise.api.parameter_servers import train_with_servers
from chipwise.api.pictures import features
from chipwise.api.plans import export, show
from chipwise.api.proving import prove
from chipwise.api.quantizing import quantize
from chipwise.api.running import load, run
from chipwise.api.searching import kind_names, search
from chipwise.api.serving import serve
from chipwise.api.shrinking import compress
from chipwise.api.shrunk_pictures import sensitivity
from chipwise.api.targets import PRECISIONS, TECHNIQUES, device_names
from chipwise.api.tuning import tune
from chipwise.api.verbs import bench, check, compile, inspect, train
from chipwise.api.what_if import what_if
from chipwise.api.what_if_page import what_if_page
from chipwise.api.zoo import zoo
from chipwise.core.what_if import WhatIfPage

__all__ = [
    "ARRAY_SIZES",
    "CROSSOVER_SIZES",
    "PRECISIONS",
    "TECHNIQUES",
    "WhatIfPage",
    "advise",
    "array_libraries",
    "array_operations",
    "arrays",
    "augmentation_names",
    "bench",
    "check",
    "check_moved",
    "compile",
    "compress",
    "count_layers",
    "crossover",
    "custom_layer",
    "data_names",
    "device_names",
    "doctor",
    "estimate",
    "export",
    "features",
    "fit",
    "format_names",
    "formats",
    "hardware",
    "hardware_names",
    "inspect",
    "kind_names",
    "label_names",
    "leaderboard",
    "learning_curve",
    "load",
    "network_names",
    "offers",
    "prove",
    "quantize",
    "report",
    "run",
    "search",
    "sensitivity",
    "serve",
    "show",
    "train",
    "train_with_servers",
    "training_memory",
    "tune",
    "variant_names",
    "what_if",
    "what_if_page",
    "zoo",
]
